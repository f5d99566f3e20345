"""How the camera followed the head, learned from references whose backgrounds are registered to each other.

In hand-held and panned videos the picture's frame moves with the person. Where the driving frames come from the same
camera as the references, the head's place then tells where the background is: each part of the head's movement (shift,
size, roll) is credited to the camera by one gain: 0 = the head moved before a still camera, 1 = the camera moved. One
reference says nothing about it; the more there are, the better the gains are known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .. import geometry
from ..types import DrivingMotion
from .mesh_flows import RIGID

RIGHT_EYE, LEFT_EYE = 33, 263  # outer corners
FACE_HEIGHT = 3.1  # forehead to chin, in units of the spread of the rigid points
SMALL = 0.04  # head movement, in face heights (or its logarithm, or radians), too small for one reference to teach from
TESTED = 3  # so many references show whether the gain holds for one that it was not learned from
STILL = 0.01  # camera movement, in the same units, that may be an error of measurement
WORTH = 0.85  # the gain has to predict references left out with at most this share of a still camera's error


# Motion of T frames -> affine maps [T,2,3] from each frame's pixels to those of the canvas on which the backgrounds of
# the references were laid, that show the same piece of background.
CameraMaps = Callable[[DrivingMotion], Tensor]


class Camera(NamedTuple):
    """Gains, and the head in the first reference as the canvas shows it."""

    gains: Tensor  # [4] 0..1 for x, y, logarithm of size, roll
    head: Tensor  # [4] x, y in pixels, logarithm of a size in pixels, roll in radians

    def maps(self, motion: DrivingMotion) -> Tensor:
        """`CameraMaps` of the heads on the canvas."""
        moved = (_head(motion.faces.landmarks) - self.head) * self.gains
        scale, cosine, sine = moved[:, 2].exp(), moved[:, 3].cos(), moved[:, 3].sin()
        linear = torch.stack([scale * cosine, -scale * sine, scale * sine, scale * cosine], 1).unflatten(1, (2, 2))
        anchor = self.head[:2, None]
        forward = torch.cat([linear, anchor + moved[:, :2, None] - linear @ anchor], 2)
        return geometry.invert_affine(forward)


def filmed_camera(motion: DrivingMotion) -> Tensor:
    """`CameraMaps` of driving frames in which the camera was followed."""
    assert motion.scene is not None
    assert motion.scene.camera is not None
    return motion.scene.camera


def learn_camera(landmarks: Tensor, seen: Tensor, registered: Tensor) -> Camera | None:
    """The camera of R references of one video, None where it stood still or nothing is known.

    Args:
        landmarks: [R,478,3] each in its own frame, canvas pixels.
        seen: [R,2,3] maps from pixels of the first frame to the same piece of background in each frame.
        registered: [R] bool, whether `seen` was measured; the first need not be.
    """
    heads = _head(landmarks)
    others = registered.clone()
    others[0] = False
    if not others.any():
        return None
    unit = FACE_HEIGHT * heads[0, 2].exp()
    anchor = heads[0, :2]
    linear = seen[:, :, :2]
    shift = (geometry.apply_affine(seen, anchor[None, None])[:, 0] - anchor) / unit
    size, roll = torch.linalg.det(linear).clamp_min(1e-6).log() / 2, torch.atan2(linear[:, 1, 0], linear[:, 0, 0])
    camera = torch.cat([shift, size[:, None], roll[:, None]], 1)[others]  # [K,4]
    head = heads - heads[0]
    head = torch.cat([head[:, :2] / unit, head[:, 2:]], 1)[others]  # [K,4]
    gains = torch.where(camera.abs().amax(0) > STILL, _gains(head, camera), 0)
    if len(head) >= TESTED:
        rest = ~torch.eye(len(head), dtype=torch.bool)
        missed = [(camera[k] - _gains(head[rest[k]], camera[rest[k]]) * head[k]).abs() for k in range(len(head))]
        gains = torch.where(torch.stack(missed).sum(0) < WORTH * camera.abs().sum(0), gains, 0)
    return Camera(gains, heads[0]) if bool((gains > 0).any()) else None


def _gains(head: Tensor, camera: Tensor) -> Tensor:
    """Least squares, drawn towards a still camera the more the fewer they are: gains [4] of movements [K,4]."""
    doubt = (SMALL / len(head)) ** 2
    return ((head * camera).sum(0) / (head.square().sum(0) + doubt)).clamp(0, 1)


def _head(landmarks: Tensor) -> Tensor:
    """Where heads [N,478,3] are, whatever the mouth does: x, y, logarithm of size, roll [N,4]."""
    points = landmarks[:, RIGID]
    centre = points.mean(1)
    size = (points - centre[:, None]).square().sum(2).mean(1).sqrt().clamp_min(1e-3)  # in 3-D: turns do not change it
    across = landmarks[:, LEFT_EYE] - landmarks[:, RIGHT_EYE]
    return torch.stack([centre[:, 0], centre[:, 1], size.log(), torch.atan2(across[:, 1], across[:, 0])], 1)
