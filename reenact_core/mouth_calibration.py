"""What is added to a resting mouth so that the moved face reads as the driver's face reads.

A mouth is seldom seen quite at rest, so the fused shape keeps a trace of a smile or of parted lips, and the tracker's
coefficients answer late, or not at all, or more in one face than in another to what is added to it. So some amounts of
mouth shapes are added, which depend linearly on a few readings of the driver: a rule for the whole shot by which jaw
and smile of the moved face read like the driver's own. Least squares by Gauss-Newton over some frames, with a prior
that keeps the amounts small. An error counts by how much the driver's reading varies: a driver who hardly opens the
mouth shall be followed, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from .editing.basis import SHAPES, expression_basis
from .head_channels import PARTS, part_weights
from .tracking import BLENDSHAPE_NAMES

FRAMES = 48  # frames that are compared, evenly chosen
READ = ("jawOpen", "mouthSmileLeft", "mouthSmileRight")  # what means the same in everybody
# The driver's readings that the amounts depend on, besides a constant.
STATES = (("jawOpen",), ("mouthSmileLeft", "mouthSmileRight"), ("mouthPucker",), ("mouthFunnel",))
# What the resting mouth may be corrected by, both sides alike.
AMOUNTS = (
    ("jawOpen",), ("mouthSmileLeft", "mouthSmileRight"), ("mouthPucker",), ("mouthFunnel",), ("mouthClose",),
    ("mouthUpperUpLeft", "mouthUpperUpRight"), ("mouthLowerDownLeft", "mouthLowerDownRight"),
    ("mouthStretchLeft", "mouthStretchRight"), ("mouthFrownLeft", "mouthFrownRight"),
)  # fmt: skip
LEAST_SPREAD = 0.03  # of a reading over time; errors count in this unit, or in that of the driver's own spread
PRIOR = 0.3  # mean squared error, in these units, that an amount of 1 is worth
MOST = 0.4  # amounts beyond which nothing is believed
LEAST_STATE = 0.01  # added to the mean squares of the driver's readings: what a driver hardly does has no say
STEP, LARGEST_STEP, ROUNDS = 0.05, 0.3, 6
SHARES = (1.0, 0.5, 0.25, 0.125)  # of a step that are tried until one makes the error less
ENOUGH = 0.01  # share of the error by which a round that goes on must lessen it


def calibrate_mouth(read: Callable[[Tensor], Tensor], driving: Tensor, some: Tensor) -> Tensor:
    """What to add to the resting face in each frame: [T,478,3] in head coordinates.

    Args:
        read: additions [t,478,3] -> blendshapes [t,52] of the moved face in the frames `some`.
        driving: [T,52] the driver's blendshapes. some: [t] long, numbers of the frames that are compared.
    """
    moves = _moves()
    states = _states(driving)  # [T,F]
    seen = states[some]
    aim = driving[some][:, _indices(READ)]  # [t,3]
    worth = 1 / aim.std(0, correction=0).clamp_min(LEAST_SPREAD)  # [3]
    spread = seen.T @ seen / len(seen) + LEAST_STATE * torch.eye(seen.shape[1])
    prior = PRIOR * torch.kron(torch.eye(len(moves)), spread)

    def readings(amounts: Tensor) -> Tensor:
        return read(torch.einsum("tk,kpc->tpc", amounts, moves))[:, _indices(READ)]

    def tried(rule: Tensor) -> tuple[Tensor, Tensor]:
        """What a rule makes of the mouths [t,3], and how bad that is."""
        now = readings((seen @ rule.T).clamp(-MOST, MOST))
        error = (worth * (aim - now)).square().sum(1).mean() + rule.flatten() @ prior @ rule.flatten()
        return now, error

    rule = torch.zeros(len(moves), seen.shape[1])
    now, error = tried(rule)
    for _ in range(ROUNDS):
        amounts = (seen @ rule.T).clamp(-MOST, MOST)
        slopes = torch.stack([readings(amounts + STEP * one) - now for one in torch.eye(len(moves))], 2) / STEP
        slopes = slopes * (amounts.abs() < MOST)[:, None]  # what is at its limit does not go on
        by_rule = torch.einsum("trk,tf->trkf", worth[:, None] * slopes, seen).flatten(2).flatten(0, 1)  # [t*3,K*F]
        normal = by_rule.T @ by_rule / len(seen) + prior
        gradient = by_rule.T @ (worth * (aim - now)).flatten() / len(seen) - prior @ rule.flatten()
        step = torch.linalg.solve(normal, gradient).view_as(rule)
        step = step * (LARGEST_STEP / (seen @ step.T).abs().amax()).clamp_max(1)
        for share in SHARES:
            then, less = tried(rule + share * step)
            if less < error:
                break
        else:
            break
        rule, now, error, gain = rule + share * step, then, less, error - less
        if gain < ENOUGH * error:
            break
    return torch.einsum("tk,kpc->tpc", (states @ rule.T).clamp(-MOST, MOST), moves)


def _states(driving: Tensor) -> Tensor:
    """What the additions depend on: a constant and some readings of the driver's mouth, [T,F].

    Readings leap where landmarks move, so each is a mean over three frames: additions shall not shake a mouth.
    """
    columns = [driving[:, _indices(names)].mean(1) for names in STATES]
    states = torch.stack([torch.ones(len(driving)), *columns], 1)
    before, after = torch.cat([states[:1], states[:-1]]), torch.cat([states[1:], states[-1:]])
    return (before + 2 * states + after) / 4


def _indices(names: Sequence[str]) -> list[int]:
    return [BLENDSHAPE_NAMES.index(name) for name in names]


@cache
def _moves() -> Tensor:
    """Displacements [K,478,3] of the mouth by each of `AMOUNTS`."""
    table = expression_basis().displacements
    moves = torch.stack([table[[SHAPES.index(name) for name in names]].sum(0) for names in AMOUNTS])
    return moves * part_weights()[0][PARTS.index("mouth")][:, None]
