"""Taking a moving face apart and putting it together again."""

from __future__ import annotations

import pytest
import torch

from reenact_core.errors import ReenactError
from reenact_core.head_channels import (
    PARTS,
    Gains,
    head_angles,
    join,
    part_weights,
    rotation_of_angles,
    scale_channels,
    scale_turn,
    split,
)
from reenact_core.motion_models.mesh_flows import RIGID
from reenact_core.pose import euler_degrees
from reenact_core.tracking import BLENDSHAPE_NAMES
from reenact_core.types import Faces

from .faces import posed_faces, turned


@pytest.fixture
def faces() -> Faces:
    """Resting, turned, tilted with the jaw open, nearer."""
    parts = [
        posed_faces([turned(5, 2, 0)], (300, 200), 180),
        posed_faces([turned(30, -5, 4)], (320, 190), 180),
        posed_faces([turned(-10, 10, -20)], (280, 210), 180, opening=0.15),
        posed_faces([turned(5, 2, 0)], (300, 200), 240),
    ]
    joined = Faces(*(torch.cat(fields) for fields in zip(*parts)))
    shapes = torch.rand(4, len(BLENDSHAPE_NAMES), generator=torch.Generator().manual_seed(0))
    return joined._replace(blendshapes=shapes)


@pytest.mark.parametrize("neutral", [0, 1, 2, 3])
def test_what_was_split_joins_to_the_same(faces, neutral):
    resting = faces.at([neutral])
    channels = split(faces, resting)
    assert torch.allclose(join(channels, resting), faces.landmarks, atol=1e-3)
    assert torch.allclose(channels.blendshapes + resting.blendshapes, faces.blendshapes, atol=1e-6)


def test_the_neutral_face_has_no_motion(faces):
    channels = split(faces.at([0]), faces.at([0]))
    assert torch.allclose(channels.rotation, torch.eye(3)[None], atol=1e-5)
    assert torch.allclose(channels.scale, torch.ones(1), atol=1e-5)
    assert channels.shift.abs().max() < 1e-3
    assert channels.expression.abs().max() < 1e-3


def test_channels_are_what_they_are_called(faces):
    channels = split(faces, faces.at([0]))
    assert torch.allclose(channels.scale, torch.tensor([1, 1, 1, 240 / 180]), atol=1e-3)
    assert torch.allclose(channels.rotation @ faces.rotation[0], faces.rotation, atol=1e-3)
    rigid = list(RIGID)
    moved = faces.landmarks[1, rigid].mean(0) - faces.landmarks[0, rigid].mean(0)
    assert torch.allclose(channels.shift[1], moved, atol=1e-2)
    assert channels.expression[[1, 3]].abs().max() < 1e-2
    assert channels.expression[2, 152, 1] > 20


def test_gain_one_hands_every_channel_on(faces):
    channels = split(faces, faces.at([0]))
    for before, after in zip(channels, scale_channels(channels, Gains(), faces.rotation[:1])):
        assert after is before


def test_gain_zero_rests_at_the_neutral_frame(faces):
    resting = faces.at([0])
    still = Gains(yaw=0, pitch=0, roll=0, translation=0, scale=0, expression=0)
    landmarks = join(scale_channels(split(faces, resting), still, resting.rotation), resting)
    assert torch.allclose(landmarks, resting.landmarks.expand_as(landmarks), atol=2e-3)


def test_half_a_turn_is_half_the_angle(faces):
    resting = posed_faces([turned(0, 0, 0)])
    wide = posed_faces([turned(40, 0, 0), turned(0, 20, 0), turned(0, 0, 30)])
    half = scale_turn(wide.rotation, resting.rotation, Gains(yaw=0.5, pitch=0.5, roll=0.5))
    assert torch.allclose(euler_degrees(half), torch.diag(torch.tensor([20.0, 10, 15])), atol=1e-3)
    only = scale_turn(wide.rotation, resting.rotation, Gains(yaw=0))
    assert torch.allclose(euler_degrees(only)[1:], euler_degrees(wide.rotation)[1:], atol=1e-3)
    assert euler_degrees(only)[0].abs().max() < 1e-3


def test_half_the_way_to_a_larger_head(faces):
    resting = faces.at([0])
    channels = scale_channels(split(faces, resting), Gains(scale=0.5), resting.rotation)
    assert float(channels.scale[3]) == pytest.approx((240 / 180) ** 0.5, abs=1e-3)


def test_angles_and_rotations_are_inverses():
    angles = (torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) - 0.5) * torch.tensor([5.8, 2.8, 6.0])
    rotation = rotation_of_angles(angles)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(200), atol=1e-5)
    assert torch.allclose(head_angles(rotation), angles, atol=2e-3)
    assert torch.allclose(torch.rad2deg(head_angles(rotation))[:, :2], euler_degrees(rotation)[:, :2], atol=1e-3)


def test_parts_share_the_face_out():
    points, shapes = part_weights()
    assert points.min() >= 0
    assert points.sum(0).max() <= 1 + 1e-6
    part = dict(zip(PARTS, points))
    for name, inside in {"mouth": (13, 14, 61, 152), "eyes": (159, 145, 386, 374), "brows": (105, 334)}.items():
        assert part[name][list(inside)].min() > 0.85, name
    assert (part["gaze"] == torch.arange(478).ge(468)).all()
    assert points[:, [5, 4, 197]].sum(0).max() < 0.2, "the nose belongs to no part"
    named = {BLENDSHAPE_NAMES[i] for i in shapes.sum(0).eq(0).nonzero()[:, 0].tolist()}
    assert named == {"_neutral", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight"}


def test_a_part_alone_can_be_stilled(faces):
    resting = faces.at([0])
    channels = scale_channels(split(faces, resting), Gains(mouth=0), resting.rotation)
    assert channels.expression[2, [13, 14, 152]].abs().max() < 0.15 * split(faces, resting).expression[2, 152, 1]
    jaw, brow = BLENDSHAPE_NAMES.index("jawOpen"), BLENDSHAPE_NAMES.index("browInnerUp")
    assert channels.blendshapes[:, jaw].abs().max() == 0
    assert torch.equal(channels.blendshapes[:, brow], split(faces, resting).blendshapes[:, brow])


def test_gains_out_of_range_are_refused():
    with pytest.raises(ReenactError, match="yaw is 9"):
        Gains(yaw=9)
