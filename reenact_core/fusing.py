"""Stage 4: one strategy combines the references' evidence, frame by frame; smoothing over time beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .fusion.base import FusionStrategy, weighted_sum
from .fusion.strengths import settle
from .fusion_space import FusionSpace, as_images, trust
from .halving import in_halves
from .parallel import ahead
from .steadiness import Smoothing as Smoothing  # callers find it here
from .steadiness import follow
from .stopping import may_stop
from .types import Evidence, frames_of
from .warping import WarpedReferences


class FusedChunk(NamedTuple):
    """Fusion of frames [start, stop)."""

    start: int
    stop: int
    features: Tensor  # [T,C,H,W]
    weights: Tensor  # [T,R,B,y,x] after prior and smoothing
    confidence: Tensor  # [T,1,h,w] 0..1, the weighted confidence
    levels: tuple[Tensor, ...] | None = None  # further features [T,C,H,W], where the model has them
    pictures: Tensor | None = None  # [T,3,y,x] fused warped pictures, where the fusion space wants them
    trusted: Tensor | None = None  # [T,1,h,w] 0..1, how much of them covers what is decoded; None: nothing is decoded

    def at(self, frames: slice) -> FusedChunk:
        """Some of its frames, counted from its first, as a new value that shares memory."""
        parts = [frames_of(part, frames) for part in self[2:]]
        first, stop, _ = frames.indices(self.stop - self.start)
        return FusedChunk(self.start + first, self.start + stop, *parts)


class FusedFrames(NamedTuple):
    """The lazy result of `fuse_references`."""

    warped: WarpedReferences
    strategy: FusionStrategy
    smoothing: Smoothing
    space: FusionSpace = FusionSpace.AUTO  # of `FusionSpace.on`

    def chunks(self) -> Iterator[FusedChunk]:
        """Fused frames in order, a chunk at a time."""
        return ahead(lambda task: task(), self.tasks(), self.warped.model.device)

    def over(self, spans: Iterable[tuple[int, int, Evidence]]) -> Iterator[FusedChunk]:
        """The same from evidence (start, stop, evidence) of all frames in order, which others may use too."""
        for task in self._tasks((start, stop, partial(_same, evidence)) for start, stop, evidence in spans):
            yield task()

    def tasks(self) -> Iterator[Callable[[], FusedChunk]]:
        """What makes each chunk, in order, to be called on several threads if one likes.

        They have to be begun in this order: each waits for the weights of the one before, where smoothing needs them.
        """
        warped = self.warped
        return self._tasks((start, stop, partial(warped.evidence, start, stop)) for start, stop in warped.spans())

    def _tasks(self, spans: Iterable[tuple[int, int, Callable[[], Evidence]]]) -> Iterator[Callable[[], FusedChunk]]:
        first = {shot.start for shot in self.warped.motion.shot_spans()}
        before: Future[Tensor] | None = None
        for start, stop, find in spans:
            own: Future[Tensor] = Future()
            # What the references gave before a cut says nothing about after it.
            yield partial(self._fuse, start, stop, find, None if start in first else before, own)
            before = own

    @torch.inference_mode()
    def _fuse(
        self,
        start: int,
        stop: int,
        find: Callable[[], Evidence],
        before: Future[Tensor] | None,
        own: Future[Tensor],
    ) -> FusedChunk:
        """Frames [start, stop). before: the last weights [R,B,y,x] of the chunk before; own: where this one's go."""
        boxes, rate = self.warped.boxes, float(self.warped.motion.frame_rate)
        try:
            evidence = find()
            may_stop()
            if self.space is FusionSpace.IMAGES:
                evidence = as_images(evidence)
            walk = torch.cat([boxes[max(start - 1, 0)][None], boxes[start:stop]])
            previous = None if before is None else before.result()
            weights = settled_weights(evidence, self.strategy, self.smoothing, rate, walk, previous)
        except BaseException as error:
            own.set_exception(error)  # nobody shall wait for it
            raise
        own.set_result(weights[-1])
        may_stop()
        return combine(evidence, weights, self.strategy, start, self.space)


