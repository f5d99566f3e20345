"""The inside of a mouth that is opened further than in a reference: teeth do not stretch.

The mesh spans an open mouth with triangles from lip to lip. Its flow alone would pull apart whatever the reference
shows there: teeth, or the dark line between closed lips. So what lies below the reference's upper lip stays as far
below the upper lip, what lies above its lower lip as far above the lower one, and what comes to be between them is not
known: it is painted dark and hardly trusted, so that references with a wider open mouth go first.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..face_regions import INNER_LIPS, LIP_CORNERS, LIP_PAIRS, MIDDLE_LIPS
from .mesh_flows import face_height, lip_gap
from .mesh_seams import draw, triangles_between, window_grid, windows, windows_of

WIDER = (1.2, 1.7)  # how much further the mouth opens than in the reference where this begins, and is complete
ROUND = (0.3, 0.45)  # height over width of a mouth that begins to be round, and of one that is
EDGE = 0.08  # width of the soft edges of what is not known, in shares of the opening
CHEEKS = (50, 280)
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


def roundness(landmarks: Tensor) -> Tensor:
    """How round the open mouths of landmarks [T,478,3] are: [T], 0 where lips are closed or smile, 1 in an "oh"."""
    width = (landmarks[:, LIP_CORNERS[0]] - landmarks[:, LIP_CORNERS[1]]).norm(dim=-1).clamp_min(1e-6)
    return _step(lip_gap(landmarks) * face_height(landmarks) / width, ROUND)


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
