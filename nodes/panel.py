"""The interactive panel on Fuse References, server side: what it may look at, and one frame drawn.

A run gives its panel a random token. It leads to the warps that the host keeps for the node, for as long as the host
keeps them and no longer: only weak references are held. Frames are fused and painted in main memory, with networks of
the panel's own, so neither the motion model nor the device is needed, and a running graph is not disturbed.
"""

from __future__ import annotations

import io
import math
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from torch import Tensor

from ..reenact_core.errors import ReenactError
from ..reenact_core.frame_view import OVERLAYS, draw_view, view_frame
from ..reenact_core.fusing import Smoothing
from ..reenact_core.fusion import FusionStrategy
from ..reenact_core.fusion_space import FusionSpace
from ..reenact_core.motion_models import MotionModel
from ..reenact_core.motion_models.base import Painter
from ..reenact_core.previews import PALETTE
from ..reenact_core.types import Evidence
from . import convert
from .stages import HostMemo, HostWarped
from .strategies import (
    SPACE,
    STRATEGY,
    chosen_smoothing,
    chosen_space,
    named_strategy,
    strategy_choices,
    strategy_settings,
)

MOST_RUNS = 32  # runs that panels may ask about; the one not asked about for longest goes first
LEAST_SIDE, MOST_SIDE = 64, 768  # pixels of the picture
QUALITY = 88  # of JPEG


class GoneError(ReenactError):
    """The warps of a run are not in memory any more."""


@dataclass(frozen=True)
class PanelRun:
    """What one run of a node left behind."""

    token: str
    node: str
    memo: weakref.ref[HostMemo]
    boxes: Tensor  # [T,3]
    shots: tuple[slice, ...]  # spans of frames without a cut
    frame_rate: float
    default: str  # name of the strategy that "auto" stands for
    labels: tuple[str, ...]  # R
    notes: tuple[str, ...]  # about references that do not fit the others
    model: type[MotionModel]
    painter: Painter | None  # decodes; holds on to nothing of the model that computes

    def about(self) -> dict[str, Any]:
        """What the browser is told, with the node's other results."""
        memo = self.memo()
        kept = 0 if memo is None else memo.frames()
        notes = list(self.notes)
        if kept < len(self.boxes):
            notes.append(f"The warps of {kept} of {len(self.boxes)} frames fit in memory.")
        if not self.model.fuses_images:
            notes.append(
                "This model paints with a network; here the warped pictures are mixed in its place, but for the space "
                "'images', which is shown as it is decoded."
            )
        return {
            "node": self.node,
            "token": self.token,
            "kept": kept,
            "note": " ".join(notes),
            "references": list(self.labels),
            "spaces": not self.model.fuses_images,
        }


class PanelRuns:
    """The runs that panels may ask about."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, PanelRun] = OrderedDict()
        self._painters: weakref.WeakKeyDictionary[MotionModel, Painter | None] = weakref.WeakKeyDictionary()

    def open(self, node: str, warped: HostWarped) -> PanelRun:
        """The run of `node` on these warps; one that fused the same warps before keeps its token."""
        inner = warped.warped
        memo = inner.memo
        assert isinstance(memo, HostMemo)
        for run in list(self._runs.values()):
            if run.memo() is None:
                del self._runs[run.token]
            elif run.memo() is memo and run.node == node:
                return run
        run = PanelRun(
            token=uuid.uuid4().hex,
            node=node,
            memo=weakref.ref(memo),
            boxes=inner.boxes,
            shots=tuple(inner.motion.shot_spans()),
            frame_rate=float(inner.motion.frame_rate),
            default=inner.model.default_strategy,
            labels=inner.references.labels,
            notes=inner.notes,
            model=type(inner.model),
            painter=self._painter(inner.model),
        )
        self._runs[run.token] = run
        while len(self._runs) > MOST_RUNS:
            self._runs.popitem(last=False)
        return run

    def _painter(self, model: MotionModel) -> Painter | None:
        """One for all runs of a model."""
        if model not in self._painters:
            self._painters[model] = model.painter()
        return self._painters[model]

    def find(self, node: str, token: str) -> tuple[PanelRun, HostMemo]:
        """A run and its warps.

        Raises:
            GoneError: there is no such run, or the host has let go of its warps.
        """
        run = self._runs.get(token)
        memo = None if run is None else run.memo()
        if run is None or memo is None or run.node != node:
            raise GoneError("The warps of this run are not in memory any more. Run the graph again.")
        self._runs.move_to_end(token)
        return run, memo


RUNS = PanelRuns()


class Wish(NamedTuple):
    """What a panel asks for."""

    node: str
    token: str
    frame: int
    strategy: str
    settings: Mapping[str, Any]
    smoothing: Smoothing
    space: FusionSpace
    reference: int | None  # show this one as it was warped; None = the fused picture
    overlay: str | None
    side: int


class Drawn(NamedTuple):
    """A frame for the browser."""

    picture: bytes  # JPEG
    shares: list[float]  # of each reference in the frame, sum 1


def choices() -> dict[str, Any]:
    """What a panel offers: strategies with their settings, overlays, the references' colours."""
    overlays = [{"name": name, "summary": overlay.summary} for name, overlay in OVERLAYS.items()]
    return {**strategy_choices(), "overlays": overlays, "colours": [list(colour) for colour in PALETTE]}


