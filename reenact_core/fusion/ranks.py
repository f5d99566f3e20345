"""What strategies share that go by the order of the references' values: who takes part, and where shares are told."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import Evidence

ROWS = 32  # of pictures are ranked at a time: strips stay in a processor's cache, whole pictures do not


def sampled(evidence: Evidence) -> Tensor:
    """The features' values in the middle of each cell of the confidence: [T,R,C,h,w], or all where they are no finer.

    Shares are told on that grid: at full size every reference's would be as large as its picture.
    """
    features = evidence.features
    down, across = (max(1, features.shape[axis] // evidence.confidence.shape[axis]) for axis in (-2, -1))
    return features[..., down // 2 :: down, across // 2 :: across]


def chosen(evidence: Evidence, choose: Callable[[list[Tensor]], Tensor]) -> Tensor:
    """What `choose` makes of the references' values, R x [T,C,y,x] to [T,C,y,x]: [T,C,H,W].

    Where the user's prior forbids a reference, it stands for the mean of the others, so that it shifts neither largest
    nor middle value much; where all are forbidden, none is.
    """
    allowed = evidence.prior > 0  # [T,R,1,h,w]
    allowed |= ~allowed.any(1, keepdim=True)
    strips = evidence.features.split(ROWS, -2)
    if allowed.all():
        return torch.cat([choose(list(strip.unbind(1))) for strip in strips], -2)
    size = (evidence.features.shape[-2], evidence.features.shape[-1])
    masks = F.interpolate(allowed.flatten(1, 2).to(strips[0]), size=size).unflatten(1, allowed.shape[1:3])
    return torch.cat([choose(_entitled(*pair)) for pair in zip(strips, masks.split(ROWS, -2))], -2)


def _entitled(features: Tensor, masks: Tensor) -> list[Tensor]:
    """Features [T,R,C,y,x] of each reference, with the mean of the others where the mask [T,R,1,y,x] is 0."""
    mean = (features * masks).sum(1) / masks.sum(1)
    return [torch.where(mask > 0, feature, mean) for feature, mask in zip(features.unbind(1), masks.unbind(1))]
