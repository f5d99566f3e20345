"""LivePortrait: Efficient Portrait Animation with Stitching and Retargeting Control (Guo et al. 2024).

https://arxiv.org/abs/2407.03168. An appearance volume [32,16,64,64] is taken from
each reference, a head motion from each image (`head_motion.py` holds the algebra). Every keypoint
gives a candidate translation of the volume; the dense motion network mixes them by contributions and
predicts a visibility map, the warping module turns the warped volume into a feature map, the decoder
(`spade.py`) makes a picture of twice the size. Stitching and retargeting are small MLPs on keypoints.
Here a frame may have R references: `warp` runs per frame and reference, `decode` once per
frame on whatever was fused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .backbones import ConvNeXtV2
from .folding import spare_lanes, widen
from .head_motion import HeadMotion, pose_degrees, rotation_matrices
from .layers import ConvBlock, Decoder, DownBlock, Hourglass, HourglassConfig, ResidualBlock, dtype_of
from .live_portrait_config import LivePortraitConfig
from .sampling import coordinate_grid, heat_maps, sample_3d, translated
from .shapes import present
from .spade import SpadeGenerator

ALIGN_CORNERS = False
WARP_SLOPE = 0.01  # LeakyReLU of the warping module


class LivePortraitReferences(NamedTuple):
    volumes: Tensor  # [R,C,D,h,w] appearance
    compressed: Tensor  # [R,c,D,h,w] the few channels from which the dense motion is estimated


class LivePortraitMotion(NamedTuple):
    contributions: Tensor  # [T,R,K+1,D,h,w] sum 1 over candidates, 0 = background
    deformation: Tensor  # [T,R,D,h,w,3] absolute sampling grid, xyz, float32
    visibility: Tensor  # [T,R,1,h,w] 0..1


class LivePortraitWarp(NamedTuple):
    features: Tensor  # [T,R,256,h,w] output of the warping module times visibility: fuse these
    motion: LivePortraitMotion


class AppearanceFeatureExtractor(nn.Module):
    """Image [N,3,H,W] -> volume [N,C,D,H/4,W/4]."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        widths, norm = config.widths, nn.BatchNorm2d
        self.first = ConvBlock(3, widths[0], 3, norm)
        self.down_blocks = nn.ModuleList(DownBlock(a, b, 3, norm) for a, b in pairwise(widths))
        self.second = nn.Conv2d(widths[-1], config.channels * config.depth, 1)
        self.resblocks_3d = nn.Sequential()
        for i in range(config.volume_blocks):
            self.resblocks_3d.add_module(f"3dr{i}", ResidualBlock(config.channels, nn.BatchNorm3d, axes=3))
        self.channels = config.channels

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images)
        for block in self.down_blocks:
            x = block(x)
        volume = rearrange(self.second(x), "n (c d) h w -> n c d h w", c=self.channels)
        return self.resblocks_3d(volume.contiguous())


