"""What strategies share that go by the order of the references' values: who takes part, and where shares are told."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import Evidence
from .base import weighted_sum

ROWS = 32  # of pictures are ranked at a time: strips stay in a processor's cache, whole pictures do not


def sampled(evidence: Evidence) -> Tensor:
    """The features' values in the middle of each cell of the confidence: [T,R,C,h,w].

    Shares are told on that grid: at full size every reference's would be as large as its picture.
    """
    size = (evidence.confidence.shape[-2], evidence.confidence.shape[-1])
    values = F.interpolate(evidence.features.flatten(0, 1), size=size, mode="nearest-exact")
    return values.unflatten(0, evidence.features.shape[:2])


def chosen(evidence: Evidence, choose: Callable[[list[Tensor]], Tensor]) -> Tensor:
    """What `choose` makes of the references' values, R x [T,C,y,x] to [T,C,y,x]: [T,C,H,W].

    Where a mask forbids a reference, or its strength is less than half the greatest, it stands for the mean of the
    others, so that it shifts neither largest nor middle value much. Where masks forbid all, none is forbidden.
    """
    allowed = evidence.prior > 0  # [T,R,1,h,w]
    if evidence.strengths is not None:
        strong = evidence.strengths >= evidence.strengths.amax(1, keepdim=True) / 2
        strong = allowed & strong[:, :, None, None, None]
        allowed = torch.where(strong.any(1, keepdim=True), strong, allowed)
    allowed |= ~allowed.any(1, keepdim=True)
    strips = evidence.features.split(ROWS, -2)
    size = (evidence.features.shape[-2], evidence.features.shape[-1])
    masks = F.interpolate(allowed.flatten(1, 2).to(strips[0]), size=size).unflatten(1, allowed.shape[1:3])
    return torch.cat([choose(_entitled(*pair)) for pair in zip(strips, masks.split(ROWS, -2))], -2)


def _entitled(features: Tensor, masks: Tensor) -> list[Tensor]:
    """Features [T,R,C,y,x] of each reference, with the mean of the others where its mask of [T,R,1,y,x] is 0, not 1."""
    if masks.all():
        return list(features.unbind(1))
    mean = weighted_sum(features, masks).div_(masks.sum(1))
    return [mean.lerp(feature, mask) for feature, mask in zip(features.unbind(1), masks.unbind(1))]
