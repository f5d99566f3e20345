"""Motion transfer between people, judged by real frames in like poses (our reading of a multi-person protocol).

No true picture exists of person B doing what driver A does. But B's own clip holds frames whose pose and expression
come near to what A asks for: each generated frame is compared with the nearest of them. References come from the
first half of B's clip, the frames to compare with from its second half. Formulas: docs/evaluation.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ReenactError
from ..pose import pose_distance
from ..types import DrivingMotion, Faces
from .agreement import agreement
from .likeness import Likeness, Seen, compare, look
from .networks import MetricNetworks
from .prepared import read_frames
from .protocol import list_methods, nearest_copies
from .regions import crop, head_boxes
from .result import NEAREST_COPY, ONE_REFERENCE, Method, Row, measured_columns
from .settings import Settings, select_frames
from .stages import Clip, Stages
from .transfer_result import AGREEMENT, COLUMNS, REAL_FRAMES, PairPictures, PairRecord, TransferResult, summarise_people

log = logging.getLogger(__name__)

_SHOWN = 6  # frames of a pair in the report
# (R references [3,H,W], motion of the whole driving clip) -> the faces, axis T, that the person should show.
Intend = Callable[[Sequence[Tensor], DrivingMotion], Faces]


@dataclass(frozen=True)
class TransferSettings(Settings):
    """How much is transferred and measured; `step` and `most_frames` count in the whole driving clip."""

    near: float = 2.0  # pose and expression distance up to which a real frame counts as alike

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.near > 0:
            raise ReenactError(f"near is {self.near}, but must be above 0.")


class Person(NamedTuple):
    """One person to be driven."""

    clip: Clip
    faces: Faces  # of the whole clip
    picked: list[int]
    references: tuple[Tensor, ...]


def evaluate_transfer(
    drivers: Sequence[Clip],
    people: Sequence[Clip],
    stages: Stages,
    intend: Intend,
    settings: TransferSettings,
    networks: MetricNetworks | None = None,
    about: dict[str, str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> TransferResult:
    """Let every driver drive every person, with every strategy and number of references.

    A clip that is on both sides does not drive itself. Baselines: nearest copy and one reference as in `protocol`,
    and "real frames", which shows for every match the frame of the first half nearest to it: what a perfect method
    would reach in these metrics.

    Args:
        stages: `reconstruct` must transfer the motion to the person of the references.
        progress: called with (done, total, text); total counts the methods of all pairs.
    Raises:
        ReenactError: not one pair could be evaluated. A clip or pair that fails alone becomes a note.
    """
    networks = networks or MetricNetworks()
    notes = list(networks.notes)
    methods = [Method(REAL_FRAMES, "baseline", 0), *list_methods(settings)]
    wanted = [(person, driver) for person in people for driver in drivers if person.name != driver.name]
    total, done = max(1, len(wanted)) * len(methods), 0
    known: dict[str, DrivingMotion | ReenactError] = {}
    outcomes: list[_Outcome] = []

    def say(text: str) -> None:
        if progress is not None:
            progress(done, total, text)

    def motion_of(clip: Clip) -> DrivingMotion:
        if clip.name not in known:
            say(f"{clip.name}: tracking")
            try:
                known[clip.name] = stages.encode_motion(clip.chunks(), clip.frame_rate)
            except ReenactError as error:
                known[clip.name] = error
        motion = known[clip.name]
        if isinstance(motion, ReenactError):
            raise motion
        return motion

    for number, (person, driver) in enumerate(wanted):
        done = number * len(methods)
        pair = f"{driver.name} drives {person.name}"
        try:
            subject = _prepare(person, motion_of(person), stages, max(method.references for method in methods))

            def step(count: int, method: Method, start: int = done, pair: str = pair) -> None:
                nonlocal done
                done = start + count
                say(f"{pair}: {method}")

            given = (subject, driver, motion_of(driver), stages, intend, settings, methods, networks, step)
            outcomes.append(_evaluate_pair(*given))
            notes += outcomes[-1].notes
        except ReenactError as error:
            log.warning("%s left out: %s", pair, error)
            notes.append(f"{pair} was left out: {error}")
    done = total
    say("done")
    if not outcomes:
        raise ReenactError(
            f"None of the {len(wanted)} pairs could be evaluated. "
            + (notes[-1] if notes else "Give clips of two people.")
        )
    rows = [row for outcome in outcomes for row in outcome.rows]
    pairs = tuple(outcome.record for outcome in outcomes)
    return TransferResult(
        settings={key: list(v) if isinstance(v, tuple) else v for key, v in asdict(settings).items()},
        about=dict(about or {}),
        columns=measured_columns(rows, (*COLUMNS, *AGREEMENT)),
        pairs=pairs,
        rows=tuple(rows),
        summary=summarise_people(rows, pairs),
        notes=tuple(notes),
        pictures=tuple(outcome.pictures for outcome in outcomes if outcome.pictures is not None),
    )


class Matches(NamedTuple):
    """The real frame of the person that is nearest to what each driving frame asks for. Axis N: driving frames."""

    frames: tuple[int, ...]  # of the driver
    intended: Faces  # axis N
    real: list[int]  # nearest frame of the second half
    distance: Tensor  # [N] to it
    partner: list[int]  # the frame of the first half nearest to `real`


def match(intended: Faces, frames: Sequence[int], person: Faces) -> Matches:
    """Nearest frames of the person's second half, and of the first half to those."""
    half = (len(person.found) + 1) // 2
    numbers = person.found.nonzero().flatten()
    early, late = numbers[numbers < half], numbers[numbers >= half]
    if not len(early) or not len(late):
        raise ReenactError("one half of the person's clip shows no face. Use a clip that shows the face throughout.")
    distance, nearest = pose_distance(intended, person.at(late)).min(dim=1)
    real = late[nearest]
    partner = early[pose_distance(person.at(real), person.at(early)).argmin(dim=1)]
    return Matches(tuple(frames), intended, real.tolist(), distance, partner.tolist())


