"""What moves in a face, taken apart and put together again: head rotation, scale, shift, and the face's own shape.

Retargeting and editing both count motion from a neutral face, and both do it with `split` and `join`:
a similarity M_t takes the rigid points of the neutral face n to those of frame t; what it leaves over, M_t^-1(t) - n,
is the expression. `join(split(faces, neutral), neutral)` gives the faces' landmarks back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from . import geometry
from .motion_models.mesh_flows import RIGID
from .parameters import check_ranges, parameter
from .tracking import BLENDSHAPE_NAMES, canonical_mesh
from .types import Faces

# Points from which each part of the face spreads; what is nearest to the rest points moves with no part.
SEEDS = {
    "mouth": (0, 17, 13, 14, 61, 291, 37, 267, 84, 314, 40, 270, 91, 321, 164, 18, 152, 176, 400, 172, 397, 58, 288,
              202, 422, 57, 287, 212, 432, 192, 416),
    "eyes": (33, 133, 159, 145, 160, 144, 158, 153, 27, 23, 29, 25, 56, 26, 362, 263, 386, 374, 385, 380, 387, 373,
             257, 253, 259, 255, 286, 256),
    "brows": (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285, 9, 151, 10,
              104, 333, 68, 298),
    "rest": (168, 6, 197, 5, 4, 1, 48, 278, 50, 280, 117, 346, 123, 352, 127, 356, 234, 454, 205, 425, 162, 389),
}  # fmt: skip
SOFTNESS = 0.7  # centimetres on the canonical face over which one part fades into the next
IRISES = slice(468, 478)
# Which part a blendshape moves, by the beginning of its name; the others move with the whole expression only.
PREFIXES = {
    "mouth": ("mouth", "jaw", "cheekPuff"),
    "eyes": ("eyeBlink", "eyeSquint", "eyeWide"),
    "gaze": ("eyeLook",),
    "brows": ("brow",),
}
PARTS = tuple(PREFIXES)


class HeadChannels(NamedTuple):
    """The motion of T frames since a neutral face."""

    rotation: Tensor  # [T,3,3] turn of the head since the neutral face, in camera axes
    scale: Tensor  # [T] size of the head, in sizes of the neutral one
    shift: Tensor  # [T,3] movement in pixels of the point that is the neutral face's rigid centre
    expression: Tensor  # [T,478,3] change of the face's shape, in pixels and axes of the neutral face
    blendshapes: Tensor  # [T,52] change of the coefficients


@dataclass(frozen=True)
class Gains:
    """How much of each channel is kept, counted from the neutral frame."""

    yaw: float = parameter(1.0, -2.0, 3.0, "Turning left and right. 0 keeps the neutral frame's, 1 changes nothing.")
    pitch: float = parameter(1.0, -2.0, 3.0, "Nodding. 0 keeps the neutral frame's, 1 changes nothing.")
    roll: float = parameter(1.0, -2.0, 3.0, "Tilting to a shoulder. 0 keeps the neutral frame's, 1 changes nothing.")
    translation: float = parameter(1.0, -2.0, 3.0, "Movement of the head across the picture.")
    scale: float = parameter(1.0, -2.0, 3.0, "Movement towards the camera and away from it, seen as size.")
    expression: float = parameter(1.0, -2.0, 3.0, "The whole expression; the parts below count in addition.")
    mouth: float = parameter(1.0, -2.0, 3.0, "Mouth, jaw and chin.")
    eyes: float = parameter(1.0, -2.0, 3.0, "Eyelids and the skin around the eyes.")
    gaze: float = parameter(1.0, -2.0, 3.0, "Movement of the irises.")
    brows: float = parameter(1.0, -2.0, 3.0, "Brows and forehead.")

    def __post_init__(self) -> None:
        check_ranges(self, "Gains")


def split(faces: Faces, neutral: Faces) -> HeadChannels:
    """The channels of faces [T] since one neutral face (axis 1)."""
    rigid = list(RIGID)
    still = neutral.landmarks[:, rigid]
    moves = geometry.fit_similarity(still.expand(len(faces.landmarks), -1, -1), faces.landmarks[:, rigid])
    scale, rotation, _ = geometry.split_similarity(moves)
    centre = still.mean(1, keepdim=True)
    return HeadChannels(
        rotation=rotation,
        scale=scale,
        shift=(geometry.apply_affine(moves, centre) - centre)[:, 0],
        expression=geometry.apply_affine(geometry.invert_affine(moves), faces.landmarks) - neutral.landmarks,
        blendshapes=faces.blendshapes - neutral.blendshapes,
    )


def join(channels: HeadChannels, base: Faces) -> Tensor:
    """Landmarks [T,478,3] of the face `base` (axis 1) that moves as the channels say; no motion gives `base` itself."""
    centre = base.landmarks[:, list(RIGID)].mean(1, keepdim=True)
    shape = base.landmarks - centre + channels.expression
    turned = shape @ channels.rotation.transpose(1, 2) * channels.scale[:, None, None]
    return turned + centre + channels.shift[:, None]


def scale_channels(channels: HeadChannels, gains: Gains, resting: Tensor) -> HeadChannels:
    """The channels times their gains; `resting` [1,3,3] is the neutral head's rotation.

    Angles and not matrices are scaled, and the logarithm of the size: half the way to a head twice as large is one
    1.41 times as large. A channel with gain 1 is handed on untouched.
    """
    rotation, scale, shift = channels.rotation, channels.scale, channels.shift
    if not (gains.yaw == gains.pitch == gains.roll == 1):
        rotation = scale_turn(rotation @ resting, resting, gains) @ resting.transpose(1, 2)
    if gains.scale != 1:
        scale = scale**gains.scale
    if gains.translation != 1:
        shift = shift * gains.translation
    expression, blendshapes = channels.expression, channels.blendshapes
    part = torch.tensor([getattr(gains, name) for name in PARTS])
    if gains.expression != 1 or not (part == 1).all():
        points, coefficients = part_weights()
        expression = expression * (gains.expression * (1 + (part - 1) @ points))[:, None]
        blendshapes = blendshapes * (gains.expression * (1 + (part - 1) @ coefficients))
    return HeadChannels(rotation, scale, shift, expression, blendshapes)


def scale_turn(rotation: Tensor, resting: Tensor, gains: Gains) -> Tensor:
    """Head rotations [T,3,3] whose angles lie as far from those of `resting` [1,3,3] as the gains say."""
    start = head_angles(resting)
    change = torch.remainder(head_angles(rotation) - start + torch.pi, 2 * torch.pi) - torch.pi
    return rotation_of_angles(start + change * change.new_tensor([gains.yaw, gains.pitch, gains.roll]))


@cache
def part_weights() -> tuple[Tensor, Tensor]:
    """How much each landmark [4,478] and each blendshape [4,52] belongs to the parts of `PARTS`, in 0..1.

    The sum over the parts is at most 1; what is missing belongs to the rest of the face.
    """
    vertices = canonical_mesh()[0]
    distances = torch.stack([torch.cdist(vertices, vertices[list(seeds)]).amin(1) for seeds in SEEDS.values()])
    near = dict(zip(SEEDS, torch.softmax(-distances.square() / (2 * SOFTNESS**2), 0)))
    points = torch.zeros(len(PARTS), 478)
    coefficients = torch.zeros(len(PARTS), len(BLENDSHAPE_NAMES))
    for row, name in enumerate(PARTS):
        if name in near:
            points[row, : len(vertices)] = near[name]
        coefficients[row] = torch.tensor([float(shape.startswith(PREFIXES[name])) for shape in BLENDSHAPE_NAMES])
    points[PARTS.index("gaze"), IRISES] = 1
    return points, coefficients


def head_angles(rotation: Tensor) -> Tensor:
    """Yaw, pitch, roll in radians [N,3] of rotations [N,3,3] = turn, then nod, then tilt about the face's own axis.

    Yaw and pitch say where the nose points and are those of `pose.euler_degrees`: yaw > 0 to the image's right,
    pitch > 0 down. Roll is the twist about that direction, clockwise > 0. Profiles are no special case, only a face
    that looks straight up or down is.
    """
    forward = -rotation[:, :, 2]
    yaw = torch.atan2(forward[:, 0], -forward[:, 2])
    pitch = torch.asin(forward[:, 1].clamp(-1, 1))
    upright = rotation_of_angles(torch.stack([yaw, pitch, torch.zeros_like(yaw)], 1))
    twist = upright.transpose(1, 2) @ rotation
    return torch.stack([yaw, pitch, torch.atan2(twist[:, 1, 0], twist[:, 0, 0])], 1)


def rotation_of_angles(angles: Tensor) -> Tensor:
    """The inverse of `head_angles`: [N,3] radians to [N,3,3]."""
    (cy, cp, cr), (sy, sp, sr) = angles.cos().unbind(1), angles.sin().unbind(1)
    zero, one = torch.zeros_like(cy), torch.ones_like(cy)
    turn = torch.stack([cy, zero, -sy, zero, one, zero, sy, zero, cy], 1).unflatten(1, (3, 3))
    nod = torch.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], 1).unflatten(1, (3, 3))
    tilt = torch.stack([cr, -sr, zero, sr, cr, zero, zero, zero, one], 1).unflatten(1, (3, 3))
    return turn @ nod @ tilt


def carry_over(channels: HeadChannels, neutral: Faces, base: Faces) -> HeadChannels:
    """The channels counted from `neutral` as channels of another resting face, `base` (axis 1 each).

    The expression is turned and scaled from one head to the other, the shift scaled by the ratio of their sizes.
    """
    rigid = list(RIGID)
    onto = geometry.fit_similarity(neutral.landmarks[:, rigid], base.landmarks[:, rigid])
    ratio, _, _ = geometry.split_similarity(onto)
    return channels._replace(
        shift=channels.shift * ratio, expression=channels.expression @ onto[..., :3].transpose(1, 2)
    )
