"""The self-reconstruction protocol: rebuild the second half of a clip from references of its first half.

The protocol knows neither videos nor models: it is given a few callables (`Stages`), so that it can be tested
with pictures made on the spot and used with any reenactment method.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..errors import ReenactError
from ..pose import pose_distance
from ..types import DrivingMotion, Faces
from .measuring import Track, Truth, count_triples, measure, prepare_truth
from .networks import MetricNetworks
from .regions import crop
from .result import (
    COLUMNS,
    NEAREST_COPY,
    ONE_REFERENCE,
    REGIONS,
    ClipRecord,
    EvaluationResult,
    Method,
    Pictures,
    Row,
    summarise,
)
from .settings import Selection, Settings, select_frames

log = logging.getLogger(__name__)

_SHORTEST = 8  # frames; below, a half clip says nothing


class Clip(Protocol):
    """A video as the protocol needs it."""

    @property
    def name(self) -> str: ...
    @property
    def frame_rate(self) -> Fraction: ...
    def chunks(self) -> Iterator[Tensor]:
        """All frames in order, chunks [n,3,H,W] in [0,1]."""
        ...

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """The frames [3,H,W] in [0,1] at ascending indices."""
        ...


class Stages(NamedTuple):
    """What is evaluated, as callables."""

    # All frames of a clip -> its motion.
    encode_motion: Callable[[Iterator[Tensor], Fraction], DrivingMotion]
    # (faces of the candidates, count) -> indices in order of choice; fewer where there are not enough.
    pick: Callable[[Faces, int], list[int]]
    # (R references [3,H,W], motion of the whole clip, ascending frame numbers, strategy) -> chunks
    # [n,3,H,W], in absolute mode, one frame for each frame number.
    reconstruct: Callable[[Sequence[Tensor], DrivingMotion, Sequence[int], str], Iterator[Tensor]]
    track: Track


def evaluate(
    clips: Sequence[Clip],
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
        about: names for the report: model, weights, tracker.
        progress: called with (done, total, text); total counts the reconstructions of all clips.
    Raises:
        ReenactError: not one clip could be evaluated. A clip that fails alone becomes a note.
    """
    networks = networks or MetricNetworks()
    notes = list(networks.notes)
    outcomes: list[_Outcome] = []
    methods = _methods(settings)
    for number, clip in enumerate(clips):

        def step(done: int, text: str, number: int = number, name: str = clip.name) -> None:
            if progress is not None:
                progress(number * len(methods) + done, len(clips) * len(methods), f"{name}: {text}")

        try:
            outcomes.append(_evaluate_clip(clip, stages, settings, methods, networks, step))
            notes += outcomes[-1].notes
        except ReenactError as error:
            log.warning("%s left out: %s", clip.name, error)
            notes.append(f"{clip.name} was left out: {error}")
    if progress is not None:
        progress(len(clips) * len(methods), len(clips) * len(methods), "done")
    if not outcomes:
        raise ReenactError(f"None of the {len(clips)} clips could be evaluated. " + " ".join(notes[-3:]))
    rows = [row for outcome in outcomes for row in outcome.rows]
    measured = {key for row in rows for key, value in row.values.items() if value is not None}
    return EvaluationResult(
        settings={key: list(v) if isinstance(v, tuple) else v for key, v in asdict(settings).items()},
        about=dict(about or {}),
        columns=tuple(column for column in COLUMNS if column.key in measured),
        clips=tuple(outcome.record for outcome in outcomes),
        rows=tuple(rows),
        summary=summarise(rows),
        notes=tuple(notes),
        pictures=tuple(outcome.pictures for outcome in outcomes if outcome.pictures is not None),
    )


class _Outcome(NamedTuple):
    """What one clip contributes."""

    record: ClipRecord
    rows: list[Row]
    notes: list[str]
    pictures: Pictures | None


def _methods(settings: Settings) -> list[Method]:
    counts = sorted({1, *settings.references})
    copies = [Method(NEAREST_COPY, "baseline", count) for count in counts]
    single = Method(ONE_REFERENCE, "baseline", 1)
    several = [count for count in counts if count > 1]
    # Numbers of references outside, strategies inside: neighbours share their warps.
    fusions = [Method(name, "strategy", count) for count in several for name in settings.strategies]
    return [*copies, single, *fusions]


