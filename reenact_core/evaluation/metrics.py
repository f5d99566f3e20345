"""Full-reference picture metrics, one number per image.

Images are [N,3,H,W] float in [0,1]; values outside are clamped first, as writing a file would. A mask
[N,1,H,W] in [0,1] restricts the mean to its pixels; None means every pixel. An empty mask gives NaN.

Sources: SSIM, Wang et al. 2004 (Gaussian window 11, sigma 1.5, K1 = .01, K2 = .03, windows fully inside the
image); MS-SSIM, Wang et al. 2003 (5 scales, weights below). Both per RGB channel, then averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PSNR_CAP = 100.0  # dB; identical images would be infinite and would swallow every mean
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_MS_SSIM_SIDE = SSIM_WINDOW * 2 ** (len(SCALE_WEIGHTS) - 1)  # 176 px: one window at the last scale


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of `values` [N,C,H,W] over C and the pixels of `mask` [N,1,H,W]; [N], NaN where it is empty."""
    if mask is None:
        return values.mean(dim=(1, 2, 3))
    return _channel_means(values, mask).mean(dim=1)


def l1(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean absolute difference of [N,3,H,W] images in [0,1]; [N] in [0,1]."""
    return masked_mean((a.clamp(0, 1) - b.clamp(0, 1)).abs(), mask)


def psnr(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of [N,3,H,W] images in [0,1]; [N] in dB, at most `PSNR_CAP`."""
    squared = masked_mean((a.clamp(0, 1) - b.clamp(0, 1)).square(), mask)
    return -10.0 * squared.clamp(min=10 ** (-PSNR_CAP / 10)).log10()


class Similarity(NamedTuple):
    """Structural similarity at one scale and over five."""

    ssim: Tensor  # [N] -1..1
    ms_ssim: Tensor  # [N] 0..1; NaN where the shorter side is below SMALLEST_MS_SSIM_SIDE


def similarity(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Similarity:
    """SSIM and MS-SSIM of [N,3,H,W] images in [0,1] together, since they share their first scale.

    With a mask, the mean runs over the windows whose centre lies in it; a window at the border of the mask
    still looks up to 5 px beyond. Negative contrast terms of MS-SSIM count as 0.
    """
    return similarity_by_mask(a, b, [mask])[0]


def similarity_by_mask(a: Tensor, b: Tensor, masks: Sequence[Tensor | None]) -> list[Similarity]:
    """`similarity` with each of several masks, for little more than the price of one."""
    a, b = a.clamp(0, 1), b.clamp(0, 1)
    if min(a.shape[-2:]) < SSIM_WINDOW:
        unknown = a.new_full((len(a),), torch.nan)
        return [Similarity(unknown, unknown) for _ in masks]
    scales = len(SCALE_WEIGHTS) if min(a.shape[-2:]) >= SMALLEST_MS_SSIM_SIDE else 1
    margin = SSIM_WINDOW // 2
    ssim: list[Tensor] = []
    products = [a.new_ones(a.shape[:2]) for _ in masks]  # each [N,3]
    for scale, weight in enumerate(SCALE_WEIGHTS[:scales]):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
            masks = [None if mask is None else F.avg_pool2d(mask, 2) for mask in masks]
        whole, contrast = _similarity_maps(a, b)
        last = scale == len(SCALE_WEIGHTS) - 1
        for number, mask in enumerate(masks):
            inner = None if mask is None else mask[..., margin:-margin, margin:-margin]
            if scale == 0:
                ssim.append(masked_mean(whole, inner))
            part = _channel_means(whole if last else contrast, inner)
            products[number] = products[number] * part.clamp(min=0) ** weight
    if scales == 1:
        return [Similarity(value, torch.full_like(value, torch.nan)) for value in ssim]
    return [Similarity(value, product.mean(dim=1)) for value, product in zip(ssim, products)]


def second_difference(frames: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean |x(t-1) - 2 x(t) + x(t+1)| of three consecutive frames [3,3,H,W]; a scalar.

    Steady motion of soft shapes cancels to first order; what remains is flicker, noise and abrupt motion.
    `mask` [1,1,H,W] chooses pixels.
    """
    before, now, after = frames.clamp(0, 1).unsqueeze(1)  # each [1,3,H,W]
    return masked_mean((before - 2 * now + after).abs(), mask)[0]


def _channel_means(values: Tensor, mask: Tensor | None) -> Tensor:
    """[N,C,H,W] -> [N,C]; 0/0 = NaN marks an empty mask."""
    if mask is None:
        return values.mean(dim=(2, 3))
    return (values * mask).sum(dim=(2, 3)) / mask.sum(dim=(2, 3))


def _similarity_maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure part for every window inside the image; each [N,3,H-10,W-10]."""
    c1, c2 = 0.01**2, 0.03**2
    mean_a, mean_b, aa, bb, ab = _blur(torch.stack([a, b, a * a, b * b, a * b])).unbind()
    variances = (aa - mean_a.square()) + (bb - mean_b.square())
    contrast = (2 * (ab - mean_a * mean_b) + c2) / (variances + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    return luminance * contrast, contrast


def _blur(stack: Tensor) -> Tensor:
    """Gaussian window over [M,N,C,H,W], only where it fits; [M,N,C,H-10,W-10]."""
    offsets = torch.arange(SSIM_WINDOW, device=stack.device, dtype=stack.dtype) - SSIM_WINDOW // 2
    window = torch.exp(-offsets.square() / (2 * SSIM_SIGMA**2))
    window = window / window.sum()
    return _blur_axis(_blur_axis(stack, 3, window.tolist()), 4, window.tolist())


def _blur_axis(values: Tensor, axis: int, window: list[float]) -> Tensor:
    """One pass of `_blur`. Shifted sums: many times faster on a CPU than a one-channel convolution."""
    length = values.shape[axis] - len(window) + 1
    total = values.narrow(axis, 0, length) * window[0]
    for offset, weight in enumerate(window[1:], start=1):
        total.add_(values.narrow(axis, offset, length), alpha=weight)
    return total
