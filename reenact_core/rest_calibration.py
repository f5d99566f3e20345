"""A resting mouth that makes the moved face read as the driver's face reads.

A mouth is seldom seen quite at rest, so the fused shape keeps a trace of a smile or of parted lips, and the tracker's
coefficients answer late or not at all to what is added to it. A few constant amounts of mouth shapes, the same for the
whole shot, are added to the resting face so that jaw and smile of the moved face read like the driver's own: least
squares by Gauss-Newton over some frames, with a prior that keeps the amounts small.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from .editing.basis import SHAPES, expression_basis
from .head_channels import PARTS, part_weights
from .tracking import BLENDSHAPE_NAMES

FRAMES = 24  # frames that are compared, evenly chosen
READ = ("jawOpen", "mouthSmileLeft", "mouthSmileRight")  # what means the same in everybody
# What the resting mouth may be corrected by, both sides alike.
AMOUNTS = (
    ("jawOpen",), ("mouthSmileLeft", "mouthSmileRight"), ("mouthPucker",), ("mouthFunnel",), ("mouthClose",),
    ("mouthUpperUpLeft", "mouthUpperUpRight"), ("mouthLowerDownLeft", "mouthLowerDownRight"),
    ("mouthStretchLeft", "mouthStretchRight"), ("mouthFrownLeft", "mouthFrownRight"),
)  # fmt: skip
PRIOR = 0.03  # mean squared error of the readings that an amount of 1 is worth
MOST = 0.4  # amounts beyond which nothing is believed
STEP, LARGEST_STEP, ROUNDS = 0.05, 0.3, 6
ENOUGH = 0.01  # step that ends the rounds


def calibrate_rest(read: Callable[[Tensor], Tensor], wanted: Tensor) -> Tensor:
    """What to add to the resting face: [478,3] in head coordinates.

    Args:
        read: addition [478,3] -> blendshapes [t,52] of the moved face in some frames.
        wanted: [t,52] the driver's blendshapes in the same frames.
    """
    index = [BLENDSHAPE_NAMES.index(name) for name in READ]
    moves = _moves()

    def readings(amounts: Tensor) -> Tensor:
        return read(torch.einsum("k,kpc->pc", amounts, moves))[:, index].flatten()

    amounts = torch.zeros(len(moves))
    aim = wanted[:, index].flatten()
    for _ in range(ROUNDS):
        now = readings(amounts)
        slopes = torch.stack([readings(amounts + STEP * one) - now for one in torch.eye(len(moves))], 1) / STEP
        normal = slopes.T @ slopes / len(wanted) + PRIOR * torch.eye(len(moves))
        gradient = slopes.T @ (aim - now) / len(wanted) - PRIOR * amounts
        step = torch.linalg.solve(normal, gradient).clamp(-LARGEST_STEP, LARGEST_STEP)
        before, amounts = amounts, (amounts + step).clamp(-MOST, MOST)
        if (amounts - before).abs().amax() < ENOUGH:
            break
    return torch.einsum("k,kpc->pc", amounts, moves)


@cache
def _moves() -> Tensor:
    """Displacements [K,478,3] of the mouth by each of `AMOUNTS`."""
    table = expression_basis().displacements
    moves = torch.stack([table[[SHAPES.index(name) for name in names]].sum(0) for names in AMOUNTS])
    return moves * part_weights()[0][PARTS.index("mouth")][:, None]
