"""Edits of one motion as settings: what `reenact motion` and the node Edit Motion do, in this order."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from ..head_channels import Gains, join, scale_channels, scale_turn, split
from ..parameters import check_ranges, parameter
from ..types import DrivingMotion
from . import timeline
from .expression import without_code


@dataclass(frozen=True)
class Edit:
    """Trim, then reverse, retime, calm, low-pass, and last loop. The defaults change nothing."""

    start: int = parameter(0, 0, 1_000_000, "First frame that is kept.", 1)
    stop: int = parameter(-1, -1, 1_000_000, "Frame before which the motion ends; -1 is its end.", 1)
    reverse: bool = field(default=False, metadata={"tooltip": "Last frame first."})
    speed: float = parameter(1.0, 0.05, 20.0, "2 is twice as fast; frames between are interpolated.")
    frame_rate: float = parameter(0.0, 0.0, 240.0, "Frames per second of the result; 0 = as it is.", 0.001)
    length: float = parameter(0.0, 0.0, 3600.0, "Seconds that the motion shall take, in place of speed; 0 = as it is.")
    calm: bool = field(
        default=False, metadata={"tooltip": "Remove a tracker's jitter, for motion that was tracked without it."}
    )
    low_pass: float = parameter(0.0, 0.0, 60.0, "Removes what moves faster than so many times a second; 0 = off.", 0.1)
    loop: int = parameter(1, 1, 1000, "How many times the motion runs.", 1)
    crossfade: int = parameter(0, 0, 1000, "Frames in which one run, or one motion, goes over into the next.", 1)

    def __post_init__(self) -> None:
        check_ranges(self, "Edit")


def edit(motion: DrivingMotion, settings: Edit) -> DrivingMotion:
    """The motion after all edits in time.

    Raises:
        ReenactError: nothing is left, or the settings do not fit the motion.
    """
    stop = None if settings.stop < 0 else settings.stop
    if settings.start or stop is not None:
        motion = timeline.trim(motion, settings.start, stop)
    if settings.reverse:
        motion = timeline.reverse(motion)
    if settings.speed != 1 or settings.frame_rate or settings.length:
        rate = Fraction(settings.frame_rate).limit_denominator(1001) if settings.frame_rate else None
        motion = timeline.retime(motion, settings.speed, rate, settings.length or None)
    if settings.calm:
        motion = timeline.calm(motion)
    if settings.low_pass:
        motion = timeline.low_pass(motion, settings.low_pass)
    return timeline.loop(motion, settings.loop, settings.crossfade)


def apply_gains(motion: DrivingMotion, gains: Gains) -> DrivingMotion:
    """The motion with each channel's change since the neutral frame times its gain; all 1 gives the motion itself."""
    if gains == Gains():
        return motion
    faces, neutral = motion.faces, motion.neutral
    channels = scale_channels(split(faces, neutral), gains, neutral.rotation)
    turned = not (gains.yaw == gains.pitch == gains.roll == 1)
    scaled = faces._replace(
        landmarks=join(channels, neutral),
        rotation=scale_turn(faces.rotation, neutral.rotation, gains) if turned else faces.rotation,
        blendshapes=(neutral.blendshapes + channels.blendshapes).clamp(0, 1),
    )
    return without_code(motion)._replace(faces=scaled)
