"""The squares around a face that public models were trained on, and cutting them out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tracking import canonical_mesh

BROWS = (70, 63, 105, 66, 107, 300, 293, 334, 296, 336)  # landmarks along their upper edges
LEAST_SIDE = 16  # pixels


@dataclass(frozen=True)
class Framing:
    """How large a model's square is and where it lies."""

    extent: float  # its side in units of the landmarks' larger extent
    lift: float  # share of its side by which it lies above the landmarks' centre
    forehead: bool  # whether landmarks above the brows count

    def box(self, landmarks: Tensor) -> Tensor:
        """One square [3] long (left, top, side) for the faces of N images, landmarks [N,478,3] in pixels."""
        points = landmarks[:, list(_face_points(self.forehead)), :2].float()
        low, high = points.amin(1), points.amax(1)  # [N,2]
        side = (self.extent * (high - low).amax(1).median()).round().clamp_min(LEAST_SIDE)
        centre = ((low + high) / 2).median(0).values
        corner = centre - side / 2 - torch.stack([torch.zeros(()), self.lift * side])
        return torch.cat([corner.round(), side[None]]).long()


def cut(images: Tensor, box: Tensor, size: int, beyond: str) -> Tensor:
    """The square `box` [3] of images [N,C,H,W], resampled to [N,C,size,size] with antialiasing.

    beyond: "replicate" repeats the image's edge where the box reaches beyond it, "constant" gives zeros.
    """
    left, top, side = box.tolist()
    height, width = images.shape[-2:]
    # At least one pixel of the image is taken, so that there is an edge to repeat.
    x0, y0 = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    x1, y1 = max(min(left + side, width), x0 + 1), max(min(top + side, height), y0 + 1)
    missing = (x0 - left, left + side - x1, y0 - top, top + side - y1)
    inner = images[..., y0:y1, x0:x1]
    if any(missing):
        inner = F.pad(inner, missing, mode=beyond)
    if side == size:
        return inner
    return F.interpolate(inner, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


@cache
def _face_points(forehead: bool) -> tuple[int, ...]:
    """Numbers of the mesh vertices that count."""
    height = canonical_mesh()[0][:, 1]
    lowest = height.min() if forehead else height[list(BROWS)].min()
    return tuple((height >= lowest).nonzero()[:, 0].tolist())