class _Outcome(NamedTuple):
    record: PairRecord
    rows: list[Row]
    notes: list[str]
    pictures: PairPictures | None


def _prepare(clip: Clip, motion: DrivingMotion, stages: Stages, most: int) -> Person:
    faces = motion.faces.cpu()
    picked = stages.pick(faces.at(slice(0, (len(faces.found) + 1) // 2)), most)
    images = read_frames(clip, picked)
    return Person(clip, faces, picked, tuple(images[i] for i in picked))


def _evaluate_pair(
    person: Person,
    driver: Clip,
    motion: DrivingMotion,
    stages: Stages,
    intend: Intend,
    settings: TransferSettings,
    methods: Sequence[Method],
    networks: MetricNetworks,
    step: Callable[[int, Method], None],
) -> _Outcome:
    chosen = select_frames(motion.faces.found.tolist(), settings, whole=True).indices
    if not chosen:
        raise ReenactError("no sampled driving frame shows a face.")
    intended = intend(person.references, motion).cpu().at(list(chosen))
    matches = match(intended, chosen, person.faces)
    acted = read_frames(driver, chosen)
    acting = look([acted[i] for i in chosen], stages.track, MetricNetworks()).faces
    images = read_frames(person.clip, [*matches.real, *matches.partner])
    real = look([images[i] for i in matches.real], stages.track, networks)
    partner = look([images[i] for i in matches.partner], stages.track, networks)
    near = (matches.distance <= settings.near) & real.faces.found & partner.faces.found
    known, numbers = real.joined(partner), [*matches.real, *matches.partner]
    record = PairRecord(
        driver.name,
        person.clip.name,
        tuple(chosen),
        tuple(matches.real),
        tuple(round(value, 4) for value in matches.distance.tolist()),
        int((~near).sum()),
        tuple(person.picked),
    )
    distance = pose_distance(intended, person.faces.at(person.picked))
    rows, notes, shown = [], [], _Shown(near, [m for m in methods if m.references == max(settings.references)])
    for number, method in enumerate(methods):
        step(number, method)
        if method.references > len(person.references):
            notes.append(f"{record.name}: only {len(person.references)} references could be picked, {method} left out")
            continue
        references = person.references[: method.references]
        if method.name == REAL_FRAMES:
            results: Iterator[Tensor] = (images[i].unsqueeze(0) for i in matches.partner)
        elif method.name == NEAREST_COPY:
            canvas = (references[0].shape[-2], references[0].shape[-1])
            results = nearest_copies(references, distance[:, : method.references], canvas)
        else:
            strategy = settings.strategies[0] if method.name == ONE_REFERENCE else method.name
            results = stages.reconstruct(references, motion, chosen, strategy)
        likeness = Likeness(matches.intended, real, partner, near)
        seen = shown.keep(method, look(_single(results), stages.track, networks))
        values = compare(seen, likeness, networks) | agreement(acting, chosen, seen, known, numbers)
        rows.append(Row(record.name, method, "head", len(chosen), values))
    if int(near.sum()) == 0:
        notes.append(f"{record.name}: no driving frame has a real frame within {settings.near} of it")
    pictures = shown.pictures(record, driver, motion, real) if settings.pictures else None
    return _Outcome(record, rows, notes, pictures)


def _single(chunks: Iterator[Tensor]) -> Iterator[Tensor]:
    for chunk in chunks:
        yield from chunk.clamp(0, 1).cpu().float()


class _Shown:
    """Head crops of a few driving frames, most alike first in time, for the report."""

    def __init__(self, near: Tensor, methods: Sequence[Method]) -> None:
        good = near.nonzero().flatten() if near.any() else torch.arange(len(near))
        self._at = good[torch.linspace(0, len(good) - 1, min(_SHOWN, len(good))).round().long()].tolist()
        self._methods = methods
        self._rows: list[tuple[str, tuple[Tensor, ...]]] = []

    def keep(self, method: Method, seen: Seen) -> Seen:
        """Remember the crops where the method is one of those to be shown."""
        if method in self._methods:
            self._rows.append((str(method), tuple(seen.crops[i].clone() for i in self._at)))
        return seen

    def pictures(self, record: PairRecord, driver: Clip, motion: DrivingMotion, real: Seen) -> PairPictures:
        """Driving frames above, results, real frames below."""
        numbers = [record.frames[i] for i in self._at]
        frames = read_frames(driver, numbers)
        boxes = head_boxes(motion.faces.cpu().landmarks[numbers])
        driving = tuple(crop(torch.stack([frames[i] for i in numbers]), boxes))
        nearest = tuple(real.crops[i] for i in self._at)
        rows = [("driver", driving), *self._rows, ("real frame", nearest)]
        columns = tuple(f"match {record.distances[i]:.1f}" for i in self._at)
        return PairPictures(record.name, tuple(name for name, _ in rows), tuple(row for _, row in rows), columns)
