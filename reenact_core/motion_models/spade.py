"""The decoder of LivePortrait, whose norms are conditioned on its own input, pixel by pixel.

Semantic Image Synthesis with Spatially-Adaptive Normalization (Park et al. 2019),
https://arxiv.org/abs/1903.07291: a norm is (x - mean) / deviation * (1 + gamma) + beta, with a gamma and a beta for
every pixel and channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .folding import SpectralConv2d, project, stack, upsampling_convolution
from .layers import normalise
from .shapes import Shapes, blocks

SLOPE = 0.2  # of every LeakyReLU


@dataclass(frozen=True)
class SpadeConfig:
    condition: int  # channels of the decoder's input
    hidden: int  # channels between the condition and a norm's gamma and beta
    middle: int  # SPADE blocks before the first upsampling
    widths: tuple[int, ...]  # channels of the middle blocks and behind each upsampling block
    outputs: int  # channels before the pixel shuffle

    @classmethod
    def from_shapes(cls, shapes: Shapes) -> SpadeConfig:
        """The configuration of a checkpoint; raises CheckpointError where its shapes make no sense."""
        middle = blocks(shapes, "spade_generator.G_middle_{}.conv_0.weight_orig", 4)
        up = blocks(shapes, "spade_generator.up_{}.conv_0.weight_orig", 4)
        width, condition = shapes.dims("spade_generator.fc.weight", 4)[:2]
        return cls(
            condition=condition,
            hidden=shapes.dims("spade_generator.G_middle_0.norm_0.mlp_shared.0.weight", 4)[0],
            middle=len(middle),
            widths=(width, *(size[0] for size in up)),
            outputs=shapes.dims("spade_generator.conv_img.0.weight", 4)[0],
        )


class SpadeNorm(nn.Module):
    """Scale and offset for normalised maps, from a condition that is `scale` times smaller."""

    def __init__(self, config: SpadeConfig, channels: int, scale: int) -> None:
        super().__init__()
        self.channels = channels
        self.scale = scale
        self.upsample = nn.Upsample(scale_factor=float(scale)) if scale > 1 else nn.Identity()
        shared = nn.Conv2d(config.condition, config.hidden, 3, padding=1)
        self.mlp_shared = nn.Sequential(shared, nn.ReLU(inplace=True))
        self.mlp_gamma = nn.Conv2d(config.hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(config.hidden, channels, 3, padding=1)
        self.both: nn.Module | None = None  # folded: 1 + gamma, and beta behind it

    def fold(self) -> None:
        if self.both is not None:
            return
        both = stack(self.mlp_gamma, self.mlp_beta)
        assert both.bias is not None
        both.bias[: self.channels] += 1
        self.both = both
        del self.mlp_gamma, self.mlp_beta
        shared = self.mlp_shared[0]
        if self.scale > 1 and isinstance(shared, nn.Conv2d):
            self.mlp_shared[0] = upsampling_convolution(shared, self.scale)
            self.upsample = nn.Identity()

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.mlp_shared(self.upsample(condition))
        if self.both is None:
            return self.mlp_gamma(hidden).add_(1), self.mlp_beta(hidden)
        both = self.both(hidden)
        return both[:, : self.channels], both[:, self.channels :]


class SpadeBlock(nn.Module):
    """Residual block of SPADE norms; the shortcut has a norm and a convolution where the width changes.

    `scale` is the size of its output in units of the condition's; beyond 1 the block doubles the size of its input.
    """

    def __init__(self, config: SpadeConfig, inputs: int, outputs: int, scale: int) -> None:
        super().__init__()
        inner = min(inputs, outputs)
        self.doubles = scale > 1
        self.conv_0 = SpectralConv2d(inputs, inner, 3)
        self.conv_1 = SpectralConv2d(inner, outputs, 3)
        self.norm_0 = SpadeNorm(config, inputs, scale)
        self.norm_1 = SpadeNorm(config, inner, scale)
        self.learned_shortcut = inputs != outputs
        self.offset_is_projected = False
        if self.learned_shortcut:
            self.conv_s = SpectralConv2d(inputs, outputs, 1, bias=False)
            self.norm_s = SpadeNorm(config, inputs, scale)

    def fold(self) -> None:
        """conv_s(x scale + offset) = conv_s(x scale) + conv_s(offset), and an offset is a convolution already."""
        if self.learned_shortcut and not self.offset_is_projected:
            self.norm_s.mlp_beta = project(self.norm_s.mlp_beta, self.conv_s.weight())
            self.offset_is_projected = True

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        normalised = self.resized(normalise(x))
        y = self.conv_0(_activated(normalised, *self.norm_0(condition)))
        y = self.conv_1(_activated(normalise(y), *self.norm_1(condition)))
        return y.add_(self.shortcut(normalised, condition) if self.learned_shortcut else self.resized(x))

    def resized(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if self.doubles else x

    def shortcut(self, normalised: Tensor, condition: Tensor) -> Tensor:
        scale, offset = self.norm_s(condition)
        if self.offset_is_projected:
            return self.conv_s(normalised * scale).add_(offset)
        return self.conv_s(torch.addcmul(offset, normalised, scale))


class SpadeGenerator(nn.Module):
    """Features [T,C,h,w] -> images [T,3,8h,8w] in [0,1]: upsampling blocks, then a pixel shuffle by two."""

    def __init__(self, config: SpadeConfig) -> None:
        super().__init__()
        widths = config.widths
        self.config = config
        self.fc = nn.Conv2d(config.condition, widths[0], 3, padding=1)
        for i in range(config.middle):
            self.add_module(f"G_middle_{i}", SpadeBlock(config, widths[0], widths[0], 1))
        for i, (a, b) in enumerate(pairwise(widths)):
            self.add_module(f"up_{i}", SpadeBlock(config, a, b, 2 ** (i + 1)))
        last = nn.Conv2d(widths[-1], config.outputs, 3, padding=1)
        self.conv_img = nn.Sequential(last, nn.PixelShuffle(2))

    def forward(self, features: Tensor) -> Tensor:
        x = self.fc(features)
        for i in range(self.config.middle):
            x = self.get_submodule(f"G_middle_{i}")(x, features)
        for i in range(len(self.config.widths) - 1):
            x = self.get_submodule(f"up_{i}")(x, features)
        return self.conv_img(F.leaky_relu_(x, SLOPE)).sigmoid()


def _activated(normalised: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    return F.leaky_relu_(torch.addcmul(offset, normalised, scale), SLOPE)
