"""Per-channel median: robust against one reference that is wrong at a pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy
from .ranks import chosen, sampled


@dataclass(frozen=True)
class Median(FusionStrategy):
    name = "median"
    summary = "Takes the middle value of each channel. One bad reference out of three or more does no harm."

    def weights(self, evidence: Evidence) -> Tensor:
        """[T,R,C,h,w]: all on the middle value (odd R), or half on each of the middle two (even R); for previews and
        all that follows the features."""
        values = sampled(evidence)
        # Ranks from pairwise comparisons: a handful of references is ranked faster so than by sorting every pixel.
        ranks = torch.zeros(values.shape, dtype=torch.uint8, device=values.device)
        for later in range(values.shape[1]):
            for earlier in range(later):
                before = values[:, earlier] <= values[:, later]
                ranks[:, later] += before
                ranks[:, earlier] += ~before
        low, high = _middle(values.shape[1])
        return ((ranks == low).to(values.dtype) + (ranks == high).to(values.dtype)) / 2

    def fuse(self, evidence: Evidence, weights: Tensor) -> Tensor:
        """The values themselves decide, as for `max`."""
        return chosen(evidence, _median)


def _median(values: list[Tensor]) -> Tensor:
    """The median of each element of R tensors.

    By odd-even transposition (Knuth, volume 3, 5.3.4): comparing whole tensors is many times faster than sorting at
    every pixel.
    """
    for turn in range(len(values)):
        for i in range(turn % 2, len(values) - 1, 2):
            values[i : i + 2] = torch.minimum(*values[i : i + 2]), torch.maximum(*values[i : i + 2])
    low, high = _middle(len(values))
    return values[low] if low == high else (values[low] + values[high]) / 2


def _middle(count: int) -> tuple[int, int]:
    """The two ranks in the middle of `count`, the same one where it is odd."""
    return (count - 1) // 2, count // 2
