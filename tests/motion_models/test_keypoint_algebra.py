"""Geometry of the public models' keypoints, checked by what it has to do."""

from __future__ import annotations

import math

import pytest
import torch

from reenact_core.motion_models.first_order import AffineKeypoints, relative_motion
from reenact_core.motion_models.first_order import sparse_motions as affine_motions
from reenact_core.motion_models.head_motion import (
    EYE_KEYPOINTS,
    LIP_KEYPOINTS,
    HeadMotion,
    Region,
    compose_absolute,
    compose_relative,
    pose_degrees,
    rotation_matrices,
)
from reenact_core.motion_models.movement import hull_area, movement_scale
from reenact_core.motion_models.splines import sparse_motions as spline_motions
from reenact_core.motion_models.thin_plate import relative_keypoints


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def affine_keypoints(*shape: int) -> AffineKeypoints:
    return AffineKeypoints(torch.rand(*shape, 2) - 0.5, torch.eye(2) + 0.2 * torch.randn(*shape, 2, 2))


def head_motion(count: int) -> HeadMotion:
    return HeadMotion(
        canonical=torch.randn(count, 21, 3),
        rotation=rotation_matrices(20 * torch.randn(count, 3)),
        expression=torch.randn(count, 21, 3),
        scale=torch.rand(count, 1) + 1,
        translation=torch.randn(count, 3),
    )


def test_hull_area_ignores_inner_points():
    square = [[0, 0], [2, 0], [2, 1], [0, 1]]
    inside = [[1, 0.5], [0.3, 0.2], [1, 0], [2, 0.5]]  # two of them on the border
    assert hull_area(torch.tensor(square + inside)) == pytest.approx(2)
    assert hull_area(torch.tensor([[0.0, 0], [1, 1], [2, 2]])) == 0
    assert hull_area(torch.zeros(5, 2)) == 0


def test_movement_scale_is_the_ratio_of_sizes():
    points = torch.rand(3, 10, 2)
    scale = movement_scale(points * torch.tensor([1.0, 2, 3])[:, None, None], points[:1])
    assert scale[0] == pytest.approx(1)
    assert movement_scale(2 * points[:1], points[:1]).item() == pytest.approx(2)
    assert movement_scale(points, torch.zeros(1, 10, 2)).tolist() == [1, 1, 1]


def test_affine_candidates_take_driving_to_reference_points():
    """A keypoint on a pixel of the grid lands on the reference's; the background stays."""
    reference, driving = affine_keypoints(2, 4), affine_keypoints(3, 2, 4)
    driving.points[:] = torch.tensor([0.5, -0.25])  # column 6, row 3 of 9
    grids = affine_motions(reference, driving, (9, 9))
    assert grids.shape == (3, 2, 5, 9, 9, 2)
    torch.testing.assert_close(grids[:, :, 1:, 3, 6], reference.points.expand(3, 2, 4, 2))
    torch.testing.assert_close(grids[0, 0, 0, 8, 0], torch.tensor([-1.0, 1.0]))
    step = grids[0, 0, 1, 3, 7] - grids[0, 0, 1, 3, 6]
    jacobian = reference.jacobians[0, 0] @ torch.linalg.inv(driving.jacobians[0, 0, 0])
    torch.testing.assert_close(step, jacobian[:, 0] * 0.25, rtol=1e-4, atol=1e-5)


def test_relative_motion_of_a_still_driver_is_the_reference():
    reference, driving = affine_keypoints(3, 5), affine_keypoints(1, 5)
    moved = relative_motion(reference, driving, driving, torch.rand(3) + 1)
    torch.testing.assert_close(moved.points[0], reference.points)
    torch.testing.assert_close(moved.jacobians[0], reference.jacobians, rtol=1e-4, atol=1e-5)


def test_relative_keypoints_scale_the_movement():
    reference, driving = torch.rand(2, 10, 2), torch.rand(4, 10, 2)
    moved = relative_keypoints(reference, driving, driving[:1], torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(moved[3, 1] - reference[1], 2 * (driving[3] - driving[0]))


def test_splines_take_driving_to_reference_points():
    """Nearly: the ridge of the published model keeps them from passing through exactly."""
    cross = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0, 0], [-0.5, 0.5], [0.5, 0.5]])
    driving = cross.expand(2, 3, 5, 2)
    reference = cross + 0.05 * torch.randn(3, 5, 2)
    grids = spline_motions(reference, driving, (9, 9), None)
    assert grids.shape == (2, 3, 2, 9, 9, 2)
    at = grids[:, :, 1, [2, 2, 4, 6, 6], [2, 6, 4, 2, 6]]
    assert (at - reference).abs().max() < 0.03
    torch.testing.assert_close(grids[0, 0, 0, 8, 0], torch.tensor([-1.0, 1.0]))


def test_rotations_are_rotations():
    rotation = rotation_matrices(40 * torch.randn(50, 3))
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(50, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(50))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_single_rotations(axis):
    """Pitch, yaw and roll turn about x, y and z; the transpose acts on row vectors as R on columns."""
    degrees = torch.zeros(1, 3)
    degrees[0, axis] = 30
    rotation = rotation_matrices(degrees)[0]
    one, two = (axis + 1) % 3, (axis + 2) % 3
    turned = torch.eye(3)[one] @ rotation
    assert turned[axis].item() == pytest.approx(0, abs=1e-6)
    assert turned[one].item() == pytest.approx(math.cos(math.radians(30)))
    assert turned[two].item() == pytest.approx(math.sin(math.radians(30)))


def test_pose_bins_are_three_degrees_wide():
    bins = torch.full((1, 3, 66), -100.0)
    bins[0, 0, 0] = bins[0, 1, 65] = bins[0, 2, 32] = 100
    torch.testing.assert_close(pose_degrees(bins), torch.tensor([[-97.5, 97.5, -1.5]]))


@pytest.mark.parametrize(("region", "moving"), [(Region.LIPS, LIP_KEYPOINTS), (Region.EYES, EYE_KEYPOINTS)])
def test_regions_move_their_keypoints_alone(region, moving):
    reference, driving = head_motion(2), head_motion(3)
    own = compose_absolute(reference, reference, Region.LIPS).diagonal().permute(2, 0, 1)
    initial = HeadMotion(*(field[:1] for field in driving))
    for points in (
        compose_absolute(reference, driving, region),
        compose_relative(reference, driving, initial, region)[1:],
    ):
        changed = (points - own).abs().amax(dim=(0, 1, 3)) > 1e-4
        assert changed.nonzero().flatten().tolist() == sorted(moving)


def test_pose_keeps_the_expression():
    reference, driving = head_motion(1), head_motion(2)
    initial = HeadMotion(*(field[:1] for field in driving))
    points = compose_relative(reference, driving, initial, Region.POSE)[1, 0]
    turned = driving.rotation[1] @ driving.rotation[0].T @ reference.rotation[0]
    shift = (reference.translation + driving.translation[1] - driving.translation[0]) * torch.tensor([1, 1, 0])
    expected = reference.scale * (reference.canonical[0] @ turned + reference.expression[0]) + shift
    torch.testing.assert_close(points, expected, rtol=1e-4, atol=1e-5)
