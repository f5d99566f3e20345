"""Motion without anybody: a face that idles, and sweeps that show what the references cover."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from .. import geometry
from ..errors import ReenactError
from ..parameters import check_ranges, parameter
from ..types import DrivingMotion, Faces
from .basis import SHAPES
from .deform import deform
from .resting import resting_motion
from .timeline import MOST_FRAMES

BLINK_SECONDS = (0.09, 0.04, 0.16)  # closing, shut, opening
SWAY_HERTZ = (0.11, 0.19, 0.31)  # the slow waves that a head's sway is made of
SWEEPS = {  # what moves to one side, to the other and back: degrees of a turn, or the amount of a shape
    "yaw": ("yaw", 40.0),
    "pitch": ("pitch", 20.0),
    "roll": ("roll", 25.0),
    "mouth": ("jawOpen", 0.8),
    "gaze": ("eyeLook", 1.0),
}
ORDER = ("yaw", "pitch", "roll")


@dataclass(frozen=True)
class Idle:
    """How a face idles; the same seed gives the same motion."""

    sway: float = parameter(3.0, 0.0, 20.0, "Degrees that the head sways to each side, about.", 0.1)
    breathing: float = parameter(1.0, 0.0, 5.0, "How deep the breath is that lifts the head; 0 is none.", 0.1)
    blinks: float = parameter(15.0, 0.0, 60.0, "Blinks a minute.", 1.0)
    gaze: float = parameter(0.15, 0.0, 1.0, "How far the eyes wander.")
    smile: float = parameter(0.1, 0.0, 1.0, "How much of a smile comes and goes.")
    seed: int = parameter(0, 0, 1_000_000, "Another number gives another motion.", 1)

    def __post_init__(self) -> None:
        check_ranges(self, "Idle")


def idle_motion(
    face: Faces, canvas: tuple[int, int], seconds: float, frame_rate: Fraction, settings: Idle | None = None
) -> DrivingMotion:
    """A resting face (axis 1, in pixels of the canvas) that breathes, sways, blinks and looks about.

    It begins and ends at rest, so that it can be looped.

    Raises:
        ReenactError: the length is not positive or too long.
    """
    settings = settings or Idle()
    still = resting_motion(face, canvas, _count(seconds, frame_rate), frame_rate)
    count = len(still.faces.score)
    generator = torch.Generator().manual_seed(settings.seed)
    time = torch.arange(count) / float(frame_rate)
    rise = geometry.smooth_step(torch.minimum(time, time.flip(0)))
    amounts = torch.zeros(count, len(SHAPES))
    turns = torch.stack([_wave(time, generator) * share for share in (1.0, 0.5, 0.4)], 1) * settings.sway
    turns[:, 1] += 0.4 * settings.breathing * torch.sin(2 * math.pi * 0.25 * time)
    _look(amounts, settings.gaze * _glances(time, generator), settings.gaze * 0.5 * _glances(time, generator))
    smile = settings.smile * (0.5 + 0.5 * _wave(time, generator)).clamp(0, 1)
    for side in ("Left", "Right"):
        amounts[:, SHAPES.index(f"mouthSmile{side}")] = smile
    amounts, turns = amounts * rise[:, None], turns * rise[:, None]
    blink = _blinks(time, settings.blinks, generator)
    for side in ("Left", "Right"):
        amounts[:, SHAPES.index(f"eyeBlink{side}")] = blink
    return still._replace(faces=deform(still.faces, amounts, turns, face))


def sweep_motion(
    face: Faces, canvas: tuple[int, int], seconds: float, frame_rate: Fraction, kind: str = "yaw"
) -> DrivingMotion:
    """A resting face that moves in one way to one side, to the other, and back: a test of what references cover.

    Args:
        kind: yaw, pitch, roll, mouth, gaze, or all of them after each other in this time.
    Raises:
        ReenactError: there is no such sweep, or the length is not positive or too long.
    """
    kinds = list(SWEEPS) if kind == "all" else [kind]
    if any(name not in SWEEPS for name in kinds):
        raise ReenactError(f"There is no sweep {kind!r}. Choose one of: {', '.join((*SWEEPS, 'all'))}.")
    still = resting_motion(face, canvas, _count(seconds, frame_rate), frame_rate)
    count = len(still.faces.score)
    amounts, turns = torch.zeros(count, len(SHAPES)), torch.zeros(count, 3)
    frames = torch.arange(count).tensor_split(len(kinds))
    for name, part in zip(kinds, frames):
        moved, reach = SWEEPS[name]
        phase = torch.linspace(0, 2 * math.pi, len(part))
        wave = torch.sin(phase) * reach
        if moved in ORDER:
            turns[part, ORDER.index(moved)] = wave
        elif name == "gaze":
            x, y = torch.zeros(count), torch.zeros(count)
            x[part], y[part] = wave, torch.sin(2 * phase) * reach * 0.6
            _look(amounts, x, y)
        else:
            amounts[part, SHAPES.index(moved)] = (1 - torch.cos(phase)) / 2 * reach
    return still._replace(faces=deform(still.faces, amounts, turns, face))


def _count(seconds: float, frame_rate: Fraction) -> int:
    count = round(seconds * frame_rate) if math.isfinite(seconds) else 0
    if not 1 <= count <= MOST_FRAMES:
        raise ReenactError(f"{seconds} seconds are {count} frames, but must be between 1 and {MOST_FRAMES}.")
    return count


def _wave(time: Tensor, generator: torch.Generator) -> Tensor:
    """A slow wave in about -1..1 that does not repeat soon: [T]."""
    phases = torch.rand(len(SWAY_HERTZ), generator=generator) * 2 * math.pi
    parts = [torch.sin(2 * math.pi * hertz * time + phase) for hertz, phase in zip(SWAY_HERTZ, phases)]
    return torch.stack(parts).sum(0) / math.sqrt(len(SWAY_HERTZ) * 2)


def _glances(time: Tensor, generator: torch.Generator) -> Tensor:
    """Where the eyes rest, -1..1, with quick jumps between: [T]."""
    seconds = float(time[-1]) if len(time) else 0.0
    values = torch.zeros_like(time)
    moment, place = 0.0, 0.0
    while moment <= seconds:
        after = torch.sigmoid((time - moment) / 0.015)
        following = float(torch.rand(1, generator=generator) * 2 - 1)
        values = values + (following - place) * after
        moment, place = moment + 0.8 + 1.6 * float(torch.rand(1, generator=generator)), following
    return values


def _blinks(time: Tensor, per_minute: float, generator: torch.Generator) -> Tensor:
    """How far the eyes are closed: [T] in 0..1; a blink that would be cut by an end is left out."""
    closed = torch.zeros_like(time)
    if per_minute == 0 or len(time) == 0:
        return closed
    pause, (closing, shut, opening) = 60 / per_minute, BLINK_SECONDS
    moment = pause * (0.3 + 0.4 * float(torch.rand(1, generator=generator)))
    while moment + sum(BLINK_SECONDS) < float(time[-1]):
        since = time - moment
        here = torch.minimum(since / closing, (sum(BLINK_SECONDS) - since) / opening).clamp(0, 1)
        # A frame that falls between sees the eye shut, however few there are.
        nearest = (since - closing - shut / 2).abs().argmin()
        here[nearest] = 1
        closed = torch.maximum(closed, here)
        moment += pause * (0.6 + 0.8 * float(torch.rand(1, generator=generator)))
    return closed


def _look(amounts: Tensor, x: Tensor, y: Tensor) -> None:
    """Sets a gaze [T] to the right of the picture and down in `amounts` [T,51]; the other ways are below 0."""
    for names, values in (
        (("eyeLookOutLeft", "eyeLookInRight"), x),
        (("eyeLookInLeft", "eyeLookOutRight"), -x),
        (("eyeLookDownLeft", "eyeLookDownRight"), y),
        (("eyeLookUpLeft", "eyeLookUpRight"), -y),
    ):
        for name in names:
            amounts[:, SHAPES.index(name)] += values.clamp_min(0)
