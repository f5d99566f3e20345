"""Softmax of confidence over references, per pixel (our reading of confidence-weighted fusion, as in X2Face,
https://arxiv.org/abs/1807.10550, with a temperature)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy, parameter, softmax_over_references


@dataclass(frozen=True)
class Confidence(FusionStrategy):
    name = "confidence"
    summary = "Each pixel prefers the references that show it best."

    temperature: float = parameter(
        0.05,
        0.005,
        1.0,
        "How softly references mix: low takes the best one, high approaches the mean.",
        step=0.005,
    )

    def weights(self, evidence: Evidence) -> Tensor:
        return softmax_over_references(evidence.confidence, self.temperature)
