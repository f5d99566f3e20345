"""The hyper-parameters of LivePortrait, read from the shapes of its tensors."""

from __future__ import annotations

from dataclasses import dataclass

from .backbones import ConvNeXtConfig
from .layers import HourglassConfig
from .shapes import Shapes, blocks, hourglass
from .spade import SpadeConfig


@dataclass(frozen=True)
class LivePortraitConfig:
    keypoints: int
    widths: tuple[int, ...]  # appearance channels: first block, then each down block
    channels: int  # of the appearance volume
    depth: int  # of the appearance volume
    volume_blocks: int
    motion_extractor: ConvNeXtConfig
    pose_bins: int
    compressed: int  # channels
    motion: HourglassConfig
    warped: int  # channels of the warping module's output
    decoder: SpadeConfig
    stitching: tuple[int, ...] | None  # MLP widths, input to output; None = the file has none
    lip: tuple[int, ...] | None
    eye: tuple[int, ...] | None

    @classmethod
    def from_shapes(cls, shapes: Shapes) -> LivePortraitConfig:
        """The configuration of a checkpoint; raises CheckpointError where its shapes make no sense."""
        appearance, dense = "appearance_feature_extractor", "warping_module.dense_motion_network"
        down = blocks(shapes, appearance + ".down_blocks.{}.conv.weight", 4)
        residual = blocks(shapes, appearance + ".resblocks_3d.3dr{}.conv1.weight", 5)
        channels = residual[0][0]
        return cls(
            keypoints=shapes.dims("motion_extractor.detector.fc_kp.weight", 2)[0] // 3,
            widths=(shapes.dims(appearance + ".first.conv.weight", 4)[0], *(size[0] for size in down)),
            channels=channels,
            depth=shapes.dims(appearance + ".second.weight", 4)[0] // channels,
            volume_blocks=len(residual),
            motion_extractor=ConvNeXtConfig.from_shapes(shapes, "motion_extractor.detector"),
            pose_bins=shapes.dims("motion_extractor.detector.fc_yaw.weight", 2)[0],
            compressed=shapes.dims(dense + ".compress.weight", 5)[0],
            motion=hourglass(shapes, dense + ".hourglass", 5),
            warped=shapes.dims("warping_module.fourth.weight", 4)[0],
            decoder=SpadeConfig.from_shapes(shapes),
            stitching=_mlp_widths(shapes, "retarget_shoulder"),
            lip=_mlp_widths(shapes, "retarget_mouth"),
            eye=_mlp_widths(shapes, "retarget_eye"),
        )


def _mlp_widths(shapes: Shapes, part: str) -> tuple[int, ...] | None:
    layers = []
    while f"{part}.mlp.{2 * len(layers)}.weight" in shapes:
        layers.append(shapes.dims(f"{part}.mlp.{2 * len(layers)}.weight", 2))
    return (layers[0][1], *(layer[0] for layer in layers)) if layers else None
