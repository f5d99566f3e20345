"""Motion without a video: a face that idles, sweeps that test references, one picture, a CSV file of blendshapes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..reenact_core.editing import (
    SWEEPS,
    Idle,
    canonical_face,
    idle_motion,
    motion_of_csv,
    motion_of_image,
    sweep_motion,
)
from ..reenact_core.editing.resting import CANVAS
from ..reenact_core.errors import ReenactError
from ..reenact_core.parameters import parameter
from ..reenact_core.types import DrivingMotion, References
from . import convert, files, sockets
from .clips import frame_rate_of
from .features import schema
from .folders import CATEGORY
from .naming import from_input
from .networks import face_tracker
from .notes import heard
from .ranges import within_ranges
from .shown import motion_outputs, shown_motion
from .widgets import choice_inputs, chosen

ENDING = ".csv"
NO_FILE = "none"
SOURCE = "source"


@dataclass(frozen=True)
class IdleSource(Idle):
    """A face that breathes, sways and blinks."""

    seconds: float = parameter(5.0, 0.04, 600.0, "How long it takes.", 0.1)


@dataclass(frozen=True)
class SweepSource:
    """One movement to both sides and back."""

    movement: str = field(
        default="yaw", metadata={"choices": (*SWEEPS, "all"), "tooltip": "What moves; all: one after the other."}
    )
    seconds: float = parameter(5.0, 0.04, 600.0, "How long it takes.", 0.1)


@dataclass(frozen=True)
class ImageSource:
    """The pose and expression of `image`."""


@dataclass(frozen=True)
class CsvSource:
    """The blendshapes of `file`."""


OPTIONS: dict[str, type] = {"idle": IdleSource, "sweep": SweepSource, "image": ImageSource, "csv": CsvSource}


class MakeMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactMakeMotion",
            display_name="Make Motion",
            category=CATEGORY,
            description="Motion without a driving video: a face that idles, a sweep that shows what the references "
            "cover, the pose of one picture, or blendshapes recorded with Live Link Face.",
            search_aliases=[
                "idle animation",
                "breathing",
                "blink",
                "sweep",
                "Live Link Face",
                "ARKit",
                "CSV",
                "procedural",
            ],
            shows_output=True,
            inputs=[
                sockets.References.Input(
                    "references",
                    optional=True,
                    tooltip="The first of them plays idle, sweep and csv; without it a face that is nobody's does.",
                ),
                io.Image.Input("image", optional=True, tooltip="The picture for `source` image; the first of a batch."),
                io.Combo.Input(
                    "file",
                    optional=True,
                    options=[NO_FILE, *files.listed(ENDING)],
                    default=NO_FILE,
                    tooltip="The file for `source` csv, in the input or output folder: one row per frame, columns such "
                    "as EyeBlinkLeft and HeadYaw.",
                ),
                io.Float.Input(
                    "frame_rate",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=240.0,
                    step=0.001,
                    tooltip="Frames per second; 0 is 25, or what the file says.",
                ),
                *choice_inputs(
                    SOURCE,
                    OPTIONS,
                    "idle",
                    "idle: breathes, sways and blinks. sweep: moves to both sides and back. image: the pose and "
                    "expression of a picture, one frame. csv: recorded blendshapes.",
                ),
            ],
            outputs=motion_outputs(),
        )

    @classmethod
    def validate_inputs(cls, file: str = NO_FILE, source: Any = None) -> bool | str:
        """Only `file` is looked at; hosts with dynamic choices hand over `source` whether it is asked for or not."""
        return file == NO_FILE or files.problem_with(file) or True

    @classmethod
    def fingerprint_inputs(cls, file: str = NO_FILE, **others: Any) -> str:
        return NO_FILE if file == NO_FILE else files.fingerprint(file)

    @classmethod
    @within_ranges
    def execute(
        cls,
        references: References | None = None,
        image: Tensor | None = None,
        file: str = NO_FILE,
        frame_rate: float = 0.0,
        **arguments: Any,
    ) -> io.NodeOutput:
        with heard() as notes:
            motion = _made(chosen(SOURCE, OPTIONS, arguments), references, image, file, frame_rate)
        return shown_motion(motion, cls, notes)


def _made(
    source: Any, references: References | None, image: Tensor | None, file: str, frame_rate: float
) -> DrivingMotion:
    if isinstance(source, ImageSource):
        if image is None:
            raise ReenactError("`source` is image, but no picture is connected to `image`. Connect one.")
        tracker = face_tracker().ready()
        with from_input("image"):
            return motion_of_image(convert.to_core(image, "image")[0].to(tracker.device), tracker)
    face, canvas = canonical_face(), CANVAS
    if references is not None:
        first = references.images[0]
        face, canvas = references.faces.at([0]), (first.shape[-2], first.shape[-1])
    if isinstance(source, CsvSource):
        if file == NO_FILE:
            raise ReenactError(
                "`source` is csv, but `file` is none. Put a CSV file into the input folder and choose it."
            )
        with from_input("file"):
            return motion_of_csv(files.path_of(file), face, canvas, frame_rate_of(frame_rate) if frame_rate else None)
    rate = frame_rate_of(frame_rate or 25.0)
    if isinstance(source, SweepSource):
        return sweep_motion(face, canvas, source.seconds, rate, source.movement)
    return idle_motion(face, canvas, source.seconds, rate, source)
