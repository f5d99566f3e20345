"""From the timestamps of a file to a constant frame grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeVar

import numpy as np

Frame = TypeVar("Frame")

_COMMON_RATES = (
    *map(Fraction, (5, 6, 8, 10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120)),
    *(Fraction(n * 1000, 1001) for n in (24, 30, 60, 120)),
)
# A frame may sit this far from its place, in frames, and still count as on the grid: it covers timestamps
# rounded to milliseconds (WebM) or centiseconds (GIF) and slight jitter, but no missing frame.
_JITTER = 0.3
_TIE = 0.02  # frames; rates whose worst errors differ by less count as equally good
_MOST_GAPS = 1.05  # slots per frame up to which missing frames count as dropped ones


class Grid(NamedTuple):
    """Slots `start + k / rate` seconds, k = 0 .. count-1."""

    rate: Fraction  # frames per second
    start: float  # seconds, the timestamp of the first frame
    count: int | None  # slots, None where the timestamps are not known beforehand
    constant: bool  # True when every source frame falls on its own slot, in order

    def slot(self, seconds: float) -> int:
        """The slot whose time is nearest to `seconds`."""
        return math.floor((seconds - self.start) * float(self.rate) + 0.5)


def fit_grid(times: Sequence[float], reported: Iterable[Fraction | None]) -> Grid:
    """The constant grid that fits `times` (seconds, any order, at least one).

    A rate that puts frame k on slot k is taken: the best of those the container reports (of equals the
    first; the index of an mp4 averages over an odd last frame), else of common ones, else the mean rate.
    If none does, a rate that leaves a few slots empty is taken: a camera dropped frames. Else the frame rate
    varies and the grid has the mean rate.
    """
    sorted_times = np.sort(np.asarray(times, dtype=np.float64))
    start, count = float(sorted_times[0]), len(sorted_times)
    elapsed = sorted_times - start
    claims = [rate for rate in reported if rate]
    if count == 1 or elapsed[-1] <= 0:
        return Grid(claims[0] if claims else Fraction(25), start, 1, True)
    mean = (count - 1) / elapsed[-1]
    common = sorted(_COMMON_RATES, key=lambda rate: (rate.denominator, abs(float(rate) - mean)))
    near = [rate for rate in common if abs(float(rate) / mean - 1) < 0.01]
    exact = Fraction(mean).limit_denominator(1001)
    for rates in (claims, near, [exact]):
        errors = [np.abs(elapsed * float(rate) - np.arange(count)).max() for rate in rates]
        if errors and min(errors) < _JITTER:
            first_good = next(rate for rate, error in zip(rates, errors) if error < min(errors) + _TIE)
            return Grid(first_good, start, count, True)
    for rate in (*claims, *common):
        places = elapsed * float(rate)
        slots = np.rint(places)
        few_gaps = slots[-1] + 1 <= count * _MOST_GAPS and (np.diff(slots) > 0).all()
        if few_gaps and np.abs(places - slots).max() < _JITTER:
            return Grid(rate, start, int(slots[-1]) + 1, False)
    grid = Grid(exact, start, None, False)
    return grid._replace(count=grid.slot(sorted_times[-1]) + 1)


def on_grid(frames: Iterable[tuple[float | None, Frame]], grid: Grid) -> Iterator[Frame]:
    """Frames with timestamps in seconds, one for every slot of `grid`.

    A slot without a frame repeats the one before (the first frame fills the slots before it); of several
    frames in one slot the last is kept. A frame without a timestamp takes the next slot.
    """
    held: list[Frame] = []
    held_slot = filled = 0
    for seconds, frame in frames:
        slot = held_slot + len(held) if seconds is None else max(grid.slot(seconds), held_slot)
        while held and filled < slot:
            yield held[0]
            filled += 1
        held, held_slot = [frame], slot
    while held and filled <= held_slot:
        yield held[0]
        filled += 1
