"""Image backbones inside the public checkpoints: ResNet-18 and ConvNeXt V2.

ResNet: He et al. 2015, https://arxiv.org/abs/1512.03385, 18 layers.
ConvNeXt V2: Woo et al. 2023, https://arxiv.org/abs/2301.00808.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .shapes import Shapes, blocks

LAYER_NORM_EPS = 1e-6
RESPONSE_EPS = 1e-6


class ProjectedShortcut(nn.Sequential):
    """1x1 convolution and norm, where a residual branch changes size or width."""

    folds = (("0", "1"),)

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    folds = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        plain = stride == 1 and inputs == outputs
        self.downsample = None if plain else ProjectedShortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu_(self.bn1(self.conv1(x)))
        return F.relu_(self.bn2(self.conv2(y)).add_(shortcut))


class ResNet18(nn.Module):
    """[N,inputs,H,W] -> [N,outputs]."""

    folds = (("conv1", "bn1"),)

    def __init__(self, inputs: int, outputs: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = self._stage(widths[0], widths[0], 1)
        self.layer2 = self._stage(widths[0], widths[1], 2)
        self.layer3 = self._stage(widths[1], widths[2], 2)
        self.layer4 = self._stage(widths[2], widths[3], 2)
        self.fc = nn.Linear(widths[3], outputs)

    @staticmethod
    def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu_(self.bn1(self.conv1(images))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))

    @staticmethod
    def widths_in(shapes: Shapes, prefix: str) -> tuple[int, int, int, int]:
        """Channels of the four stages of the network below `prefix`."""
        one, two, three, four = (shapes.dims(f"{prefix}.layer{i}.0.conv1.weight", 4)[0] for i in range(1, 5))
        return one, two, three, four


@dataclass(frozen=True)
class ConvNeXtConfig:
    widths: tuple[int, ...]  # channels of each stage
    depths: tuple[int, ...]  # blocks of each stage

    @classmethod
    def from_shapes(cls, shapes: Shapes, prefix: str) -> ConvNeXtConfig:
        first = blocks(shapes, prefix + ".stages.{}.0.dwconv.weight", 4)
        stages = range(len(first))
        depths = (blocks(shapes, f"{prefix}.stages.{i}.{{}}.dwconv.weight", 4) for i in stages)
        return cls(tuple(shape[0] for shape in first), tuple(len(stage) for stage in depths))


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of [N,C,H,W]."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ResponseNorm(nn.Module):
    """Global response normalisation of [N,H,W,C]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        response = norm / (norm.mean(dim=-1, keepdim=True) + RESPONSE_EPS)
        return torch.addcmul(self.beta, x, 1 + self.gamma * response)


class ConvNeXtBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=LAYER_NORM_EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = ResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.pwconv2(self.grn(F.gelu(self.pwconv1(y))))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXtV2(nn.Module):
    """[N,3,H,W] -> [N,widths[-1]], the normalised mean over positions."""

    def __init__(self, config: ConvNeXtConfig) -> None:
        super().__init__()
        widths = config.widths
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0]))
        between = (nn.Sequential(ChannelNorm(a), nn.Conv2d(a, b, 2, 2)) for a, b in pairwise(widths))
        self.downsample_layers = nn.ModuleList([stem, *between])
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width) for _ in range(depth))) for width, depth in zip(widths, config.depths)
        )
        self.norm = nn.LayerNorm(widths[-1], eps=LAYER_NORM_EPS)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for downsample, stage in zip(self.downsample_layers, self.stages):
            x = stage(downsample(x))
        return self.norm(x.mean(dim=(2, 3)))
