"""Layers of the face-mesh model's networks.

What repeats pixels or references is computed before it is repeated: the sums are the same, with less than half of the
multiplications.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .folding import upsampling_kernel


def norm_block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), *norm(outputs))


def norm(channels: int) -> tuple[nn.Module, ...]:
    return nn.GroupNorm(8, channels), nn.SiLU(inplace=True)


def merge(inputs: int, outputs: int) -> FromTwo:
    """A 1 x 1 convolution first, so that the 3 x 3 one is cheap."""
    return FromTwo(DoubledConv(inputs, outputs, 1), norm_block(outputs, outputs))


def channels_last(maps: Tensor, dtype: torch.dtype) -> Tensor:
    """Maps [N,C,h,w] in another precision and channels last, in two steps: in one they take twice as long."""
    return maps.to(dtype).contiguous(memory_format=torch.channels_last)


class FromTwo(nn.Sequential):
    """Layers of which the first takes two maps."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        head, *others = self
        x = head(first, second)
        for layer in others:
            x = layer(x)
        return x


class DoubledConv(nn.Conv2d):
    """A convolution of 1 x 1 or 3 x 3 over a map of half the size, doubled, beside another."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """[N,C,h,w] and [N,D,2h,2w], C + D = inputs: [N,outputs,2h,2w]."""
        weight, weight_fine = self.weight.split([coarse.shape[1], fine.shape[1]], 1)
        if self.kernel_size == (1, 1):
            own = F.interpolate(F.conv2d(coarse, weight), scale_factor=2.0, mode="nearest")
        else:
            own = F.conv_transpose2d(coarse, upsampling_kernel(weight, 2), stride=2, padding=1)
        return F.conv2d(fine, weight_fine, self.bias, padding=self.padding) + own


class BesideConv(nn.Conv2d):
    """A 3 x 3 convolution over maps of pairs beside maps that the references of a frame share."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)

    def forward(self, each: Tensor, shared: Tensor) -> Tensor:
        """[T*R,C,h,w] and [T,D,h,w], C + D = inputs: [T*R,outputs,h,w]."""
        weight_each, weight_shared = self.weight.split([each.shape[1], shared.shape[1]], 1)
        common = F.conv2d(shared, weight_shared, padding=self.padding)
        own = F.conv2d(each, weight_each, self.bias, padding=self.padding)
        return own + common.repeat_interleave(len(each) // len(shared), 0)
