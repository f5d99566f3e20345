"""Plain average: the baseline every multi-reference paper compares with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy


@dataclass(frozen=True)
class Mean(FusionStrategy):
    name = "mean"
    summary = "Every reference counts the same everywhere. Stable, but blurred where references disagree."

    def weights(self, evidence: Evidence) -> Tensor:
        count = evidence.features.shape[1]
        return torch.full_like(evidence.confidence, 1 / count)
