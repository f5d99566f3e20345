"""Fusing low, middle and high frequencies with weights of their own (Burt and Adelson 1983, "A multiresolution
spline with application to image mosaics", with box filters)."""

from __future__ import annotations

from torch import Tensor

from .. import geometry
from .base import weighted_sum

LOW, MIDDLE = 64, 128  # cells per side below which a frequency counts as low, as middle
BANDS = 3


def blend_bands(features: Tensor, weights: Tensor) -> Tensor:
    """Band-wise weighted sum.

    Args:
        features: [T,R,C,H,W].
        weights: [T,R,3,h,w] for low, middle and high frequencies; each band sums to 1 over R.
    Returns:
        [T,C,H,W]. Equal to the plain weighted sum where the three bands share their weights, up to resampling.

    Only the high band is summed at full size; the others live on their own coarse grids, and what a coarse level adds
    is the difference between its weights and those of the next finer one.
    """
    size = features.shape[-1]
    middle = _resize(features, min(MIDDLE, size))
    low = _resize(middle, min(LOW, size))  # means of means over boxes
    weight_low, weight_middle, weight_high = (weights[:, :, band : band + 1] for band in range(BANDS))
    coarse = weighted_sum(low, _resize(weight_low, low.shape[-1]) - _resize(weight_middle, low.shape[-1]))
    step = _resize(weight_middle, middle.shape[-1]) - _resize(weight_high, middle.shape[-1])
    fine = weighted_sum(middle, step) + _resize(coarse[:, None], middle.shape[-1])[:, 0]
    full = weighted_sum(features, weight_high if weight_high.shape[-1] < size else _resize(weight_high, size))
    return full.add_(_resize(fine[:, None], size)[:, 0])


def _resize(maps: Tensor, size: int) -> Tensor:
    """Square maps [T,R,C,n,n] at another size."""
    return geometry.resize(maps.flatten(0, 1), size).unflatten(0, maps.shape[:2])