class MotionNetwork(ConvNeXtV2):
    """ConvNeXt V2 with one linear head per quantity."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__(config.motion_extractor)
        width = config.motion_extractor.widths[-1]
        self.fc_kp = nn.Linear(width, 3 * config.keypoints)
        self.fc_scale = nn.Linear(width, 1)
        self.fc_pitch = nn.Linear(width, config.pose_bins)
        self.fc_yaw = nn.Linear(width, config.pose_bins)
        self.fc_roll = nn.Linear(width, config.pose_bins)
        self.fc_t = nn.Linear(width, 3)
        self.fc_exp = nn.Linear(width, 3 * config.keypoints)


class MotionExtractor(nn.Module):
    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        self.detector = MotionNetwork(config)

    def forward(self, images: Tensor) -> tuple[HeadMotion, Tensor]:
        """The head motion of images [N,3,H,W] and the logits [N,3,bins] of pitch, yaw and roll."""
        net = self.detector
        x = net(images)
        bins = torch.stack([net.fc_pitch(x), net.fc_yaw(x), net.fc_roll(x)], dim=1).float()
        motion = HeadMotion(
            canonical=net.fc_kp(x).float().unflatten(-1, (-1, 3)),
            rotation=rotation_matrices(pose_degrees(bins)),
            expression=net.fc_exp(x).float().unflatten(-1, (-1, 3)),
            scale=net.fc_scale(x).float(),
            translation=net.fc_t(x).float(),
        )
        return motion, bins


class VolumeDecoder(Decoder):
    folds = (("conv", "norm"),)

    def __init__(self, config: HourglassConfig) -> None:
        super().__init__(config, nn.BatchNorm3d, axes=3)
        self.conv = nn.Conv3d(config.outputs, config.outputs, 3, padding=1)
        self.norm = nn.BatchNorm3d(config.outputs)


class VolumeHourglass(Hourglass):
    """An hourglass over volumes that ends with one more convolution."""

    def __init__(self, config: HourglassConfig) -> None:
        super().__init__(config, nn.BatchNorm3d, axes=3)
        self.decoder = VolumeDecoder(config)

    def forward(self, x: Tensor) -> list[Tensor]:
        last = super().forward(x)[-1]
        return [F.relu_(self.decoder.norm(self.decoder.conv(last)))]


class DenseMotionNetwork(nn.Module):
    folds = (("compress", "norm"),)

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        channels = config.motion.outputs
        self.candidates = config.keypoints + 1
        self.depth = config.depth
        self.compress = nn.Conv3d(config.channels, config.compressed, 1)
        self.norm = nn.BatchNorm3d(config.compressed)
        self.hourglass = VolumeHourglass(config.motion)
        self.mask = nn.Conv3d(channels, self.candidates, 7, padding=3)
        self.occlusion = nn.Conv2d(channels * config.depth, 1, 7, padding=3)

    def fold(self) -> None:
        """Rounds up the channels of the last volume (142 in the public model) and of the logits."""
        last = self.hourglass.decoder.conv
        if not isinstance(last, nn.Conv3d):  # folded before
            return
        spare = spare_lanes(last.out_channels)
        widen(last, outputs=spare)
        widen(self.mask, inputs=spare, outputs=spare_lanes(self.mask.out_channels))
        widen(self.occlusion, inputs=spare * self.depth)

    def compressed(self, volumes: Tensor) -> Tensor:
        """[R,C,D,h,w] -> [R,c,D,h,w]; depends on the reference only."""
        return F.relu_(self.norm(self.compress(volumes)))

    def inputs(self, compressed: Tensor, reference: Tensor, driving: Tensor) -> Tensor:
        """[T,R,(K+1)(1+c),D,h,w]: per candidate its heat map and the features it samples."""
        size = compressed.shape[2:]
        heat = heat_maps(driving, size) - heat_maps(reference, size)  # [T,R,K,D,h,w]
        heat = F.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0))  # the background's is zero
        shifts = F.pad(reference - driving, (0, 0, 1, 0))  # [T,R,K+1,3]
        sampled = translated(compressed, shifts)  # [T,R,K+1,c,D,h,w]
        stacked = torch.cat([heat[:, :, :, None].to(sampled.dtype), sampled], dim=3)
        return stacked.flatten(2, 3)

    def forward(self, compressed: Tensor, reference: Tensor, driving: Tensor) -> LivePortraitMotion:
        """Volumes [R,c,D,h,w], keypoints [R,K,3] and [T,R,K,3].

        One reference after the other: the volumes of four at once take more than twice the memory.
        """
        ones = (slice(r, r + 1) for r in range(len(reference)))
        each = [self._of_one(compressed[one], reference[one], driving[:, one]) for one in ones]
        return LivePortraitMotion(*(torch.cat(parts, dim=1) for parts in zip(*each)))

    def _of_one(self, compressed: Tensor, reference: Tensor, driving: Tensor) -> LivePortraitMotion:
        inputs = self.inputs(compressed, reference, driving)
        pairs = inputs.shape[:2]
        x = self.hourglass(inputs.flatten(0, 1))[-1]
        logits = self.mask(x)[:, : self.candidates].float()
        contributions = logits.softmax(dim=1).unflatten(0, pairs)
        # Candidates are z - x_drv + x_ref, so their mixture is z plus a mixture of shifts.
        shifts = torch.einsum("trkdhw,trkc->trdhwc", contributions[:, :, 1:], reference - driving)
        deformation = coordinate_grid(compressed.shape[2:], driving.device) + shifts
        visibility = self.occlusion(x.flatten(1, 2)).sigmoid().unflatten(0, pairs)
        return LivePortraitMotion(contributions, deformation, visibility)


class WarpingModule(nn.Module):
    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotionNetwork(config)
        self.third = ConvBlock(config.channels * config.depth, config.warped, 3, nn.BatchNorm2d)
        self.fourth = nn.Conv2d(config.warped, config.warped, 1)

    def features(self, warped_volumes: Tensor) -> Tensor:
        """Warped volumes [T,R,C,D,h,w] -> [T,R,C',h,w], before visibility."""
        x = warped_volumes.flatten(2, 3).flatten(0, 1)
        x = F.leaky_relu_(self.third.norm(self.third.conv(x)), WARP_SLOPE)
        return self.fourth(x).unflatten(0, warped_volumes.shape[:2])


class KeypointMlp(nn.Module):
    """Linear layers with ReLU between, on flattened keypoints and ratios."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise(widths[:-1]):
            layers += [nn.Linear(a, b), nn.ReLU(inplace=True)]
        self.mlp = nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x.to(dtype_of(self))).float()


class LivePortrait(nn.Module):
    """The whole model. Images are [N,3,256,256] in [0,1]; decoded ones are [T,3,512,512]."""

    def __init__(self, config: LivePortraitConfig) -> None:
        super().__init__()
        self.config = config
        self.appearance_feature_extractor = AppearanceFeatureExtractor(config)
        self.motion_extractor = MotionExtractor(config)
        self.warping_module = WarpingModule(config)
        self.spade_generator = SpadeGenerator(config.decoder)
        self.retarget_shoulder = KeypointMlp(config.stitching) if config.stitching else None
        self.retarget_mouth = KeypointMlp(config.lip) if config.lip else None
        self.retarget_eye = KeypointMlp(config.eye) if config.eye else None

    def encode_motion(self, images: Tensor) -> HeadMotion:
        """Pose, expression and canonical keypoints of images [N,3,256,256], float32."""
        return self.motion_extractor(images.to(dtype_of(self)))[0]

    def encode_references(self, images: Tensor) -> LivePortraitReferences:
        """What `warp` needs of reference images [R,3,256,256], once per reference."""
        volumes = self.appearance_feature_extractor(images.to(dtype_of(self)))
        return LivePortraitReferences(volumes, self.warping_module.dense_motion_network.compressed(volumes))

    def warp(self, references: LivePortraitReferences, reference: Tensor, driving: Tensor) -> LivePortraitWarp:
        """Every reference warped to every frame: keypoints [R,K,3] and [T,R,K,3]."""
        motion = self.warping_module.dense_motion_network(references.compressed, reference, driving)
        features = self.warping_module.features(self.sample(references.volumes, motion.deformation))
        return LivePortraitWarp(features.mul_(motion.visibility), motion)

    def sample(self, volumes: Tensor, deformation: Tensor) -> Tensor:
        """Volumes [R,C,D,h,w] warped by a deformation [T,R,D,h,w,3], as [T,R,C,D,h,w]."""
        return sample_3d(volumes, deformation, align_corners=ALIGN_CORNERS)

    def decode(self, features: Tensor) -> Tensor:
        """Fused features [T,C,h,w] -> images [T,3,8h,8w] in [0,1]."""
        return self.spade_generator(features.to(dtype_of(self)))

    def stitch(self, reference: Tensor, driving: Tensor) -> Tensor:
        """Driving keypoints [T,R,K,3] corrected so that shoulders and neck stay; reference is [R,K,3].

        Raises CheckpointError where the checkpoint has no such network (`retarget_shoulder` is None).
        """
        delta = self.stitching_delta(reference, driving)
        offsets, shift = delta[..., :-2].unflatten(-1, (-1, 3)), delta[..., None, -2:]
        return driving + offsets + F.pad(shift, (0, 1))

    def stitching_delta(self, reference: Tensor, driving: Tensor) -> Tensor:
        """[T,R,3K+2]: an offset of every keypoint and one xy shift of all."""
        network = present(self.retarget_shoulder, "stitching")
        return network(torch.cat([reference.expand_as(driving).flatten(2), driving.flatten(2)], dim=-1))

    def eye_offsets(self, reference: Tensor, openness: Tensor) -> Tensor:
        """Keypoint offsets [R,K,3] that open or close the eyes of references [R,K,3].

        openness [R,3]: left and right of the reference, and the wanted one. Raises CheckpointError where the
        checkpoint has no such network (`retarget_eye` is None).
        """
        return _offsets(present(self.retarget_eye, "eye retargeting"), reference, openness)

    def lip_offsets(self, reference: Tensor, openness: Tensor) -> Tensor:
        """The same for the lips (`retarget_mouth`); openness [R,2]: of the reference, and the wanted one."""
        return _offsets(present(self.retarget_mouth, "lip retargeting"), reference, openness)


def _offsets(network: KeypointMlp, reference: Tensor, openness: Tensor) -> Tensor:
    return network(torch.cat([reference.flatten(1), openness.to(reference)], dim=-1)).unflatten(-1, (-1, 3))
