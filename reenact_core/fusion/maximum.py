"""Element-wise maximum, the fusion of MRDAC.

Meant for feature maps, where a large activation means "seen here"; on RGB it picks the brightest value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce

import torch
from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy
from .ranks import chosen, sampled


@dataclass(frozen=True)
class Maximum(FusionStrategy):
    name = "max"
    summary = "Takes the largest value of each channel. Made for feature-space models; on images it brightens."

    def weights(self, evidence: Evidence) -> Tensor:
        """One-hot over R for each channel, [T,R,C,h,w], for previews and all that follows the features; ties are
        shared."""
        values = sampled(evidence)
        top = values == values.amax(1, keepdim=True)
        return (top / top.sum(1, keepdim=True)).to(values.dtype)

    def fuse(self, evidence: Evidence, weights: Tensor) -> Tensor:
        """The values themselves decide, pixel by pixel: they are never smoothed over time, which weights would be."""
        return chosen(evidence, partial(reduce, torch.maximum))
