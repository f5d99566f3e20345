"""Strengths and masks of the references, over any strategy.

A factor on the weights is not enough: where a strategy gives a pixel to one reference alone, a factor above 0 changes
nothing. Here a reference of strength s (the strongest has 1) takes part in the share s of every pixel: the weights are
the mean, over all levels u in 0..1, of what the strategy says about the references whose strength is at least u. So
what a lowered reference would get is multiplied by s at any temperature, and the strategy itself hands out the rest.

Where those left at a level show a pixel much worse than one that is not, the level below decides.
"""

from __future__ import annotations

from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy, apply_prior, match_size

MUCH_WORSE = 0.05  # share of the best confidence from which on references decide by themselves


def settle(strategy: FusionStrategy, evidence: Evidence) -> Tensor:
    """The strategy's weights [T,R,B,y,x] under the evidence's strengths and masks, a partition of unity over R."""
    strengths = evidence.strengths
    if strengths is None or bool((strengths == strengths[:, :1]).all()):
        return apply_prior(strategy.weights(evidence), evidence.prior)
    strengths = strengths[0].cpu() / strengths[0].max().cpu()
    claims = evidence.confidence * evidence.prior
    settled, layer, best = None, None, None
    below = 0.0
    for level in strengths[strengths > 0].unique().tolist():  # in ascending order
        chosen = (strengths >= level).nonzero()[:, 0].tolist()
        part = evidence.of(chosen)
        own = apply_prior(strategy.among(chosen).weights(part), part.prior)
        weights = own.new_zeros(own.shape[0], len(strengths), *own.shape[2:])
        weights[:, chosen] = own
        shown = claims[:, chosen].amax(1, keepdim=True)
        if layer is None or best is None or settled is None:
            settled, layer = level * weights, weights
        else:
            able = (shown / (MUCH_WORSE * best).clamp_min(1e-6)).clamp(0, 1)
            layer = layer.lerp(weights, match_size(able, weights).to(weights))
            settled = settled + (level - below) * layer
        best, below = shown, level
    assert settled is not None
    return settled
