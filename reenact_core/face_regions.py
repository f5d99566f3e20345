"""Where eyes, mouth, skin, hair and background lie in a driving frame, and how unlike it a reference is in each.

Strategies that treat parts of the face apart (`attention`, `regional`) read both from the evidence.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from . import geometry
from .pose import DEGREES_PER_UNIT
from .tracking import canonical_mesh
from .types import Faces

REGIONS = ("eyes", "mouth", "skin", "hair", "background")  # the order of the axis G everywhere
MESH_POINTS = 468
# Landmarks around the openings of both eyes, and of the irises inside them.
RIGHT_LIDS = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_LIDS = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_IRIS, LEFT_IRIS = (468, 469, 470, 471, 472), (473, 474, 475, 476, 477)
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
# Upper and lower points of the inner lips that meet, from the middle outwards; the first five tell the opening.
LIP_PAIRS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (80, 88), (310, 318), (191, 95), (415, 324))
MIDDLE_LIPS = LIP_PAIRS[:5]
LIP_CORNERS = (78, 308)  # of the inner lips
# Points of the head that expressions hardly move: forehead, nose bridge, temples, cheek bones.
STEADY = (10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 127, 356, 234, 454)
EYE_REACH, MOUTH_REACH = 1.7, 1.35  # regions are this much larger than lids and lips: their folds move with them
# Half axes of head with hair, and how far its centre lies above the face's, in face heights.
HEAD_WIDTH, HEAD_HEIGHT, HEAD_LIFT = 0.66, 0.8, 0.18
# Mean displacement of a region's landmarks on the face that one clearly sees, in face heights.
VISIBLE = {"eyes": 0.012, "mouth": 0.03}
TURN_SHARE = 0.4  # how much turning the head counts for eyes and mouth, against skin and hair
SUBPIXEL = 4  # bits
EXACT = "donot_use_mm_for_euclid_dist"


def region_maps(landmarks: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Soft masks [T,5,size,size] of REGIONS over the box of each frame; they sum to 1.

    Eyes and mouth are the landmarks' hulls, a little enlarged; skin is the rest of the mesh; hair is the rest of an
    ellipse around the head, ears included; all else, neck and clothes too, is background.

    Args:
        landmarks: [T,478,3] in pixels of the canvas. boxes: [T,3] left, top, side on it.
    """
    local = (landmarks[..., :2] - boxes[:, None, :2]) / boxes[:, None, 2:] * size
    local = local.clamp(-8 * size, 8 * size).float().cpu()
    shapes = torch.from_numpy(np.stack([_shapes(points.numpy(), size) for points in local]))  # [T,4,size,size]
    eyes, mouth, face, head = shapes.unbind(1)
    face, head = torch.maximum(face, mouth), torch.maximum(head, face)
    mouth = mouth * (1 - eyes)
    skin = (face - eyes - mouth).clamp_min(0)
    hair = (head - eyes - mouth - skin).clamp_min(0)
    background = (1 - eyes - mouth - skin - hair).clamp_min(0)
    maps = torch.stack([eyes, mouth, skin, hair, background], 1)
    return maps / maps.sum(1, keepdim=True)


def region_differences(driving: Faces, reference: Faces) -> Tensor:
    """How unlike each driving frame each reference is in each region: [T,R,5] >= 0, in units of visible difference.

    With a = angle between the directions from which the camera sees the two heads / 12 degrees, and for eyes and mouth
    d = mean displacement of the region's landmarks, each head turned upright first, / what one clearly sees:

        eyes, mouth   sqrt(d^2 + (0.4 a)^2)
        skin, hair    a
        background    0
    """
    # Where the camera is, seen from the head: rolling the head turns the picture without hiding anything.
    chord = torch.cdist(driving.rotation[:, 2].float(), reference.rotation[:, 2].float(), compute_mode=EXACT)
    turn = torch.rad2deg(2 * torch.asin((chord / 2).clamp(0, 1))) / DEGREES_PER_UNIT
    upright = _upright(torch.cat([driving.landmarks, reference.landmarks]))
    shape, other = upright[: len(driving.score)], upright[len(driving.score) :]
    parts = []
    for name, points in (
        ("eyes", (*RIGHT_LIDS, *LEFT_LIDS, *RIGHT_IRIS, *LEFT_IRIS)),
        ("mouth", (*OUTER_LIPS, *INNER_LIPS)),
    ):
        moved = (shape[:, None, points] - other[None, :, points]).norm(dim=-1).mean(-1) / VISIBLE[name]
        parts.append((moved.square() + (TURN_SHARE * turn).square()).sqrt())
    return torch.stack([*parts, turn, turn, torch.zeros_like(turn)], -1)


def _upright(landmarks: Tensor) -> Tensor:
    """Landmarks [N,478,2] of the face seen from the front, in face heights.

    The landmarks' own depth is the least certain of the three coordinates, so it is left out after the turn.
    """
    canonical = canonical_mesh()[0]
    height = (canonical[10] - canonical[152]).norm()
    steady = canonical[list(STEADY)].expand(len(landmarks), -1, -1)
    onto = geometry.fit_similarity(landmarks[:, list(STEADY)], steady)
    return geometry.apply_affine(onto, landmarks.float())[..., :2] / height


def _shapes(points: np.ndarray, size: int) -> np.ndarray:
    """Eyes, mouth, face and head [4,size,size] in 0..1 of landmarks [478,2] in pixels of that picture."""
    eyes = [_grown(points[list(lids)], EYE_REACH) for lids in (RIGHT_LIDS, LEFT_LIDS)]
    mesh = points[:MESH_POINTS]
    drawn = (eyes, [_grown(points[list(OUTER_LIPS)], MOUTH_REACH)], [mesh], [_head(mesh)])
    return np.stack([_fill(outlines, size) for outlines in drawn])


def _grown(points: np.ndarray, factor: float) -> np.ndarray:
    """Points [P,2] moved away from their centre, by at least as much across as along: closed lids are a line."""
    offset = points - points.mean(0)
    reach = np.linalg.norm(offset, axis=1).max()
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    disc = np.stack([np.cos(angles), np.sin(angles)], 1) * reach * (factor - 1)
    return (points[:, None] + disc).reshape(-1, 2)


def _head(mesh: np.ndarray) -> np.ndarray:
    """An ellipse [P,2] around head and hair, upright along the face."""
    height = np.linalg.norm(mesh[152] - mesh[10])
    down = (mesh[152] - mesh[10]) / max(height, 1e-3)
    right = np.array([down[1], -down[0]])
    # A nodding or turned head is as large as before: the larger of the two extents is the better measure.
    height = max(height, np.ptp(mesh @ right))
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)[:, None]
    centre = mesh.mean(0) - HEAD_LIFT * height * down
    return centre + height * (HEAD_WIDTH * np.cos(angles) * right + HEAD_HEIGHT * np.sin(angles) * down)


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Points [P,2] in pixels as OpenCV draws them with SUBPIXEL bits: whole numbers, from the first pixel's centre."""
    return np.round((points - 0.5) * (1 << SUBPIXEL)).astype(np.int32)


def _fill(outlines: list[np.ndarray], size: int) -> np.ndarray:
    """Convex hulls of points, filled: [size,size] float32 in 0..1 with soft edges."""
    mask = np.zeros((size, size), np.uint8)
    for points in outlines:
        cv2.fillConvexPoly(mask, cv2.convexHull(fixed_point(points)), 255, cv2.LINE_AA, SUBPIXEL)
    return cv2.blur(mask, (3, 3)).astype(np.float32) / 255
