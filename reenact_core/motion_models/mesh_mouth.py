"""The inside of a mouth: it comes from one reference, and where it is opened further than there, teeth do not stretch.

The mesh spans an open mouth with triangles from lip to lip. Its flow alone would pull apart whatever the reference
shows there: teeth, or the dark line between closed lips. So what lies below the reference's upper lip stays as far
below the upper lip, what lies above its lower lip as far above the lower one, and what comes to be between them is not
known: it is painted dark and hardly trusted, so that references with a wider open mouth go first.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..face_regions import INNER_LIPS, LIP_CORNERS, LIP_PAIRS, MIDDLE_LIPS, SUBPIXEL, fixed_point
from .mesh_flows import Flows, face_height, lip_gap
from .mesh_network import DECISION
from .mesh_seams import RIM, draw, triangles_between, window_grid, windows, windows_of

WIDER = (1.2, 1.7)  # how much further the mouth opens than in the reference where this begins, and is complete
ROUND = (0.3, 0.45)  # height over width of a mouth that begins to be round, and of one that is
EDGE = 0.08  # width of the soft edges of what is not known, in shares of the opening
CHEEKS = (50, 280)
UNLIKE = 40.0  # logits that a difference of mouths by one face height costs
TURNED = 0.01  # the same for heads turned apart by one degree
CONTRARY = 1.0  # logits that a closed mouth costs for an open one, and the other way round
MISSING = 20.0  # logits that a mouth costs which may not be used
ALIKE = (0.2, 0.8)  # lesser over larger opening of mouths that are contrary, and of those that are not
CLOSED = 0.005  # face heights between closed lips
SHUT = (0.01, 0.02)  # opening in face heights of lips that are closed, and of lips that are not
ONTO = 0.15  # of the opening that closes: how far on the upper lip its rim lies
RIMS = 2  # cells that the rims of lips are wide
SHOWN = (0.25, 0.5)  # a reference's opening over the driving one that begins to show it, and that shows it all
LARGE = (0.06, 0.1)  # opening in face heights of a mouth that begins to be wide open, and of one that is
WHOLE = 144.0  # factor on what decides from which reference the inside of a mouth comes: one takes it all
DARK = (0.35, 0.22, 0.22)  # of the cheeks' colour


class Hollow(NamedTuple):
    """Windows on mouths, and what no reference shows in them."""

    corner: Tensor  # [T,2] long, left top pixel of each window
    unknown: Tensor  # [T,R,1,c,c] 0..1


def hold_teeth(places: Tensor, driving: Tensor, references: Tensor, share: Tensor, local: Tensor) -> Hollow | None:
    """Undo the stretching inside round open lips in `places`, in place. None where there is none.

    Args:
        places: [T,R,S,S,2] where to look, in pixels of the reference.
        driving: [T,478,3] landmarks in any unit. references: [R,478,3] in pixels of the reference.
        share, local: as for `mesh_seams.redraw_seams`.
    """
    opening, shown = lip_gap(driving), lip_gap(references)
    ratio = (shown / opening[:, None].clamp_min(1e-6)).clamp_min(1e-3)  # [T,R]
    begun = _step(1 / ratio, WIDER) * roundness(driving)[:, None]
    if not bool((begun > 0).any()):
        return None
    mouth, middle = _mouth(), len(MIDDLE_LIPS)
    gaps = (references[:, mouth.lower[:middle], :2] - references[:, mouth.upper[:middle], :2]).mean(1)  # [R,2]
    size = places.shape[2]
    points = local[:, mouth.vertices]
    side, corner = windows(points[..., :2], size)
    if side < 2:
        return None
    # Of every vertex: how far down the opening it lies, how high the opening is in its column, and that it is inside.
    heights = (local[:, mouth.upper] - local[:, mouth.lower]).norm(dim=-1)  # [T,P]
    heights = heights / heights[:, :middle].mean(1, keepdim=True).clamp_min(1e-6)
    tall = F.pad(heights, (0, 1))[:, mouth.column]  # [T,V]
    values = torch.stack([mouth.down.expand_as(tall), tall, torch.ones_like(tall)], 2)
    drawn = draw(points - F.pad(corner, (0, 1))[:, None], mouth.triangles, values, side)
    down, tall, inside = drawn.split(1, 1)  # [T,1,c,c] each

    ratio, begun = ratio[..., None, None], begun[..., None, None]
    held = torch.where(down < 0.5, (down / ratio).clamp_max(0.5), (1 - (1 - down) / ratio).clamp_min(0.5))
    begun = begun * geometry.sample(share.cpu(), window_grid(corner, side, size)) * inside  # [T,R,c,c]
    change = (begun * (held - down) * tall)[..., None] * gaps[:, None, None]
    beyond = torch.minimum(down, 1 - down) - ratio / 2
    unknown = begun * (beyond / EDGE).clamp(0, 1)
    for window, more in zip(windows_of(places, corner, side), change.to(places)):
        window += more
    return Hollow(corner.long(), unknown[:, :, None].to(places))


def close_lips(places: Tensor, driving: Tensor, references: Tensor, share: Tensor, local: Tensor) -> None:
    """Between closed lips show the upper one's rim, in place, not the teeth of a reference whose mouth is open.

    Closed lips, too, are a pixel or two apart. Arguments as for `hold_teeth`, after `mesh_seams.redraw_seams`.
    """
    opening = lip_gap(driving)[:, None]
    shut = (1 - _step(opening, SHUT)) * _contrary(opening, lip_gap(references))  # [T,R]
    mouth, size = _mouth(), places.shape[2]
    points = local[:, mouth.vertices]
    side, corner = windows(points[..., :2], size)
    if side < 2 or not bool((shut > 0).any()):
        return
    gaps = references[:, mouth.upper, :2] - references[:, mouth.lower, :2]  # [R,P,2]
    onto = torch.zeros(len(references), len(mouth.vertices), 2)  # from where the vertices look
    onto[:, torch.searchsorted(mouth.vertices, mouth.upper)] = (ONTO - RIM) * gaps
    onto[:, torch.searchsorted(mouth.vertices, mouth.lower)] = (1 + ONTO + RIM) * gaps
    values = F.pad(onto.movedim(0, 1).flatten(1), (0, 1), value=1.0).expand(len(local), -1, -1)
    *more, inside = draw(points - F.pad(corner, (0, 1))[:, None], mouth.triangles, values, side).split(2, 1)
    shut = shut[..., None, None] * geometry.sample(share.cpu(), window_grid(corner, side, size)) * inside  # [T,R,c,c]
    change = torch.stack(more, 1).movedim(2, -1) * shut[..., None]
    for window, much in zip(windows_of(places, corner, side), change.to(places)):
        window += much


def roundness(landmarks: Tensor) -> Tensor:
    """How round the open mouths of landmarks [T,478,3] are: [T], 0 where lips are closed or smile, 1 in an "oh"."""
    return _step(lip_gap(landmarks) / mouth_width(landmarks).clamp_min(1e-6), ROUND)


def darken(features: Tensor, hollow: Hollow, pictures: Tensor, cheeks: Tensor) -> None:
    """Paint what is not known in warped pictures [T,R,3,S,S], in place.

    Args:
        pictures: [R,3,h,w]. cheeks: [R,2,2] where they show the cheeks, normalised: the mouth is as dark beside them.
    """
    skin = geometry.sample(pictures, cheeks[:, None].to(pictures)).mean((2, 3))  # [R,3]
    dark = (skin * skin.new_tensor(DARK))[:, None, None]
    seen = windows_of(features.movedim(2, -1), hollow.corner, hollow.unknown.shape[-1])
    for window, unknown in zip(seen, hollow.unknown.movedim(2, -1)):
        window.lerp_(dark.expand_as(window), unknown.expand_as(window))


def unknown_share(hollow: Hollow, size: int, cells: int) -> Tensor:
    """How far what lies at the centres of cells x cells over a picture of `size` is not known: [T,R,1,cells,cells]."""
    centres = geometry.pixel_grid(cells, cells) * (size / cells) - hollow.corner[:, None, None]
    side = hollow.unknown.shape[-1]
    grid = geometry.normalise(centres, (side, side)).to(hollow.unknown)
    return geometry.sample(hollow.unknown[:, :, 0], grid, "zeros")[:, :, None]


def from_one(scores: Tensor, flows: Flows, references: Tensor, prior: Tensor) -> Tensor:
    """Scores [T,R,BANDS,n,n] with which all that is seen between the lips, and their seam, comes from one reference.

    Teeth, tongue and darkness of two mouths do not mix: the sum is grey. The network's own preference decides, as the
    mean over the opening, and how well each mouth of the landmarks [R,478,3] suits. `prior` [T,R,1,n,n] is 0 where a
    reference may not be used: masked, or beyond its picture.
    """
    cells = scores.shape[-1]
    mask = between_lips(flows.vertices * cells, cells).to(scores)[:, None]  # [T,1,1,n,n]
    weight = mask / mask.sum((3, 4), keepdim=True).clamp_min(1e-3)
    liked = (scores[:, :, :1] * weight).sum((3, 4), keepdim=True) / DECISION[0]
    doubts = unsuited(flows.vertices, references) + TURNED * flows.angle
    missing = 1 - (prior * weight).sum((3, 4), keepdim=True)
    whole = WHOLE * (liked - MISSING * missing - doubts[:, :, None, None, None].to(liked))
    return scores.lerp(whole.expand_as(scores), mask.expand_as(scores))


def between_lips(local: Tensor, cells: int) -> Tensor:
    """Where landmarks [T,478,3], in cells, have the inside of the mouth and the rims of the lips: [T,1,cells,cells],
    0..1. Closed lips too have a seam."""
    masks = np.zeros((len(local), cells, cells), np.uint8)
    for mask, points in zip(masks, local[:, list(INNER_LIPS), :2].clamp(-cells, 2 * cells).cpu().numpy(), strict=True):
        outline = [fixed_point(points)]
        cv2.fillPoly(mask, outline, 255, cv2.LINE_AA, SUBPIXEL)
        cv2.polylines(mask, outline, True, 255, RIMS, cv2.LINE_AA, SUBPIXEL)
    return torch.from_numpy(masks)[:, None].float() / 255


def unsuited(driving: Tensor, references: Tensor) -> Tensor:
    """Doubts, in logits, whether the mouths of landmarks [R,478,3] suit those of [T,478,3]: [T,R].

    By how far height and width of the opening differ; and where one is open and the other closed, because the one shows
    nothing of what lies inside, the other only part of the lips.
    """
    asked, shown = lip_gap(driving)[:, None], lip_gap(references)
    apart = torch.hypot(asked - shown, mouth_width(driving)[:, None] - mouth_width(references))
    return UNLIKE * apart + CONTRARY * _contrary(asked, shown)


def _contrary(gap: Tensor, other: Tensor) -> Tensor:
    """How far one of two mouths is open and the other closed, 0..1."""
    alike = (torch.minimum(gap, other) + CLOSED) / (torch.maximum(gap, other) + CLOSED)
    return 1 - _step(alike, ALIKE)


def shows_inside(driving: Tensor, references: Tensor) -> Tensor:
    """How far nothing should be painted inside the lips of landmarks [T,478,3]: [T,R], 1 where the mouth is round, or
    wide open and about as open in the reference of [R,478,3].

    What is painted into a mouth that is only a little open makes it look as open as the driver's.
    """
    opening = lip_gap(driving)[:, None]
    shown = _step(lip_gap(references) / opening.clamp_min(1e-6), SHOWN) * _step(opening, LARGE)
    return torch.maximum(shown, roundness(driving)[:, None])


def mouth_width(landmarks: Tensor) -> Tensor:
    """Distance of the lips' corners [N] of landmarks [N,478,3], in face heights."""
    return (landmarks[:, LIP_CORNERS[0]] - landmarks[:, LIP_CORNERS[1]]).norm(dim=-1) / face_height(landmarks)


