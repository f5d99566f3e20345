"""What an evaluation found: plain values, their aggregates over clips, and their JSON form.

The JSON schema is documented in `docs/evaluation.md`; `SCHEMA` changes whenever a field does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import ReenactError
from .files import write_beside
from .regions import NAMES as REGIONS

SCHEMA = "reenact-evaluation/1"
_RESAMPLES = 2000
_SEED = 0


@dataclass(frozen=True)
class Method:
    """One line of the table: a strategy or baseline with so many references."""

    name: str  # strategy name, or one of the baselines below
    kind: str  # "strategy" or "baseline"
    references: int  # R

    def __str__(self) -> str:
        return f"{self.name}, R={self.references}"


NEAREST_COPY = "nearest copy"
ONE_REFERENCE = "one reference"
_BASE = Method(ONE_REFERENCE, "baseline", 1)


@dataclass(frozen=True)
class Column:
    """One metric of the table."""

    key: str
    label: str
    unit: str
    better: str  # "higher", "lower", or "one" where 1 is the aim
    digits: int


COLUMNS = (
    Column("l1", "L1", "0..1", "lower", 4),
    Column("psnr", "PSNR", "dB", "higher", 2),
    Column("ssim", "SSIM", "", "higher", 3),
    Column("ms_ssim", "MS-SSIM", "", "higher", 3),
    Column("lpips", "LPIPS (AlexNet)", "", "lower", 3),
    Column("akd", "AKD (face landmarker, 68 points)", "px of 256", "lower", 2),
    Column("iris", "Iris error (face landmarker)", "px of 256", "lower", 2),
    Column("identity_sface", "Identity (SFace cosine)", "", "higher", 3),
    Column("lost", "Face lost", "share of frames", "lower", 3),
    Column("flicker", "Flicker ratio", "", "one", 2),
)


@dataclass(frozen=True)
class Row:
    """Means over one clip's sampled frames; None where a metric does not apply or was not measured."""

    clip: str
    method: Method
    region: str
    frames: int
    values: dict[str, float | None]


@dataclass(frozen=True)
class Interval:
    """Mean over clips with a 95 % bootstrap interval, which one clip alone does not have."""

    mean: float
    low: float | None
    high: float | None
    clips: int


@dataclass(frozen=True)
class Summary:
    """Means over clips of one method and region."""

    method: Method
    region: str
    values: dict[str, Interval]
    gains: dict[str, Interval]  # difference to the baseline "one reference", paired by clip


@dataclass(frozen=True)
class ClipRecord:
    """What was done with one clip; frame indices count from 0 in the clip."""

    name: str
    frames: int
    width: int
    height: int
    frame_rate: float
    step: int  # the k of "every k-th frame", after the limit on frames
    sampled: tuple[int, ...]
    flicker_triples: int
    references: tuple[int, ...]  # in the order of choice; R references are the first R
    without_face: int  # sampled frames left out because the truth shows no face


@dataclass(frozen=True)
class Pictures:
    """Head crops of one frame for the report; never part of the JSON."""

    clip: str
    frame: int
    truth: Tensor  # [3,256,256] in [0,1]
    results: tuple[tuple[Method, Tensor], ...]  # each [3,256,256] in [0,1]


@dataclass(frozen=True)
class EvaluationResult:
    """Everything a report needs."""

    settings: dict
    about: dict[str, str]  # model, weights, tracker ...: names given by the caller
    columns: tuple[Column, ...]  # the metrics that were measured
    clips: tuple[ClipRecord, ...]
    rows: tuple[Row, ...]
    summary: tuple[Summary, ...]
    notes: tuple[str, ...] = ()  # absent networks, clips that could not be used, missing R
    pictures: tuple[Pictures, ...] = field(default=(), compare=False)

    def select(self, region: str) -> tuple[Summary, ...]:
        """The aggregate lines of one region, in table order."""
        return tuple(line for line in self.summary if line.region == region)


def summarise(rows: Sequence[Row]) -> tuple[Summary, ...]:
    """Aggregate rows over clips, in order of first appearance of their method and region."""
    keys = list(dict.fromkeys((row.method, row.region) for row in rows))
    return tuple(_summary(rows, method, region) for method, region in sorted(keys, key=_table_order))


