"""Faces with amounts of ARKit blendshapes added, and turned: the geometry of the expression editor."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..head_channels import head_angles, rotation_of_angles
from ..motion_models.mesh_flows import RIGID, face_height
from ..tracking import canonical_mesh
from ..types import Faces
from .basis import EYES, SHAPES, Eye, basis_of

PIVOT = (0.0, 0.45, 0.55)  # of the head, from the centre of its rigid points, in face heights: where the neck begins
LIPS = ((13, 82, 81, 80, 191, 312, 311, 310, 415), (14, 87, 178, 88, 95, 317, 402, 318, 324))  # inner, upper and lower
SKIN_SHARE = 0.5  # of a correction of a lid's edge that the skin beside it follows


def deform(faces: Faces, amounts: Tensor, turns: Tensor, rest: Faces) -> Faces:
    """The faces [T] with blendshapes added and the head turned; frames with zeros only stay as they are, bit by bit.

    Closing eyes meet exactly and lips do not cross, whatever the shape of the face.

    Args:
        amounts: [T,51] in the order of `SHAPES`; 1 is a full expression.
        turns: [T,3] yaw, pitch, roll in degrees, added to the head's own; the pivot is in the neck.
        rest: the resting face (axis 1), which tells how wide the eyes are.
    """
    changed = (amounts != 0).any(1) | (turns != 0).any(1)
    if not changed.any():
        return faces
    rigid = list(RIGID)
    mesh = canonical_mesh()[0]
    fit = geometry.fit_similarity(mesh[None, rigid].expand(len(faces.score), -1, -1), faces.landmarks[:, rigid])
    axes = fit[..., :3] * face_height(mesh[None])  # [T,3,3] head coordinates in face heights -> pixels
    moves = basis_of(rest.landmarks)
    blink = torch.tensor([SHAPES.index(f"eyeBlink{eye.side}") for eye in EYES])
    others = amounts.clone()
    others[:, blink] = 0

    def moved(shares: Tensor) -> Tensor:
        return faces.landmarks + torch.einsum("tk,kpc->tpc", shares, moves) @ axes.transpose(1, 2)

    landmarks, open_eyes = moved(amounts), moved(others)
    down = F.normalize(axes[:, :, 1], dim=-1)
    for eye, shape in zip(EYES, blink.tolist()):
        _close_lids(landmarks, faces.landmarks, open_eyes, eye, amounts[:, shape], down)
    _part_lips(landmarks, faces.landmarks, down)
    rotation = rotation_of_angles(head_angles(faces.rotation) + torch.deg2rad(turns))
    turn = rotation @ faces.rotation.transpose(1, 2)
    pivot = landmarks[:, rigid].mean(1) + (axes @ torch.tensor(PIVOT))
    landmarks = (landmarks - pivot[:, None]) @ turn.transpose(1, 2) + pivot[:, None]
    blendshapes = (faces.blendshapes + F.pad(amounts, (1, 0))).clamp(0, 1)
    return faces._replace(
        landmarks=torch.where(changed[:, None, None], landmarks, faces.landmarks),
        blendshapes=torch.where(changed[:, None], blendshapes, faces.blendshapes),
        rotation=torch.where(changed[:, None, None], rotation, faces.rotation),
    )


def _close_lids(landmarks: Tensor, before: Tensor, open_eyes: Tensor, eye: Eye, blink: Tensor, down: Tensor) -> None:
    """Moves the upper lid of `landmarks` [T,478,3], so that a blink [T] of 1 leaves no gap and half of one half.

    `before` are the landmarks without any change, `open_eyes` those without the blink; down [T,3] is the face's axis.
    """
    upper, lower = list(eye.upper), list(eye.lower)
    least = _gap(before, upper, lower, down).clamp_max(0)  # a tracker may see the lids cross by a hair
    wanted = torch.maximum(_gap(open_eyes, upper, lower, down), least)
    wanted = wanted * (1 - blink.clamp(0, 1))[:, None]
    now = _gap(landmarks, upper, lower, down)
    wanted = torch.where(blink[:, None] >= 0, wanted, torch.maximum(now, least))
    shift = (now - wanted)[..., None] * down[:, None]  # [T,7,3]
    landmarks[:, upper] += shift
    landmarks[:, list(eye.above)] += SKIN_SHARE * shift


def _part_lips(landmarks: Tensor, before: Tensor, down: Tensor) -> None:
    """Moves inner lips of `landmarks` that have crossed to where they meet."""
    upper, lower = map(list, LIPS)
    least = _gap(before, upper, lower, down).clamp_max(0)
    crossed = (least - _gap(landmarks, upper, lower, down)).clamp_min(0)[..., None] * down[:, None]
    landmarks[:, upper] -= crossed / 2
    landmarks[:, lower] += crossed / 2


def _gap(landmarks: Tensor, upper: list[int], lower: list[int], down: Tensor) -> Tensor:
    """How far below the upper points the lower ones lie, along the face: [T,P]."""
    return ((landmarks[:, lower] - landmarks[:, upper]) * down[:, None]).sum(-1)
