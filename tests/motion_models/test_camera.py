"""What the references tell about a camera that followed the head."""

from __future__ import annotations

import pytest
import torch

from reenact_core import geometry
from reenact_core.decoding import decode
from reenact_core.fusing import fuse_references
from reenact_core.fusion.learned import Learned
from reenact_core.motion_models.camera import learn_camera
from reenact_core.motion_models.face_mesh import FaceMesh
from reenact_core.retargeting import Transfer
from reenact_core.types import Faces
from reenact_core.warping import warp_per_reference
from tests.faces import before_a_wall, moving, posed_faces, psnr, still

PLACES = ((0.0, 0), (30, -12), (-18, 20), (12, 26), (-26, -8))  # of the head, from the first frame's, pixels


def faces_at(places) -> Faces:
    heads = [posed_faces([torch.eye(3)], centre=(128 + x, 128 + y), height=90) for x, y in places]
    return Faces(*(torch.cat(fields) for fields in zip(*heads)))


def heads(places) -> torch.Tensor:
    return faces_at(places).landmarks


def maps(shifts) -> torch.Tensor:
    return torch.cat([torch.eye(2).expand(len(shifts), 2, 2), torch.tensor(shifts)[..., None]], 2)


def learned(share: tuple[float, float], count: int = 5):
    """A camera that makes up this share of the head's movement in x and y."""
    places = PLACES[:count]
    shifts = [(x * share[0], y * share[1]) for x, y in places]
    return learn_camera(heads(places), maps(shifts), torch.tensor([False] + [True] * (count - 1)))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_camera_that_moves_is_told_from_a_head_that_moves(count):
    assert learned((0, 0), count) is None
    camera = learned((1, 0), count)
    assert camera is not None
    assert 0.85 < camera.gains[0] <= 1
    assert (camera.gains[1:] == 0).all()


def test_the_background_moves_by_the_cameras_share():
    camera = learned((1, 0.5))
    assert camera is not None
    moved = camera.maps(moving(faces_at([(20, 40)]), (256, 256)))[0]
    shown = geometry.apply_affine(moved, torch.tensor([[148.0, 168]]))[0]
    assert torch.allclose(shown, torch.tensor([128.0, 148]), atol=1.5)
    assert torch.allclose(camera.maps(moving(faces_at(PLACES[:1]), (256, 256)))[0], torch.eye(2, 3), atol=1e-3)


def test_one_reference_or_a_camera_on_its_own_say_nothing():
    assert learned((1, 1), 1) is None
    places, shifts = PLACES, [(0.0, 0), (-20, 9), (11, 22), (25, -14), (4, 17)]
    assert learn_camera(heads(places), maps(shifts), torch.tensor([False] + [True] * 4)) is None
    assert learn_camera(heads(places), maps(shifts), torch.tensor([False] * 5)) is None


def test_references_that_show_a_still_camera_count():
    """One of four seems to have moved, the rest says otherwise."""
    shifts = [(0.0, 0.0), (9, -4), (0, 0), (0, 0), (0, 0)]
    assert learn_camera(heads(PLACES), maps(shifts), torch.tensor([False] + [True] * 4)) is None


def test_a_picture_that_moves_as_a_whole_is_rebuilt_as_a_whole(person, person_faces):
    """Windows over one photo are what a panning camera sees: from three of them a fourth follows."""
    places = ((30, 30), (58, 18), (12, 52), (0, 14))  # of the window, pixels; the last one drives
    windows = [before_a_wall(person[:1])[:, y : y + 290, x : x + 290] for x, y in places]
    faces = Faces(*(field[:1].expand(4, *field.shape[1:]).clone() for field in person_faces))
    faces.landmarks[..., :2] -= torch.tensor(places)[:, None]
    motion = moving(Faces(*(field[3:] for field in faces)), (290, 290))
    found = {}
    for transfer in Transfer:
        warped = warp_per_reference(still(windows[:3], faces.at(slice(0, 3))), motion, FaceMesh.load(), transfer)
        made = next(iter(decode(fuse_references(warped, Learned())))).images[0]
        found[transfer] = psnr(made[:, 40:-40, 40:-20], windows[3][:, 40:-40, 40:-20])
        assert (warped.encoded.camera is None) == (transfer is Transfer.RELATIVE)
    assert found[Transfer.ABSOLUTE] > 30
    assert found[Transfer.ABSOLUTE] > found[Transfer.RELATIVE] + 3
