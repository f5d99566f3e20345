"""Which head poses and expressions a set of references can show, and holding motion back softly where they end."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .pose import euler_degrees
from .tracking import BLENDSHAPE_NAMES
from .types import Faces

SOFTNESS = 10.0  # degrees over which a turn beyond the limit comes to rest
SHOWN = 15.0  # degrees beyond a reference's pose that it still shows passably
SHOWN_EXPRESSION = 0.3  # the same for an open jaw or a lid, of its full range
LEAST_FRAMES = 0.01  # share of the frames below which a gap is not worth a word


def soft_limit(values: Tensor, low: float, high: float, softness: float) -> Tensor:
    """`values` unchanged within [low, high]; beyond, they approach a place `softness` further out, never going back."""
    over, under = (values - high).clamp_min(0), (low - values).clamp_min(0)
    return values.clamp(low, high) + softness * (torch.tanh(over / softness) - torch.tanh(under / softness))


def limit_angles(angles: Tensor, shown: Tensor, reach: float) -> Tensor:
    """Yaw, pitch and roll [T,3] in degrees, yaw and pitch held back beyond `reach` degrees outside those of references.

    Args:
        shown: [R,3] yaw, pitch and roll of the references.
    """
    columns = [
        soft_limit(angles[:, axis], float(shown[:, axis].min()) - reach, float(shown[:, axis].max()) + reach, SOFTNESS)
        for axis in (0, 1)
    ]
    return torch.stack([*columns, angles[:, 2]], 1)


def uncovered(motion: Faces, references: Faces) -> tuple[str, ...]:
    """A sentence for everything that the motion [T] shows and no reference [R] does; empty where all is covered."""
    wanted, shown = euler_degrees(motion.rotation), euler_degrees(references.rotation)
    notes: list[str] = []
    for axis, name in enumerate(("yaw", "pitch")):
        for sign in (1, -1):
            limit = float((sign * shown[:, axis]).max()) + SHOWN
            # Written as people read it: "beyond 35", "beyond -20".
            what = f"{name} beyond {sign * limit:.0f} degrees"
            notes += _note(what, sign * wanted[:, axis], limit, lambda value, sign=sign: f"{sign * value:.0f}")
    for name, key in (("jaw opening", "jawOpen"), ("lid closure", "eyeBlinkLeft")):
        index = BLENDSHAPE_NAMES.index(key)
        limit = float(references.blendshapes[:, index].max()) + SHOWN_EXPRESSION
        what = f"{name} beyond {limit:.2f}"
        notes += _note(what, motion.blendshapes[:, index], limit, lambda value: f"{value:.2f}")
    return tuple(notes)


def _note(what: str, values: Tensor, limit: float, write: Callable[[float], str]) -> list[str]:
    """The sentence about `values` [T] above `limit`, or nothing."""
    beyond = values > limit
    count = int(beyond.sum())
    if count <= LEAST_FRAMES * len(values):
        return []
    most = int(values.argmax())
    return [
        f"{what} is not covered by any reference: {count} of {len(values)} frames, "
        f"at most {write(float(values[most]))} in frame {most}."
    ]
