"""X2Face's weighted mean of several source images, weights exp(c) + 0.1 (our reading of Wiles et al. 2018,
https://arxiv.org/abs/1807.10550, and the code published with it), with this package's confidence in 0..1 as c."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy, parameter


@dataclass(frozen=True)
class ConfidenceMean(FusionStrategy):
    name = "confidence_mean"
    summary = "The weighted mean of X2Face: every reference always counts, the confident ones more."

    gain: float = parameter(
        1.0, 0.0, 10.0, "How much confidence counts: full confidence weighs about e to the power of this. 1 is X2Face."
    )
    floor: float = parameter(0.1, 0.0, 1.0, "Weight that every reference has in any case. 0.1 is X2Face.")

    def weights(self, evidence: Evidence) -> Tensor:
        weights = (self.gain * evidence.confidence.float()).exp() + self.floor
        return (weights / weights.sum(1, keepdim=True)).to(evidence.confidence.dtype)