def _step(values: Tensor, ends: tuple[float, float]) -> Tensor:
    """0 below the first end, 1 above the second, smooth between."""
    return geometry.smooth_step((values - ends[0]) / (ends[1] - ends[0]))


class _Mouth(NamedTuple):
    """The inner lips as a mesh of their own."""

    vertices: Tensor  # [V] long
    triangles: Tensor  # [f,3] long, numbers into V
    upper: Tensor  # [P] long, the vertices of `LIP_PAIRS`
    lower: Tensor  # [P] long
    down: Tensor  # [V] 0 at the upper lip, 1 at the lower, 0.5 in the corners
    column: Tensor  # [V] long, the pair to which a vertex belongs, P in the corners


@cache
def _mouth() -> _Mouth:
    vertices, (upper, lower) = torch.tensor(sorted(INNER_LIPS)), torch.tensor(LIP_PAIRS).T.contiguous()
    down, column = torch.full((len(vertices),), 0.5), torch.full((len(vertices),), len(LIP_PAIRS))
    for lip, place in ((upper, 0.0), (lower, 1.0)):
        numbers = torch.searchsorted(vertices, lip)
        down[numbers], column[numbers] = place, torch.arange(len(LIP_PAIRS))
    return _Mouth(vertices, triangles_between(vertices), upper, lower, down, column)
