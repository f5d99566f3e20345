"""Resting faces: for motion without a video, and taking a person's own expression out of what relative motion adds."""

from __future__ import annotations

import logging
from fractions import Fraction

import torch
from torch import Tensor

from .. import geometry
from ..errors import FaceError
from ..motion import encode_motion
from ..motion_models.base import MotionModel
from ..motion_models.mesh_flows import RIGID, face_height
from ..tracking import BLENDSHAPE_NAMES, FaceTracker, canonical_mesh
from ..types import DrivingMotion, Faces
from .basis import SHAPES, expression_basis
from .deform import deform
from .expression import without_code

log = logging.getLogger(__name__)

CANVAS = (512, 512)
RATE = Fraction(25)  # frames per second of a motion that has one frame
HEIGHT = 0.45  # of the face, as a share of the canvas
# What a resting face reads as is no expression; only what exceeds it is taken away.
READ_AT_REST = 0.1
# Shapes whose reading says little about the face, or that belong to pose and gaze.
KEPT = ("eyeLook", "eyeBlink", "eyeSquint", "eyeWide", "mouthPress", "mouthRoll", "mouthShrug", "jawForward")


def canonical_face(canvas: tuple[int, int] = CANVAS) -> Faces:
    """The canonical face (axis 1) that looks into the camera from the middle of a canvas (H, W)."""
    vertices, _ = canonical_mesh()
    places = expression_basis().places
    scale = face_height(vertices[None]) / face_height(places[None])
    eyes = [33, 133, 362, 263]
    irises = places[468:] * scale + vertices[eyes].mean(0) - places[eyes].mean(0) * scale
    points = torch.cat([vertices, irises])
    points = (points - points.mean(0)) * (HEIGHT * min(canvas) / face_height(vertices[None]))
    return Faces(
        landmarks=(points + torch.tensor([canvas[1] / 2, canvas[0] / 2, 0.0]))[None],
        blendshapes=torch.zeros(1, len(BLENDSHAPE_NAMES)),
        rotation=torch.eye(3)[None],
        score=torch.ones(1),
        found=torch.ones(1, dtype=torch.bool),
    )


def relaxed(face: Faces, amount: float = 1.0, frontal: bool = False) -> Faces:
    """The face (axis 1) with the expression that was read in it taken away, and turned to the camera if `frontal`."""
    calm = deform(face, -amount * _expression(face), torch.zeros(1, 3), face)
    if frontal:
        rigid = list(RIGID)
        fit = geometry.fit_similarity(canonical_mesh()[0][None, rigid], calm.landmarks[:, rigid])
        _, rotation, _ = geometry.split_similarity(fit)
        centre = calm.landmarks[:, rigid].mean(1, keepdim=True)
        landmarks = (calm.landmarks - centre) @ rotation + centre  # row vectors: this turns back
        calm = calm._replace(landmarks=landmarks, rotation=torch.eye(3)[None])
    return calm


def neutralise(motion: DrivingMotion, face: Faces, amount: float = 1.0) -> DrivingMotion:
    """Motion that starts from rest although the first reference, whose face (axis 1) is given, does not.

    Relative motion adds to that face what changes since the neutral frame. Here the neutral frame is given the
    expression of the face, so that this much less is added: where the driving face rests, the person does.
    Amount 0 changes nothing.
    """
    amounts = amount * _expression(face)
    if not amounts.any():
        return motion
    neutral = deform(motion.neutral, amounts, torch.zeros(1, 3), motion.neutral)
    return without_code(motion)._replace(neutral=neutral, floating=False)


def resting_motion(face: Faces, canvas: tuple[int, int], count: int, frame_rate: Fraction) -> DrivingMotion:
    """`count` frames in which the face (axis 1) does nothing."""
    if not face.found[0]:
        raise FaceError("The face that shall move was not found in its picture. Use another picture.")
    still = Faces(*(field.expand(count, *field.shape[1:]) for field in face))
    return DrivingMotion(still, canvas, frame_rate, face)


def _expression(face: Faces) -> Tensor:
    """What is read in a face beyond what a resting one reads as: [1,51]."""
    read = (face.blendshapes[:, 1:] - READ_AT_REST).clamp_min(0) / (1 - READ_AT_REST)
    said = torch.tensor([not name.startswith(KEPT) for name in SHAPES])
    return read * said


def motion_of_image(
    image: Tensor, tracker: FaceTracker, model: MotionModel | None = None, face_index: int | None = None
) -> DrivingMotion:
    """The pose and expression of one picture [3,H,W] in [0,1], as motion of one frame.

    It counts from the same face at rest and looking into the camera, as far as its own expression can be told.

    Raises:
        FaceError: the picture shows no face, or not so many.
    """
    motion = encode_motion([image[None]], RATE, tracker, model, face_index, smooth=False)
    if motion.code is not None:
        log.warning("A model with a motion code of its own cannot tell rest in one picture: use absolute motion.")
    return motion._replace(neutral=relaxed(motion.faces, frontal=True), floating=False)
