"""`reenact motion`: make, join, edit, look at and save motion."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..editing import (
    PRESETS,
    SWEEPS,
    Edit,
    Expression,
    Idle,
    apply_gains,
    blend,
    concatenate,
    edit,
    express,
    idle_motion,
    sweep_motion,
    with_values,
)
from ..errors import ReenactError
from ..head_channels import Gains
from ..images import read_image, write_image
from ..motion_plot import motion_plot
from ..pose import euler_degrees
from ..references import encode_references
from ..storage import save_motion
from ..tracking import BLENDSHAPE_NAMES, FaceTracker
from ..types import DrivingMotion
from .driving import MOTION, Player, canonical_player, read_motion
from .options import add_model, check_file_target, chosen_model

RATE = 25.0  # frames per second of motion that nobody recorded
EDITS = {"speed", "frame_rate", "length", "low_pass", "loop", "crossfade"}  # fields of Edit with a flag of their name


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare `reenact motion`."""
    parser = subparsers.add_parser("motion", help="make, join, edit, look at and save motion without rendering it")
    parser.add_argument(
        "inputs", nargs="*", type=Path,
        help="motion files, videos, pictures, CSV files of blendshapes; several are put one after the other",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="write the motion here, FILE.safetensors")
    parser.add_argument("--plot", type=Path, help="write its curves here, FILE.png")
    make = parser.add_argument_group("without an input")
    make.add_argument("--idle", type=_seconds, metavar="5s", help="a face that breathes, sways and blinks, so long")
    make.add_argument(
        "--sweep", choices=[*SWEEPS, "all"], help="one movement to both sides and back, to test references"
    )
    make.add_argument("--seconds", type=_seconds, default=4.0, help="how long the sweep takes (default 4)")
    make.add_argument("--reference", type=Path, help="picture whose face plays --idle, --sweep and CSV files")
    for item in fields(Idle):
        _flag(make, f"--idle-{item.name.replace('_', '-')}", item)
    read = parser.add_argument_group("reading")
    read.add_argument("--neutral", type=int, help="number of the resting frame of the first input")
    read.add_argument("--face", type=int, help="which face to follow, 0 = largest")
    read.add_argument("--blend", type=float, metavar="SHARE", help="mix two inputs in place of joining them, 0..1")
    time = parser.add_argument_group("time", "In this order: trim, reverse, speed, calm, low-pass, loop.")
    time.add_argument("--trim", metavar="A:B", help="keep frames A to B - 1, or times such as 0.5s:2s")
    time.add_argument("--reverse", action="store_true", help=_tooltip(Edit, "reverse"))
    time.add_argument("--calm", action="store_true", help=_tooltip(Edit, "calm"))
    for item in fields(Edit):
        if item.name in EDITS:
            _flag(time, f"--{item.name.replace('_', '-')}", item)
    change = parser.add_argument_group("changes")
    change.add_argument(
        "--gain", nargs="+", action="extend", default=[], metavar="CHANNEL=X",
        help=f"0 keeps the neutral frame's, 1 as it is: {', '.join(item.name for item in fields(Gains))}",
    )  # fmt: skip
    change.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="CONTROL=X",
        help="add to the expression: smile, jaw_open, brows, blink_left, gaze_x, yaw ... or any ARKit blendshape",
    )  # fmt: skip
    change.add_argument("--preset", choices=list(PRESETS), default="none", help="a ready-made expression")
    change.add_argument("--preset-strength", type=float, default=1.0, help="how much of it")
    change.add_argument("--frames", metavar="A:B", help="only these frames get --set and --preset, faded in and out")
    change.add_argument("--fade", type=float, default=Expression().fade, help=_tooltip(Expression, "fade"))
    add_model(parser)
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Make or read, join, edit, write, and say what it is."""
    if options.output is not None:
        check_file_target(options.output, (MOTION,))
    if options.plot is not None:
        check_file_target(options.plot, (".png", ".jpg", ".jpeg"))
    # Everything that may be mistyped is read before the work begins.
    gains = Gains(**_values(options.gain, "--gain", {item.name for item in fields(Gains)}))
    expression = _expression(options)
    motion = _joined(_sources(options), options)
    motion = edit(motion, _edit(options, motion))
    motion = express(apply_gains(motion, gains), expression(motion))
    if options.output is not None:
        save_motion(motion, options.output)
    if options.plot is not None:
        write_image(options.plot, motion_plot(motion))
    print(summary(motion))


def summary(motion: DrivingMotion) -> str:
    """Length, size, reach of the head and of the strongest expressions, in two lines."""
    count, rate = len(motion.faces.score), float(motion.frame_rate)
    angles = euler_degrees(motion.faces.rotation)
    turns = ", ".join(
        f"{name} {float(angles[:, i].min()):.0f}..{float(angles[:, i].max()):.0f}"
        for i, name in enumerate(("yaw", "pitch", "roll"))
    )
    reach = motion.faces.blendshapes.amax(0) - motion.faces.blendshapes.amin(0)
    strongest = [i for i in reach.argsort(descending=True).tolist()[:4] if reach[i] > 0.1]
    shapes = ", ".join(f"{BLENDSHAPE_NAMES[i]} {float(motion.faces.blendshapes[:, i].max()):.2f}" for i in strongest)
    lost = int((~motion.faces.found).sum())
    return (
        f"{count} frames, {count / rate:.2f} s at {rate:g} per second, canvas {motion.canvas[1]} x {motion.canvas[0]}"
        f"{f', {lost} without a face' if lost else ''}\n{turns} degrees; up to {shapes or 'no expression'}"
    )


def _sources(options: argparse.Namespace) -> list[DrivingMotion]:
    made = [options.idle is not None, options.sweep is not None]
    if sum(made) + bool(options.inputs) != 1:
        raise ReenactError("Give motion to work on: either files, or --idle SECONDS, or --sweep KIND.")
    model = chosen_model(options)
    tracker = FaceTracker.load(model.device)
    player = canonical_player()
    if options.reference is not None:
        references = encode_references([read_image(options.reference)], tracker, labels=[str(options.reference)])
        image = references.images[0]
        player = Player(references.faces, (image.shape[-2], image.shape[-1]))
    rate = Fraction(options.frame_rate or RATE).limit_denominator(1001)
    if options.idle is not None:
        given = {item.name: getattr(options, f"idle_{item.name}") for item in fields(Idle)}
        settings = Idle(**{name: value for name, value in given.items() if value is not None})
        return [idle_motion(player.face, player.canvas, options.idle, rate, settings)]
    if options.sweep is not None:
        return [sweep_motion(player.face, player.canvas, options.seconds, rate, options.sweep)]
    neutrals = [options.neutral] + [None] * (len(options.inputs) - 1)
    return [
        read_motion(path, tracker, model, player, options.face, neutral)
        for path, neutral in zip(options.inputs, neutrals)
    ]


def _joined(motions: list[DrivingMotion], options: argparse.Namespace) -> DrivingMotion:
    result = motions[0]
    if options.blend is not None:
        if len(motions) != 2:
            raise ReenactError(f"--blend mixes two inputs, {len(motions)} were given.")
        return blend(result, motions[1], options.blend)
    for motion in motions[1:]:
        result = concatenate(result, motion, options.crossfade or 0)
    return result


def _edit(options: argparse.Namespace, motion: DrivingMotion) -> Edit:
    given = {name: getattr(options, name) for name in EDITS}
    settings = {name: value for name, value in given.items() if value is not None}
    start, stop = _stretch(options.trim, motion, "--trim")
    return Edit(start=start, stop=stop, reverse=options.reverse, calm=options.calm, **settings)


def _expression(options: argparse.Namespace) -> Callable[[DrivingMotion], Expression]:
    """The expression of the flags; the frames it covers are known once the motion is."""
    values = _values(options.set, "--set")
    base = with_values(
        Expression(preset=options.preset, preset_strength=options.preset_strength, fade=options.fade), values
    )

    def finished(motion: DrivingMotion) -> Expression:
        start, stop = _stretch(options.frames, motion, "--frames")
        return Expression(**{**vars(base), "start": start, "stop": stop})

    return finished


def _stretch(text: str | None, motion: DrivingMotion, flag: str) -> tuple[int, int]:
    """First frame and end (-1 = the end of the motion) of `A:B`."""
    if text is None:
        return 0, -1
    first, colon, last = text.partition(":")
    count, rate = len(motion.faces.score), float(motion.frame_rate)

    def frame(part: str, default: int) -> int:
        part = part.strip()
        if not part:
            return default
        number = round(float(part[:-1]) * rate) if part.endswith("s") else int(part)
        return number + count if number < 0 else number

    try:
        if not colon:
            raise ValueError(text)
        start, stop = frame(first, 0), frame(last, -1)
    except ValueError:
        raise ReenactError(f"{flag} is {text!r}, but must be like 10:40, 25: or 0.5s:2s.") from None
    if start < 0 or stop == 0 or 0 <= stop <= start:
        raise ReenactError(f"{flag} {text} leaves nothing: the motion has frames 0 to {count - 1}.")
    return start, stop


def _values(pairs: list[str], flag: str, names: set[str] | None = None) -> dict[str, float]:
    """Numbers by name from `name=value`."""
    found: dict[str, float] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if names is not None and name not in names:
            raise ReenactError(f"{flag} {pair}: there is no {name!r}. Choose of: {', '.join(sorted(names))}.")
        try:
            found[name] = float(value)
        except ValueError:
            raise ReenactError(f"{flag} {pair}: must be a name and a number, as in name=0.5.") from None
    return found


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def _tooltip(settings: type, name: str) -> str:
    return next(item.metadata["tooltip"] for item in fields(settings) if item.name == name)


def _flag(group: Any, name: str, item: Any) -> None:
    low, high = item.metadata["min"], item.metadata["max"]
    text = f"{item.metadata['tooltip']} {low} to {high}, default {item.default}."
    group.add_argument(name, type=type(item.default), metavar="X", help=text)
