"""Motions for the tests: the canonical face turning, moving, opening its mouth."""

from __future__ import annotations

import math
from fractions import Fraction

import torch

from reenact_core.scene_features import SceneFeatures
from reenact_core.tracking import BLENDSHAPE_NAMES
from reenact_core.types import DrivingMotion, Faces, Scene

from ..faces import posed_faces, turned


def talking(count: int = 12, rate: int = 25, coded: bool = False) -> DrivingMotion:
    """`count` frames: one slow wave of a turn, a nod and a shift, quicker waves of the jaw; begins at rest."""
    parts = []
    for t in range(count):
        slow, quick = math.sin(2 * math.pi * t / 24), math.sin(2 * math.pi * t / 9)
        parts.append(
            posed_faces(
                [turned(25 * slow, 8 * quick, -10 * slow)], (250 + 20 * slow, 240), 180 + 20 * slow, abs(quick) / 8
            )
        )
    faces = Faces(*(torch.cat(fields) for fields in zip(*parts)))
    shapes = torch.zeros(count, len(BLENDSHAPE_NAMES))
    shapes[:, BLENDSHAPE_NAMES.index("jawOpen")] = torch.tensor(
        [abs(math.sin(2 * math.pi * t / 9)) for t in range(count)]
    )
    faces = faces._replace(blendshapes=shapes, score=torch.linspace(0.5, 1, count))
    code = torch.arange(count * 3).float().view(count, 3) if coded else None
    camera = torch.eye(2, 3).repeat(count, 1, 1)
    camera[:, 0, 2] = torch.arange(count) * 3.0
    return DrivingMotion(
        faces,
        (480, 500),
        Fraction(rate),
        faces.at([0]),
        code=code,
        neutral_code=None if code is None else code[:1],
        scene=Scene(camera, SceneFeatures(torch.rand(5, 2), torch.rand(5, 128))),
    )


def same(one: DrivingMotion, other: DrivingMotion, atol: float = 0.0) -> bool:
    """Whether all frames agree to within `atol` (pixels, and units of the other fields)."""
    if len(one.faces.score) != len(other.faces.score) or one.frame_rate != other.frame_rate:
        return False
    pairs = list(zip(one.faces, other.faces))
    if one.code is not None and other.code is not None:
        pairs.append((one.code, other.code))
    if one.scene is not None and other.scene is not None:
        pairs.append((one.scene.camera, other.scene.camera))
    return all(torch.allclose(a.float(), b.float(), rtol=0, atol=atol) for a, b in pairs)