def measured_columns(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[Column, ...]:
    """Those of `columns` that any row has a value for."""
    measured = {key for row in rows for key, value in row.values.items() if value is not None}
    return tuple(column for column in columns if column.key in measured)


def bootstrap(values: Sequence[float]) -> Interval:
    """Mean and percentile bootstrap interval (2.5 %, 97.5 %; 2,000 resamples of the clips, fixed seed)."""
    data = np.asarray(values, np.float64)
    if len(data) < 2:
        return Interval(float(data.mean()), None, None, len(data))
    chosen = np.random.default_rng(_SEED).integers(0, len(data), (_RESAMPLES, len(data)))
    low, high = np.percentile(data[chosen].mean(axis=1), (2.5, 97.5))
    return Interval(float(data.mean()), float(low), float(high), len(data))


def to_json(result: EvaluationResult) -> str:
    """The result as JSON text, without the pictures."""
    return json.dumps(to_tree(result), indent=1, allow_nan=False)


def to_tree(result: EvaluationResult) -> dict:
    """The result as plain values, without the pictures; `from_tree` of their JSON gives it back."""
    return plain(result, SCHEMA)


def plain(result: Any, schema: str) -> dict:
    """A result's fields as plain values under the name of their schema, without its field `pictures`."""
    tree = {key: value for key, value in asdict(replace(result, pictures=())).items() if key != "pictures"}
    return {"schema": schema} | tree


def write_json(result: EvaluationResult, path: Path) -> None:
    """Write the JSON beside its final name, then rename. Raises ReenactError when it cannot be written."""
    write_beside(path, to_json(result).encode())


def read_json(path: Path) -> EvaluationResult:
    """A result written by `write_json`. Raises ReenactError for other files or another schema."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReenactError(f"{path} cannot be read as an evaluation: {error}. Run the evaluation.") from error
    seen = tree.get("schema") if isinstance(tree, dict) else None
    if seen != SCHEMA:
        raise ReenactError(f"{path} has schema {seen!r}; {SCHEMA!r} is expected. Run the evaluation again.")
    return from_tree(tree)


def from_tree(tree: dict) -> EvaluationResult:
    """The result whose JSON form is `tree`."""
    clips = [
        ClipRecord(**c | {"sampled": tuple(c["sampled"]), "references": tuple(c["references"])}) for c in tree["clips"]
    ]
    return EvaluationResult(
        settings=tree["settings"],
        about=tree["about"],
        columns=tuple(Column(**column) for column in tree["columns"]),
        clips=tuple(clips),
        rows=tuple(Row(**row | {"method": Method(**row["method"])}) for row in tree["rows"]),
        summary=tuple(_read_summary(line) for line in tree["summary"]),
        notes=tuple(tree["notes"]),
    )


def _read_summary(line: dict) -> Summary:
    values = {key: Interval(**interval) for key, interval in line["values"].items()}
    gains = {key: Interval(**interval) for key, interval in line["gains"].items()}
    return Summary(Method(**line["method"]), line["region"], values, gains)


def _summary(rows: Iterable[Row], method: Method, region: str) -> Summary:
    by_clip: dict[Method, dict[str, Row]] = {}
    for row in rows:
        if row.region == region:
            by_clip.setdefault(row.method, {})[row.clip] = row
    mine = {clip: row.values for clip, row in by_clip[method].items()}
    base = {clip: row.values for clip, row in by_clip.get(_BASE, {}).items()}
    values, gains = {}, {}
    for key in dict.fromkeys(key for known in mine.values() for key in known):
        known = {clip: value for clip, line in mine.items() if (value := line.get(key)) is not None}
        starts = {clip: value for clip, line in base.items() if (value := line.get(key)) is not None}
        differences = [known[clip] - starts[clip] for clip in known if clip in starts]
        if known:
            values[key] = bootstrap(list(known.values()))
        if differences and method != _BASE:
            gains[key] = bootstrap(differences)
    return Summary(method, region, values, gains)


def _table_order(key: tuple[Method, str]) -> tuple:
    method, region = key
    rank = [NEAREST_COPY, ONE_REFERENCE].index(method.name) if method.name in (NEAREST_COPY, ONE_REFERENCE) else 2
    if method.kind == "baseline" and rank == 2:
        rank = -1  # baselines of other protocols come first
    return (REGIONS.index(region), rank, method.name if rank == 2 else "", method.references)
