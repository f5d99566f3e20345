"""First Order Motion Model for Image Animation (Siarohin et al. 2019), https://arxiv.org/abs/2003.00196.

A keypoint detector finds K keypoints p_k and, around each, a 2x2 jacobian J_k. The first-order expansion around
a keypoint is an affine candidate motion from driving to reference coordinates,
T_k(z) = p_ref + J_ref J_drv^-1 (z - p_drv). The dense motion network sees heat maps of the keypoints and
thumbnails warped by the candidates, mixes them by per-pixel contributions, T(z) = M_0 z + sum_k M_k T_k(z), and
predicts a visibility map; the generator decodes features that are warped by T and multiplied by it.
`relative_motion` is the authors' transfer between different people. Here a frame may have R references: `warp`
runs per frame and reference, `decode` once per frame on whatever was fused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .layers import (
    AntiAliasDownsample,
    ConvBlock,
    DownBlock,
    Hourglass,
    HourglassConfig,
    ResidualBlock,
    UpBlock,
    dtype_of,
)
from .sampling import coordinate_grid, heat_maps, invert_2x2, resize_grids, sample_2d
from .shapes import Shapes, blocks, hourglass

TEMPERATURE = 0.1  # of the softmax over a keypoint's heat map


class AffineKeypoints(NamedTuple):
    points: Tensor  # [...,K,2] xy in -1..1, float32
    jacobians: Tensor  # [...,K,2,2] float32


class FirstOrderReferences(NamedTuple):
    features: Tensor  # [R,C,h,w] encoder output
    thumbnails: Tensor  # [R,3,h,w] the images at the resolution of the dense motion


class FirstOrderMotion(NamedTuple):
    contributions: Tensor  # [T,R,K+1,h,w] sum 1 over candidates, 0 = background
    deformation: Tensor  # [T,R,h,w,2] absolute sampling grid, xy, float32
    visibility: Tensor  # [T,R,1,h,w] 0..1


class FirstOrderWarp(NamedTuple):
    features: Tensor  # [T,R,C,h,w] warped and multiplied by visibility: fuse these
    motion: FirstOrderMotion


@dataclass(frozen=True)
class FirstOrderConfig:
    keypoints: int
    jacobian_maps: int  # K, or 1 where all keypoints share one
    detector: HourglassConfig
    motion: HourglassConfig
    widths: tuple[int, ...]  # generator channels: first block, then each down block
    residual_blocks: int
    blur_kernel: int  # anti-alias kernel of both networks; 13 means a quarter of the size
    # torch 1.0, with which the public checkpoints were trained, sampled this way and knew no other.
    align_corners: bool = True

    @classmethod
    def from_shapes(cls, shapes: Shapes) -> FirstOrderConfig:
        """The configuration of a checkpoint; raises CheckpointError where its shapes make no sense."""
        down = blocks(shapes, "generator.down_blocks.{}.conv.weight", 4)
        return cls(
            keypoints=shapes.dims("kp_detector.kp.weight", 4)[0],
            jacobian_maps=shapes.dims("kp_detector.jacobian.weight", 4)[0] // 4,
            detector=hourglass(shapes, "kp_detector.predictor", 4),
            motion=hourglass(shapes, "generator.dense_motion_network.hourglass", 4),
            widths=(shapes.dims("generator.first.conv.weight", 4)[0], *(size[0] for size in down)),
            residual_blocks=len(blocks(shapes, "generator.bottleneck.r{}.conv1.weight", 4)),
            blur_kernel=shapes.dims("kp_detector.down.weight", 4)[-1],
        )


class KeypointDetector(nn.Module):
    """Image -> keypoints and jacobians, both expectations over a heat map."""

    def __init__(self, config: FirstOrderConfig) -> None:
        super().__init__()
        self.predictor = Hourglass(config.detector, nn.BatchNorm2d)
        self.kp = nn.Conv2d(config.detector.outputs, config.keypoints, 7)
        self.jacobian = nn.Conv2d(config.detector.outputs, 4 * config.jacobian_maps, 7)
        self.down = AntiAliasDownsample(3, config.blur_kernel)

    def forward(self, images: Tensor) -> AffineKeypoints:
        maps = self.predictor(self.down(images))[-1]
        logits = self.kp(maps).float()
        heat = (logits.flatten(2) / TEMPERATURE).softmax(dim=-1)  # [N,K,h*w]
        grid = coordinate_grid(logits.shape[2:], images.device).flatten(0, 1)  # [h*w,2]
        jacobians = rearrange(self.jacobian(maps).float(), "n (k four) h w -> n k four (h w)", four=4)
        jacobians = (heat[:, :, None] * jacobians).sum(-1).unflatten(-1, (2, 2))
        return AffineKeypoints(heat @ grid, jacobians)


class DenseMotionNetwork(nn.Module):
    """Mixes the candidate motions of the keypoints."""

    def __init__(self, config: FirstOrderConfig) -> None:
        super().__init__()
        self.align_corners = config.align_corners
        self.hourglass = Hourglass(config.motion, nn.BatchNorm2d)
        self.mask = nn.Conv2d(config.motion.outputs, config.keypoints + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(config.motion.outputs, 1, 7, padding=3)
        self.down = AntiAliasDownsample(3, config.blur_kernel)

    def inputs(
        self, thumbnails: Tensor, reference: AffineKeypoints, driving: AffineKeypoints, sparse: Tensor
    ) -> Tensor:
        """[T,R,4(K+1),h,w]: per candidate its heat map and the thumbnail it samples."""
        size = thumbnails.shape[2:]
        heat = heat_maps(driving.points, size) - heat_maps(reference.points, size)  # [T,R,K,h,w]
        heat = F.pad(heat, (0, 0, 0, 0, 1, 0))  # the background's is zero
        sampled = sample_2d(thumbnails, sparse, align_corners=self.align_corners)  # [T,R,K+1,3,h,w]
        stacked = torch.cat([heat[:, :, :, None].to(sampled.dtype), sampled], dim=3)
        return stacked.flatten(2, 3)

    def forward(self, thumbnails: Tensor, reference: AffineKeypoints, driving: AffineKeypoints) -> FirstOrderMotion:
        sparse = sparse_motions(reference, driving, thumbnails.shape[2:])
        inputs = self.inputs(thumbnails, reference, driving, sparse)
        maps = self.hourglass(inputs.flatten(0, 1))[-1]
        contributions = self.mask(maps).float().softmax(dim=1).unflatten(0, inputs.shape[:2])
        deformation = torch.einsum("trkhw,trkhwc->trhwc", contributions, sparse)
        visibility = self.occlusion(maps).sigmoid().unflatten(0, inputs.shape[:2])
        return FirstOrderMotion(contributions, deformation, visibility)


class Generator(nn.Module):
    """Encoder, dense motion and decoder; `warp` of the whole model stands between the two."""

    def __init__(self, config: FirstOrderConfig) -> None:
        super().__init__()
        widths, norm = config.widths, nn.BatchNorm2d
        self.dense_motion_network = DenseMotionNetwork(config)
        self.first = ConvBlock(3, widths[0], 7, norm)
        self.down_blocks = nn.ModuleList(DownBlock(a, b, 3, norm) for a, b in pairwise(widths))
        self.up_blocks = nn.ModuleList(UpBlock(b, a, 3, norm) for a, b in zip(widths[-2::-1], widths[::-1]))
        self.bottleneck = nn.Sequential()
        for i in range(config.residual_blocks):
            self.bottleneck.add_module(f"r{i}", ResidualBlock(widths[-1], norm))
        self.final = nn.Conv2d(widths[0], 3, 7, padding=3)

    def encode(self, images: Tensor) -> Tensor:
        x = self.first(images)
        for block in self.down_blocks:
            x = block(x)
        return x

    def decode(self, features: Tensor) -> Tensor:
        x = self.bottleneck(features)
        for block in self.up_blocks:
            x = block(x)
        return self.final(x).sigmoid()


class FirstOrder(nn.Module):
    """The whole model. Images are [N,3,H,W] in [0,1], trained at 256x256; H and W are multiples of 128."""

    def __init__(self, config: FirstOrderConfig) -> None:
        super().__init__()
        self.config = config
        self.kp_detector = KeypointDetector(config)
        self.generator = Generator(config)

    def encode_motion(self, images: Tensor) -> AffineKeypoints:
        """Keypoints of images [N,3,H,W]: points [N,K,2], jacobians [N,K,2,2]."""
        return self.kp_detector(images.to(dtype_of(self)))

    def encode_references(self, images: Tensor) -> FirstOrderReferences:
        """What `warp` needs of reference images [R,3,H,W], once per reference."""
        images = images.to(dtype_of(self))
        thumbnails = self.generator.dense_motion_network.down(images)
        return FirstOrderReferences(self.generator.encode(images), thumbnails)

    def warp(
        self, references: FirstOrderReferences, reference: AffineKeypoints, driving: AffineKeypoints
    ) -> FirstOrderWarp:
        """Every reference warped to every frame: reference keypoints [R,K,...], driving [T,R,K,...]."""
        motion = self.generator.dense_motion_network(references.thumbnails, reference, driving)
        features = self.sample(references.features, motion.deformation)
        visibility = motion.visibility.flatten(0, 1)
        if visibility.shape[2:] != features.shape[3:]:
            size = features.shape[3:]
            visibility = F.interpolate(visibility, size=size, mode="bilinear", align_corners=False)
        visibility = visibility.unflatten(0, features.shape[:2])
        return FirstOrderWarp(features.mul_(visibility), motion)

    def sample(self, maps: Tensor, deformation: Tensor) -> Tensor:
        """Maps [R,C,H,W] of the references warped by a deformation [T,R,h,w,2], as [T,R,C,H,W]."""
        grids = resize_grids(deformation, maps.shape[2:], align_corners=False)
        return sample_2d(maps, grids, align_corners=self.generator.dense_motion_network.align_corners)

    def decode(self, features: Tensor) -> Tensor:
        """Fused features [T,C,h,w] -> images [T,3,H,W] in [0,1]."""
        return self.generator.decode(features.to(dtype_of(self)))


def sparse_motions(reference: AffineKeypoints, driving: AffineKeypoints, size: Sequence[int]) -> Tensor:
    """Candidate grids [T,R,K+1,h,w,2]: identity, then J_ref J_drv^-1 (z - p_drv) + p_ref."""
    linear = reference.jacobians @ invert_2x2(driving.jacobians)  # [T,R,K,2,2]
    grid = coordinate_grid(size, driving.points.device)  # [h,w,2]
    offsets = grid - driving.points[..., None, None, :]  # [T,R,K,h,w,2]
    moved = torch.einsum("trkij,trkhwj->trkhwi", linear, offsets) + reference.points[:, :, None, None]
    identity = grid.expand(*moved.shape[:2], 1, -1, -1, -1)
    return torch.cat([identity, moved], dim=2)


def relative_motion(
    reference: AffineKeypoints, driving: AffineKeypoints, initial: AffineKeypoints, scale: Tensor
) -> AffineKeypoints:
    """The driving motion since its initial frame, applied to each reference: keypoints [T,R,K,...].

    reference is [R,K,...], driving [T,K,...], initial [1,K,...], scale [R] from `movement_scale` or ones.
    """
    points = reference.points + scale[:, None, None] * (driving.points - initial.points)[:, None]
    turn = driving.jacobians @ invert_2x2(initial.jacobians)
    return AffineKeypoints(points, turn[:, None] @ reference.jacobians)
