"""Stage 4: one strategy combines the references' evidence, frame by frame; smoothing over time beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import geometry
from .errors import ReenactError
from .fusion.base import FusionStrategy, apply_prior, match_size, weighted_sum
from .types import Evidence
from .warping import WarpedReferences


@dataclass(frozen=True)
class Smoothing:
    """Temporal smoothing of fusion weights, so that references do not flicker in and out.

    `memory` is the share of the previous frame's weights, 0..0.95 (0 = off), per frame at 25 frames per second.
    """

    memory: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.memory <= 0.95:
            raise ReenactError(f"Smoothing memory is {self.memory}, but must lie between 0 and 0.95.")


class FusedChunk(NamedTuple):
    """Fusion of frames [start, stop)."""

    start: int
    stop: int
    features: Tensor  # [T,C,H,W]
    weights: Tensor  # [T,R,B,y,x] after prior and smoothing
    confidence: Tensor  # [T,1,h,w] 0..1, the weighted confidence
    levels: tuple[Tensor, ...] | None = None  # further features [T,C,H,W], where the model has them


class FusedFrames(NamedTuple):
    """The lazy result of `fuse_references`."""

    warped: WarpedReferences
    strategy: FusionStrategy
    smoothing: Smoothing

    @torch.inference_mode()
    def chunks(self) -> Iterator[FusedChunk]:
        """Fused frames in order, a chunk at a time."""
        previous: Tensor | None = None
        boxes, rate = self.warped.boxes, float(self.warped.motion.frame_rate)
        first = {shot.start for shot in self.warped.motion.shot_spans()}
        for start, stop, evidence in self.warped.all_evidence():
            if start in first:
                previous = None  # what the references gave before a cut says nothing about after it
            lead = boxes[start - 1 : start] if start else boxes[:1]
            walk = torch.cat([lead, boxes[start:stop]])
            weights = settled_weights(evidence, self.strategy, self.smoothing, rate, walk, previous)
            previous = weights[-1]
            yield combine(evidence, weights, self.strategy, start)


def settled_weights(
    evidence: Evidence,
    strategy: FusionStrategy,
    smoothing: Smoothing,
    frame_rate: float,
    boxes: Tensor,
    previous: Tensor | None,
) -> Tensor:
    """The strategy's weights [T,R,B,y,x] after the user's prior and smoothing over time.

    Args:
        boxes: [T+1,3], those of the frame before and of the T frames.
        previous: [R,B,y,x] what this function returned for the frame before; None at the first.
    """
    weights = apply_prior(strategy.weights(evidence), evidence.prior)
    if smoothing.memory == 0:
        return weights
    memory = smoothing.memory ** (25 / frame_rate)
    smoothed = []
    for t in range(len(weights)):
        if previous is None:
            previous = weights[t]
        else:
            # The previous weights follow the box when it moves.
            previous = memory * _follow(previous, boxes[t], boxes[t + 1]) + (1 - memory) * weights[t]
        smoothed.append(previous)
    return torch.stack(smoothed)


def combine(evidence: Evidence, weights: Tensor, strategy: FusionStrategy, start: int) -> FusedChunk:
    """The evidence of frames from `start` on, fused with weights [T,R,B,y,x] of `settled_weights`."""
    features = strategy.fuse(evidence, weights)
    share = weights.mean(2, keepdim=True)
    levels = None if evidence.levels is None else tuple(fuse_level(level, share) for level in evidence.levels)
    if share.shape[-2:] != (1, 1):
        height, width = evidence.confidence.shape[-2:]
        share = F.adaptive_avg_pool2d(share.flatten(0, 1), (height, width))
        share = share.unflatten(0, weights.shape[:2])
    confidence = (evidence.confidence * share).sum(1)
    return FusedChunk(start, start + len(weights), features, weights, confidence, levels)


def fuse_level(level: Tensor, share: Tensor) -> Tensor:
    """Features [T,R,C,H,W] of another size, summed with the weights [T,R,1,y,x] of the main ones: [T,C,H,W]."""
    return weighted_sum(level, match_size(share, level))


def _follow(weights: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Weights [R,B,y,x] over box `old`, read at the places of box `new` (edges repeat)."""
    if weights.shape[-2:] == (1, 1) or torch.equal(old, new):
        return weights
    unit = geometry.pixel_grid(*weights.shape[-2:]) / torch.tensor([weights.shape[-1], weights.shape[-2]])
    place = (unit * new[2] + new[:2] - old[:2]) / old[2] * 2 - 1
    return geometry.sample(weights, place.expand(len(weights), -1, -1, -1).to(weights.device))


def fuse_references(
    warped: WarpedReferences, strategy: FusionStrategy, smoothing: Smoothing | None = None
) -> FusedFrames:
    """Combine the references with one strategy. Nothing is computed until the frames are asked for.

    Raises:
        ReenactError: the strategy's parameters do not fit these references.
    """
    strategy.check(len(warped.references.images))
    return FusedFrames(warped, strategy, smoothing or Smoothing())
