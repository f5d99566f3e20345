"""The camera of a driving video, followed by what stands still behind the person."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from reenact_core import geometry
from reenact_core.decoding import decode
from reenact_core.fusing import fuse_references
from reenact_core.fusion.learned import Learned
from reenact_core.motion import encode_motion
from reenact_core.motion_models.face_mesh import FaceMesh
from reenact_core.retargeting import Transfer
from reenact_core.scenery import CameraFollower
from reenact_core.types import Faces, Scene
from reenact_core.warping import warp_per_reference
from tests.faces import before_a_wall, psnr, still

SIZE = 200


@pytest.fixture(scope="module")
def wall() -> torch.Tensor:
    """A scene with corners everywhere and nobody in it, [3,400,500]."""
    noise = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(3))
    return F.interpolate(noise, (400, 500), mode="bilinear", align_corners=False)[0]


def seen(scene: torch.Tensor, cameras: torch.Tensor) -> torch.Tensor:
    """Frames [T,3,SIZE,SIZE] of cameras [T,2,3] that take frame pixels to pixels of the scene."""
    places = geometry.apply_affine(cameras, geometry.pixel_grid(SIZE, SIZE).flatten(0, 1))
    grids = geometry.normalise(places, (scene.shape[-2], scene.shape[-1])).unflatten(1, (SIZE, SIZE))
    return geometry.sample(scene.expand(len(cameras), -1, -1, -1), grids)


def cameras_at(places, zooms=None) -> torch.Tensor:
    zooms = torch.ones(len(places)) if zooms is None else torch.tensor(zooms)
    return torch.cat([torch.eye(2) * zooms[:, None, None], torch.tensor(places)[..., None]], 2)


class Nobody:
    """A matte for pictures without people; the real one sees some in noise."""

    def matte(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(images[:, :1])


def follow(frames: torch.Tensor) -> Scene:
    follower = CameraFollower(Nobody())
    for chunk in frames.split(4):
        follower.watch(chunk)
    return follower.result()


def off(found: torch.Tensor | None, cameras: torch.Tensor) -> float:
    """Largest error of a followed camera, in pixels, anywhere in the picture."""
    assert found is not None
    wanted = geometry.compose_affine(geometry.invert_affine(cameras[:1]), cameras)
    corners = torch.tensor([[0.0, 0], [SIZE, 0], [0, SIZE], [SIZE, SIZE]])
    apart = geometry.apply_affine(found, corners) - geometry.apply_affine(wanted, corners)
    return float(apart.norm(dim=-1).amax())


def test_a_panning_and_zooming_camera_is_followed(wall):
    steps = torch.arange(12).float()
    places = torch.stack([100 + 9 * steps, 80 + 5 * steps], 1).tolist()
    cameras = cameras_at(places, (1 + 0.02 * steps).tolist())
    assert off(follow(seen(wall, cameras)).camera, cameras) < 2.0


def test_frames_far_apart_are_recognised(wall):
    """As in a video of which only some frames are left."""
    cameras = cameras_at([(100.0, 80), (190, 120), (30, 170), (105, 84), (240, 30)])
    frames = seen(wall, cameras)
    assert off(follow(frames).camera[:4], cameras[:4]) < 1.0


def test_a_still_camera_is_exactly_still(wall):
    frames = seen(wall, cameras_at([(100.0, 80)] * 6))
    noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(0)) * 0.02
    camera = follow((frames + noise).clamp(0, 1)).camera
    assert torch.equal(camera, torch.eye(2, 3).expand(6, -1, -1))


@pytest.mark.parametrize("size", [(64, 64), (9, 40)])
def test_where_nothing_can_be_followed_nothing_is_known(size):
    scene = follow(torch.full((9, 3, *size), 0.4))
    assert scene.camera is None
    assert len(scene.features.points) == 0


def test_one_frame_is_a_still_camera(wall):
    scene = follow(seen(wall, cameras_at([(100.0, 80)])))
    assert torch.equal(scene.camera, torch.eye(2, 3)[None])
    assert scene.features.descriptors.shape == (len(scene.features.points), 128)
    assert ((scene.features.points > 0) & (scene.features.points < SIZE)).all()


def test_one_reference_suffices_where_the_camera_was_followed(person, person_faces, tracker):
    """Windows over one photo are what a panning camera sees: from the first of them all others follow."""
    places = ((30, 30), (36, 26), (44, 30), (58, 18))  # of the window, pixels
    windows = torch.stack([before_a_wall(person[:1])[:, y : y + 290, x : x + 290] for x, y in places])
    motion = encode_motion([windows], Fraction(25), tracker, smooth=False)
    assert motion.scene is not None
    faces = Faces(*(field[:1].clone() for field in person_faces))
    faces.landmarks[..., :2] -= torch.tensor(places[0])
    found = {}
    for known, scene in ((True, motion.scene), (False, None)):
        warped = warp_per_reference(
            still(windows[:1], faces), motion._replace(scene=scene), FaceMesh.load(), Transfer.ABSOLUTE
        )
        made = torch.cat([chunk.images for chunk in decode(fuse_references(warped, Learned()))])
        found[known] = psnr(made[3, :, 40:-40, 40:-40], windows[3, :, 40:-40, 40:-40])
    assert found[True] > 30
    assert found[True] > found[False] + 3
