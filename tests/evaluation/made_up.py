"""Clips made on the spot whose reconstructions are known exactly."""

from __future__ import annotations

from fractions import Fraction

import torch

from reenact_core.evaluation.stages import Stages
from reenact_core.types import DrivingMotion, Faces

SIDE = 96
LANDMARKS = torch.rand(478, 3, generator=torch.Generator().manual_seed(0))


def faces(count: int, low: float, size: float, yaw: torch.Tensor | None = None) -> Faces:
    """`count` equal faces in a square of the picture, turned by `yaw` radians."""
    yaw = torch.zeros(count) if yaw is None else yaw
    rotation = torch.eye(3).repeat(count, 1, 1)
    rotation[:, 0, 0] = rotation[:, 2, 2] = yaw.cos()
    rotation[:, 0, 2], rotation[:, 2, 0] = yaw.sin(), -yaw.sin()
    return Faces(
        (low + LANDMARKS * size).repeat(count, 1, 1),
        torch.zeros(count, 52),
        rotation,
        torch.ones(count),
        torch.ones(count, dtype=torch.bool),
    )


def track(images) -> Faces:
    """Sees a face of 150 px in every crop that is not black."""
    seen = faces(len(images), 53.0, 150.0)
    return seen._replace(found=torch.tensor([bool(image.mean() > 0.05) for image in images]))


class FakeClip:
    """Noise whose frame t is told by its brightness; the head turns steadily."""

    frame_rate = Fraction(25)

    def __init__(self, name: str = "fake", count: int = 40, without_face: tuple[int, ...] = ()) -> None:
        self.name, self.count = name, count
        texture = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(count)) * 0.3
        shade = torch.linspace(0.1, 0.6, count).view(-1, 1, 1, 1)
        motion = 0.05 * torch.sin(torch.arange(count) * 0.9).view(-1, 1, 1, 1)
        self.images = texture + shade + motion
        self.missing = without_face

    def chunks(self):
        yield from self.images.split(16)

    def frames(self, indices):
        assert list(indices) == sorted(indices)
        yield from self.images[list(indices)]


def encode_motion(clip):
    def encode(chunks, frame_rate):
        count = len(torch.cat(list(chunks)))
        driving = faces(count, 24.0, 40.0, torch.linspace(-0.5, 0.5, count))
        driving.found[list(clip.missing)] = False
        return DrivingMotion(driving, (SIDE, SIDE), frame_rate, driving.at([0]))

    return encode


class Recorder:
    """Reconstructs the truth plus an error that falls with R, and remembers what it was asked."""

    def __init__(self, clip, error: float = 0.08) -> None:
        self.clip, self.error, self.calls = clip, error, []

    def __call__(self, references, motion, indices, strategy):
        self.calls.append((len(references), tuple(indices), strategy))
        shift = 0.0 if strategy == "perfect" else self.error / len(references)
        truth = self.clip.images[list(indices)]
        yield from (truth + shift).split(3)


def pick(candidates: Faces, count: int) -> list[int]:
    return list(range(1, len(candidates.found), 3))[:count]


def stages(clip, reconstruct=None, **changes) -> Stages:
    return Stages(encode_motion(clip), pick, reconstruct or Recorder(clip), track)._replace(**changes)
