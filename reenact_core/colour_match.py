"""Exposure and white balance between references: one gain per channel, measured on skin that both show."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import geometry

DEAD_ZONE = 0.03  # log gain below which a difference is shading, not exposure
LARGEST = 0.7  # log gain: about a factor of two; more would amplify noise


def colour_gains(images: Tensor, landmarks: Tensor, visibility: Tensor) -> Tensor:
    """Gains [R,3] that bring every reference to the first one's colours.

    Args:
        images: [R,3,H,W] in [0,1].
        landmarks: [R,V,3] pixels.
        visibility: [R,V] >= 0, how well each vertex is seen.
    """
    smooth = F.avg_pool2d(images, 9, 1, 4)
    grid = geometry.normalise(landmarks[..., :2], (images.shape[-2], images.shape[-1]))
    colours = geometry.sample(smooth, grid[:, None])[:, :, 0].float().cpu()  # [R,3,V]
    logs = (colours + 0.02).log()
    gains = torch.zeros(len(images), 3)
    for r in range(1, len(images)):
        both = (visibility[r] > 0.3) & (visibility[0] > 0.3)
        if int(both.sum()) >= 30:
            gains[r] = (logs[0] - logs[r])[:, both].median(1).values
    gains = gains.sign() * (gains.abs() - DEAD_ZONE).clamp(0, LARGEST)
    return gains.exp()
