"""How far apart two faces are in head pose and expression: for choosing references and comparing frames."""

from __future__ import annotations

import torch
from torch import Tensor

from .tracking import BLENDSHAPE_NAMES
from .types import Faces

# One unit of distance is a difference one clearly sees: so many degrees, or so much of an expression's full range.
DEGREES_PER_UNIT = 12.0
EXPRESSIONS = {
    "jawOpen": 0.25,
    "mouthSmileLeft": 0.4,
    "mouthSmileRight": 0.4,
    "mouthPucker": 0.5,
    "mouthFunnel": 0.3,
    "mouthUpperUpLeft": 0.4,
    "mouthLowerDownLeft": 0.4,
    "eyeBlinkLeft": 0.4,
    "eyeBlinkRight": 0.4,
    "browInnerUp": 0.5,
    "browDownLeft": 0.5,
    "eyeLookInLeft": 0.5,
    "eyeLookOutLeft": 0.5,
}


def euler_degrees(rotation: Tensor) -> Tensor:
    """Yaw, pitch, roll in degrees [N,3] of head rotations [N,3,3].

    Yaw > 0 turns the face to the image's right, pitch > 0 down, roll > 0 tilts clockwise as seen in the image.
    """
    forward = -rotation[:, :, 2]  # where the face points
    yaw = torch.atan2(forward[:, 0], -forward[:, 2])
    pitch = torch.asin(forward[:, 1].clamp(-1, 1))
    roll = torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0].abs().clamp_min(1e-6))
    upside_down = rotation[:, 1, 1] < 0  # the sign of [0,0] would say so too, but flips at profile views
    roll = torch.where(upside_down, torch.copysign(torch.full_like(roll, torch.pi), roll) - roll, roll)
    return torch.rad2deg(torch.stack([yaw, pitch, roll], 1))


def descriptor(faces: Faces) -> Tensor:
    """Pose and expression in units of visible difference: [N,3+E]."""
    index = [BLENDSHAPE_NAMES.index(name) for name in EXPRESSIONS]
    expression = faces.blendshapes[:, index] / torch.tensor(list(EXPRESSIONS.values()))
    return torch.cat([euler_degrees(faces.rotation) / DEGREES_PER_UNIT, expression], 1)


def pose_distance(driving: Faces, reference: Faces) -> Tensor:
    """Distance [T,R] >= 0 between each driving frame and each reference; 0 = same pose and expression."""
    return torch.cdist(descriptor(driving), descriptor(reference))


def expressiveness(faces: Faces) -> Tensor:
    """How far each frame is from a neutral, frontal face: [N] >= 0."""
    return descriptor(faces).norm(dim=1)