def _same(evidence: Evidence) -> Evidence:
    return evidence


def settled_weights(
    evidence: Evidence,
    strategy: FusionStrategy,
    smoothing: Smoothing,
    frame_rate: float,
    boxes: Tensor,
    previous: Tensor | None,
) -> Tensor:
    """The strategy's weights [T,R,B,y,x] under strengths and masks, after smoothing over time.

    Args:
        boxes: [T+1,3], those of the frame before and of the T frames.
        previous: [R,B,y,x] what this function returned for the frame before; None at the first.
    """
    weights = in_halves(lambda frames: settle(strategy, evidence.at(frames)), len(evidence.features))
    if smoothing.idle:
        return weights
    smoothed = []
    for t in range(len(weights)):
        if previous is None:
            previous = weights[t]
        else:
            previous = smoothing.step(follow(previous, boxes[t], boxes[t + 1]), weights[t], frame_rate)
        smoothed.append(previous)
    return torch.stack(smoothed)


def combine(
    evidence: Evidence,
    weights: Tensor,
    strategy: FusionStrategy,
    start: int,
    space: FusionSpace = FusionSpace.AUTO,
) -> FusedChunk:
    """The evidence of frames from `start` on, fused with weights [T,R,B,y,x] of `settled_weights`.

    Args:
        space: of `FusionSpace.on`; with IMAGES the evidence is that of `as_images`.
    """
    fused = in_halves(lambda frames: _combined(evidence.at(frames), weights[frames], strategy, space), len(weights))
    features, confidence, levels, pictures, trusted = fused
    return FusedChunk(start, start + len(weights), features, weights, confidence, levels, pictures, trusted)


def _combined(evidence: Evidence, weights: Tensor, strategy: FusionStrategy, space: FusionSpace) -> tuple[Any, ...]:
    """Features, confidence, levels, pictures and trust of a FusedChunk."""
    features = strategy.fuse(evidence, weights)
    share = weights.mean(2, keepdim=True)
    levels = None if evidence.levels is None else tuple(fuse_level(level, share) for level in evidence.levels)
    height, width = evidence.confidence.shape[-2:]
    if share.shape[-2:] not in ((1, 1), (height, width)):
        share = F.adaptive_avg_pool2d(share.flatten(0, 1), (height, width))
        share = share.unflatten(0, weights.shape[:2])
    confidence = (evidence.confidence * share).sum(1)
    if space is FusionSpace.IMAGES:
        return features, confidence, levels, features, None
    if space is FusionSpace.BOTH:
        return features, confidence, levels, _fuse_pictures(evidence, weights, strategy), trust(evidence, share)
    return features, confidence, levels, None, None


def _fuse_pictures(evidence: Evidence, weights: Tensor, strategy: FusionStrategy) -> Tensor:
    """The warped pictures [T,3,y,x], fused with the weights of features; where each channel of the features chose for
    itself, the pictures take the mean of the channels' choices."""
    images = as_images(evidence)
    if weights.shape[2] == evidence.features.shape[2]:
        return fuse_level(images.features, weights.mean(2, keepdim=True))
    return strategy.fuse(images, weights)


def fuse_level(level: Tensor, share: Tensor) -> Tensor:
    """Features [T,R,C,H,W] of another size, summed with the weights [T,R,1,y,x] of the main ones: [T,C,H,W]."""
    return weighted_sum(level, share)


def fuse_references(
    warped: WarpedReferences,
    strategy: FusionStrategy,
    smoothing: Smoothing | None = None,
    space: FusionSpace = FusionSpace.AUTO,
) -> FusedFrames:
    """Combine the references with one strategy. Nothing is computed until the frames are asked for.

    Raises:
        ReenactError: the strategy's parameters do not fit these references, or the model has no such fusion space.
    """
    strategy.check(len(warped.references.images))
    return FusedFrames(warped, strategy, smoothing or Smoothing(), space.on(warped.model))
