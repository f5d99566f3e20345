"""Thin-Plate Spline Motion Model for Image Animation (Zhao and Zhang 2022), https://arxiv.org/abs/2203.14367.

Five keypoints make a plate; the thin-plate spline that takes its driving points to its reference points is
a candidate motion T_k (`splines.py`). The dense motion network mixes the candidates by per-pixel
contributions, deformation(p) = sum_k M_k(p) T_k(p), and predicts a visibility map for each resolution. The
inpainting network decodes the encoder maps of four resolutions, each warped and multiplied by its visibility.
Here a frame may have R references: `warp` runs per frame and reference and returns one map per resolution,
`decode` runs once per frame on the fused maps. All of them are fused with the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbones import ResNet18
from .layers import (
    AntiAliasDownsample,
    ConvBlock,
    DownBlock,
    Hourglass,
    HourglassConfig,
    InstanceNorm,
    ResidualBlock,
    UpBlock,
    dtype_of,
)
from .sampling import heat_maps, resize_grids, sample_2d
from .shapes import Shapes, blocks, hourglass, present
from .splines import PLATE, sparse_motions

ALIGN_CORNERS = True


class ThinPlateReferences(NamedTuple):
    maps: tuple[Tensor, ...]  # encoder output by level, [R,C,h,w], coarse to fine
    images: Tensor  # [R,3,H,W] in the dtype of the weights
    thumbnails: Tensor  # [R,3,h,w] the images at the resolution of the dense motion


class ThinPlateMotion(NamedTuple):
    contributions: Tensor  # [T,R,L+1,h,w] sum 1 over candidates, 0 = background, then L plates
    deformation: Tensor  # [T,R,h,w,2] absolute sampling grid, xy, float32
    visibility: tuple[Tensor, ...]  # by level, [T,R,1,h,w] 0..1, coarse to fine


class ThinPlateWarp(NamedTuple):
    levels: tuple[Tensor, ...]  # fuse these: encoder maps times visibility [T,R,C,h,w], coarse to fine, and
    # last [T,R,4,H,W]: the warped image times the finest visibility, and that visibility
    motion: ThinPlateMotion


@dataclass(frozen=True)
class ThinPlateConfig:
    plates: int
    detector: tuple[int, int, int, int]  # ResNet widths
    motion: HourglassConfig
    up: tuple[int, ...]  # channels of the dense motion's up blocks beyond the hourglass
    widths: tuple[int, ...]  # encoder channels: first block, then each down block
    blur_kernel: int
    background: tuple[int, int, int, int] | None  # ResNet widths; None = the file has no predictor
    disentangler: DisentanglerConfig | None  # None = the file has none

    @classmethod
    def from_shapes(cls, shapes: Shapes) -> ThinPlateConfig:
        """The configuration of a checkpoint; raises CheckpointError where its shapes make no sense."""
        down = blocks(shapes, "inpainting_network.down_blocks.{}.conv.weight", 4)
        has_background = "bg_predictor.bg_encoder.conv1.weight" in shapes
        has_disentangler = "avd_network.decoder.0.weight" in shapes
        return cls(
            plates=shapes.dims("dense_motion_network.maps.weight", 4)[0] - 1,
            detector=ResNet18.widths_in(shapes, "kp_detector.fg_encoder"),
            motion=hourglass(shapes, "dense_motion_network.hourglass", 4),
            up=tuple(size[0] for size in blocks(shapes, "dense_motion_network.up.{}.conv.weight", 4)),
            widths=(shapes.dims("inpainting_network.first.conv.weight", 4)[0], *(size[0] for size in down)),
            blur_kernel=shapes.dims("dense_motion_network.down.weight", 4)[-1],
            background=ResNet18.widths_in(shapes, "bg_predictor.bg_encoder") if has_background else None,
            disentangler=DisentanglerConfig.from_shapes(shapes) if has_disentangler else None,
        )


class KeypointDetector(nn.Module):
    def __init__(self, config: ThinPlateConfig) -> None:
        super().__init__()
        self.fg_encoder = ResNet18(3, 2 * PLATE * config.plates, config.detector)

    def forward(self, images: Tensor) -> Tensor:
        return (2 * self.fg_encoder(images).float().sigmoid() - 1).unflatten(-1, (-1, 2))


class BackgroundPredictor(nn.Module):
    """Affine map of the background from driving to reference coordinates."""

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.bg_encoder = ResNet18(6, 6, widths)

    def forward(self, references: Tensor, driving: Tensor) -> Tensor:
        t, r = len(driving), len(references)
        size = references.shape[1:]
        pairs = [references[None].expand(t, r, *size), driving[:, None].expand(t, r, *size)]
        rows = self.bg_encoder(torch.cat(pairs, dim=2).flatten(0, 1)).float().reshape(t, r, 2, 3)
        last = rows.new_tensor([0.0, 0.0, 1.0]).expand(t, r, 1, 3)
        return torch.cat([rows, last], dim=2)


@dataclass(frozen=True)
class DisentanglerConfig:
    encoder: tuple[int, ...]  # widths of both encoders, input to output
    decoder: tuple[int, ...]

    @classmethod
    def from_shapes(cls, shapes: Shapes) -> DisentanglerConfig:
        def widths(prefix: str) -> tuple[int, ...]:
            sizes = [shapes.dims(f"{prefix}.{i}.weight", 2) for i in (0, 3, 6, 9)]
            return sizes[0][1], *(size[0] for size in sizes)

        return cls(widths("avd_network.pose_encoder"), widths("avd_network.decoder"))


class NormedLinears(nn.Sequential):
    """Linear layers with BatchNorm and ReLU between; nothing after the last."""

    def __init__(self, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for a, b in pairwise(widths[:-1]):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.Linear(widths[-2], widths[-1]))
        self.folds = tuple((str(3 * i), str(3 * i + 1)) for i in range(len(widths) - 2))


class Disentangler(nn.Module):
    """Driving pose and reference identity -> keypoints."""

    def __init__(self, config: DisentanglerConfig) -> None:
        super().__init__()
        self.pose_encoder = NormedLinears(config.encoder)
        self.id_encoder = NormedLinears(config.encoder)
        self.decoder = NormedLinears(config.decoder)

    def forward(self, reference: Tensor, driving: Tensor) -> Tensor:
        t, r = len(driving), len(reference)
        pose = self.pose_encoder(driving.flatten(1))[:, None].expand(t, r, -1)
        identity = self.id_encoder(reference.flatten(1))[None].expand(t, r, -1)
        points = self.decoder(torch.cat([pose, identity], dim=-1).flatten(0, 1))
        return points.float().reshape(t, r, -1, 2)


class DenseMotionNetwork(nn.Module):
    """Mixes the plates' splines and predicts visibility by level."""

    def __init__(self, config: ThinPlateConfig) -> None:
        super().__init__()
        last = config.motion.outputs
        coarse = config.motion.up[-2] + config.motion.down[0]
        wide = (last, *config.up)
        self.down = AntiAliasDownsample(3, config.blur_kernel)
        self.hourglass = Hourglass(config.motion, InstanceNorm)
        self.maps = nn.Conv2d(last, config.plates + 1, 7, padding=3)
        self.up = nn.ModuleList(UpBlock(a, b, 3, InstanceNorm) for a, b in pairwise(wide))
        self.occlusion = nn.ModuleList(nn.Conv2d(width, 1, 7, padding=3) for width in (coarse, *wide))

    def inputs(self, thumbnails: Tensor, reference: Tensor, driving: Tensor, sparse: Tensor) -> Tensor:
        """[T,R,C,h,w]: heat maps of background and keypoints, then the thumbnail each candidate samples."""
        size = thumbnails.shape[2:]
        heat = F.pad(heat_maps(driving, size) - heat_maps(reference, size), (0, 0, 0, 0, 1, 0))
        sampled = sample_2d(thumbnails, sparse, align_corners=ALIGN_CORNERS).flatten(2, 3)
        return torch.cat([heat.to(sampled.dtype), sampled], dim=2)

    def forward(
        self, thumbnails: Tensor, reference: Tensor, driving: Tensor, background: Tensor | None
    ) -> ThinPlateMotion:
        sparse = sparse_motions(reference, driving, thumbnails.shape[2:], background)
        inputs = self.inputs(thumbnails, reference, driving, sparse)
        pairs = inputs.shape[:2]
        maps = self.hourglass(inputs.flatten(0, 1))[-2:]
        contributions = self.maps(maps[-1]).float().softmax(dim=1).unflatten(0, pairs)
        deformation = torch.einsum("trkhw,trkhwc->trhwc", contributions, sparse)
        for block in self.up:
            maps.append(block(maps[-1]))
        visibility = (conv(x).sigmoid().unflatten(0, pairs) for conv, x in zip(self.occlusion, maps))
        return ThinPlateMotion(contributions, deformation, tuple(visibility))


