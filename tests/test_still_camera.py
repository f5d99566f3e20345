"""A camera that moved is taken out of the driving head's movement, one that follows the head is not."""

from __future__ import annotations

import math

import pytest
import torch

from reenact_core import geometry
from reenact_core.canonical_shape import HeadPose
from reenact_core.scene_features import SceneFeatures
from reenact_core.still_camera import without_camera
from reenact_core.types import Scene

FRAMES, RATE, SIZE = 60, 25.0, 100.0


@pytest.fixture
def camera() -> torch.Tensor:
    """Pixels of each frame -> of the first: a slow drift and zoom, [60,2,3]."""
    time = torch.linspace(0, 1, FRAMES)
    zoom, zero = 1 + 0.2 * time, torch.zeros(FRAMES)
    rows = torch.stack([zoom, zero, 30 * (3 * time).sin()], 1), torch.stack([zero, zoom, -40 * time], 1)
    return torch.stack(rows, 1)


def scene(camera: torch.Tensor | None) -> Scene:
    return Scene(camera, SceneFeatures(torch.zeros(0, 2), torch.zeros(0, 128)))


def heads(places: torch.Tensor, size: torch.Tensor) -> HeadPose:
    """Heads at places [60,2] of sizes [60]."""
    depth = (SIZE * torch.ones(FRAMES, 1)) * (size / SIZE)[:, None]
    return HeadPose(size, torch.eye(3).repeat(FRAMES, 1, 1), torch.cat([places, depth], 1))


def filmed(place: torch.Tensor, camera: torch.Tensor) -> HeadPose:
    """Heads at places [60,2] before the scene, of one size there, as that camera shows them."""
    seen = geometry.apply_affine(geometry.invert_affine(camera), place[:, None])[:, 0]
    return heads(seen, SIZE / torch.linalg.det(camera[:, :, :2]).sqrt())


def test_a_person_who_keeps_still_before_a_moving_camera_keeps_still(camera):
    still = without_camera(filmed(torch.tensor([[200.0, 150.0]]).expand(FRAMES, 2), camera), scene(camera), RATE)
    torch.testing.assert_close(still.centre, torch.tensor([[200.0, 150.0, SIZE]]).expand(FRAMES, 3), atol=0.1, rtol=0)
    torch.testing.assert_close(still.scale, torch.full((FRAMES,), SIZE), atol=0.1, rtol=0)


def test_what_the_person_does_is_left(camera):
    step = 8 * (torch.arange(FRAMES) / RATE * 2 * math.pi).sin()  # once a second
    place = torch.stack([200 + step, torch.full((FRAMES,), 150.0)], 1)
    moved = without_camera(filmed(place, camera), scene(camera), RATE)
    inner = slice(6, -6)  # the mean over time is one-sided at the ends
    torch.testing.assert_close(moved.centre[inner, 0], place[inner, 0], atol=0.8, rtol=0)


def test_where_the_camera_follows_the_head_it_stays_where_the_picture_has_it(camera):
    pose = heads(torch.tensor([[200.0, 150.0]]).expand(FRAMES, 2), torch.full((FRAMES,), SIZE))
    assert without_camera(pose, scene(camera), RATE) is pose


def test_a_quick_head_before_a_still_camera_is_not_calmed():
    step = 8 * (torch.arange(FRAMES) / RATE * 6 * math.pi).sin()  # three times a second
    pose = heads(torch.stack([200 + step, torch.full((FRAMES,), 150.0)], 1), torch.full((FRAMES,), SIZE))
    assert without_camera(pose, scene(torch.eye(2, 3).repeat(FRAMES, 1, 1)), RATE) is pose


@pytest.mark.parametrize("known", [False, True])
def test_nothing_changes_where_no_camera_is_known_or_it_stood(camera, known):
    pose = filmed(torch.tensor([[200.0, 150.0]]).expand(FRAMES, 2), camera)
    assert without_camera(pose, scene(torch.eye(2, 3).repeat(FRAMES, 1, 1) if known else None), RATE) is pose
    assert without_camera(pose, None, RATE) is pose
