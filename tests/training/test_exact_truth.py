"""Exact truth of a small scene that can be worked out by hand: a card that moves before a tilted board."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reenact_core import geometry
from reenact_core.training.exact_truth import (
    CELL,
    ExactTruth,
    compact,
    exact_losses,
    flow_and_visibility,
    hide_reference,
    mirror,
    move_reference,
)

SIZE, FOCAL, DISTANCE = 128, 200.0, 10.0
CORNERS = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
PARTS = np.array([0, 0, 1, 1])
BOX = torch.tensor([[0.0, 0.0, float(SIZE)]])
GRID = SIZE // CELL


def project(points: np.ndarray) -> np.ndarray:
    """x, y and distance [..,3] in pixels of points [..,3] (x right, y down, z away from the middle)."""
    far = DISTANCE + points[..., 2]
    x, y = (SIZE / 2 + FOCAL * points[..., k] / far for k in (0, 1))
    return np.stack([x, y, far * FOCAL / DISTANCE], -1)


def board(yaw: float) -> np.ndarray:
    """A square board [4,3], turned about the vertical axis."""
    flat = np.array([[-2.2, -2.2, 0], [2.2, -2.2, 0], [2.2, 2.2, 0], [-2.2, 2.2, 0]])
    cosine, sine = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return flat @ np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]]).T


def card(x: float) -> np.ndarray:
    """A small card [4,3] in front of the board."""
    return np.array([[-0.6, -0.6, 0], [0.6, -0.6, 0], [0.6, 0.6, 0], [-0.6, 0.6, 0]]) + np.array([x, 0, -1.5])


@pytest.fixture(scope="module")
def truth() -> ExactTruth:
    """Frame 0: board turned by 0, card left. Frame 1: board turned by 40 degrees. Frame 2: card right."""
    scenes = [(0, -1.0), (40, -1.0), (0, 1.0)]
    vertices = np.stack([project(np.concatenate([board(yaw), card(x)])) for yaw, x in scenes])
    coarse = torch.from_numpy(vertices).float()
    coarse[..., :2] /= CELL
    # The rasteriser works with straight depths; boards and cards never cross, so it finds the same triangles.
    triangle, _ = geometry.rasterise(coarse, torch.from_numpy(CORNERS), GRID)
    return compact(triangle.numpy(), vertices, CORNERS, PARTS, FOCAL)


def at(x: float, y: float) -> tuple[int, int]:
    """Row and column of the cell that shows a point of the picture."""
    return int(y / CELL), int(x / CELL)


def test_the_same_frame_is_the_identity(truth):
    box = torch.tensor([[3.3, 1.7, 120.0]])
    for frame in range(3):
        flow = flow_and_visibility(truth, frame, [frame], box, 50)
        points = box[0, :2] + geometry.pixel_grid(50, 50) / 50 * 120
        assert (flow.positions[0, 0].movedim(0, -1) - points).abs().max() < 1e-3
        assert flow.visibility.min() == 1
        assert flow.known.min() == 1


def test_points_of_a_turned_board_are_found_in_perspective(truth):
    flow = flow_and_visibility(truth, 0, [1], BOX, GRID)
    for x in (-1.8, 0.5, 1.0, 1.8):
        point = np.array([x, 1.2, 0])
        seen = project(point)
        row, column = at(*seen[:2])
        # The cell's centre shows a point of the board a little beside; take that one.
        u, v = (np.array([column, row]) + 0.5) * CELL
        exact = np.array([(u - SIZE / 2) * DISTANCE / FOCAL, (v - SIZE / 2) * DISTANCE / FOCAL, 0])
        cosine, sine = np.cos(np.radians(40)), np.sin(np.radians(40))
        turned = np.array([cosine * exact[0], exact[1], -sine * exact[0]])
        assert flow.positions[0, 0, :, row, column].numpy() == pytest.approx(project(turned)[:2], abs=0.1)
        assert flow.visibility[0, 0, 0, row, column] == 1


def test_what_the_card_covers_is_hidden(truth):
    flow = flow_and_visibility(truth, 0, [2], BOX, GRID)
    covered = at(*project(np.array([1.0, 0.0, -1.5]))[:2])  # where the card will be
    moved = at(*project(np.array([-1.0, 0.0, -1.5]))[:2])  # where it is
    free = at(*project(np.array([0.0, 1.8, 0.0]))[:2])
    assert flow.visibility[0, 0, 0][covered] == 0
    assert flow.visibility[0, 0, 0][moved] == 1
    assert flow.visibility[0, 0, 0][free] == 1
    shift = 2.0 * FOCAL / (DISTANCE - 1.5)
    row, column = moved
    place = (np.array([column, row]) + 0.5) * CELL + [shift, 0]
    assert flow.positions[0, 0, :, row, column].numpy() == pytest.approx(place, abs=0.1)


def test_the_background_stays_and_can_be_covered(truth):
    flow = flow_and_visibility(truth, 1, [0], BOX, GRID)
    row, column = at(2, SIZE / 2)  # beside the turned board, on the board when it is not turned
    behind = flow_and_visibility(truth, 1, [1], BOX, GRID)
    assert flow.positions[0, 0, :, row, column].tolist() == [(column + 0.5) * CELL, (row + 0.5) * CELL]
    assert behind.visibility[0, 0, 0, row, column] == 1
    edge = project(board(0))[0]
    row, column = at(edge[0] + 3, SIZE / 2)
    assert truth.triangle[1, row, column] == -1
    assert flow.visibility[0, 0, 0, row, column] == 0


def test_beyond_the_frame_nothing_is_known_or_visible(truth):
    box = torch.tensor([[-64.0, 0.0, 128.0]])
    flow = flow_and_visibility(truth, 0, [0], box, 16)
    assert flow.known[0, 0, :, :8].max() == 0
    assert flow.known[0, 0, :, 8:].min() == 1
    assert flow.visibility[0, 0, 0, :, :8].max() == 0


def test_mirrored_pictures(truth):
    box = torch.tensor([[10.0, 5.0, 100.0]])
    flow = flow_and_visibility(truth, 0, [1, 2], box, 20)
    mirrored = mirror(flow, SIZE)
    assert torch.allclose(mirrored.positions[..., 3, 4][0, :, 0], SIZE - flow.positions[..., 3, 15][0, :, 0])
    assert torch.equal(mirrored.positions[..., 3, 4][0, :, 1], flow.positions[..., 3, 15][0, :, 1])
    assert torch.equal(mirrored.visibility[..., 4], flow.visibility[..., 15])
    twice = mirror(mirrored, SIZE)
    assert torch.allclose(twice.positions, flow.positions, atol=1e-4)


def test_a_reference_from_another_camera(truth):
    flow = flow_and_visibility(truth, 0, [1, 2], BOX, GRID)
    affine = torch.tensor([[2.0, 0, -10], [0, 2.0, 3]])
    moved = move_reference(flow, 1, affine, (SIZE, SIZE))
    assert torch.equal(moved.positions[:, 0], flow.positions[:, 0])
    assert torch.allclose(moved.positions[0, 1, 0], 2 * flow.positions[0, 1, 0] - 10)
    assert torch.allclose(moved.positions[0, 1, 1], 2 * flow.positions[0, 1, 1] + 3)
    left_out = moved.positions[0, 1].amax(0) > SIZE
    assert left_out.any()
    assert moved.visibility[0, 1, 0][left_out].max() == 0
    assert hide_reference(flow, 0).visibility[:, 0].max() == 0
    assert flow.visibility[:, 0].max() == 1


def test_losses_are_zero_for_the_truth_and_grow_with_the_error(truth):
    flow = flow_and_visibility(truth, 0, [1, 2], BOX, GRID)
    right = geometry.normalise(flow.positions.movedim(2, -1), (SIZE, SIZE))
    visible = flow.visibility.clone()
    missed, trusted = exact_losses(right, visible, flow, (SIZE, SIZE), SIZE)
    assert missed < 1e-6
    assert trusted == 0
    shifted = right + torch.tensor([2 * 3.2 / SIZE, 0])  # 3.2 pixels: 1/40 of the box
    missed, trusted = exact_losses(shifted, torch.full_like(visible, 0.5), flow, (SIZE, SIZE), SIZE)
    assert float(missed) == pytest.approx(1 / 40, rel=1e-3)
    assert float(trusted) == pytest.approx(0.25)
