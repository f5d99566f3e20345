"""Blendshapes in CSV files, as Live Link Face writes them: one row per frame, a column per ARKit blendshape.

`Timecode,BlendShapeCount,EyeBlinkLeft,...,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,...`: coefficients 0..1, angles in
radians about ARKit's axes (y up, z towards the camera). Other files with such columns are read too. Names may be in
any case and order, what is missing counts as 0, and columns nobody knows are ignored. Eyes are turned by the
blendshapes eyeLook..., not by LeftEyeYaw and the like, which say the same.
"""

from __future__ import annotations

import csv
import logging
import math
import statistics
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ReenactError
from ..types import DrivingMotion, Faces
from .basis import SHAPES
from .deform import deform
from .resting import resting_motion

log = logging.getLogger(__name__)

HEAD = {"headyaw": 1.0, "headpitch": 1.0, "headroll": -1.0}  # sign against this package's yaw, pitch, roll
RATE = Fraction(60)  # what Live Link Face records at
KNOWN_RATES = (24, 25, 30, 48, 50, 60)
LEAST_SHAPES = 3  # known columns that make a row the header


class Table(NamedTuple):
    """What a file holds."""

    amounts: Tensor  # [T,51] 0..1, in the order of `SHAPES`
    turns: Tensor  # [T,3] yaw, pitch, roll in degrees
    found: Tensor  # [T] bool; False where the row holds no face
    frame_rate: Fraction | None  # from the timecodes, where there are any


def read_csv(path: Path) -> Table:
    """The rows of a file.

    Raises:
        ReenactError: it cannot be read, has no such columns or no rows, or a cell is no number.
    """
    if not path.is_file():
        raise ReenactError(f"{path}: does not exist. Check the path.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ReenactError(f"{path}: can't be read as text ({error}). Choose a CSV file of blendshapes.") from error
    lines = text.splitlines()
    delimiter = max(",;\t", key=text.count)
    rows = [(number, row) for number, row in enumerate(csv.reader(lines, delimiter=delimiter), 1) if any(row)]
    shapes = {name.lower(): column for column, name in enumerate(SHAPES)}
    start = next((i for i, (_, row) in enumerate(rows) if _known(row, shapes) >= LEAST_SHAPES), None)
    if start is None:
        seen = ", ".join(rows[0][1][:4]) if rows else "nothing"
        raise ReenactError(
            f"{path}: has no row of column names such as EyeBlinkLeft, JawOpen, MouthSmileLeft; it begins with {seen}. "
            "Choose a CSV file of ARKit blendshapes."
        )
    names = [name.strip().lower() for name in rows[start][1]]
    data = rows[start + 1 :]
    if not data:
        raise ReenactError(f"{path}: has column names but no frames below them.")
    amounts, turns = torch.zeros(len(data), len(SHAPES)), torch.zeros(len(data), len(HEAD))
    found = torch.ones(len(data), dtype=torch.bool)
    for frame, (number, row) in enumerate(data):
        cells = dict(zip(names, (cell.strip() for cell in row)))
        used = {name: cell for name, cell in cells.items() if (name in shapes or name in HEAD) and cell}
        if not used or cells.get("blendshapecount") == "0":
            found[frame] = False
            continue
        for name, cell in used.items():
            value = _number(cell, name, number, path)
            if name in shapes:
                amounts[frame, shapes[name]] = value
            else:
                turns[frame, list(HEAD).index(name)] = math.degrees(value) * HEAD[name]
    if not found.any():
        raise ReenactError(f"{path}: none of its {len(data)} rows holds a face.")
    if amounts.max() > 2:
        raise ReenactError(
            f"{path}: blendshapes reach {float(amounts.max()):g}, but must lie in 0 to 1. Divide percentages by 100."
        )
    codes = [dict(zip(names, row)).get("timecode", "") for _, row in data]
    return Table(amounts.clamp(0, 1), turns, found, _rate(codes))


def motion_of_csv(
    path: Path, face: Faces, canvas: tuple[int, int], frame_rate: Fraction | None = None
) -> DrivingMotion:
    """The motion of a file, played by a resting face (axis 1, in pixels of the canvas).

    Args:
        frame_rate: None takes it from the timecodes, else 60. Rows without a face repeat the nearest one with a face.
    Raises:
        ReenactError: as `read_csv`.
    """
    table = read_csv(path)
    rate = frame_rate or table.frame_rate or RATE
    count = len(table.found)
    if not table.found.all():
        log.warning("%s: %d of %d rows hold no face.", path, int((~table.found).sum()), count)
    numbers = table.found.nonzero()[:, 0]
    nearest = numbers[(torch.arange(count)[:, None] - numbers).abs().argmin(1)]
    still = resting_motion(face, canvas, count, rate)
    faces = deform(still.faces, table.amounts[nearest], table.turns[nearest], face)
    return still._replace(faces=faces._replace(found=table.found, score=table.found.float()))


def _known(row: list[str], shapes: dict[str, int]) -> int:
    return sum(cell.strip().lower() in shapes for cell in row)


def _number(cell: str, name: str, line: int, path: Path) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ReenactError(f"{path}, line {line}: {name} is {cell!r}, but must be a number.")
    return value


def _rate(timecodes: list[str]) -> Fraction | None:
    """Frames per second of timecodes such as 14:05:33:07.123 (hours, minutes, seconds, frames): the number of rows in
    one full second. None where they do not say."""
    seconds = [code.strip().rpartition(":")[0] for code in timecodes]
    counted = list(Counter(second for second in seconds if second.count(":") == 2).values())
    if len(counted) < 3:
        return None
    rows = statistics.median(counted[1:-1])
    nearest = min(KNOWN_RATES, key=lambda rate: abs(rate - rows))
    return Fraction(nearest) if abs(nearest - rows) <= 1 else Fraction(round(rows))
