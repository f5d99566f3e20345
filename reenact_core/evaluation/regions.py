"""The three regions that are measured: full frame, head crop, face hull.

Both the result and the truth are cut with the boxes and hulls of the TRUTH's landmarks, so a result that
moves the head elsewhere pays for it. Where a box leaves the frame, border pixels are repeated, alike in both.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

NAMES = ("full", "head", "face")
HEAD_SCALE = 1.7  # side of the head crop over the larger extent of the landmarks
HEAD_SHIFT = 0.06  # the crop's centre lies this share of its side above the landmarks' centre
HEAD_SIZE = 256  # px


class Boxes(NamedTuple):
    """Square boxes in pixel coordinates; may leave the frame."""

    corner: Tensor  # [N,2] xy of the top-left corner
    side: Tensor  # [N] > 0

    def at(self, index) -> Boxes:
        """The boxes at `index` of the N axis."""
        return Boxes(self.corner[index], self.side[index])


def head_boxes(landmarks: Tensor) -> Boxes:
    """The head crop of each face: landmarks [N,478,3] in pixels -> N boxes."""
    low, high = landmarks[..., :2].amin(dim=1), landmarks[..., :2].amax(dim=1)
    side = HEAD_SCALE * (high - low).amax(dim=1).clamp(min=1.0)
    centre = (low + high) / 2 - torch.stack([torch.zeros_like(side), HEAD_SHIFT * side], dim=1)
    return Boxes(centre - side.unsqueeze(1) / 2, side)


def crop(images: Tensor, boxes: Boxes, size: int = HEAD_SIZE) -> Tensor:
    """[N,3,H,W] cut by N boxes and resampled to [N,3,size,size] with an antialiasing triangle filter.

    Borders are repeated. One result pixel weighs the source by a triangle of half width max(1, reduction), as
    common "antialiased bilinear" resizing does, but for boxes with fractional corners.
    """
    cut = []
    for image, (x, y), side in zip(images, boxes.corner.tolist(), boxes.side.tolist(), strict=True):
        columns, first_x, end_x = _resampling(x, side, size, image.shape[2])
        rows, first_y, end_y = _resampling(y, side, size, image.shape[1])
        window = image[:, first_y:end_y, first_x:end_x]
        cut.append(rows.to(image) @ window @ columns.to(image).T)
    return torch.stack(cut) if cut else images.new_zeros(0, images.shape[1], size, size)


def to_crop(landmarks: Tensor, boxes: Boxes, size: int = HEAD_SIZE) -> Tensor:
    """Landmarks [N,K,3] from frame pixels to pixels of the crop; z scales along."""
    scale = (size / boxes.side).view(-1, 1, 1)
    offset = torch.nn.functional.pad(boxes.corner, (0, 1)).unsqueeze(1)  # z has no origin to move
    return (landmarks - offset) * scale


def hull_masks(landmarks: Tensor, size: int = HEAD_SIZE) -> Tensor:
    """Filled convex hulls of landmarks [N,K,3] given in pixels of the crop; [N,1,size,size] of 0 and 1."""
    shift = 4  # cv2 takes fixed-point coordinates
    masks = np.zeros((len(landmarks), 1, size, size), np.uint8)
    for mask, points in zip(masks, landmarks[..., :2].cpu().numpy(), strict=True):
        # cv2 puts the centre of the first pixel at 0, we put it at 0.5.
        hull = cv2.convexHull(np.ascontiguousarray(points, np.float32)) - 0.5
        cv2.fillConvexPoly(mask[0], np.round(hull * 2**shift).astype(np.int32), 1, shift=shift)
    return torch.from_numpy(masks).to(landmarks)


def shrink(images: Tensor, longest: int) -> Tensor:
    """[N,3,H,W] reduced (antialiased) so that the longer side is at most `longest` px; 0 = as they are."""
    height, width = images.shape[-2:]
    if not longest or max(height, width) <= longest:
        return images
    scale = longest / max(height, width)
    shape = (max(1, round(height * scale)), max(1, round(width * scale)))
    return torch.nn.functional.interpolate(images, size=shape, mode="bilinear", antialias=True, align_corners=False)


def _resampling(start: float, side: float, size: int, length: int) -> tuple[Tensor, int, int]:
    """Weights [size, end - first] along one axis of `length` pixels, and the pixel range they apply to."""
    reduction = side / size
    reach = max(1.0, reduction)
    centres = start + (torch.arange(size, dtype=torch.float64) + 0.5) * reduction
    lowest, highest = int(np.floor(start - reach)) - 1, int(np.ceil(start + side + reach)) + 1
    pixels = torch.arange(lowest, highest)
    weights = (1 - (centres.unsqueeze(1) - (pixels + 0.5)).abs() / reach).clamp(min=0)
    weights = weights / weights.sum(dim=1, keepdim=True)
    inside = pixels.clamp(0, length - 1)
    first, end = int(inside.min()), int(inside.max()) + 1
    folded = torch.zeros(size, end - first, dtype=torch.float64)
    return folded.index_add_(1, inside - first, weights), first, end
