"""One frame of a fusion as pictures, from evidence that is at hand: what an interactive preview asks for.

No other frame is fused; smoothing over time walks over the weights of a few frames before. A model
with a quick painter decodes the frame. Where a model has none and fuses features that are no pictures, the references'
pictures are mixed with the weights in place of decoding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import ReenactError
from .fusing import Smoothing, combine, settled_weights
from .fusion.base import FusionStrategy, weighted_sum
from .fusion_pictures import STRONGEST_DISAGREEMENT, STRONGEST_SEAM, disagreement, heat, seam_energy
from .fusion_space import FusionSpace, as_images
from .motion_models.base import Painter
from .previews import attribution
from .types import Evidence

LEAD = 8  # frames before the one shown whose weights are smoothed into it; at memory 0.6 the rest is below 2 %
LEAD_OF_LARGE = 3  # the same where a frame has more than LARGE weights, besides the first of the LEAD
LARGE = 1 << 20
COLOUR, SHADE = 0.6, 0.85  # how strongly attribution and confidence cover the picture


class FrameView(NamedTuple):
    """What fusion does with one frame, at the size `side` of the preview."""

    fused: Tensor  # [3,side,side] in [0,1]
    references: Tensor  # [R,3,side,side] in [0,1], each as it was warped
    weights: Tensor  # [R,1,y,x] share of each reference, >= 0, sum 1
    confidences: Tensor  # [R,1,h,w] 0..1, each reference's own
    claims: Tensor  # [R,1,h,w] >= 0, the same times the user's prior
    confidence: Tensor  # [1,h,w] 0..1, of what was fused

    @property
    def shares(self) -> list[float]:
        """Share of each reference in the whole frame, sum 1."""
        return self.weights.mean((1, 2, 3)).tolist()


@torch.inference_mode()
def view_frame(
    evidence_of: Callable[[int], Evidence],
    frame: int,
    boxes: Tensor,
    frame_rate: float,
    strategy: FusionStrategy,
    smoothing: Smoothing,
    side: int,
    start: int = 0,
    space: FusionSpace = FusionSpace.AUTO,
    painter: Painter | None = None,
) -> FrameView:
    """Fuse one frame.

    Args:
        evidence_of: the evidence of a frame alone, T = 1, for `frame` and the LEAD frames before it.
        boxes: [T,3] those of all frames.
        side: pixels per side of the pictures; larger evidence is shrunk before it is fused.
        start: first frame of the shot that `frame` belongs to; smoothing does not look beyond it.
        space: of `FusionSpace.on`.
        painter: the model's own, where it has one; used on what is no picture yet in that space.

    Raises:
        ReenactError: the strategy's parameters do not fit these references.
    """
    if space is FusionSpace.IMAGES:
        features_of, painter = evidence_of, None
        evidence_of = lambda number: as_images(features_of(number))  # noqa: E731
    previous: Tensor | None = None
    before = first = max(start, frame - LEAD) if not smoothing.idle else frame
    for number in range(first, frame):
        if previous is not None and previous.numel() > LARGE and number < frame - LEAD_OF_LARGE:
            continue
        earlier = _shrunk(evidence_of(number), side, "nearest-exact")
        previous = settled_weights(earlier, strategy, smoothing, frame_rate, boxes[[before, number]], previous)[0]
        before = number
    evidence = _shrunk(evidence_of(frame), side, "area")
    strategy.check(evidence.features.shape[1])
    weights = settled_weights(evidence, strategy, smoothing, frame_rate, boxes[[before, frame]], previous)
    share = weights.mean(2, keepdim=True)
    looks = evidence.features if evidence.pictures is None else evidence.pictures.float()
    if evidence.pictures is None or painter is not None:
        levels = None if painter is None else evidence_of(frame).levels
        levels = None if levels is None else tuple(level.float() for level in levels)
        chunk = combine(evidence._replace(levels=levels), weights, strategy, frame)
        fused, confidence = chunk.features, chunk.confidence
        if painter is not None:
            fused = painter(chunk.features, chunk.levels or ())
    else:
        fused = weighted_sum(looks, share)
        confidence = weighted_sum(evidence.confidence, share)
    return FrameView(
        fused=_sized(fused, side)[0].clamp(0, 1),
        references=_sized(looks[0], side).clamp(0, 1),
        weights=share[0],
        confidences=evidence.confidence[0],
        claims=evidence.claims[0],
        confidence=confidence[0],
    )


@dataclass(frozen=True)
class Overlay:
    """A picture of the fusion to be laid over a frame."""

    summary: str  # one sentence for users
    draw: Callable[[FrameView, Tensor, int | None], Tensor]  # view, picture [3,s,s], reference shown -> [3,s,s]


def _attribution(view: FrameView, picture: Tensor, reference: int | None) -> Tensor:
    """Each pixel tinted in the colour of the reference it came from; of one reference, where it was used."""
    if reference is not None:
        share = _sized(view.weights[[reference]], picture.shape[-1])[0]
        return picture * (1 - SHADE * (1 - share))
    grey = picture.mean(0, keepdim=True)
    tint = attribution(view.weights[None], picture.shape[-1])[0]
    return (1 - COLOUR) * grey + COLOUR * tint


def _confidence(view: FrameView, picture: Tensor, reference: int | None) -> Tensor:
    """Dark where the references do not show the frame well."""
    sure = view.confidence if reference is None else view.confidences[reference]
    return picture * (1 - SHADE * (1 - _sized(sure[None], picture.shape[-1])[0]))


def _disagreement(view: FrameView, picture: Tensor, reference: int | None) -> Tensor:
    """Light where references that claim to show a pixel differ."""
    side = picture.shape[-1]
    return _lit(picture, disagreement(view.references[None], _sized(view.claims, side)[None]) / STRONGEST_DISAGREEMENT)


def _seams(view: FrameView, picture: Tensor, reference: int | None) -> Tensor:
    """Light where the change of shares makes an edge."""
    side = picture.shape[-1]
    return _lit(picture, seam_energy(view.references[None], _sized(view.weights, side)[None]) / STRONGEST_SEAM)


def _lit(picture: Tensor, values: Tensor) -> Tensor:
    """A dark grey picture [3,s,s] with values [1,1,s,s] as heat on it."""
    return (1 - COLOUR) * picture.mean(0, keepdim=True) + heat(values)[0]


OVERLAYS = {
    "attribution": Overlay("Each pixel in the colour of the reference it came from.", _attribution),
    "confidence": Overlay("Dark where the references do not show the frame well.", _confidence),
    "disagreement": Overlay("Light where references that claim to show a pixel differ.", _disagreement),
    "seams": Overlay("Light where the change of shares makes an edge that no reference has.", _seams),
}


def draw_view(view: FrameView, reference: int | None = None, overlay: str | None = None) -> Tensor:
    """The fused picture, or one warped reference, with an overlay: [3,side,side] in [0,1].

    Raises:
        ReenactError: there is no such reference or overlay.
    """
    count = len(view.references)
    if reference is not None and not 0 <= reference < count:
        raise ReenactError(f"There is no reference {reference + 1}, there are {count}. Choose one of them.")
    if overlay is not None and overlay not in OVERLAYS:
        raise ReenactError(f"There is no overlay {overlay!r}. Choose one of: {', '.join(OVERLAYS)}.")
    picture = view.fused if reference is None else view.references[reference]
    return picture if overlay is None else OVERLAYS[overlay].draw(view, picture, reference).clamp(0, 1)


def _shrunk(evidence: Evidence, side: int, mode: str) -> Evidence:
    """Evidence in float32 with pictures among its features at most `side` pixels large; further levels left out."""
    features = evidence.features.float()
    if evidence.pictures is None and features.shape[-1] > side:
        features = F.interpolate(features.flatten(0, 1), size=(side, side), mode=mode)
        features = features.unflatten(0, evidence.features.shape[:2])
    kept = {"features": features, "levels": None}
    return Evidence(*(kept.get(name, _wide(field)) for name, field in zip(Evidence._fields, evidence)))


def _wide(field: Any) -> Any:
    return field.float() if isinstance(field, Tensor) else field


def _sized(pictures: Tensor, side: int) -> Tensor:
    """Square pictures [N,C,y,y] at side x side."""
    if pictures.shape[-1] == side:
        return pictures
    return F.interpolate(pictures, size=(side, side), mode="bilinear", align_corners=False)
