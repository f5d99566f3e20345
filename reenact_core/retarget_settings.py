"""What retargeting takes over from the driver, and how: settings that describe themselves."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any

from .parameters import check_ranges, parameter


class Follow(Enum):
    """How a channel follows the driver."""

    RELATIVE = "relative"  # the driver's change since rest, added to the first reference
    ABSOLUTE = "absolute"  # what the driver shows, whatever the first reference shows
    OFF = "off"  # stays as in the first reference
    AUTO = "auto"  # relative to a neutral frame that the user chose, else absolute


CHANNELS = ("rotation", "translation", "scale", "expression", "mouth", "eyes", "gaze")


def _about(tooltip: str) -> dict[str, Any]:
    return {"tooltip": tooltip}


def _gain(what: str) -> Any:
    return parameter(1.0, 0.0, 2.0, f"Strength of {what}: 0 stays as in the first reference, 1 as the driver.", 0.05)


@dataclass(frozen=True)
class Retargeting:
    """What is taken over from the driver, and how, in relative transfer. All gains zero give the first reference."""

    rotation: Follow = field(
        default=Follow.RELATIVE,
        metadata=_about("Turning of the head. relative: the turn since the pose most like the first reference's."),
    )
    rotation_gain: float = _gain("the head's turning")
    translation: Follow = field(
        default=Follow.RELATIVE,
        metadata=_about("Place of the head. absolute: the driver's place in the picture, in shares of the canvas."),
    )
    translation_gain: float = _gain("the head's moving across the picture")
    scale: Follow = field(
        default=Follow.RELATIVE,
        metadata=_about("Size of the head. absolute: the driver's size in the picture, in shares of its height."),
    )
    scale_gain: float = _gain("coming nearer and going away")
    expression: Follow = field(
        default=Follow.AUTO,
        metadata=_about(
            "Brows, cheeks and nose. absolute: the driver's expression on this person's resting face, which all "
            "references together tell; relative: the driver's expression on top of the first reference's; auto: "
            "relative where the neutral driving frame was chosen by hand."
        ),
    )
    expression_gain: float = _gain("brows, cheeks and nose")
    mouth: Follow = field(default=Follow.AUTO, metadata=_about("Mouth, jaw and chin; modes as for the expression."))
    mouth_gain: float = _gain("mouth, jaw and chin")
    eyes: Follow = field(default=Follow.AUTO, metadata=_about("Eyelids; modes as for the expression."))
    eyes_gain: float = _gain("the eyelids")
    gaze: Follow = field(default=Follow.AUTO, metadata=_about("Where the eyes look; modes as for the expression."))
    gaze_gain: float = _gain("the gaze")
    contact: bool = field(default=True, metadata=_about("Close lips and lids fully whenever the driver does."))
    scale_lock: float = parameter(
        0.03, 0.0, 0.5, "Changes of the head's size below this share are not followed, so that it does not breathe."
    )
    reach: float = parameter(
        30.0, 0.0, 90.0, "Degrees that the head may turn or nod beyond all references; further turns are held back "
        "softly. 90 never holds back.", 1.0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_ranges(self, "Retargeting")

    @property
    def label(self) -> str:
        """What is not at its default, "mouth relative, mouth_gain 0.5", or "defaults"."""
        own = {item.name: getattr(self, item.name) for item in fields(self) if getattr(self, item.name) != item.default}
        parts = [f"{name} {value.value if isinstance(value, Follow) else value}" for name, value in own.items()]
        return ", ".join(parts) or "defaults"

    def resolved(self, chosen: bool) -> Retargeting:
        """The settings without AUTO; `chosen` says whether the user chose the neutral frame."""
        mode = Follow.RELATIVE if chosen else Follow.ABSOLUTE
        given = {name: mode for name in CHANNELS if self.follows(name) is Follow.AUTO}
        return replace(self, **given)

    def gain(self, channel: str) -> float:
        """The gain of a channel, zero if it is off."""
        return 0.0 if self.follows(channel) is Follow.OFF else getattr(self, f"{channel}_gain")

    def follows(self, channel: str) -> Follow:
        """How a channel follows."""
        return getattr(self, channel)
