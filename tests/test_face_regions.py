"""Regions of the face: where they lie, and how unlike references are in them."""

from __future__ import annotations

import pytest
import torch

from reenact_core.face_regions import INNER_LIPS, REGIONS, RIGHT_LIDS, region_differences, region_maps

from .faces import posed_faces, turned

EYES, MOUTH, SKIN, HAIR, BACKGROUND = range(5)
BOX = torch.tensor([[18, 8, 220]])


def at(maps: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
    """Shares [G] at a point in canvas pixels."""
    column, row = ((point - BOX[0, :2]) / BOX[0, 2] * maps.shape[-1]).long()
    return maps[0, :, row, column]


@pytest.mark.parametrize("yaw", [0, 35, -60])
def test_maps_are_a_partition_and_find_the_face(yaw):
    faces = posed_faces([turned(yaw)])
    maps = region_maps(faces.landmarks, BOX, 64)
    assert maps.shape == (1, len(REGIONS), 64, 64)
    assert (maps >= 0).all()
    assert torch.allclose(maps.sum(1), torch.ones(1, 64, 64), atol=1e-6)
    points = faces.landmarks[0, :, :2]
    assert at(maps, points[list(INNER_LIPS)].mean(0))[MOUTH] > 0.9
    assert at(maps, points[list(RIGHT_LIDS)].mean(0))[EYES] > 0.7
    assert maps[0, BACKGROUND, 0, 0] == 1
    assert maps[0, BACKGROUND, -1].min() == 1


def test_forehead_is_skin_and_above_it_is_hair():
    faces = posed_faces([turned(0)])
    maps = region_maps(faces.landmarks, BOX, 64)
    points = faces.landmarks[0, :, :2]
    assert at(maps, points[151])[SKIN] > 0.9
    assert at(maps, points[10] - torch.tensor([0.0, 15.0]))[HAIR] > 0.9


def test_maps_move_with_the_box():
    faces = posed_faces([turned(10)], height=80)
    maps = region_maps(faces.landmarks, BOX, 44)  # one cell is 5 pixels
    shifted = region_maps(faces.landmarks, BOX + torch.tensor([[10, -15, 0]]), 44)
    assert torch.allclose(shifted[..., 3:, :-2], maps[..., :-3, 2:], atol=0.02)


@pytest.mark.parametrize("landmarks", [torch.zeros(1, 478, 3), torch.full((1, 478, 3), 1e9)], ids=["lost", "far"])
def test_faces_that_are_not_there_leave_valid_maps(landmarks):
    maps = region_maps(landmarks, BOX, 32)
    assert maps.isfinite().all()
    assert torch.allclose(maps.sum(1), torch.ones(1, 32, 32), atol=1e-6)


def test_differences_separate_turning_from_expression():
    driving = posed_faces([turned(0)])
    references = posed_faces([turned(0), turned(24)])
    same, turned_away = region_differences(driving, references)[0]
    assert same.max() < 1e-3
    assert turned_away[SKIN] == pytest.approx(2.0, abs=0.01), "24 degrees are two visible differences"
    assert turned_away[HAIR] == turned_away[SKIN]
    assert 0 < turned_away[MOUTH] < turned_away[SKIN]
    assert turned_away[BACKGROUND] == 0
    opened = region_differences(driving, posed_faces([turned(0)], opening=0.3))[0, 0]
    assert opened[MOUTH] > 0.5
    assert opened[EYES] < 1e-3
    assert opened[SKIN] < 1e-3


def test_size_place_and_roll_make_no_difference():
    driving = posed_faces([turned(20, 10)])
    other = posed_faces([turned(20, 10, 25)], centre=(60, 300), height=70)
    assert region_differences(driving, other).max() < 0.1
