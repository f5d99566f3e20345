"""Faces that another tracker of the same 478-point mesh has found, as this package's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import FaceError
from .tracking import BLENDSHAPE_NAMES
from .tracking.pose import head_rotation
from .types import Faces

POINTS = 478


class TrackedMesh(NamedTuple):
    """One face of one frame."""

    points: Tensor  # [478,2] xy in pixels of the frame
    shape: Tensor  # [478,3] xyz in any unit, turned as one likes about the viewing axis; smaller z is nearer
    blendshapes: Mapping[str, float]  # 0..1 by name; what is missing is 0
    score: float  # 0..1


def faces_of_meshes(meshes: Sequence[TrackedMesh | None]) -> Faces:
    """The faces of T frames, None where a frame has none.

    Depth is brought to pixels by the ratio of the spreads of `points` and of `shape`'s xy, which no turn changes.

    Raises:
        FaceError: a mesh has another number of points.
    """
    count = len(meshes)
    landmarks = torch.zeros(count, POINTS, 3)
    blendshapes = torch.zeros(count, len(BLENDSHAPE_NAMES))
    score = torch.zeros(count)
    for frame, mesh in enumerate(meshes):
        if mesh is None:
            continue
        if mesh.points.shape != (POINTS, 2) or mesh.shape.shape != (POINTS, 3):
            raise FaceError(
                f"Frame {frame}: face landmarks must be [{POINTS},2] and [{POINTS},3], got {list(mesh.points.shape)} "
                f"and {list(mesh.shape.shape)}. Use a tracker of the {POINTS}-point face mesh."
            )
        flat = mesh.shape[:, :2].float()
        factor = _spread(mesh.points.float()) / _spread(flat).clamp_min(1e-6)
        landmarks[frame] = torch.cat([mesh.points.float(), mesh.shape[:, 2:].float() * factor], 1)
        blendshapes[frame] = torch.tensor([float(mesh.blendshapes.get(name, 0.0)) for name in BLENDSHAPE_NAMES])
        score[frame] = mesh.score
    found = torch.tensor([mesh is not None for mesh in meshes], dtype=torch.bool)
    rotation = torch.eye(3).repeat(count, 1, 1)
    if found.any():
        rotation[found] = head_rotation(landmarks[found])
    return Faces(landmarks, blendshapes, rotation, score, found)


def _spread(points: Tensor) -> Tensor:
    """Root mean square distance from the centre."""
    return (points - points.mean(0)).square().sum(1).mean().sqrt()
