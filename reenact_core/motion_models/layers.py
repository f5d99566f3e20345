"""Blocks shared by the networks that load public checkpoints.

Attribute names such as `conv` and `norm1` are the names inside the public checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .folding import upsampling_convolution

NORM_EPS = 1e-5
MERGED_INPUTS = 512  # of upsampling convolutions; wider ones see tiny maps, where a larger kernel only costs memory

Norm = Callable[[int], nn.Module]


def normalise(maps: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """Instance norm of [N,C,H,W] by the statistics of each map itself.

    torch's own copies maps that are laid out channels last, there and back.
    """
    if maps.is_contiguous() or maps.dtype != torch.float32:
        return F.instance_norm(maps, weight=weight, bias=bias)
    mean = maps.mean((2, 3), keepdim=True)
    variance = (maps - mean).square_().mean((2, 3), keepdim=True)
    scale = (variance + NORM_EPS).rsqrt_()
    if weight is not None:
        scale *= weight[:, None, None]
    offset = -mean * scale
    if bias is not None:
        offset += bias[:, None, None]
    return torch.addcmul(offset, maps, scale)


class InstanceNorm(nn.InstanceNorm2d):
    """`normalise` with weight and bias, in evaluation too."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return normalise(x, self.weight, self.bias)


def by_plane(layer: nn.Module, x: Tensor) -> Tensor:
    """A 2-D layer without weights on maps [N,C,H,W] or on every plane of volumes [N,C,D,H,W].

    Not every device and dtype has the 3-D pooling and resizing of torch.
    """
    if x.ndim == 4:
        return layer(x)
    if x.is_contiguous():
        return layer(x.flatten(1, 2)).unflatten(1, x.shape[1:3])
    return layer(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(x), -1)).transpose(1, 2)


class ConvBlock(nn.Module):
    """Convolution with zero padding of half the kernel, norm, ReLU. `axes` is 2 for maps, 3 for volumes."""

    folds = (("conv", "norm"),)

    def __init__(self, inputs: int, outputs: int, kernel: int, norm: Norm, axes: int = 2) -> None:
        super().__init__()
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        self.conv = conv(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.norm(self.conv(x)))


class DownBlock(ConvBlock):
    """ConvBlock, then the average of each 2x2 pixels; the depth of a volume stays."""

    def forward(self, x: Tensor) -> Tensor:
        return by_plane(nn.AvgPool2d(2), super().forward(x))


class UpBlock(ConvBlock):
    """Each pixel repeated 2x2, then ConvBlock; the depth of a volume stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, norm: Norm, axes: int = 2) -> None:
        super().__init__(inputs, outputs, kernel, norm, axes)
        self.upsample = nn.Upsample(scale_factor=2.0)

    def fold(self) -> None:
        if isinstance(self.conv, nn.Conv2d) and self.conv.in_channels <= MERGED_INPUTS:
            self.conv = upsampling_convolution(self.conv, 2)
            self.upsample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(by_plane(self.upsample, x))


class ResidualBlock(nn.Module):
    """Pre-activated: norm, ReLU, convolution, twice, plus the input; nothing after the sum."""

    folds = (("conv1", "norm2"),)

    def __init__(self, channels: int, norm: Norm, axes: int = 2) -> None:
        super().__init__()
        conv = nn.Conv2d if axes == 2 else nn.Conv3d
        self.conv1 = conv(channels, channels, 3, padding=1)
        self.conv2 = conv(channels, channels, 3, padding=1)
        self.norm1 = norm(channels)
        self.norm2 = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu_(self.norm1(x)))
        return self.conv2(F.relu_(self.norm2(y))).add_(x)


@dataclass(frozen=True)
class HourglassConfig:
    """Channel counts of an hourglass: its input, each down block's output, each up block's output."""

    inputs: int
    down: tuple[int, ...]
    up: tuple[int, ...]

    @property
    def outputs(self) -> int:
        """Channels of the last map: the last up block's and the hourglass input."""
        return self.up[-1] + self.inputs


class Encoder(nn.Module):
    def __init__(self, config: HourglassConfig, norm: Norm, axes: int) -> None:
        super().__init__()
        widths = (config.inputs, *config.down)
        pairs = pairwise(widths)
        self.down_blocks = nn.ModuleList(DownBlock(a, b, 3, norm, axes) for a, b in pairs)


class Decoder(nn.Module):
    def __init__(self, config: HourglassConfig, norm: Norm, axes: int) -> None:
        super().__init__()
        skips = (config.inputs, *config.down)
        inputs = [skips[-1], *(up + skip for up, skip in zip(config.up, skips[-2::-1]))]
        pairs = zip(inputs, config.up)
        self.up_blocks = nn.ModuleList(UpBlock(a, b, 3, norm, axes) for a, b in pairs)


class Hourglass(nn.Module):
    """Down blocks, as many up blocks, and skip connections between maps of the same size."""

    def __init__(self, config: HourglassConfig, norm: Norm, axes: int = 2) -> None:
        super().__init__()
        self.encoder = Encoder(config, norm, axes)
        self.decoder = Decoder(config, norm, axes)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The decoder's maps, coarse to fine, each with the encoder's map of its size behind it.

        x is [N,C,H,W] or [N,C,D,H,W]; H and W are multiples of 2 to the number of blocks.
        """
        skips = [x]
        for block in self.encoder.down_blocks:
            skips.append(block(skips[-1]))
        x = skips.pop()
        maps = []
        for block in self.decoder.up_blocks:
            x = torch.cat([block(x), skips.pop()], dim=1)
            maps.append(x)
        return maps


class AntiAliasDownsample(nn.Module):
    """Gaussian blur, then every n-th pixel beginning with the first; n follows from the kernel's size."""

    weight: Tensor

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.step = (kernel - 1) // 4 + 1  # the kernel spans four sigma to each side, sigma = (n - 1) / 2
        self.register_buffer("weight", torch.empty(channels, 1, kernel, kernel))

    def forward(self, images: Tensor) -> Tensor:
        """[N,C,H,W] -> [N,C,H/n,W/n]."""
        padding = self.weight.shape[-1] // 2
        return F.conv2d(images, self.weight, stride=self.step, padding=padding, groups=len(self.weight))


def dtype_of(module: nn.Module) -> torch.dtype:
    """The dtype of the weights, in which the network runs."""
    return next(module.parameters()).dtype
