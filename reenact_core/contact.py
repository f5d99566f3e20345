"""Contacts that a motion must keep when it goes over to another face: lips that meet, lids that shut.

Displacements alone do not: a mouth of other proportions stays ajar, an eye that is more open stops half-way. So the
gap between upper and lower lip, and between the lids, follows the driver's own gap, and the skin around goes along.
All in head coordinates (`canonical_shape`), where y points down the face and the unit is the face's height.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from . import geometry
from .canonical_shape import average_shape
from .face_regions import LIP_CORNERS, LIP_PAIRS

# Upper and lower points that meet; the corners between which they do stay where they are.
LIDS = (
    ((159, 145), (158, 153), (160, 144), (161, 163), (157, 154), (173, 155), (246, 7)),
    ((386, 374), (385, 380), (387, 373), (388, 390), (384, 381), (398, 382), (466, 249)),
)
LID_CORNERS = ((33, 133), (362, 263))
NEARLY_CLOSED = 0.035  # lip gap below which closing is imposed more and more
LEAST_IMPOSED = 0.6  # and how much it is above, against the displacement added to our own lips
SHUT = 0.18  # of a resting eye's gap: what the tracker still reads when the lids touch
LIDS_MORE = 0.15  # how much farther lids are asked to close: in pictures they close less than was asked
UPPER_LIP_SHARE, UPPER_LID_SHARE = 0.3, 0.85  # how much of the way the upper one goes; the jaw and the lid do most
LIP_SPREAD = (0.04, 0.12)  # how far skin above the upper and below the lower lip goes along, in face heights
LID_SPREAD = (0.035, 0.02)


class _Seam(NamedTuple):
    """Pairs of points that meet, and how the skin around follows them."""

    upper: Tensor  # [P] long
    lower: Tensor  # [P] long
    follow: Tensor  # [P,478] how far a landmark follows when pair p closes by 1: > 0 above, < 0 below


def keep_contacts(shapes: Tensor, driving: Tensor, driving_rest: Tensor, own_rest: Tensor) -> Tensor:
    """Shapes [T,478,3] of our face whose lips and lids close as the driver's do.

    Args:
        driving: [T,478,3] the driver's shapes, already of our face's proportions.
        driving_rest, own_rest: [478,3] both resting faces.
    """
    wanted = _gap(driving, _lips())
    level = geometry.smooth_step(wanted[..., 1].mean(1, keepdim=True) / NEARLY_CLOSED)
    closing = 1 - (1 - LEAST_IMPOSED) * level
    shapes = _change(shapes, _lips(), closing[..., None] * (wanted - _gap(shapes, _lips())))
    for eye in range(len(LIDS)):
        seam = _lids(eye)
        rest = _gap(driving_rest[None], seam)[..., 1].mean(1).clamp_min(1e-4)
        opening = (_gap(driving, seam)[..., 1].mean(1) / rest - SHUT) / (1 - SHUT)  # [T], 1 = as at rest
        opening = opening - LIDS_MORE * (1 - opening).clamp_min(0)
        wanted = _gap(own_rest[None], seam) * opening.clamp_min(0)[:, None, None]  # the lids keep their curve
        shapes = _change(shapes, seam, wanted - _gap(shapes, seam))
    return shapes


def _gap(shapes: Tensor, seam: _Seam) -> Tensor:
    """How far each pair is open, down the face and into it: [T,P,3] with x left out, which is 0."""
    return (shapes[:, seam.lower] - shapes[:, seam.upper]) * shapes.new_tensor([0.0, 1.0, 1.0])


def _change(shapes: Tensor, seam: _Seam, opening: Tensor) -> Tensor:
    """The shapes with every pair opened by so much more [T,P,3]."""
    return shapes - torch.einsum("tpc,pk->tkc", opening, seam.follow)


@cache
def _lips() -> _Seam:
    return _seam(LIP_PAIRS, LIP_CORNERS, UPPER_LIP_SHARE, LIP_SPREAD)


@cache
def _lids(eye: int) -> _Seam:
    return _seam(LIDS[eye], LID_CORNERS[eye], UPPER_LID_SHARE, LID_SPREAD)


def _seam(
    pairs: tuple[tuple[int, int], ...], corners: tuple[int, int], share: float, spread: tuple[float, float]
) -> _Seam:
    """A landmark follows the pairs that are nearest to it across the face, less the farther it is along it."""
    points = average_shape()[:468]
    upper, lower = torch.tensor(pairs).T
    middle = torch.cat([(points[upper] + points[lower]) / 2, points[list(corners)]])  # [P+2,3]
    reach = 0.12 * (points[corners[0], 0] - points[corners[1], 0]).abs()
    across = (points[None, :, 0] - middle[:, None, 0]) / reach  # [P+2,468]
    by_pair = torch.softmax(-across.square(), 0)
    near = torch.exp(-across.square().amin(0) / 2)
    line = middle[:, 1] @ by_pair  # [468] where lips or lids meet above or below the landmark
    follow = torch.zeros(len(pairs), 478)
    for row, reach_along, sign in ((upper, spread[0], share), (lower, spread[1], share - 1)):
        rim = torch.cat([points[row, 1], points[list(corners), 1]]) @ by_pair
        side = points[:, 1] < line if sign > 0 else points[:, 1] > line
        amount = sign * near * torch.exp(-((points[:, 1] - rim) / reach_along).square() / 2)
        follow[:, :468] += by_pair[: len(pairs)] * torch.where(side, amount, 0.0)
    for pair in range(len(pairs)):  # the points that meet obey exactly
        follow[:, [upper[pair], lower[pair]]] = 0
        follow[pair, upper[pair]], follow[pair, lower[pair]] = share, share - 1
    follow[:, list(corners)] = 0
    return _Seam(upper, lower, follow)
