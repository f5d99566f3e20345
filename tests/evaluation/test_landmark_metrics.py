import pytest
import torch

from reenact_core.evaluation import landmark_metrics as lm


def landmarks(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 478, 3, generator=torch.Generator().manual_seed(seed)) * 256


def test_the_68_points_are_distinct_and_in_groups():
    assert len(lm.IBUG68) == len(set(lm.IBUG68)) == 68
    assert max(lm.IBUG68) < 468


def test_landmark_distance_is_per_coordinate():
    a = landmarks()
    shift = torch.tensor([3.0, -1.0, 50.0])  # depth does not count
    assert lm.landmark_distance(a, a + shift).tolist() == pytest.approx([2.0, 2.0], abs=1e-4)
    assert lm.landmark_distance(a, a).tolist() == [0, 0]


def test_landmark_distance_looks_at_the_68_points_alone():
    a = landmarks()
    b = a + 100
    b[:, lm.IBUG68] = a[:, lm.IBUG68]
    assert lm.landmark_distance(a, b).max().item() == 0


def test_iris_distance_ignores_the_head_and_sees_the_gaze():
    a = landmarks()
    assert lm.iris_distance(a, a + torch.tensor([9.0, 4.0, 0.0])).max().item() == pytest.approx(0, abs=1e-4)
    b = a.clone()
    b[:, lm.IRIS_CENTRES, :2] += torch.tensor([3.0, 4.0])
    assert lm.iris_distance(a, b).tolist() == pytest.approx([5.0, 5.0], abs=1e-4)
    one_eye = a.clone()
    one_eye[:, lm.IRIS_CENTRES[0], :2] += torch.tensor([3.0, 4.0])
    assert lm.iris_distance(a, one_eye).tolist() == pytest.approx([2.5, 2.5], abs=1e-4)


def test_alignment_points_are_eyes_nose_mouth():
    a = landmarks()
    points = lm.alignment_points(a)
    assert points.shape == (2, 5, 2)
    assert torch.allclose(points[:, 0], (a[:, 33, :2] + a[:, 133, :2]) / 2)
    assert torch.allclose(points[:, 1], (a[:, 362, :2] + a[:, 263, :2]) / 2)
    assert torch.equal(points[:, 2:], a[:, [1, 61, 291], :2])
