"""Faces for the tests: the canonical mesh posed at will, and a model whose evidence is given."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reenact_core.motion_models import MotionModel
from reenact_core.tracking import BLENDSHAPE_NAMES, PersonMatte, canonical_mesh
from reenact_core.types import DrivingMotion, Evidence, Faces, References

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("REENACT_DATA", ROOT.parent / "shared" / "data"))
SAMPLE = ROOT / "samples" / "driving.mp4"  # ships with the repository; stands in where the test data is absent
CLIP = "clips_generated/video_ltx2_i2v-1.webp"  # a generated woman, 350 px, turning and talking


def before_a_wall(photo: Tensor) -> Tensor:
    """The person of a photo [1,3,H,W] before a wall that has corners everywhere, whatever was behind: [3,H,W]."""
    noise = 0.4 + 0.2 * torch.rand(1, 1, 35, 35, generator=torch.Generator().manual_seed(3))
    wall = F.interpolate(noise.expand(-1, 3, -1, -1), photo.shape[-2:], mode="bilinear", align_corners=False)
    with torch.inference_mode():
        return torch.lerp(wall, photo, PersonMatte.load().matte(photo))[0].clone()


def shared(name: str) -> Path:
    """A file of the shared data folder; the test is skipped where it is absent."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is absent; set REENACT_DATA to the folder with the test clips")
    return path


def turned(yaw: float = 0, pitch: float = 0, roll: float = 0) -> Tensor:
    """Rotation [3,3] of a head turned to the image's right by yaw, then nodded down by pitch, then tilted clockwise.

    Written out axis by axis, in degrees, from what the words mean in an image whose x goes right, y down, z away.
    """
    y, p, r = (math.radians(angle) for angle in (yaw, pitch, roll))
    # The face looks along -z. Turning right brings -z towards +x; nodding brings -z towards +y; tilting x towards y.
    about_y = torch.tensor([[math.cos(y), 0, -math.sin(y)], [0, 1, 0], [math.sin(y), 0, math.cos(y)]])
    about_x = torch.tensor([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    about_z = torch.tensor([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def posed_faces(
    rotations: Sequence[Tensor], centre: tuple[float, float] = (128, 128), height: float = 110, opening: float = 0
) -> Faces:
    """The canonical face under an orthographic camera, one per rotation; `height` is forehead to chin in pixels.

    opening: how far the jaw's vertices move down, as a share of the face height.
    """
    vertices, _ = canonical_mesh()
    vertices = vertices - vertices.mean(0)
    scale = height / float((vertices[10] - vertices[152]).norm())
    vertices = vertices * scale
    drop = (vertices[:, 1] - vertices[13, 1]).clamp_min(0) / (vertices[152, 1] - vertices[13, 1])
    vertices = vertices + torch.stack([torch.zeros(468), drop * opening * height, torch.zeros(468)], 1)
    irises = []
    for outer, inner in ((33, 133), (362, 263)):
        middle = (vertices[outer] + vertices[inner]) / 2
        radius = 0.2 * (vertices[outer] - vertices[inner]).norm()
        steps = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, -1, 0], [-1, 0, 0], [0, 1, 0]])
        irises.append(middle + steps * radius)
    points = torch.cat([vertices, *irises])
    landmarks = torch.stack([points @ rotation.T for rotation in rotations])
    landmarks = landmarks + torch.tensor([*centre, 0.0])
    count = len(rotations)
    return Faces(
        landmarks=landmarks,
        blendshapes=torch.zeros(count, len(BLENDSHAPE_NAMES)),
        rotation=torch.stack(list(rotations)),
        score=torch.ones(count),
        found=torch.ones(count, dtype=torch.bool),
    )


def moving(faces: Faces, canvas: tuple[int, int] = (256, 256), neutral: int = 0, rate: int = 25) -> DrivingMotion:
    """Driving motion of these faces."""
    return DrivingMotion(faces, canvas, Fraction(rate), faces.at([neutral]))


def still(images: Sequence[Tensor], faces: Faces, masks: Sequence[Tensor] | None = None) -> References:
    """References of strength 1 that may be used everywhere, unless masks are given."""
    return References(
        images=tuple(images),
        masks=tuple(masks) if masks is not None else tuple(torch.ones_like(image[:1]) for image in images),
        faces=faces,
        strengths=torch.ones(len(images)),
        labels=tuple(f"reference {r + 1}" for r in range(len(images))),
    )


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """A smooth coloured picture without symmetry, [3,height,width] in [0,1]."""
    coarse = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0].clamp(0, 1)


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of values in [0,1]."""
    return -10 * math.log10(max(float((a - b).square().mean()), 1e-12))


def random_evidence(
    frames: int = 2, count: int = 3, size: int = 80, grid: int = 16, scores: bool = True, seed: int = 0
) -> Evidence:
    """Evidence without structure, but valid: every strategy must cope."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    return Evidence(
        features=noise(frames, count, 3, size, size),
        confidence=noise(frames, count, 1, grid, grid),
        distance=3 * noise(frames, count),
        prior=torch.ones(frames, count, 1, grid, grid),
        scores=4 * noise(frames, count, 3, grid, grid) - 2 if scores else None,
    )


class GivenEvidence(MotionModel):
    """A motion model that hands out prepared evidence; it has no name, so no user can choose it."""

    def __init__(self, given: Evidence, boxes: Tensor) -> None:
        super().__init__()
        self.register_buffer("anchor", torch.zeros(1))
        self.given, self.boxes = given, boxes
        self.calls: list[int] = []

    @classmethod
    def load(cls) -> GivenEvidence:
        raise AssertionError("not to be loaded by name")

    def place(self, motion: DrivingMotion) -> Tensor:
        return self.boxes

    def encode_references(self, references: References, motion: DrivingMotion, side: int, size: int) -> Any:
        return references

    def warp(self, encoded: Any, motion: DrivingMotion, boxes: Tensor, size: int) -> Evidence:
        """The frames are recognised by their score, which the test numbers."""
        frames = motion.faces.score.long()
        self.calls.append(len(frames))
        return Evidence(*(None if field is None else field[frames] for field in self.given))

    def decode(self, encoded: Any, features: Tensor, motion: DrivingMotion, boxes: Tensor) -> Tensor:
        return features.clamp(0, 1)

    def plate(self, encoded: Any, motion: DrivingMotion) -> Tensor:
        return torch.zeros(1, 3, *motion.canvas)
