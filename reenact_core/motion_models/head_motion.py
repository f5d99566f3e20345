"""Head motion of LivePortrait: pose, expression, canonical keypoints, and how those of two people combine.

https://arxiv.org/abs/2407.03168. Keypoints are s (x R + e) + t of scale s, canonical keypoints x, rotation R,
expression e and translation t. All in float32. Points are row vectors: a rotated point is x R.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import torch
from torch import Tensor

DEGREES_PER_BIN = 3.0
FIRST_BIN_DEGREES = -97.5

# What each implicit keypoint has learned to move; found by the authors of the released code.
EYE_KEYPOINTS = (11, 13, 15, 16, 18)
LIP_KEYPOINTS = (6, 12, 14, 17, 19, 20)
# Coordinates (keypoint, xyz) an absolute transfer takes from the driving frame.
EXPRESSIVE = (
    *((k, axis) for k in (1, 2, 6, *range(11, 21)) for axis in (0, 1, 2)),
    *((k, 1) for k in (3, 4, 9)),
    *((k, 2) for k in (5, 8, 9)),
)


class Region(enum.Enum):
    """The part of the driving motion that is transferred."""

    ALL = "all"
    POSE = "pose"
    EXPRESSION = "expression"
    LIPS = "lips"
    EYES = "eyes"


class HeadMotion(NamedTuple):
    """What the motion extractor sees in N images; `keypoints` makes keypoints of it."""

    canonical: Tensor  # [N,K,3] keypoints of the neutral, frontal head
    rotation: Tensor  # [N,3,3]
    expression: Tensor  # [N,K,3] offsets
    scale: Tensor  # [N,1]
    translation: Tensor  # [N,3]; z is predicted and never used


def pose_degrees(bins: Tensor) -> Tensor:
    """Pitch, yaw and roll [N,3] in degrees: the expected bin of logits [N,3,bins]."""
    centers = torch.arange(bins.shape[-1], device=bins.device, dtype=bins.dtype)
    return bins.softmax(dim=-1) @ centers * DEGREES_PER_BIN + FIRST_BIN_DEGREES


def rotation_matrices(degrees: Tensor) -> Tensor:
    """(R_z(roll) R_y(yaw) R_x(pitch))^T [N,3,3] of pitch, yaw and roll [N,3] in degrees."""
    (cx, cy, cz), (sx, sy, sz) = degrees.deg2rad().cos().unbind(-1), degrees.deg2rad().sin().unbind(-1)
    rows = [
        [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz],
        [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz],
        [-sy, sx * cy, cx * cy],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2).mT


def keypoints(motion: HeadMotion) -> Tensor:
    """[N,K,3]: scale * (canonical R + expression) + (tx, ty, 0)."""
    return _place(motion.canonical, motion.rotation, motion.expression, motion.scale, motion.translation)


def compose_absolute(reference: HeadMotion, driving: HeadMotion, region: Region) -> Tensor:
    """The references with the pose and expression of the driving frames: keypoints [T,R,K,3].

    reference has axis R, driving axis T.
    """
    mixed = {
        Region.ALL: _expressive_mask(reference),
        Region.EXPRESSION: _expressive_mask(reference),
        Region.LIPS: _keypoint_mask(reference, LIP_KEYPOINTS),
        Region.EYES: _keypoint_mask(reference, EYE_KEYPOINTS),
        Region.POSE: _keypoint_mask(reference, ()),
    }[region]
    expression = torch.where(mixed, driving.expression[:, None], reference.expression)
    rotation, translation = reference.rotation, reference.translation
    if region in (Region.ALL, Region.POSE):
        rotation, translation = driving.rotation[:, None], driving.translation[:, None]
    return _place(reference.canonical, rotation, expression, reference.scale, translation)


def compose_relative(reference: HeadMotion, driving: HeadMotion, initial: HeadMotion, region: Region) -> Tensor:
    """The references moved as the driving frames moved since the initial one: keypoints [T,R,K,3].

    reference has axis R, driving axis T, initial axis 1.
    """
    change = (driving.expression - initial.expression)[:, None]  # [T,1,K,3]
    if region is Region.POSE:
        change = torch.zeros_like(change)
    elif region in (Region.LIPS, Region.EYES):
        moving = LIP_KEYPOINTS if region is Region.LIPS else EYE_KEYPOINTS
        change = change * _keypoint_mask(reference, moving)
    rotation, translation, scale = reference.rotation, reference.translation, reference.scale
    if region in (Region.ALL, Region.POSE):
        rotation = (driving.rotation @ initial.rotation.mT)[:, None] @ reference.rotation
        translation = translation + (driving.translation - initial.translation)[:, None]
    if region is Region.ALL:
        scale = scale * (driving.scale / initial.scale)[:, None]
    return _place(reference.canonical, rotation, reference.expression + change, scale, translation)


def _place(canonical: Tensor, rotation: Tensor, expression: Tensor, scale: Tensor, translation: Tensor) -> Tensor:
    flat = torch.cat([translation[..., :2], torch.zeros_like(translation[..., 2:])], dim=-1)
    return scale[..., None] * (canonical @ rotation + expression) + flat[..., None, :]


def _keypoint_mask(motion: HeadMotion, which: tuple[int, ...]) -> Tensor:
    """[K,3] bool, True for the keypoints named."""
    mask = torch.zeros(motion.expression.shape[-2:], dtype=torch.bool, device=motion.expression.device)
    mask[list(which)] = True
    return mask


def _expressive_mask(motion: HeadMotion) -> Tensor:
    mask = _keypoint_mask(motion, ())
    mask[tuple(zip(*EXPRESSIVE))] = True
    return mask
