"""Fusion weights over time: smoothing, hysteresis, and a measure of how much they flicker."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import geometry
from .parameters import check_ranges, parameter


@dataclass(frozen=True)
class Smoothing:
    """What keeps references from flickering in and out."""

    memory: float = parameter(
        0.6,
        0.0,
        0.95,
        "How calmly the shares of the references change: the part of the previous frame's shares that is kept, at 25 "
        "frames per second. 0 decides each frame by itself.",
    )
    hysteresis: float = parameter(
        0.05,
        0.0,
        1.0,
        "A reference keeps its share until another is clearly better: the part of a pixel that must want to change "
        "hands before it does so at half speed. 0: small changes are as fast as large ones. Needs smoothing.",
    )

    def __post_init__(self) -> None:
        check_ranges(self, "Smoothing")

    @property
    def idle(self) -> bool:
        """Whether every frame decides by itself."""
        return self.memory == 0

    def step(self, kept: Tensor, wanted: Tensor, frame_rate: float) -> Tensor:
        """The weights of a frame from those of the frame before and the strategy's: all [R,B,y,x], summing to 1.

        d      = half of sum over R of |wanted - kept|        the part of the pixel that wants to change hands
        speed  = (1 - memory ^ (25 / frame rate)) d / (d + hysteresis)
        result = kept + speed (wanted - kept)

        A dead zone that holds small changes back for good would flicker less still, but lag behind a head that turns;
        this one lets them through slowly.
        """
        change = wanted - kept
        speed = 1 - self.memory ** (25 / frame_rate)
        if self.hysteresis == 0:
            return kept + speed * change
        part = change.abs().sum(0, keepdim=True) / 2
        return kept + speed * part / (part + self.hysteresis) * change


def follow(weights: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Weights [R,B,y,x] over box `old`, read at the places of box `new` (edges repeat)."""
    if weights.shape[-2:] == (1, 1) or torch.equal(old, new):
        return weights
    unit = geometry.pixel_grid(*weights.shape[-2:]) / torch.tensor([weights.shape[-1], weights.shape[-2]])
    place = (unit * new[2] + new[:2] - old[:2]) / old[2] * 2 - 1
    return geometry.sample(weights, place.expand(len(weights), -1, -1, -1).to(weights.device))


def weight_flicker(weights: Tensor) -> float:
    """How much of a pixel changes its direction of change from frame to frame, for weights [T,R,B,y,x], T >= 3.

    The mean over frames, bands and pixels of half of sum over R of |w(t-1) - 2 w(t) + w(t+1)|: a steady change counts
    nothing; a reference that takes a pixel for a single frame counts 2 in that frame and 1 in those beside it.
    """
    bend = weights[:-2] - 2 * weights[1:-1] + weights[2:]
    return float(bend.float().abs().sum(1).mean() / 2)
