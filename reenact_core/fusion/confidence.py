"""Confidence to a power, shared out over references per pixel (our reading of confidence-weighted fusion, as in
X2Face, https://arxiv.org/abs/1807.10550, with a temperature)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy, parameter, share_confidence


@dataclass(frozen=True)
class Confidence(FusionStrategy):
    name = "confidence"
    summary = "Each pixel prefers the references that show it best."

    temperature: float = parameter(
        0.2,
        0.02,
        4.0,
        "1 shares a pixel in proportion to confidence; lower takes the best, higher approaches the mean.",
    )

    def weights(self, evidence: Evidence) -> Tensor:
        return share_confidence(evidence.confidence, self.temperature)
