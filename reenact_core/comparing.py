"""Two or more fusions of the same frames: side by side, as a wipe, as differences, and measured against the truth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import tee
from typing import NamedTuple

import torch
from torch import Tensor

from .decoding import decode
from .decoding.decode import Fused, FusedInTasks
from .errors import ReenactError
from .evaluation.metrics import l1, psnr, similarity
from .evaluation.networks import SMALLEST_LPIPS_SIDE, Lpips
from .fusing import FusedChunk, FusedFrames, Smoothing, fuse_references
from .fusion.base import FusionStrategy
from .fusion_space import FusionSpace
from .parameters import check_ranges, parameter
from .sheets import captioned
from .types import Evidence
from .warping import WarpedReferences

LINE = (1.0, 1.0, 1.0)  # colour of the wipe's edge


class Layout(Enum):
    """How the results are shown."""

    GRID = "grid"  # all, each under its name
    WIPE = "wipe"  # two: left of an edge the first, right of it the second
    DIFFERENCE = "difference"  # how far each is from the truth, or without one from the first, amplified


@dataclass(frozen=True)
class Display:
    """The comparison as a picture."""

    layout: Layout = field(
        default=Layout.GRID,
        metadata={
            "tooltip": "grid: all side by side. wipe: two in one picture, left and right of an edge. difference: how "
            "far each is from the truth, or without one from the first, amplified."
        },
    )
    gain: float = parameter(4.0, 1.0, 50.0, "Differences are multiplied by this.", 0.5)
    edge: float = parameter(0.5, 0.0, 1.0, "Where the wipe's edge lies, from left to right.")

    def __post_init__(self) -> None:
        check_ranges(self, "Comparison")

    def check(self, count: int) -> None:
        """Refuses a number of fusions that cannot be shown so; raises ReenactError."""
        if count < 2:
            raise ReenactError(f"A comparison needs at least two fusions, got {count}. Add another strategy.")
        if self.layout is Layout.WIPE and count != 2:
            raise ReenactError(f"A wipe shows two fusions, got {count}. Leave two, or choose the grid.")

    def render(self, pictures: Mapping[str, Tensor], truth: Tensor | None = None) -> Tensor:
        """One picture [3,H',W'] of results [3,H,W] in [0,1] by name, with the true picture where it is known."""
        self.check(len(pictures))
        if self.layout is Layout.WIPE:
            return self._wipe(pictures)
        if self.layout is Layout.DIFFERENCE:
            return _grid(self._differences(pictures, truth))
        return _grid({**({} if truth is None else {"truth": truth}), **pictures})

    def _wipe(self, pictures: Mapping[str, Tensor]) -> Tensor:
        (left, first), (right, second) = pictures.items()
        edge = round(self.edge * first.shape[-1])
        joined = torch.cat([first[..., :edge], second[..., edge:]], -1)
        if 0 < edge < first.shape[-1]:
            joined[..., edge - 1 : edge + 1] = torch.tensor(LINE).to(joined)[:, None, None]
        return captioned(joined, f"{left} | {right}")

    def _differences(self, pictures: Mapping[str, Tensor], truth: Tensor | None) -> dict[str, Tensor]:
        names = list(pictures)
        base, origin = (pictures[names[0]], names.pop(0)) if truth is None else (truth, "truth")
        shown = {origin: base}
        for name in names:
            shown[f"{name} - {origin}, x {self.gain:g}"] = ((pictures[name] - base).abs() * self.gain).clamp(0, 1)
        return shown


class Score(NamedTuple):
    """Means over the measured frames, in the head's box; None where not measured."""

    l1: float
    psnr: float  # dB
    ssim: float | None  # None where the box is too small
    lpips: float | None  # None without the network