class InpaintingNetwork(nn.Module):
    """Multi-resolution encoder and decoder."""

    def __init__(self, config: ThinPlateConfig) -> None:
        super().__init__()
        widths, norm = config.widths, InstanceNorm
        # Behind the first up block the input of every later one is its own output and a warped encoder map.
        inside = [widths[-1], *(2 * width for width in widths[-2:0:-1])]
        self.first = ConvBlock(3, widths[0], 7, norm)
        self.down_blocks = nn.ModuleList(DownBlock(a, b, 3, norm) for a, b in pairwise(widths))
        self.resblock = nn.ModuleList(ResidualBlock(a, norm) for a in inside for _ in range(2))
        self.up_blocks = nn.ModuleList(UpBlock(a, b, 3, norm) for a, b in zip(inside, widths[-2::-1]))
        self.final = nn.Conv2d(widths[0], 3, 7, padding=3)

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = [self.first(images)]
        for block in self.down_blocks:
            maps.append(block(maps[-1]))
        return tuple(maps[::-1])

    def decode(self, maps: Sequence[Tensor], visible_image: Tensor, visibility: Tensor) -> Tensor:
        x = maps[0]
        for i, block in enumerate(self.up_blocks):
            x = block(self.resblock[2 * i + 1](self.resblock[2 * i](x)))
            last = i == len(self.up_blocks) - 1
            x = x * (1 - visibility) + maps[i + 1] if last else torch.cat([x, maps[i + 1]], dim=1)
        return self.final(x).sigmoid() * (1 - visibility) + visible_image


