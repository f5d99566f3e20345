"""Per-channel median: robust against one reference that is wrong at a pixel."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy


@dataclass(frozen=True)
class Median(FusionStrategy):
    name = "median"
    summary = "Takes the middle value of each channel. One bad reference out of three or more does no harm."

    def weights(self, evidence: Evidence) -> Tensor:
        """[T,R,C,H,W]: all on the middle value (odd R), or half on each of the middle two (even R)."""
        count = evidence.features.shape[1]
        rank = evidence.features.argsort(1).argsort(1)
        low, high = (count - 1) // 2, count // 2
        return ((rank == low).to(evidence.features.dtype) + (rank == high).to(evidence.features.dtype)) / 2
