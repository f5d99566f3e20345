"""Where the face-mesh model paints: one square box per frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..face_regions import MESH_POINTS

SIDE_STEP = 64  # boxes are a multiple of this, so that grid cells are whole pixels
BOX_EXTENT = 1.9  # side of the box in units of the landmarks' larger extent
BOX_LIFT = 0.06  # the box is shifted up by this share of its side: hair is taller than the neck is of interest


def steady_boxes(landmarks: Tensor, canvas: tuple[int, int], shots: Sequence[slice] | None = None) -> Tensor:
    """Square boxes [T,3] long (left, top, side) around the head, one side for all frames and calm in motion.

    A box that need not move does not: where one still box of at most 1.35 times the side holds every frame of a shot,
    it is used, because then the background grid stands still too.

    Args:
        shots: consecutive runs of frames; the box may jump between them. None = one run.
    """
    points = landmarks[:, :MESH_POINTS, :2]
    low, high = points.amin(1), points.amax(1)  # [T,2]
    extent = (high - low).amax(1)
    side = BOX_EXTENT * torch.quantile(extent, 0.98)
    centre = (low + high) / 2
    widest = torch.zeros(())
    for shot in shots or [slice(None)]:
        within = centre[shot]
        reach = (within.amax(0) - within.amin(0)).max()
        if side + reach <= 1.35 * side:
            widest = torch.maximum(widest, reach)
            centre[shot] = (within.amin(0) + within.amax(0)) / 2
    side = side + widest
    lift = torch.stack([torch.zeros(()), BOX_LIFT * side])
    steps = (side.clamp(max=2 * max(canvas)) / SIDE_STEP).ceil().clamp_min(1)
    whole = int(steps) * SIDE_STEP
    corner = (centre - lift - whole / 2).round().long()
    return torch.cat([corner, torch.full((len(corner), 1), whole)], 1)
