"""Low frequencies averaged, high frequencies selected (Burt and Adelson 1983): sharp without seams."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import Evidence
from .bands import blend_bands
from .base import FusionStrategy, parameter, share_confidence


@dataclass(frozen=True)
class Multiband(FusionStrategy):
    name = "multiband"
    summary = "Averages coarse structure over references and takes fine detail from the one that shows it best."

    softness: float = parameter(
        0.5, 0.05, 4.0, "How softly references mix in the low frequencies; the middle ones mix half as softly."
    )
    selection: float = parameter(
        0.05, 0.02, 1.0, "How softly they mix in fine detail: near 0 one reference takes it all."
    )

    def weights(self, evidence: Evidence) -> Tensor:
        """[T,R,3,h,w], one band after the other from low to high."""
        temperatures = (self.softness, self.softness / 2, self.selection)
        return torch.cat([share_confidence(evidence.confidence, value) for value in temperatures], 2)

    def fuse(self, evidence: Evidence, weights: Tensor) -> Tensor:
        return blend_bands(evidence.features, weights)
