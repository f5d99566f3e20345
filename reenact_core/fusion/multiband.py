"""Low frequencies averaged, high frequencies selected (Burt and Adelson 1983): sharp without seams."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import Evidence
from .bands import blend_bands
from .base import FusionStrategy, parameter, softmax_over_references


@dataclass(frozen=True)
class Multiband(FusionStrategy):
    name = "multiband"
    summary = "Averages coarse structure over references and takes fine detail from the one that shows it best."

    softness: float = parameter(
        0.1,
        0.01,
        1.0,
        "How softly references mix in the low frequencies; the middle ones mix half as softly.",
    )
    selection: float = parameter(
        0.01, 0.002, 0.5, "How softly they mix in fine detail: near 0 one reference takes it all.", 0.002
    )

    def weights(self, evidence: Evidence) -> Tensor:
        """[T,R,3,h,w], one band after the other from low to high."""
        softness = (self.softness, self.softness / 2, self.selection)
        return torch.cat([softmax_over_references(evidence.confidence, value) for value in softness], 2)

    def fuse(self, evidence: Evidence, weights: Tensor) -> Tensor:
        return blend_bands(evidence.features, weights)
