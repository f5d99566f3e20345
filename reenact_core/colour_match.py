"""Exposure and white balance between references: one gain per channel, measured on skin that both show."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import geometry

DEAD_ZONE = 0.03  # log gain below which a difference is shading, not exposure; above twice that it counts in full
DARKEST, BRIGHTEST = 0.04, 0.98  # skin outside this range is noise or clipped and tells no gain
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
    telling = (colours.amin(1) > DARKEST) & (colours.amax(1) < BRIGHTEST) & (visibility > 0.3)  # [R,V]
    gains = torch.zeros(len(images), 3)
    for r in range(1, len(images)):
        both = telling[r] & telling[0]
        if int(both.sum()) >= 30:
            gains[r] = (colours[0, :, both] / colours[r, :, both]).log().median(1).values
    share = (gains.abs() / DEAD_ZONE - 1).clamp(0, 1)
    gains = (gains * share).clamp(-LARGEST, LARGEST)
    return gains.exp()
