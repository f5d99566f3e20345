"""What an evaluation of motion transfer found, and its JSON form (schema: docs/evaluation.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from .agreement import CHANNELS
from .files import write_beside
from .result import Column, Method, Row, Summary, plain, summarise

SCHEMA = "reenact-transfer/1"
REAL_FRAMES = "real frames"
COLUMNS = (
    Column("identity_sface", "Identity (SFace cosine to the real frame)", "", "higher", 3),
    Column("identity_share", "Identity, share of that between real frames", "", "higher", 3),
    Column("lpips", "LPIPS to the real frame", "", "lower", 3),
    Column("pose", "Head pose error", "degrees", "lower", 1),
    Column("expression", "Expression error (blendshapes)", "0..1", "lower", 3),
    Column("lost", "Face lost", "share of frames", "lower", 3),
)
AGREEMENT = (
    *(
        Column(channel.key, f"{channel.key.capitalize()}, correlation with the driver", "", "higher", 3)
        for channel in CHANNELS
    ),
    Column("lips", "Lips closed where the driver's are", "share of frames", "higher", 3),
    Column("lids", "Eyes shut where the driver's are", "share of frames", "higher", 3),
    Column("jitter", "Jitter of the landmarks against the driver's", "", "one", 2),
    Column("identity_pose", "Identity at like head poses, share of that between real frames", "", "higher", 3),
)


@dataclass(frozen=True)
class PairRecord:
    """What was done with one driver and one person; frame numbers count from 0 in their clips."""

    driver: str
    person: str
    frames: tuple[int, ...]  # of the driver, that were transferred
    matches: tuple[int, ...]  # of the person, nearest to each of them
    distances: tuple[float, ...]  # of each match, in units of visible difference
    left_out: int  # frames without a match near enough, not compared with real frames
    references: tuple[int, ...]  # of the person, in the order of choice

    @property
    def name(self) -> str:
        """How rows call the pair."""
        return f"{self.driver} drives {self.person}"


@dataclass(frozen=True)
class PairPictures:
    """Some frames of a pair for the report; never part of the JSON."""

    pair: str
    labels: tuple[str, ...]  # of the rows
    rows: tuple[tuple[Tensor, ...], ...]  # each picture [3,y,x] in [0,1]; a column is one driving frame
    columns: tuple[str, ...]


@dataclass(frozen=True)
class TransferResult:
    """Everything a report needs."""

    settings: dict
    about: dict[str, str]
    columns: tuple[Column, ...]
    pairs: tuple[PairRecord, ...]
    rows: tuple[Row, ...]  # one per pair and method; region "head", clip = the pair's name
    summary: tuple[Summary, ...]  # over people
    notes: tuple[str, ...] = ()
    pictures: tuple[PairPictures, ...] = field(default=(), compare=False)


def summarise_people(rows: Sequence[Row], pairs: Sequence[PairRecord]) -> tuple[Summary, ...]:
    """Means over people, each the mean over the drivers: pairs that share a person are not independent."""
    person = {pair.name: pair.person for pair in pairs}
    grouped: dict[tuple[str, Method], list[Row]] = {}
    for row in rows:
        grouped.setdefault((person[row.clip], row.method), []).append(row)
    return summarise([_mean_row(name, method, group) for (name, method), group in grouped.items()])


def _mean_row(name: str, method: Method, rows: Sequence[Row]) -> Row:
    values: dict[str, float | None] = {}
    for key in dict.fromkeys(key for row in rows for key in row.values):
        known = [value for row in rows if (value := row.values.get(key)) is not None]
        values[key] = sum(known) / len(known) if known else None
    return Row(name, method, "head", sum(row.frames for row in rows), values)


def write_json(result: TransferResult, path: Path) -> None:
    """Write the JSON beside its final name, then rename. Raises ReenactError when it cannot be written."""
    write_beside(path, json.dumps(plain(result, SCHEMA), indent=1, allow_nan=False).encode())
