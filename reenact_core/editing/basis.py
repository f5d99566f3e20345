"""How each ARKit blendshape moves each landmark: a table made from heads with known blendshapes.

`scripts/make_expression_basis.py` writes it, from the CC0 heads of MakeHuman.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import CheckpointError
from ..motion_models.mesh_flows import face_height
from ..tracking import BLENDSHAPE_NAMES

SHAPES: tuple[str, ...] = BLENDSHAPE_NAMES[1:]  # the first is "_neutral", which moves nothing
FILE = Path(__file__).with_name("expression_basis.safetensors")


class Eye(NamedTuple):
    """Landmarks of one eye; the lids' points are in pairs from corner to corner."""

    side: str  # the person's own
    corners: tuple[int, int]
    upper: tuple[int, ...]  # on the edge of the lid
    lower: tuple[int, ...]
    above: tuple[int, ...]  # on the skin beside it
    irises: tuple[int, ...]


EYES = (
    Eye(
        "Right",
        (33, 133),
        (246, 161, 160, 159, 158, 157, 173),
        (7, 163, 144, 145, 153, 154, 155),
        (247, 30, 29, 27, 28, 56, 190),
        (468, 469, 470, 471, 472),
    ),
    Eye(
        "Left",
        (263, 362),
        (466, 388, 387, 386, 385, 384, 398),
        (249, 390, 373, 374, 380, 381, 382),
        (467, 260, 259, 257, 258, 286, 414),
        (473, 474, 475, 476, 477),
    ),
)
MIDDLE = slice(2, 5)  # of the pairs: where the lids are farthest apart
RATIO = (0.25, 2.5)  # smallest and largest size of an eye against the heads' that is believed


class Basis(NamedTuple):
    """Displacements in axes of the canonical face (x right, y down, z away), in face heights."""

    displacements: Tensor  # [51,478,3] at amount 1, in the order of `SHAPES`
    places: Tensor  # [478,3] the landmarks of the mean resting head they were read from


@cache
def expression_basis() -> Basis:
    """The table that ships in the package.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        tensors = load_file(FILE)
        return Basis(tensors["displacements"].float(), tensors["places"].float())
    except (OSError, SafetensorError, KeyError) as error:
        raise CheckpointError(f"{FILE.name} cannot be read ({error}). Reinstall the package.") from error


def basis_of(rest: Tensor) -> Tensor:
    """Displacements [51,478,3] for the person whose resting face has the landmarks `rest` [1,478,3].

    Lids move as far as this person's eyes are open, irises as far as the eyes are wide.
    """
    basis = expression_basis()
    moves = basis.displacements.clone()
    own = rest / face_height(rest)[:, None, None]
    model = basis.places[None] / face_height(basis.places[None])[:, None, None]
    for eye in EYES:
        lids = _ratio(own, model, eye.upper[MIDDLE], eye.lower[MIDDLE])
        width = _ratio(own, model, eye.corners[:1], eye.corners[1:])
        shapes = [i for i, name in enumerate(SHAPES) if name.startswith("eye") and name.endswith(eye.side)]
        factor = torch.full((rest.shape[1],), lids)
        factor[list(eye.irises)] = width
        moves[shapes] *= factor[:, None]
    return moves


def _ratio(own: Tensor, model: Tensor, first: tuple[int, ...], second: tuple[int, ...]) -> float:
    """How much farther these points [1,478,3] are apart than those of the model."""
    apart = [(points[0, list(first)] - points[0, list(second)]).norm(dim=1).mean() for points in (own, model)]
    return float((apart[0] / apart[1].clamp_min(1e-6)).clamp(*RATIO))
