"""LivePortrait as a motion model: references fused at the warping module's output, or as warped volumes.

https://arxiv.org/abs/2407.03168; `live_portrait.py` has the networks, `head_motion.py` the algebra. The released
relative mode drops the head's pose when it retargets eyes or lips; here the offsets are added to the driven
keypoints, and the driving expression leaves alone what is retargeted.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..types import Faces
from .checkpoint_model import CheckpointModel, CheckpointReferences, DrivingCodes, Warp
from .crops import Framing
from .head_motion import (
    EYE_KEYPOINTS,
    LIP_KEYPOINTS,
    HeadMotion,
    Region,
    compose_absolute,
    compose_relative,
    keypoints,
)
from .layers import dtype_of
from .live_portrait import ALIGN_CORNERS, LivePortrait, LivePortraitReferences
from .shapes import present

log = logging.getLogger(__name__)

# Landmarks (upper, lower, one corner, other corner) whose distances make an opening.
EYE_OPENINGS = ((159, 145, 33, 133), (386, 374, 362, 263))
LIP_OPENING = (13, 14, 61, 291)


@dataclass(frozen=True)
class LivePortraitSettings:
    """What the released code offers as options."""

    stitching: bool = field(
        default=True, metadata={"tooltip": "Correct the driven head so that neck and shoulders stay where they are."}
    )
    eyes: bool = field(
        default=False, metadata={"tooltip": "Open and close the eyes by the driving eyes' opening (eye retargeting)."}
    )
    lips: bool = field(
        default=False, metadata={"tooltip": "Open and close the lips by the driving lips' opening (lip retargeting)."}
    )
    region: Region = field(default=Region.ALL, metadata={"tooltip": "The part of the driving motion to transfer."})
    fuse_volumes: bool = field(
        default=False,
        metadata={
            "tooltip": "Fuse references as warped volumes, before the warping module makes feature maps of them."
        },
    )


class LivePortraitModel(CheckpointModel):
    """Head motion as motion code, [N,6K+13]."""

    name = "live_portrait"
    title = "LivePortrait"
    reference_framing = Framing(extent=2.3, lift=0.125, forehead=False)
    driving_framing = Framing(extent=2.2, lift=0.1, forehead=False)
    beyond = "constant"
    magnification = 2
    pair_bytes = 192 << 20
    align_corners = ALIGN_CORNERS
    network: LivePortrait

    def __init__(self, network: LivePortrait, settings: LivePortraitSettings | None = None) -> None:
        """Raises CheckpointError where the checkpoint lacks a network for retargeting that is asked for."""
        super().__init__(network)
        self.settings = settings or LivePortraitSettings()
        if self.settings.eyes:
            present(network.retarget_eye, "eye retargeting")
        if self.settings.lips:
            present(network.retarget_mouth, "lip retargeting")
        self.stitches = self.settings.stitching and network.retarget_shoulder is not None
        if self.settings.stitching and not self.stitches:
            log.warning("The checkpoint has no network for stitching: neck and shoulders may move with the head.")

    def motion_code(self, crops: Tensor) -> Tensor:
        return torch.cat([part.flatten(1) for part in self.network.encode_motion(crops)], dim=1)

    def appearance(self, crops: Tensor) -> Any:
        return self.network.encode_references(crops)

    def warp_network(self, encoded: CheckpointReferences, driving: DrivingCodes) -> Warp:
        own: LivePortraitReferences = encoded.network
        reference = keypoints(_head_motion(encoded.code))
        driven = self.driven_keypoints(encoded, driving).expand(-1, len(reference), -1, -1)
        if not self.settings.fuse_volumes:
            features, motion = self.network.warp(own, reference, driven)
            return Warp(features, motion.visibility, motion.deformation[..., :2].mean(2))
        motion = self.network.warping_module.dense_motion_network(own.compressed, reference, driven)
        volumes = self.network.sample(own.volumes, motion.deformation).flatten(2, 3)
        return Warp(volumes, motion.visibility, motion.deformation[..., :2].mean(2), (motion.visibility,))

    def paint(self, features: Tensor, levels: tuple[Tensor, ...] | None) -> Tensor:
        if levels is not None:
            volumes = features.unflatten(1, (-1, self.network.config.depth)).to(dtype_of(self.network))
            features = self.network.warping_module.features(volumes[:, None])[:, 0] * levels[0]
        return self.network.decode(features)

    def driven_keypoints(self, encoded: CheckpointReferences, driving: DrivingCodes) -> Tensor:
        """Keypoints [T,1,K,3] of the first reference in the driving motion, retargeted and stitched."""
        settings = self.settings
        first, moved, initial = map(_head_motion, (encoded.code[:1], driving.code, driving.neutral))
        retargeted = [*EYE_KEYPOINTS] * settings.eyes + [*LIP_KEYPOINTS] * settings.lips
        if retargeted:
            expression = moved.expression.clone()
            expression[:, retargeted] = (initial if driving.relative else first).expression[:, retargeted]
            moved = moved._replace(expression=expression)
        if driving.relative:
            driven = compose_relative(first, moved, initial, settings.region)
        else:
            driven = compose_absolute(first, moved, settings.region)
        own = keypoints(first)
        each, face = own.expand(len(driven), -1, -1), encoded.faces.at([0])
        if settings.eyes:
            wanted = eye_openness(driving.faces).mean(1, keepdim=True)
            openness = torch.cat([eye_openness(face).expand(len(wanted), -1), wanted], dim=1)
            driven = driven + self.network.eye_offsets(each, openness)[:, None]
        if settings.lips:
            wanted = lip_openness(driving.faces)
            openness = torch.cat([lip_openness(face).expand(len(wanted), -1), wanted], dim=1)
            driven = driven + self.network.lip_offsets(each, openness)[:, None]
        return self.network.stitch(own, driven) if self.stitches else driven


def eye_openness(faces: Faces) -> Tensor:
    """Height / width of both eyes, [N,2]."""
    return torch.stack([_opening(faces, points) for points in EYE_OPENINGS], dim=1)


def lip_openness(faces: Faces) -> Tensor:
    """Height / width of the gap between the lips, [N,1]."""
    return _opening(faces, LIP_OPENING)[:, None]


def _opening(faces: Faces, points: tuple[int, int, int, int]) -> Tensor:
    upper, lower, corner, other = (faces.landmarks[:, point, :2] for point in points)
    return (upper - lower).norm(dim=1) / (corner - other).norm(dim=1).clamp_min(1e-6)


def _head_motion(code: Tensor) -> HeadMotion:
    """Motion codes [N,6K+13] as head motion."""
    points = (code.shape[1] - 13) // 2
    canonical, rotation, expression, scale, translation = code.split([points, 9, points, 1, 3], dim=1)
    return HeadMotion(
        canonical.unflatten(1, (-1, 3)),
        rotation.unflatten(1, (3, 3)),
        expression.unflatten(1, (-1, 3)),
        scale,
        translation,
    )