class Scorer:
    """Collects metrics of results against the truth, frame by frame."""

    def __init__(self, names: Sequence[str], lpips: Lpips | None = None) -> None:
        self._lpips = lpips
        self._values: dict[str, list[list[float]]] = {name: [] for name in names}

    def add(self, pictures: Mapping[str, Tensor], truth: Tensor, box: Tensor) -> None:
        """Measure results [3,H,W] against the truth [3,H,W] where `box` [3] (left, top, side) lies on the canvas."""
        left, top, side = box.tolist()
        rows, columns = slice(max(top, 0), max(top + side, 0)), slice(max(left, 0), max(left + side, 0))
        wanted = truth[None, :, rows, columns]
        if 0 in wanted.shape:
            return
        for name, picture in pictures.items():
            found = picture[None, :, rows, columns].to(wanted)
            values = [l1(found, wanted), psnr(found, wanted), similarity(found, wanted).ssim]
            if self._lpips is not None and min(wanted.shape[-2:]) >= SMALLEST_LPIPS_SIDE:
                values.append(self._lpips(found, wanted))
            self._values[name].append([float(value) for value in values])

    def scores(self) -> dict[str, Score]:
        """Means by name; empty where nothing was measured."""
        result = {}
        for name, rows in self._values.items():
            if rows:
                means = torch.tensor(rows).mean(0).tolist()
                ssim = None if math.isnan(means[2]) else means[2]
                result[name] = Score(means[0], means[1], ssim, means[3] if len(means) > 3 else None)
        return result


def score_table(scores: Mapping[str, Score]) -> str:
    """The scores in Markdown, in the order given."""
    rows = [["fusion", "L1", "PSNR", "SSIM", "LPIPS"], ["---", "---:", "---:", "---:", "---:"]]
    for name, score in scores.items():
        ssim, lpips = ("" if value is None else f"{value:.3f}" for value in (score.ssim, score.lpips))
        rows.append([name, f"{score.l1:.4f}", f"{score.psnr:.2f}", ssim, lpips])
    columns = 5 if any(score.lpips is not None for score in scores.values()) else 4
    return "\n".join(f"| {' | '.join(row[:columns])} |" for row in rows)


class SharedFusion(NamedTuple):
    """One of several fusions that draw on one stream of evidence."""

    fused: FusedFrames
    spans: Iterator[tuple[int, int, Evidence]]

    @property
    def warped(self) -> WarpedReferences:
        return self.fused.warped

    def chunks(self) -> Iterator[FusedChunk]:
        """The frames in order; can be asked for once."""
        return self.fused.over(self.spans)


def fuse_each(
    warped: WarpedReferences,
    strategies: Sequence[FusionStrategy],
    smoothing: Smoothing | None = None,
    space: FusionSpace = FusionSpace.AUTO,
) -> list[SharedFusion]:
    """Every strategy on the same warps, which are computed once; to be walked through side by side.

    Raises:
        ReenactError: a strategy's parameters do not fit these references, or the model has no such fusion space.
    """
    fusions = [fuse_references(warped, strategy, smoothing, space) for strategy in strategies]
    return [SharedFusion(*pair) for pair in zip(fusions, tee(warped.all_evidence(), len(fusions)), strict=True)]


def frames_side_by_side(
    fusions: Mapping[str, Fused | FusedInTasks], feather: float = 0.08
) -> Iterator[dict[str, Tensor]]:
    """Finished frames [3,H,W] in [0,1] of every fusion by name, frame by frame.

    Raises:
        ReenactError: the fusions differ in canvas or number of frames.
    """
    shapes = {(*fused.warped.motion.canvas, len(fused.warped.boxes)) for fused in fusions.values()}
    if len(shapes) != 1:
        sizes = ", ".join(f"{count} frames of {width} x {height}" for height, width, count in sorted(shapes))
        raise ReenactError(f"Only fusions of the same frames can be compared, got {sizes}. Fuse the same warps.")
    rows = zip(*(_frames(fused, feather) for fused in fusions.values()), strict=True)
    return (dict(zip(fusions, row)) for row in rows)


def _frames(fused: Fused | FusedInTasks, feather: float) -> Iterator[Tensor]:
    for chunk in decode(fused, feather):
        yield from chunk.images


def _grid(pictures: Mapping[str, Tensor]) -> Tensor:
    """Pictures of one size, each under its name, in as many columns as make the whole about square."""
    cells = [captioned(picture, name) for name, picture in pictures.items()]
    height, width = cells[0].shape[-2:]
    columns = min(len(cells), max(2, math.ceil(math.sqrt(len(cells) * height / width))))
    rows = math.ceil(len(cells) / columns)
    grid = cells[0].new_zeros(3, rows * height, columns * width)
    for number, cell in enumerate(cells):
        y, x = number // columns * height, number % columns * width
        grid[:, y : y + height, x : x + width] = cell
    return grid