def _evaluate_clip(
    clip: Clip,
    stages: Stages,
    settings: Settings,
    methods: Sequence[Method],
    networks: MetricNetworks,
    step: Callable[[int, str], None],
) -> _Outcome:
    step(0, "tracking")
    motion = stages.encode_motion(clip.chunks(), clip.frame_rate)
    faces = Faces(*(values.cpu() for values in motion.faces))
    count = len(faces.found)
    if count < _SHORTEST:
        raise ReenactError(f"it has {count} frames; at least {_SHORTEST} are needed.")
    selection = select_frames(faces.found.tolist(), settings)
    if not selection.indices:
        raise ReenactError("no sampled frame of its second half shows a face.")
    picked = stages.pick(faces.at(slice(0, (count + 1) // 2)), max(method.references for method in methods))
    images = _read(clip, sorted(picked))
    references = [images[i] for i in picked]
    step(0, "reading the truth")
    driving = faces.at(list(selection.indices))
    truth = _truth(clip, selection, driving.landmarks, stages, networks, settings.full_side)
    distance = pose_distance(driving, faces.at(picked))  # [N,R]
    gallery = _Gallery(truth)
    rows, notes = [], []
    for number, method in enumerate(methods):
        step(number, str(method))
        if method.references > len(picked):
            notes.append(f"{clip.name}: only {len(picked)} references could be picked, {method} left out")
            continue
        given = references[: method.references]
        if method.name == NEAREST_COPY:
            results = _copies(given, distance[:, : method.references], motion.canvas)
        else:
            strategy = settings.strategies[0] if method.name == ONE_REFERENCE else method.name
            results = stages.reconstruct(given, motion, selection.indices, strategy)
        watch = gallery.watcher(method) if settings.pictures else None
        found = measure(truth, results, stages.track, networks, settings.full_side, watch)
        rows += [Row(clip.name, method, region, found.frames, found.values[region]) for region in REGIONS]
    height, width = motion.canvas
    record = ClipRecord(
        name=clip.name,
        frames=count,
        width=width,
        height=height,
        frame_rate=float(clip.frame_rate),
        step=selection.step,
        sampled=tuple(i for i, mark in zip(selection.indices, selection.sampled, strict=True) if mark),
        flicker_triples=count_triples(selection.indices),
        references=tuple(picked),
        without_face=selection.without_face,
    )
    return _Outcome(record, rows, notes, gallery.pictures(clip.name) if settings.pictures else None)


def _read(clip: Clip, indices: Sequence[int]) -> dict[int, Tensor]:
    return dict(zip(indices, clip.frames(indices), strict=True))


def _truth(
    clip: Clip,
    selection: Selection,
    landmarks: Tensor,
    stages: Stages,
    networks: MetricNetworks,
    full_side: int,
) -> Truth:
    frames = clip.frames(selection.indices)
    images = torch.stack([image.mul(255).round().to(torch.uint8) for image in frames])
    return prepare_truth(selection.indices, selection.sampled, images, landmarks, stages.track, networks, full_side)


def _copies(references: Sequence[Tensor], distance: Tensor, canvas: tuple[int, int]) -> Iterator[Tensor]:
    """The nearest reference of each frame, as it is; distance [N,R]."""
    for index in distance.argmin(dim=1).tolist():
        image = references[index].unsqueeze(0)
        if image.shape[-2:] != canvas:
            image = torch.nn.functional.interpolate(
                image, size=canvas, mode="bilinear", antialias=True, align_corners=False
            )
        yield image


class _Gallery:
    """Collects the head crops of the middle measured frame."""

    def __init__(self, truth: Truth) -> None:
        sampled = truth.sampled.nonzero().flatten()
        self._position = int(sampled[len(sampled) // 2])
        self._frame = truth.indices[self._position]
        at = slice(self._position, self._position + 1)
        self._truth = crop(truth.images[at].float() / 255, truth.boxes.at(at))[0]
        self._results: list[tuple[Method, Tensor]] = []

    def watcher(self, method: Method) -> Callable[[int, Tensor], None]:
        """A callback for `measure` that keeps this frame's crop."""

        def watch(position: int, picture: Tensor) -> None:
            if position == self._position:
                self._results.append((method, picture.clone()))

        return watch

    def pictures(self, clip: str) -> Pictures:
        """What was collected."""
        return Pictures(clip, self._frame, self._truth, tuple(self._results))
