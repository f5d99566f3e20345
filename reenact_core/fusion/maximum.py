"""Element-wise maximum, the fusion of MRDAC.

Meant for feature maps, where a large activation means "seen here"; on RGB it picks the brightest value.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy


@dataclass(frozen=True)
class Maximum(FusionStrategy):
    name = "max"
    summary = "Takes the largest value of each channel. Made for feature-space models; on images it brightens."

    def weights(self, evidence: Evidence) -> Tensor:
        """One-hot over R for each channel, [T,R,C,H,W]; ties are shared."""
        top = evidence.features == evidence.features.amax(1, keepdim=True)
        return (top / top.sum(1, keepdim=True)).to(evidence.features.dtype)
