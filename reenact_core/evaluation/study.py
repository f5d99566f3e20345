"""The study: every strategy, number of references and motion model on the same clips, kept clip by clip.

What one model does on one clip is one file; a run that is stopped goes on where it was. Start at `study`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from ..errors import ReenactError
from ..types import Faces
from .added_reference import GIVEN, KINDS, AddedReference, measure_added
from .files import write_beside
from .networks import MetricNetworks
from .prepared import prepare_clip
from .protocol import gather, list_methods, measure_methods
from .report import encode_jpeg, method_sheet
from .result import EvaluationResult, Row, from_tree, summarise, to_tree
from .settings import Settings
from .stages import Clip, Stages

log = logging.getLogger(__name__)

SCHEMA = "reenact-study-part/1"
_LOOKED_AT = 25  # first frames of another clip in which a face is looked for


class StudiedClip(Clip, Protocol):
    """A clip whose content can be told from that of another of the same name."""

    @property
    def signature(self) -> str: ...


class Share(NamedTuple):
    """Every `count`-th clip from the `number`-th on, counted from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Share:
        """From "1/2"; raises ReenactError."""
        number, slash, count = text.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise ReenactError(f"The share of the clips is {text!r}, but must be like 1/2 and 2/2.")
        return cls(int(number), int(count))

    def of(self, clips: int) -> list[int]:
        """Numbers of its clips, counted from 0; raises ReenactError where there is none."""
        if self.number > clips:
            raise ReenactError(f"Share {self.number}/{self.count} of {clips} clips is empty. Make fewer shares.")
        return list(range(self.number - 1, clips, self.count))


class StudiedModel(NamedTuple):
    """A motion model under study."""

    name: str  # unique in the study, fit for a folder's name
    default: str  # its own default strategy
    signature: str  # changes with its weights
    stages: Callable[[], Stages]  # asked for when the model's first clip that is not yet known comes up


@dataclass(frozen=True)
class Part:
    """What one model does on one clip."""

    result: EvaluationResult
    added: tuple[AddedReference, ...]
    seconds: float


@dataclass(frozen=True)
class ModelStudy:
    """What one model does on all clips."""

    name: str
    default: str
    result: EvaluationResult
    added: tuple[AddedReference, ...]
    seconds: float  # that the clips took, those of earlier runs included


