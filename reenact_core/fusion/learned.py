"""The motion model's own weights, one set per frequency band, predicted by its network (our reading of learned
fusion; band-wise after Burt and Adelson 1983)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..types import Evidence
from .bands import BANDS, blend_bands
from .base import FusionStrategy, parameter, softmax_over_references


@dataclass(frozen=True)
class Learned(FusionStrategy):
    name = "learned"
    summary = "The model's network decides, separately for coarse and fine detail. The default where available."

    sharpness: float = parameter(
        1.0,
        0.25,
        8.0,
        "Above 1 the network's favourite takes more of each pixel than in training, below 1 references mix more.",
        0.25,
    )

    def weights(self, evidence: Evidence) -> Tensor:
        """[T,R,3,h,w]; a model without scores of its own lends its confidence for all bands."""
        scores = evidence.scores
        if scores is None:
            scores = 3 * evidence.confidence.clamp_min(1e-5).log().expand(-1, -1, BANDS, -1, -1)
        return softmax_over_references(scores, 1 / self.sharpness)

    def fuse(self, evidence: Evidence, weights: Tensor) -> Tensor:
        return blend_bands(evidence.features, weights)
