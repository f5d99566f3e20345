"""Per-channel median: robust against one reference that is wrong at a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy


@dataclass(frozen=True)
class Median(FusionStrategy):
    name = "median"
    summary = "Takes the middle value of each channel. One bad reference out of three or more does no harm."

    def weights(self, evidence: Evidence) -> Tensor:
        """[T,R,C,H,W]: all on the middle value (odd R), or half on each of the middle two (even R)."""
        values = evidence.features.unbind(1)
        count = len(values)
        # Ranks from pairwise comparisons: a handful of references is ranked faster so than by sorting every pixel.
        ranks = torch.zeros(evidence.features.shape, dtype=torch.uint8, device=evidence.features.device)
        for later in range(count):
            for earlier in range(later):
                before = values[earlier] <= values[later]
                ranks[:, later] += before
                ranks[:, earlier] += ~before
        low, high = (count - 1) // 2, count // 2
        return ((ranks == low).to(evidence.features.dtype) + (ranks == high).to(evidence.features.dtype)) / 2
