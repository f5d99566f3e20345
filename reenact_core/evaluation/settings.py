"""How much an evaluation measures, and which frames that means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import ReenactError

_RUN = 5  # consecutive frames per flicker run: three overlapping triples


@dataclass(frozen=True)
class Settings:
    """How much is measured."""

    references: tuple[int, ...] = (1, 2, 4, 8)
    strategies: tuple[str, ...] = ()
    step: int = 10  # every k-th frame of the second half ...
    most_frames: int = 30  # ... but a larger k where that would be more frames than this
    flicker_runs: int = 4  # runs of consecutive frames per clip for the flicker ratio
    full_side: int | None = 512  # full frames are measured at most this large; 0 = as they are, None = not
    pictures: bool = False  # keep the head crops of one frame per clip for the report

    def __post_init__(self) -> None:
        if not self.strategies:
            raise ReenactError("No strategy was given. Name at least one fusion strategy.")
        if not self.references or min(self.references) < 1:
            raise ReenactError(f"Numbers of references must be 1 or more, got {list(self.references)}.")
        for name, least in (("step", 1), ("most_frames", 1), ("flicker_runs", 0), ("full_side", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ReenactError(f"{name} is {value}, but must be at least {least}.")


class Selection(NamedTuple):
    """Which frames of a clip are reconstructed."""

    indices: tuple[int, ...]  # ascending
    sampled: tuple[bool, ...]  # per index: measured; the others only complete a flicker run
    step: int
    without_face: int


def select_frames(found: Sequence[bool], settings: Settings, whole: bool = False) -> Selection:
    """Every k-th frame of the second half that shows a face, and runs of consecutive frames for flicker.

    `whole` takes the whole clip instead of its second half.
    """
    count = len(found)
    half = 0 if whole else (count + 1) // 2
    step = max(settings.step, math.ceil((count - half) / settings.most_frames))
    # Not the first frame of the half: it follows the last candidate for a reference.
    wanted = list(range(half + min(step, count - half) // 2, count, step))
    sampled = [i for i in wanted if found[i]]
    runs = min(settings.flicker_runs, len(sampled))
    chosen = set(sampled)
    for run in range(runs):
        start = min(sampled[(2 * run + 1) * len(sampled) // (2 * runs)], max(half, count - _RUN))
        window = range(start, min(start + _RUN, count))
        if all(found[i] for i in window):
            chosen.update(window)
    indices = tuple(sorted(chosen))
    marks = set(sampled)
    return Selection(indices, tuple(i in marks for i in indices), step, len(wanted) - len(sampled))