def study(
    clips: Sequence[StudiedClip],
    models: Sequence[StudiedModel],
    settings: Settings,
    folder: Path,
    networks: MetricNetworks | None = None,
    about: Mapping[str, str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    share: Share | None = None,
) -> list[ModelStudy]:
    """Measure what is not yet in `folder`, and return all of it, by model.

    Args:
        folder: gets `parts/MODEL/CLIP.json` and `pictures/MODEL/CLIP.jpg`, each written whole.
        about: what else the figures depend on (size, smoothing ...); other values make old parts void.
        progress: called with (done, total, text).
        share: only these of the clips, because other processes measure the others into the same folder.
    Raises:
        ReenactError: two clips or models of one name; a share without a clip; a model for which no clip could be
            measured. A clip that fails alone becomes a note.
    """
    networks = networks or MetricNetworks()
    settings = replace(settings, pictures=True)
    for what, names in (("clips", [clip.name for clip in clips]), ("models", [model.name for model in models])):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ReenactError(f"Two {what} are called {twice[0]}. Rename one, or give it once.")
    count = len(list_methods(settings)) + 1 + len(KINDS)
    mine = share.of(len(clips)) if share is not None else list(range(len(clips)))
    total = len(models) * len(mine) * count
    finished = []
    for m, model in enumerate(models):
        stages: Stages | None = None
        parts, notes = [], list(networks.notes)
        for n, c in enumerate(mine):
            clip = clips[c]
            start = (m * len(mine) + n) * count

            def step(done: int, text: str, start: int = start, name: str = f"{model.name}, {clip.name}") -> None:
                if progress is not None:
                    progress(start + done, total, f"{name}: {text}")

            other = clips[(c + 1) % len(clips)] if len(clips) > 1 else None
            fingerprint = _fingerprint(clip, other, model, settings, networks, about or {})
            place = folder / "parts" / model.name / f"{clip.name}.json"
            part = read_part(place, fingerprint)
            try:
                if part is None:
                    stages = stages or model.stages()
                    picture = folder / "pictures" / model.name / f"{clip.name}.jpg"
                    part = _study_clip(clip, other, stages, settings, networks, picture, step)
                    write_part(part, place, fingerprint)
                parts.append(part)
                notes += part.result.notes
            except ReenactError as error:
                log.warning("%s left out: %s", clip.name, error)
                notes.append(f"{clip.name} was left out: {error}")
            step(count, "done")
        if not parts:
            raise ReenactError(f"{model.name}: none of the {len(mine)} clips could be measured. {notes[-1]}")
        if len(clips) == 1:
            notes.append("with one clip there is no other person to add as a reference, and there are no intervals")
        finished.append(_join(model, parts, notes))
    return finished


def _study_clip(
    clip: Clip,
    other: Clip | None,
    stages: Stages,
    settings: Settings,
    networks: MetricNetworks,
    picture: Path,
    step: Callable[[int, str], None],
) -> Part:
    began = time.monotonic()
    methods = list_methods(settings)
    most = max(GIVEN + 1, *(method.references for method in methods))
    prepared = prepare_clip(clip, stages, settings, networks, most, lambda text: step(0, text))
    outcome = measure_methods(prepared, methods, stages, settings, networks, step)
    done = iter(range(len(methods), len(methods) + 1 + len(KINDS)))
    notes = []
    stranger = None
    if other is not None:
        try:
            stranger = first_face(other, stages.track)
        except ReenactError as error:
            notes.append(f"{clip.name}: nobody else was added as a reference, because of {other.name}: {error}")
    added = measure_added(
        prepared, settings.strategies, stages, networks, stranger, lambda text: step(next(done), text)
    )
    if outcome.pictures is not None:
        write_beside(picture, encode_jpeg(method_sheet(outcome.pictures)))
    notes += outcome.notes
    if not added:
        notes.append(f"{clip.name}: only {len(prepared.references)} references could be picked, so none was added")
    result = gather([outcome], settings, {}, notes)
    return Part(replace(result, pictures=()), tuple(added), time.monotonic() - began)


def first_face(clip: Clip, track: Callable[[Sequence[Tensor]], Faces]) -> Tensor | None:
    """The first frame [3,H,W] of a clip that shows a face, within its first 25."""
    seen = 0
    for chunk in clip.chunks():
        for image in chunk:
            if bool(track([image]).found[0]):
                return image
            seen += 1
            if seen == _LOOKED_AT:
                return None
    return None


def weights_signature(model: nn.Module) -> str:
    """Twelve hexadecimal digits that change with any of the module's tensors."""
    digest = hashlib.sha256()
    for name, values in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.detach().float().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def write_part(part: Part, path: Path, fingerprint: Mapping[str, object]) -> None:
    """Write one model's figures for one clip beside their final name, then rename."""
    tree = {
        "schema": SCHEMA,
        "fingerprint": fingerprint,
        "seconds": part.seconds,
        "evaluation": to_tree(part.result),
        "added": [asdict(line) for line in part.added],
    }
    write_beside(path, json.dumps(tree, indent=1, allow_nan=False).encode())


def read_part(path: Path, fingerprint: Mapping[str, object]) -> Part | None:
    """What `write_part` wrote; None where there is nothing, or something else than asked for, or a damaged file."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        if tree["schema"] != SCHEMA or tree["fingerprint"] != json.loads(json.dumps(fingerprint)):
            return None
        added = tuple(AddedReference(**line) for line in tree["added"])
        return Part(from_tree(tree["evaluation"]), added, float(tree["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fingerprint(
    clip: StudiedClip,
    other: StudiedClip | None,
    model: StudiedModel,
    settings: Settings,
    networks: MetricNetworks,
    about: Mapping[str, str],
) -> dict[str, object]:
    """All that one clip's figures depend on, but the code."""
    return {
        "clip": clip.signature,
        "other": None if other is None else other.signature,
        "model": [model.name, model.signature],
        "settings": asdict(settings),
        "networks": [networks.lpips is not None, networks.identity is not None],
        "about": dict(about),
    }


def _join(model: StudiedModel, parts: Sequence[Part], notes: Sequence[str]) -> ModelStudy:
    rows: list[Row] = [row for part in parts for row in part.result.rows]
    columns = {column.key: column for part in parts for column in part.result.columns}
    result = EvaluationResult(
        settings=parts[0].result.settings,
        about={"model": model.name, "weights": model.signature},
        columns=tuple(columns.values()),
        clips=tuple(clip for part in parts for clip in part.result.clips),
        rows=tuple(rows),
        summary=summarise(rows),
        notes=tuple(notes),
    )
    added = tuple(line for part in parts for line in part.added)
    return ModelStudy(model.name, model.default, result, added, sum(part.seconds for part in parts))
