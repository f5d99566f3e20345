"""The public models, each described by what its checkpoints look like. A new one is one more entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from .first_order import FirstOrder, FirstOrderConfig
from .live_portrait import LivePortrait
from .live_portrait_config import LivePortraitConfig
from .shapes import Shapes
from .thin_plate import ThinPlate, ThinPlateConfig


@dataclass(frozen=True)
class Architecture:
    """How to recognise a model's tensors and build it. A checkpoint's keys are "part.key"."""

    name: str
    title: str
    marks: Mapping[str, int]  # tensors only this model has, with their number of axes
    parts: tuple[str, ...]  # the networks; everything else in a file is ignored
    config: Callable[[Shapes], Any]
    build: Callable[[Any], nn.Module]
    aliases: Mapping[str, str] = field(default_factory=dict)  # other names of the parts
    files: tuple[str, ...] = ()  # stems, where the model is published as several files


ARCHITECTURES = (
    Architecture(
        name="first_order",
        title="First Order Motion Model",
        marks={"generator.dense_motion_network.mask.weight": 4, "kp_detector.kp.weight": 4},
        parts=("kp_detector", "generator"),
        config=FirstOrderConfig.from_shapes,
        build=FirstOrder,
    ),
    Architecture(
        name="thin_plate",
        title="Thin-Plate Spline Motion Model",
        marks={"dense_motion_network.maps.weight": 4, "inpainting_network.final.weight": 4},
        parts=("kp_detector", "dense_motion_network", "inpainting_network", "bg_predictor", "avd_network"),
        config=ThinPlateConfig.from_shapes,
        build=ThinPlate,
    ),
    Architecture(
        name="live_portrait",
        title="LivePortrait",
        marks={
            "appearance_feature_extractor.second.weight": 4,
            "motion_extractor.detector.fc_kp.weight": 2,
            "warping_module.fourth.weight": 4,
            "spade_generator.fc.weight": 4,
        },
        parts=(
            "appearance_feature_extractor",
            "motion_extractor",
            "warping_module",
            "spade_generator",
            "retarget_shoulder",
            "retarget_mouth",
            "retarget_eye",
        ),
        config=LivePortraitConfig.from_shapes,
        build=LivePortrait,
        aliases={
            "retarget_shoulder_module": "retarget_shoulder",
            "retarget_mouth_module": "retarget_mouth",
            "retarget_eye_module": "retarget_eye",
        },
        files=(
            "appearance_feature_extractor",
            "motion_extractor",
            "warping_module",
            "spade_generator",
            "stitching_retargeting_module",
        ),
    ),
)
