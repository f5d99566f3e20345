"""How large a person's keypoints are spread, to scale the motion of another one."""

from __future__ import annotations

import torch
from torch import Tensor


def hull_area(points: Tensor) -> float:
    """Area of the convex hull of points [K,2] (Andrew's monotone chain); 0 where they lie on a line."""
    ordered = sorted(set(map(tuple, points.double().tolist())))
    if len(ordered) < 3:
        return 0.0
    hull = _half_hull(ordered)[:-1] + _half_hull(ordered[::-1])[:-1]
    edges = zip(hull, hull[1:] + hull[:1])
    return abs(sum(a[0] * b[1] - a[1] * b[0] for a, b in edges)) / 2


def movement_scale(reference_points: Tensor, initial_points: Tensor) -> Tensor:
    """sqrt(hull area of each reference / hull area of the initial driving frame).

    reference_points [R,K,2], initial_points [1,K,2]; returns [R] float32. It is 1 where the initial points
    have no area.
    """
    initial = hull_area(initial_points[0])
    areas = [hull_area(points) for points in reference_points]
    scales = [(area / initial) ** 0.5 if initial > 0 else 1.0 for area in areas]
    return torch.tensor(scales, dtype=torch.float32, device=reference_points.device)


def _half_hull(ordered: list[tuple[float, float]]) -> list[tuple[float, float]]:
    chain: list[tuple[float, float]] = []
    for point in ordered:
        while len(chain) >= 2 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """Positive where a, b, c turn one way, negative the other, zero on a line."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
