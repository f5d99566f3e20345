"""The self-reconstruction protocol: rebuild the second half of a clip from references of its first half.

The protocol knows neither videos nor models: it is given a few callables (`Stages`), so that it can be tested
with pictures made on the spot and used with any reenactment method.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import ReenactError
from .measuring import measure
from .networks import MetricNetworks
from .prepared import Gallery, PreparedClip, prepare_clip
from .result import (
    COLUMNS,
    NEAREST_COPY,
    ONE_REFERENCE,
    ClipRecord,
    EvaluationResult,
    Method,
    Pictures,
    Row,
    measured_columns,
    summarise,
)
from .settings import Settings
from .stages import Clip, Stages

log = logging.getLogger(__name__)


class Named(Protocol):
    """A clip, or whatever else `prepare` makes ready."""

    @property
    def name(self) -> str: ...


NamedT = TypeVar("NamedT", bound=Named)
Prepare = Callable[[NamedT, Stages, Settings, MetricNetworks, int, Callable[[str], None]], PreparedClip]


def evaluate(
    clips: Sequence[Clip],
    stages: Stages,
    settings: Settings,
    networks: MetricNetworks | None = None,
    about: dict[str, str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> EvaluationResult:
    """Rebuild the second half of every clip from references of its first half; see `evaluate_prepared`."""
    return evaluate_prepared(clips, prepare_clip, stages, settings, networks, about, progress)


def evaluate_prepared(
    clips: Sequence[NamedT],
    prepare: Prepare[NamedT],
    stages: Stages,
    settings: Settings,
    networks: MetricNetworks | None = None,
    about: dict[str, str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> EvaluationResult:
    """Evaluate every clip with every strategy and number of references, and the two baselines.

    "nearest copy" shows the reference nearest in pose and expression as it is; "one reference" is R = 1,
    where all strategies agree, reconstructed once with the first strategy.

    Args:
        prepare: makes a clip ready, with its references, driving motion and truth.
        about: names for the report: model, weights, tracker.
        progress: called with (done, total, text); total counts the reconstructions of all clips.
    Raises:
        ReenactError: not one clip could be evaluated. A clip that fails alone becomes a note.
    """
    networks = networks or MetricNetworks()
    notes = list(networks.notes)
    outcomes: list[Outcome] = []
    methods = list_methods(settings)
    most = max(method.references for method in methods)
    for number, clip in enumerate(clips):

        def step(done: int, text: str, number: int = number, name: str = clip.name) -> None:
            if progress is not None:
                progress(number * len(methods) + done, len(clips) * len(methods), f"{name}: {text}")

        try:
            prepared = prepare(clip, stages, settings, networks, most, partial(step, 0))
            outcomes.append(measure_methods(prepared, methods, stages, settings, networks, step))
            notes += outcomes[-1].notes
        except ReenactError as error:
            log.warning("%s left out: %s", clip.name, error)
            notes.append(f"{clip.name} was left out: {error}")
    if progress is not None:
        progress(len(clips) * len(methods), len(clips) * len(methods), "done")
    if not outcomes:
        raise ReenactError(f"None of the {len(clips)} clips could be evaluated. " + " ".join(notes[-3:]))
    return gather(outcomes, settings, about or {}, notes)


def gather(
    outcomes: Sequence[Outcome], settings: Settings, about: Mapping[str, str], notes: Sequence[str]
) -> EvaluationResult:
    """What several clips contributed, as one result."""
    rows = [row for outcome in outcomes for row in outcome.rows]
    return EvaluationResult(
        settings={key: list(v) if isinstance(v, tuple) else v for key, v in asdict(settings).items()},
        about=dict(about),
        columns=measured_columns(rows, COLUMNS),
        clips=tuple(outcome.record for outcome in outcomes),
        rows=tuple(rows),
        summary=summarise(rows),
        notes=tuple(notes),
        pictures=tuple(outcome.pictures for outcome in outcomes if outcome.pictures is not None),
    )


class Outcome(NamedTuple):
    """What one clip contributes."""

    record: ClipRecord
    rows: list[Row]
    notes: list[str]
    pictures: Pictures | None


def list_methods(settings: Settings) -> list[Method]:
    """Baselines and strategies that the settings ask for, in an order that lets neighbours share their warps."""
    counts = sorted({1, *settings.references})
    copies = [Method(NEAREST_COPY, "baseline", count) for count in counts]
    single = Method(ONE_REFERENCE, "baseline", 1)
    several = [count for count in counts if count > 1]
    # Numbers of references outside, strategies inside: neighbours share their warps.
    fusions = [Method(name, "strategy", count) for count in several for name in settings.strategies]
    return [*copies, single, *fusions]


def measure_methods(
    prepared: PreparedClip,
    methods: Sequence[Method],
    stages: Stages,
    settings: Settings,
    networks: MetricNetworks,
    step: Callable[[int, str], None],
) -> Outcome:
    """Measure every method on one clip. Methods of the same number of references should be neighbours.

    Args:
        step: called with (methods done, what is done now).
    """
    truth, given, name = prepared.truth, prepared.references, prepared.record.name
    gallery = Gallery(truth)
    rows, notes = [], []
    for number, method in enumerate(methods):
        step(number, str(method))
        if method.references > len(given):
            notes.append(f"{name}: only {len(given)} references could be picked, {method} left out")
            continue
        references = given[: method.references]
        if method.name == NEAREST_COPY:
            results = nearest_copies(references, prepared.distance[:, : method.references], prepared.motion.canvas)
        else:
            strategy = settings.strategies[0] if method.name == ONE_REFERENCE else method.name
            results = stages.reconstruct(references, prepared.motion, truth.indices, strategy)
        watch = gallery.watcher(method) if settings.pictures else None
        found = measure(truth, results, stages.track, networks, settings.full_side, watch)
        rows += [Row(name, method, region, found.frames, values) for region, values in found.values.items()]
    return Outcome(prepared.record, rows, notes, gallery.pictures(name) if settings.pictures else None)


def nearest_copies(references: Sequence[Tensor], distance: Tensor, canvas: tuple[int, int]) -> Iterator[Tensor]:
    """The nearest reference of each frame as it is, [1,3,H,W] each, on a canvas (H, W); distance [N,R]."""
    for index in distance.argmin(dim=1).tolist():
        image = references[index].unsqueeze(0)
        if image.shape[-2:] != canvas:
            image = torch.nn.functional.interpolate(
                image, size=canvas, mode="bilinear", antialias=True, align_corners=False
            )
        yield image
