"""The expression editor: controls that people know, made of ARKit blendshapes, added to the frames of a motion."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from ..errors import ReenactError
from ..parameters import check_ranges, parameter
from ..types import DrivingMotion
from .basis import SHAPES
from .deform import deform

log = logging.getLogger(__name__)

Shapes = dict[str, float]


def _both(name: str, amount: float = 1.0) -> Shapes:
    return {f"{name}Left": amount, f"{name}Right": amount}


# What a control adds at 1 and, where it differs from the opposite, at -1.
CONTROLS: dict[str, tuple[Shapes, Shapes | None]] = {
    "smile": (_both("mouthSmile") | _both("cheekSquint", 0.4), None),
    "frown": (_both("mouthFrown"), None),
    "jaw_open": ({"jawOpen": 1.0}, None),
    "jaw_x": ({"jawLeft": 1.0}, {"jawRight": 1.0}),
    "mouth_x": ({"mouthLeft": 1.0}, {"mouthRight": 1.0}),
    "pucker": ({"mouthPucker": 1.0}, None),
    "funnel": ({"mouthFunnel": 1.0}, None),
    "stretch": (_both("mouthStretch"), None),
    "press": (_both("mouthPress"), None),
    "upper_lip_up": (_both("mouthUpperUp"), None),
    "lower_lip_down": (_both("mouthLowerDown"), None),
    "cheek_puff": ({"cheekPuff": 1.0}, None),
    "sneer": (_both("noseSneer"), None),
    "brows": ({"browInnerUp": 1.0} | _both("browOuterUp"), _both("browDown")),
    "inner_brows": ({"browInnerUp": 1.0}, None),
    "blink_left": ({"eyeBlinkLeft": 1.0}, {"eyeWideLeft": 1.0}),
    "blink_right": ({"eyeBlinkRight": 1.0}, {"eyeWideRight": 1.0}),
    "squint": (_both("eyeSquint"), None),
    "gaze_x": ({"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0}, {"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0}),
    "gaze_y": (_both("eyeLookDown"), _both("eyeLookUp")),
}
TURNS = ("yaw", "pitch", "roll")

PRESETS: dict[str, Shapes] = {
    "none": {},
    "smile": {"smile": 0.7, "squint": 0.2},
    "laugh": {"smile": 1.0, "jaw_open": 0.3, "upper_lip_up": 0.3, "squint": 0.5},
    "sad": {"frown": 0.7, "inner_brows": 0.9, "gaze_y": 0.2},
    "angry": {"brows": -1.0, "press": 0.6, "sneer": 0.5, "squint": 0.4},
    "surprised": {"brows": 1.0, "jaw_open": 0.35, "blink_left": -0.8, "blink_right": -0.8},
    "disgusted": {"sneer": 1.0, "upper_lip_up": 0.5, "brows": -0.4, "squint": 0.4},
    "kiss": {"pucker": 1.0, "funnel": 0.2},
    "wink": {"blink_left": 1.0, "smile": 0.3},
    "eyes closed": {"blink_left": 1.0, "blink_right": 1.0},
    "sleepy": {"blink_left": 0.5, "blink_right": 0.5, "inner_brows": 0.3, "pitch": 5.0},
    "puffed": {"cheek_puff": 1.0, "press": 0.4},
}


@dataclass(frozen=True)
class Expression:
    """What is added to a face. Everything at its default changes nothing at all."""

    preset: str = field(
        default="none",
        metadata={"choices": tuple(PRESETS), "tooltip": "A ready-made expression; the controls come on top."},
    )
    preset_strength: float = parameter(1.0, 0.0, 1.5, "How much of the preset.")
    smile: float = parameter(0.0, -1.0, 1.5, "Corners of the mouth up. Below 0 takes from a smile.")
    frown: float = parameter(0.0, -1.0, 1.5, "Corners of the mouth down.")
    jaw_open: float = parameter(0.0, -1.0, 1.5, "Opens the mouth; below 0 closes an open one. Lips do not cross.")
    jaw_x: float = parameter(0.0, -1.0, 1.0, "Jaw sideways, > 0 to the person's left.")
    mouth_x: float = parameter(0.0, -1.0, 1.0, "Mouth sideways, > 0 to the person's left.")
    pucker: float = parameter(0.0, -1.0, 1.5, "Lips as for a kiss.")
    funnel: float = parameter(0.0, -1.0, 1.5, "Lips as for an O.")
    stretch: float = parameter(0.0, -1.0, 1.5, "Mouth wide without a smile.")
    press: float = parameter(0.0, -1.0, 1.5, "Lips pressed together.")
    upper_lip_up: float = parameter(0.0, -1.0, 1.5, "Upper lip up.")
    lower_lip_down: float = parameter(0.0, -1.0, 1.5, "Lower lip down.")
    cheek_puff: float = parameter(0.0, -1.0, 1.5, "Cheeks full of air.")
    sneer: float = parameter(0.0, -1.0, 1.5, "Nose wrinkled.")
    brows: float = parameter(0.0, -1.5, 1.5, "Brows up, below 0 down.")
    inner_brows: float = parameter(0.0, -1.0, 1.5, "Inner ends of the brows up, as in sorrow.")
    blink_left: float = parameter(0.0, -1.0, 1.0, "Closes the person's left eye: 1 is shut. Below 0 opens it wide.")
    blink_right: float = parameter(0.0, -1.0, 1.0, "Closes the person's right eye: 1 is shut. Below 0 opens it wide.")
    squint: float = parameter(0.0, -1.0, 1.5, "Eyes narrowed from below.")
    gaze_x: float = parameter(0.0, -1.5, 1.5, "Looks sideways, > 0 to the right of the picture.")
    gaze_y: float = parameter(0.0, -1.5, 1.5, "Looks down, below 0 up.")
    yaw: float = parameter(0.0, -60.0, 60.0, "Turns the head, in degrees, > 0 to the right of the picture.", 0.5)
    pitch: float = parameter(0.0, -45.0, 45.0, "Nods, in degrees, > 0 down.", 0.5)
    roll: float = parameter(0.0, -60.0, 60.0, "Tilts the head, in degrees, > 0 clockwise.", 0.5)
    shapes: str = field(
        default="",
        metadata={"tooltip": "Further ARKit blendshapes by name, such as mouthRollLower=0.5, jawForward=0.3."},
    )
    start: int = parameter(0, 0, 1_000_000, "First frame that is changed.", 1)
    stop: int = parameter(-1, -1, 1_000_000, "Frame before which the change ends; -1 is the end of the motion.", 1)
    fade: float = parameter(0.2, 0.0, 10.0, "Seconds in which the change comes and goes, where it does.")

    def __post_init__(self) -> None:
        check_ranges(self, "Expression")
        if self.preset not in PRESETS:
            raise ReenactError(f"There is no expression {self.preset!r}. Choose one of: {', '.join(PRESETS)}.")
        shape_amounts(self.shapes)


def with_values(expression: Expression, values: Shapes) -> Expression:
    """The expression with controls or ARKit blendshapes set by name.

    Raises:
        ReenactError: there is no control or blendshape of a name, or a value is out of range.
    """
    names = {item.name for item in fields(Expression) if "min" in item.metadata}
    own = {name: value for name, value in values.items() if name in names}
    rest = ", ".join(f"{name}={value}" for name, value in values.items() if name not in names)
    shapes = ", ".join(filter(None, (expression.shapes, rest)))
    return replace(expression, **own, shapes=shapes)


def amounts_of(expression: Expression) -> tuple[Tensor, Tensor]:
    """Amounts [51] of the blendshapes and degrees [3] of the turn that an expression adds at its height."""
    values = {name: getattr(expression, name) for name in (*CONTROLS, *TURNS)}
    for name, value in PRESETS[expression.preset].items():
        values[name] += value * expression.preset_strength
    total = dict.fromkeys(SHAPES, 0.0)
    for name, (positive, negative) in CONTROLS.items():
        value = values[name]
        shapes = negative if value < 0 and negative is not None else positive
        factor = -value if value < 0 and negative is not None else value
        for shape, amount in shapes.items():
            total[shape] += factor * amount
    for shape, amount in shape_amounts(expression.shapes).items():
        total[shape] += amount
    return torch.tensor([total[shape] for shape in SHAPES]), torch.tensor([values[name] for name in TURNS])


def express(motion: DrivingMotion, expression: Expression) -> DrivingMotion:
    """The motion with an expression added to its frames start ... stop - 1, faded in and out.

    The neutral frame stays as it is and is from then on the one relative motion counts from, so that the addition is
    seen in both transfers. Nothing to add gives the motion itself.

    Raises:
        ReenactError: the stretch of frames is empty.
    """
    amounts, turn = amounts_of(expression)
    if not (amounts.any() or turn.any()):
        return motion
    height = envelope(len(motion.faces.score), float(motion.frame_rate), expression)[:, None]
    faces = deform(motion.faces, height * amounts, height * turn, motion.neutral)
    return without_code(motion)._replace(faces=faces, floating=False)


def envelope(count: int, frame_rate: float, expression: Expression) -> Tensor:
    """How much of an expression each of `count` frames has: [T] in 0..1."""
    stop = count if expression.stop < 0 else min(expression.stop, count)
    start = expression.start
    if start >= stop:
        raise ReenactError(
            f"The frames {start}:{stop} are none: the motion has frames 0 to {count - 1}. Choose a `start` among them, "
            "and a later `stop`."
        )
    frames = torch.arange(count, dtype=torch.float32)
    height = ((frames >= start) & (frames < stop)).float()
    steps = expression.fade * frame_rate + 1
    if start > 0:
        height = height * ((frames - start + 1) / steps).clamp(0, 1)
    if stop < count:
        height = height * ((stop - frames) / steps).clamp(0, 1)
    return height


def shape_amounts(text: str) -> Shapes:
    """Amounts by name from `name=value, name=value`.

    Raises:
        ReenactError: there is no such blendshape, or a value is no number between -1.5 and 1.5.
    """
    found: Shapes = {}
    for part in filter(None, (piece.strip() for piece in text.replace(";", ",").split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in SHAPES:
            raise ReenactError(
                f"There is no control or blendshape {name!r}. Controls: {', '.join((*CONTROLS, *TURNS))}. "
                f"Blendshapes: {', '.join(SHAPES)}."
            )
        try:
            amount = float(value)
        except ValueError:
            raise ReenactError(f"{name} is {value!r}, but must be a number, as in {name}=0.5.") from None
        if not -1.5 <= amount <= 1.5:
            raise ReenactError(f"{name} is {amount:g}, but must lie between -1.5 and 1.5.")
        found[name] = found.get(name, 0.0) + amount
    return found


def without_code(motion: DrivingMotion) -> DrivingMotion:
    """The motion without a motion model's own code, which does not follow when landmarks are edited."""
    if motion.code is not None:
        log.warning(
            "Edited landmarks do not change the motion code of a checkpoint's model, so it is left out: use this "
            "motion with face_mesh."
        )
    return motion._replace(code=None, neutral_code=None, code_box=None)
