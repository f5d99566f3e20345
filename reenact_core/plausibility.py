"""References that do not fit the others: somebody else's picture, one in another light, one out of focus.

Faces are compared where their meshes say the same point of the face is. At every vertex that two pictures both show,
the logarithm of the ratio of their brightness is split into what light does, a quadratic function of the place on the
face (a smooth surface in soft light: Basri and Jacobs 2003), and the rest. One person in one light leaves little of
either; another person leaves a rest, whatever the light. How much a person's own pictures differ depends: frames of one
take are much alike, photos of several days are not. So what counts is by how much a picture exceeds the difference
that is usual among the references at hand. Limits were set on tracked pictures of 40 people.

Of two pictures that do not go together nobody can say which is wrong: the first counts as right. Of more, those are
right that most others go together with; where no two do, all stay. The first picture is the canvas and stays in any
case.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import geometry
from .canonical_shape import average_shape
from .motion_models.mesh_flows import MESH_POINTS
from .motion_models.mesh_references import visible_vertices
from .references import frame_sharpness
from .stopping import may_stop
from .types import Faces, References


class Limit(NamedTuple):
    """How far beyond the usual difference two pictures do not go together."""

    beyond: float
    least: float  # a usual difference that is smaller counts as this
    typical: float  # the usual difference where there are but two pictures to tell it from


STRANGE = Limit(0.4, 0.3, 0.7)
SHADING = Limit(0.08, 0.03, 0.08)  # how far light changes the logarithm of the ratio of brightness across a face
CONTRAST = Limit(0.3, 0.03, 0.15)  # logarithm of the ratio of contrasts
BLURRED = 0.3  # share of the usual sharpness
LOWERED = 1e-3  # factor on the strength of a reference that is held back
LEEWAY = 0.3  # off the strangeness of two pictures in different light
TURN = 15.0  # degrees between two heads from which on faces look less alike
PER_DEGREE = 0.01  # by so much less per degree
_SIDE = 96  # pixels per side of the box of landmarks, in which faces are compared
_FEWEST = 60  # vertices that both pictures must show, or nothing is said about them


class Doubt(Enum):
    """What is wrong with a reference."""

    STRANGER = "shows somebody else than {others}, or is in quite another light"
    LIGHT = "is in another light than {others}"
    BLURRED = "is out of focus beside {others}"


class Comparison(NamedTuple):
    """How R pictures of faces differ, pair by pair, less what their turn explains; 0 where both show too little."""

    strangeness: Tensor  # [R,R] mostly what light does not explain
    shading: Tensor  # [R,R] what light does
    contrast: Tensor  # [R,R]


def weigh_references(references: References) -> tuple[References, tuple[str, ...]]:
    """The references without strangers, and with less strength for those that spoil more than they show.

    Returns them with a sentence about each change; without doubts they are returned as they are.
    """
    doubts = find_doubts(references)
    names = references.labels
    notes = []
    for r, doubt in doubts.items():
        fine = [names[i] for i in range(len(names)) if i not in doubts] or [names[0]]
        others = fine[0] if len(fine) == 1 else "the others"
        left_out = doubt is Doubt.STRANGER and r > 0
        consequence = "left out" if left_out else "used only where nothing else shows a pixel"
        notes.append(f"{names[r]} {doubt.value.format(others=others)}: {consequence}.")
    kept = [r for r in range(len(names)) if r == 0 or doubts.get(r) is not Doubt.STRANGER]
    lowered = torch.tensor([LOWERED if r in doubts else 1.0 for r in kept])
    weighed = References(
        images=tuple(references.images[r] for r in kept),
        masks=tuple(references.masks[r] for r in kept),
        faces=references.faces.at(kept),
        strengths=references.strengths[kept] * lowered.to(references.strengths),
        labels=tuple(names[r] for r in kept),
    )
    return (weighed if doubts else references), tuple(notes)


@torch.inference_mode()
def find_doubts(references: References) -> dict[int, Doubt]:
    """What is wrong with which reference; at least one has nothing wrong with it."""
    if len(references.images) == 1:
        return {}
    found = compare_faces(references)
    lit = beyond(found.shading, SHADING) | beyond(found.contrast, CONTRAST)
    strange = at_odds(beyond(found.strangeness - LEEWAY * lit, STRANGE))
    light = at_odds(lit, ~strange)
    faces = references.faces
    sharp = torch.cat([frame_sharpness(image[None], faces.at([r])) for r, image in enumerate(references.images)])
    usual = sharp[~strange].sort().values[int((~strange).sum()) // 2]  # of two the sharper
    doubts: dict[int, Doubt] = {}
    for r in range(len(sharp)):
        if strange[r]:
            doubts[r] = Doubt.STRANGER
        elif sharp[r] < BLURRED * usual:
            doubts[r] = Doubt.BLURRED
        elif light[r]:
            doubts[r] = Doubt.LIGHT
    return doubts


def beyond(table: Tensor, limit: Limit) -> Tensor:
    """Which of R pictures do not go together, [R,R] bool, by how much they differ, [R,R] symmetric.

    The usual difference is the median over references of each one's median difference from the others, the lower one
    of even numbers: strangers in the minority do not decide it.
    """
    count = len(table)
    if count == 2:
        usual = limit.typical
    else:
        apart = table.masked_fill(torch.eye(count, dtype=torch.bool), torch.inf)
        usual = max(limit.least, float(apart.sort(1).values[:, (count - 2) // 2].median()))
    return table > limit.beyond + usual


def at_odds(apart: Tensor, among: Tensor | None = None) -> Tensor:
    """Which of R do not go together with most of those that go together: [R] bool.

    The largest circle around one of them decides, the first of equals; whoever is apart from more than half of it is at
    odds. Where each of three or more stands alone, none is.

    Args:
        apart: [R,R] bool, symmetric. among: [R] bool, those who have a say; the others are not at odds. None = all.
    """
    among = torch.ones(len(apart), dtype=torch.bool) if among is None else among
    together = ~apart & among & among[:, None]
    circle = together[int(together.sum(1).argmax())]
    if circle.sum() == 1 and among.sum() > 2:
        return torch.zeros_like(among)
    return ((apart & circle).sum(1) > circle.sum() / 2) & among


def compare_faces(references: References) -> Comparison:
    """Every reference with every other."""
    faces = references.faces
    colours = torch.stack([_colours(image, faces, r) for r, image in enumerate(references.images)])  # [R,V,3]
    seen = (visible_vertices(faces.landmarks) > 0.35) & _inner()  # [R,V]
    logs = colours.clamp(0.02, 1).log()
    light = logs.mean(2)  # [R,V]
    first, second = torch.triu_indices(len(light), len(light), 1)
    both = (seen[first] & seen[second]).double()  # [P,V]
    ratio = light[second] - light[first]
    fit = _light_fit(ratio, both)
    rest = (ratio - fit).abs()
    one, other = (light[side] - _light_fit(light[side], both, rounds=1) for side in (first, second))
    product, own, their = ((both * a * b).sum(1) for a, b in ((one, other), (one, one), (other, other)))
    hue = logs - light[:, :, None]
    change = hue[second] - hue[first]  # [P,V,3]
    hidden = both == 0
    usual = change.masked_fill(hidden[..., None], torch.nan).nanmedian(1, keepdim=True).values  # [P,1,3]
    change = change - usual
    level = fit.masked_fill(hidden, torch.nan)
    level = (level - level.nanmean(1, keepdim=True)).abs()
    contrast = (their / own.clamp_min(1e-9)).clamp_min(1e-9).log().abs() / 2
    strangeness = (
        (1 - product / (own * their).sqrt().clamp_min(1e-9))
        + _quantile(rest, hidden, 0.8)
        + 2 * _quantile(change.norm(dim=2), hidden, 0.8)
        + 2 * usual.norm(dim=2)[:, 0].nan_to_num()
        + contrast / 2
    )
    telling = both.sum(1) >= _FEWEST
    turned = references.faces.rotation.double()
    cosine = ((turned[first] * turned[second]).sum((1, 2)) - 1) / 2
    slack = PER_DEGREE * (cosine.clamp(-1, 1).acos().rad2deg() - TURN).clamp_min(0)

    def matrix(values: Tensor) -> Tensor:
        table = torch.zeros(len(light), len(light), dtype=torch.double)
        table[first, second] = torch.where(telling, (values.double() - slack).clamp_min(0), 0)
        return table + table.T

    shading = _quantile(level, hidden, 0.9)
    return Comparison(*map(matrix, (strangeness, shading, contrast)))


def _colours(image: Tensor, faces: Faces, index: int) -> Tensor:
    """Colour [V,3] of a picture [3,H,W] around each vertex, at one size of the face."""
    points = faces.landmarks[index, :MESH_POINTS, :2]
    size = torch.tensor([image.shape[2], image.shape[1]])
    low = points.amin(0).floor().long().clamp_min(0).minimum(size - 2)
    high = points.amax(0).ceil().long().minimum(size).maximum(low + 2)
    may_stop()
    box = image[:, low[1] : high[1], low[0] : high[0]].float().cpu()
    face = F.interpolate(box[None], size=(_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False)
    soft = F.avg_pool2d(face, 5, 1, 2, count_include_pad=False)
    grid = geometry.normalise((points - low) / (high - low) * _SIDE, (_SIDE, _SIDE))
    return geometry.sample(soft, grid[None, None])[0, :, 0].T


@cache
def _inner() -> Tensor:
    """Vertices [V] bool that are not at the rim of the face, where hair may hang."""
    x, y = average_shape()[:MESH_POINTS, :2].T
    across, down = x / x.abs().max(), 2 * (y - y.mean()) / (y.max() - y.min())
    return across.square() + down.square() < 0.75


@cache
def _places() -> Tensor:
    """Quadratic functions [V,6] of the place on the face."""
    x, y = average_shape()[:MESH_POINTS, :2].double().T
    return torch.stack([torch.ones_like(x), x, y, x * y, x * x, y * y], 1)


def _light_fit(values: Tensor, both: Tensor, rounds: int = 4) -> Tensor:
    """The quadratic function nearest to values [P,V] where both [P,V] is 1, its values [P,V].

    More than one round looks away from outliers (iteratively reweighted least squares).
    """
    places, values = _places(), values.double()
    weights = both
    fit = torch.zeros_like(values)
    ridge = 1e-6 * torch.eye(places.shape[1], dtype=torch.float64)
    for _ in range(rounds):
        normal = torch.einsum("pv,vi,vj->pij", weights, places, places) + ridge
        fit = torch.linalg.solve(normal, torch.einsum("pv,vi,pv->pi", weights, places, values)) @ places.T
        weights = both / (1 + ((values - fit) / 0.1).square())
    return fit


def _quantile(values: Tensor, hidden: Tensor, share: float) -> Tensor:
    """Quantile [P] of values [P,V] that are not hidden [P,V]; 0 where all are."""
    return values.double().masked_fill(hidden, torch.nan).nanquantile(share, dim=1).nan_to_num()
