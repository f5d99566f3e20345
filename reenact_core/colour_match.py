"""Exposure and white balance between references: one gain per channel, measured on skin that both show."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import geometry
from .stopping import may_stop

DARKEST, BRIGHTEST = 0.04, 0.98  # skin outside this range is noise or clipped and tells no gain
LARGEST = 0.7  # log gain: about a factor of two; more would amplify noise


def colour_gains(images: Tensor, landmarks: Tensor, visibility: Tensor) -> Tensor:
    """Gains [R,3] that bring every reference to the first one's colours.

    Args:
        images: [R,3,H,W] in [0,1].
        landmarks: [R,V,3] pixels.
        visibility: [R,V] >= 0, how well each vertex is seen.
    """
    grid = geometry.normalise(landmarks[..., :2], (images.shape[-2], images.shape[-1]))
    parts = []
    for image, places in zip(images.split(1), grid[:, None].split(1)):
        may_stop()
        parts.append(geometry.sample(F.avg_pool2d(image, 9, 1, 4), places)[:, :, 0].float().cpu())
    colours = torch.cat(parts)  # [R,3,V]
    telling = (colours.amin(1) > DARKEST) & (colours.amax(1) < BRIGHTEST) & (visibility > 0.3)  # [R,V]
    gains = torch.zeros(len(images), 3)
    for r in range(1, len(images)):
        both = telling[r] & telling[0]
        if int(both.sum()) >= 30:
            # What at least three quarters of the skin agree on is exposure; where they disagree it is shading.
            low, high = (colours[0, :, both] / colours[r, :, both]).log().quantile(torch.tensor([0.25, 0.75]), dim=1)
            gains[r] = low.clamp_min(0) + high.clamp_max(0)
    gains = gains.clamp(-LARGEST, LARGEST)
    return gains.exp()
