"""Blocks and samplers shared by the networks that load public checkpoints.

Convention of these networks (it differs from `geometry`): a coordinate of -1 or 1 is the centre of a border
pixel, x (y, z) order, whatever `align_corners` the sampler is called with. Attribute names such as `conv` and
`norm1` are the names inside the public checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .folding import upsampling_convolution

HEAT_MAP_VARIANCE = 0.01  # of the Gaussian around a keypoint, in squared coordinates

Norm = Callable[[int], nn.Module]


def instance_norm(channels: int) -> nn.Module:
    """InstanceNorm with weight and bias; it uses the statistics of the image itself, in evaluation too."""
    return nn.InstanceNorm2d(channels, affine=True)


def by_plane(layer: nn.Module, x: Tensor) -> Tensor:
    """A 2-D layer without weights on maps [N,C,H,W] or on every plane of volumes [N,C,D,H,W].

    Not every device and dtype has the 3-D pooling and resizing of torch.
    """
    return layer(x) if x.ndim == 4 else layer(x.flatten(1, 2)).unflatten(1, x.shape[1:3])


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
        if isinstance(self.conv, nn.Conv2d):
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


def coordinate_axis(size: int, device: torch.device) -> Tensor:
    """[size], from -1 at the first pixel's centre to 1 at the last one's."""
    return 2 * torch.arange(size, device=device, dtype=torch.float32) / (size - 1) - 1


def coordinate_grid(sizes: Sequence[int], device: torch.device) -> Tensor:
    """[h,w,2] with xy, or [d,h,w,3] with xyz, for sizes (h, w) or (d, h, w)."""
    axes = torch.meshgrid(*(coordinate_axis(size, device) for size in sizes), indexing="ij")
    return torch.stack(axes[::-1], dim=-1)


def heat_maps(points: Tensor, sizes: Sequence[int]) -> Tensor:
    """Gaussians exp(-d^2 / (2 variance)) around points [...,K,2 or 3] as [...,K,h,w] or [...,K,d,h,w].

    A Gaussian is the product of one Gaussian per axis, so the distances of all pixels are never stored.
    """
    result = torch.ones((), device=points.device)
    for i, size in enumerate(sizes):
        offset = coordinate_axis(size, points.device) - points[..., len(sizes) - 1 - i, None]
        line = torch.exp(-(offset**2) / (2 * HEAT_MAP_VARIANCE))
        result = result[..., None] * line.reshape(*points.shape[:-1], *[1] * i, size)
    return result


def invert_2x2(matrices: Tensor) -> Tensor:
    """Inverses of [...,2,2] in closed form, which every device can do."""
    a, b, c, d = matrices.flatten(-2).unbind(-1)
    adjugate = torch.stack([d, -b, -c, a], dim=-1).unflatten(-1, (2, 2))
    return adjugate / (a * d - b * c)[..., None, None]


def sample_2d(maps: Tensor, grids: Tensor, *, align_corners: bool) -> Tensor:
    """Bilinear samples, zeros outside, of each reference's map [R,C,H,W] at grids [T,R,...,h,w,2].

    Returns [T,R,...,C,h,w] in the dtype of `maps`; positions and interpolation are float32. All of one
    reference's grids are stacked along the height, so that its map is not repeated for every frame.
    """
    t, r, *between, h, w, _ = grids.shape
    stacked = grids.movedim(1, 0).reshape(r, -1, w, 2)
    samples = F.grid_sample(maps.float(), stacked.float(), padding_mode="zeros", align_corners=align_corners)
    samples = samples.unflatten(2, (t, *between, h)).movedim(1, -3)  # [R,T,...,C,h,w]
    return samples.movedim(1, 0).to(maps.dtype)


def sample_3d(volumes: Tensor, grids: Tensor, *, align_corners: bool) -> Tensor:
    """Trilinear samples, zeros outside, of [R,C,D,H,W] at grids [T,R,d,h,w,3]: [T,R,C,d,h,w]."""
    if volumes.device.type == "mps":  # torch has had no 3-D sampler there
        return sample_3d_by_planes(volumes, grids, align_corners=align_corners)
    t = len(grids)
    stacked = rearrange(grids.float(), "t r d h w xyz -> r (t d) h w xyz")
    samples = F.grid_sample(volumes.float(), stacked, padding_mode="zeros", align_corners=align_corners)
    return rearrange(samples, "r c (t d) h w -> t r c d h w", t=t).to(volumes.dtype)


def sample_3d_by_planes(volumes: Tensor, grids: Tensor, *, align_corners: bool) -> Tensor:
    """The same as `sample_3d` with the 2-D sampler alone.

    The planes of a volume are laid below each other with empty rows between; a position is sampled in the
    plane before and in the plane behind it, and the two samples are mixed.
    """
    t, _, d, *_ = grids.shape
    size = volumes.new_tensor(volumes.shape[:1:-1], dtype=torch.float32)  # W, H, D
    grids = grids.float() + 1
    positions = grids * (size - 1) / 2 if align_corners else (grids * size - 1) / 2
    positions = rearrange(positions, "t r d h w xyz -> r (t d h) w xyz")
    x, y, z = positions.unbind(-1)
    sheet = rearrange(F.pad(volumes.float(), (0, 0, 1, 1)), "r c d h w -> r c (d h) w")
    width, height, depth = size.tolist()
    y = y.clamp(-1, height) + 1  # -1 and H are the empty rows
    x_sheet = (2 * x + 1) / width - 1
    front = z.floor()
    result = torch.zeros((), device=volumes.device)
    for plane, weight in ((front, 1 - (z - front)), (front + 1, z - front)):
        inside = (plane >= 0) & (plane < depth)
        row = y + plane.clamp(0, depth - 1) * (height + 2)
        y_sheet = (2 * row + 1) / sheet.shape[2] - 1
        at = torch.stack([x_sheet, y_sheet], dim=-1)
        samples = F.grid_sample(sheet, at, padding_mode="zeros", align_corners=False)
        result = result + samples * (weight * inside)[:, None]
    return rearrange(result, "r c (t d h) w -> t r c d h w", t=t, d=d).to(volumes.dtype)


def resize_grids(grids: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """Grids [T,R,h,w,2] at another size, bilinear."""
    if tuple(grids.shape[2:4]) == tuple(size):
        return grids
    flat = rearrange(grids, "t r h w xy -> (t r) xy h w")
    flat = F.interpolate(flat, size=size, mode="bilinear", align_corners=align_corners)
    return rearrange(flat, "(t r) xy h w -> t r h w xy", t=len(grids))