class ThinPlate(nn.Module):
    """The whole model. Images are [N,3,H,W] in [0,1], trained at 256x256; H and W are multiples of 128."""

    def __init__(self, config: ThinPlateConfig) -> None:
        super().__init__()
        self.config = config
        self.kp_detector = KeypointDetector(config)
        self.dense_motion_network = DenseMotionNetwork(config)
        self.inpainting_network = InpaintingNetwork(config)
        self.bg_predictor = BackgroundPredictor(config.background) if config.background else None
        self.avd_network = Disentangler(config.disentangler) if config.disentangler else None

    def encode_motion(self, images: Tensor) -> Tensor:
        """Keypoints [N,K,2] of images [N,3,H,W], xy in -1..1, float32; five after the other make a plate."""
        return self.kp_detector(images.to(dtype_of(self)))

    def encode_references(self, images: Tensor) -> ThinPlateReferences:
        """What `warp` needs of reference images [R,3,H,W], once per reference."""
        images = images.to(dtype_of(self))
        maps = self.inpainting_network.encode(images)
        return ThinPlateReferences(maps, images, self.dense_motion_network.down(images))

    def disentangle(self, reference: Tensor, driving: Tensor) -> Tensor:
        """Driving keypoints [T,R,K,2] in the shape of each reference, from [R,K,2] and [T,K,2].

        Raises CheckpointError where the checkpoint has no such network (`avd_network` is None).
        """
        network, dtype = present(self.avd_network, "disentangled motion"), dtype_of(self)
        return network(reference.to(dtype), driving.to(dtype))

    def background(self, references: Tensor, driving: Tensor) -> Tensor:
        """Background motion [T,R,3,3] of images [R,3,H,W] and [T,3,H,W] for `warp`.

        The authors use it for training and reconstruction, and the identity for animation. Raises
        CheckpointError where the checkpoint has no such network (`bg_predictor` is None).
        """
        network, dtype = present(self.bg_predictor, "background motion"), dtype_of(self)
        return network(references.to(dtype), driving.to(dtype))

    def warp(
        self,
        references: ThinPlateReferences,
        reference: Tensor,
        driving: Tensor,
        background: Tensor | None = None,
    ) -> ThinPlateWarp:
        """Every reference warped to every frame: keypoints [R,K,2] and [T,R,K,2], background [T,R,3,3]."""
        motion = self.dense_motion_network(references.thumbnails, reference, driving, background)
        warped = (self.sample(maps, motion.deformation) for maps in references.maps)
        levels = [maps.mul_(visibility) for maps, visibility in zip(warped, motion.visibility)]
        finest = motion.visibility[-1]
        image = self.sample(references.images, motion.deformation)
        return ThinPlateWarp((*levels, torch.cat([image * finest, finest], dim=2)), motion)

    def sample(self, maps: Tensor, deformation: Tensor) -> Tensor:
        """Maps [R,C,H,W] of the references warped by a deformation [T,R,h,w,2], as [T,R,C,H,W]."""
        grids = resize_grids(deformation, maps.shape[2:], align_corners=ALIGN_CORNERS)
        return sample_2d(maps, grids, align_corners=ALIGN_CORNERS)

    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """Fused levels of `ThinPlateWarp`, each [T,C,h,w] -> images [T,3,H,W] in [0,1]."""
        *maps, last = (level.to(dtype_of(self)) for level in levels)
        return self.inpainting_network.decode(maps, last[:, :3], last[:, 3:])


def relative_keypoints(reference: Tensor, driving: Tensor, initial: Tensor, scale: Tensor) -> Tensor:
    """Driving motion since its initial frame, added to each reference: [T,R,K,2].

    reference is [R,K,2], driving [T,K,2], initial [1,K,2], scale [R] from `movement_scale`.
    """
    return reference + scale[:, None, None] * (driving - initial)[:, None]
