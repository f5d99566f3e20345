"""From the driving person's motion to this person's: what turns "their" landmarks into "ours"."""

from __future__ import annotations

import torch

from . import geometry
from .motion_models.mesh_flows import RIGID
from .pose import pose_distance
from .types import DrivingMotion, Faces, References, Transfer

__all__ = ["Transfer", "retarget"]


def retarget(motion: DrivingMotion, references: References, transfer: Transfer) -> DrivingMotion:
    """The motion on the output canvas; with this person's own face shape where the transfer is relative.

    Relative, for driving frame t, neutral frame n and first reference r (all 3-D, in pixels):
    a similarity M_t takes n's rigid points to t's; what it leaves over, M_t^-1(t) - n, is the expression. Turned and
    scaled from n's head to r's it is added to r's own landmarks; then r's head is turned and scaled like M_t and
    shifted by M_t's shift of the head centre times the ratio of face sizes. With t = n the result is r itself.
    Unless the user chose n, it is the frame most like r in pose and expression, so that as little as possible has to be
    added to r.
    """
    if transfer is Transfer.ABSOLUTE:
        return motion
    if motion.floating:
        motion = _anchor(motion, references)
    driving, neutral, own = motion.faces, motion.neutral, references.faces.at([0])
    rigid = list(RIGID)
    moves = geometry.fit_similarity(
        neutral.landmarks[:, rigid].expand(len(driving.landmarks), -1, -1), driving.landmarks[:, rigid]
    )
    onto_own = geometry.fit_similarity(neutral.landmarks[:, rigid], own.landmarks[:, rigid])
    ratio, _, _ = geometry.split_similarity(onto_own)
    expression = geometry.apply_affine(geometry.invert_affine(moves), driving.landmarks) - neutral.landmarks
    shape = own.landmarks + expression @ onto_own[..., :-1].transpose(-1, -2)

    scale, rotation, _ = geometry.split_similarity(moves)
    centre_n = neutral.landmarks[:, rigid].mean(1, keepdim=True)
    centre_r = own.landmarks[:, rigid].mean(1, keepdim=True)
    shift = (geometry.apply_affine(moves, centre_n) - centre_n) * ratio[:, None, None]
    landmarks = (shape - centre_r) @ rotation.transpose(1, 2) * scale[:, None, None] + centre_r + shift

    faces = Faces(
        landmarks=landmarks,
        blendshapes=(own.blendshapes + driving.blendshapes - neutral.blendshapes).clamp(0, 1),
        rotation=rotation @ own.rotation,
        score=driving.score,
        found=driving.found,
    )
    image = references.images[0]
    canvas = (image.shape[-2], image.shape[-1])
    return motion._replace(faces=faces, canvas=canvas, neutral=own, transfer=transfer)


def _anchor(motion: DrivingMotion, references: References) -> DrivingMotion:
    """The motion with the frame most like the first reference as its neutral one."""
    distance = pose_distance(motion.faces, references.faces.at([0]))[:, 0]
    best = int(distance.masked_fill(~motion.faces.found, torch.inf).argmin())
    code = None if motion.code is None else motion.code[[best]]
    return motion._replace(neutral=motion.faces.at([best]), neutral_code=code)