def read_wish(body: Any) -> Wish:
    """A panel's request, checked.

    Raises:
        ReenactError: what is wrong with it, in one sentence.
    """
    if not isinstance(body, Mapping):
        raise ReenactError("The request must be a JSON object.")
    settings, beside = body.get("settings", {}), body.get("beside", {})
    if not isinstance(settings, Mapping) or not isinstance(beside, Mapping):
        raise ReenactError("`settings` and `beside` must be objects of names and values.")
    numbers = {str(name): _number(value, str(name)) for name, value in beside.items() if name != SPACE}
    reference, overlay = body.get("reference"), body.get("overlay")
    return Wish(
        node=_text(body, "node"),
        token=_text(body, "token"),
        frame=_whole(body, "frame", 0, 1 << 31),
        strategy=_text(body, "strategy"),
        settings=settings,
        smoothing=chosen_smoothing(numbers),
        space=chosen_space(beside),
        reference=None if reference is None else _whole(body, "reference", 0, 1 << 15),
        overlay=None if overlay is None else _text(body, "overlay"),
        side=_whole(body, "side", LEAST_SIDE, MOST_SIDE),
    )


def draw(wish: Wish, run: PanelRun, memo: HostMemo) -> Drawn:
    """The frame that was asked for.

    Raises:
        ReenactError: the frame was not kept, or a setting is refused.
    """
    kept = memo.frames()
    if wish.frame >= kept:
        raise ReenactError(
            f"Frame {wish.frame + 1} is not among the {kept} of {len(run.boxes)} frames whose warps fit in memory. "
            "Choose an earlier one."
        )

    def evidence_of(frame: int) -> Evidence:
        evidence = memo.frame(frame)
        assert evidence is not None
        return evidence

    strategy = _strategy(wish, run)
    start = next(shot.start for shot in run.shots if wish.frame < shot.stop)
    view = view_frame(
        evidence_of, wish.frame, run.boxes, run.frame_rate, strategy, wish.smoothing, wish.side, start,
        wish.space.on(run.model), run.painter,
    )  # fmt: skip
    picture = convert.to_pil(draw_view(view, wish.reference, wish.overlay))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return Drawn(file.getvalue(), [round(share, 4) for share in view.shares])


def _strategy(wish: Wish, run: PanelRun) -> FusionStrategy:
    """The strategy with settings of the right types."""
    known = {field.name: field.default for field in fields(strategy_settings(wish.strategy))}
    given: dict[str, Any] = {}
    for name, value in wish.settings.items():
        if name not in known:
            raise ReenactError(f"{wish.strategy} has no setting {str(name)[:80]!r}.")
        given[name] = _like(known[name], value, name)
    return named_strategy({STRATEGY: {STRATEGY: wish.strategy, **given}}, run.default)


def _like(default: Any, value: Any, name: str) -> Any:
    """`value` in the type of a field's default."""
    if isinstance(default, float):
        return _number(value, name)
    if isinstance(default, int) and not isinstance(default, bool):
        return int(_number(value, name))
    if type(value) is not type(default) and not isinstance(value, str):
        raise ReenactError(f"`{name}` is {str(value)[:80]!r}, but must be like {default!r}.")
    return value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ReenactError(f"`{name}` is {str(value)[:80]!r}, but must be a number.")
    return float(value)


def _whole(body: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ReenactError(f"`{name}` is {str(value)[:80]!r}, but must be a whole number from {low} to {high}.")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise ReenactError(f"`{name}` is missing, or is no text of up to 200 letters.")
    return value
