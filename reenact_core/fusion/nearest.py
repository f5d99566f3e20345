"""The single best reference per frame, by pose and expression."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy


@dataclass(frozen=True)
class Nearest(FusionStrategy):
    name = "nearest"
    summary = "Uses only the reference nearest in pose and expression. Sharp, but sees no more than one photo does."

    def weights(self, evidence: Evidence) -> Tensor:
        """One-hot [T,R,1,1,1]."""
        best = evidence.distance.argmin(1)
        one_hot = torch.nn.functional.one_hot(best, evidence.distance.shape[1])
        return one_hot.to(evidence.features.dtype)[:, :, None, None, None]
