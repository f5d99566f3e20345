"""Motion cut, stretched, joined, and its channels turned up or down."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..reenact_core.editing import Edit, apply_gains, blend, concatenate, edit, neutralise
from ..reenact_core.errors import ReenactError
from ..reenact_core.head_channels import Gains
from ..reenact_core.types import DrivingMotion, References
from . import sockets
from .features import schema
from .folders import CATEGORY
from .notes import heard
from .ranges import within_ranges
from .shown import motion_outputs, shown_motion
from .widgets import inputs_of, one_of, settings_of

APPEND, BLEND = "append", "blend"


class EditMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactEditMotion",
            display_name="Edit Motion",
            category=CATEGORY,
            description="Cuts, stretches, repeats, reverses, smooths and joins motion, and turns each of its channels "
            "up or down. Nothing has to be tracked again.",
            search_aliases=["trim", "speed", "retime", "loop", "reverse", "concatenate", "gain", "smooth", "neutral"],
            shows_output=True,
            inputs=[
                sockets.Motion.Input("motion", tooltip="The motion to edit."),
                sockets.Motion.Input("second", optional=True, tooltip="Another motion, to be joined to the first."),
                sockets.References.Input(
                    "references", optional=True, tooltip="The person to be moved; only `neutralise` looks at them."
                ),
                io.Combo.Input(
                    "combine",
                    optional=True,
                    options=[APPEND, BLEND],
                    default=APPEND,
                    tooltip="append: the second motion follows the first, over `crossfade` frames. blend: both at "
                    "once, `share` of the second.",
                ),
                io.Float.Input(
                    "share",
                    optional=True,
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much of the second motion is blended in.",
                ),
                io.Float.Input(
                    "neutralise",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of the first reference's own expression is taken away, so that relative motion "
                    "starts from rest. Needs `references`.",
                ),
                *inputs_of(Edit),
                *inputs_of(Gains),
            ],
            outputs=motion_outputs(),
        )

    @classmethod
    @within_ranges
    def execute(
        cls,
        motion: DrivingMotion,
        second: DrivingMotion | None = None,
        references: References | None = None,
        combine: str = APPEND,
        share: float = 0.5,
        neutralise: float = 0.0,
        **settings: Any,
    ) -> io.NodeOutput:
        edits = settings_of(Edit, settings)
        combine = one_of("combine", combine, (APPEND, BLEND))
        if second is not None:
            motion = blend(motion, second, share) if combine == BLEND else concatenate(motion, second, edits.crossfade)
        with heard() as notes:
            result = apply_gains(edit(motion, edits), settings_of(Gains, settings))
            result = _neutralised(result, references, neutralise)
        return shown_motion(result, cls, notes)


def _neutralised(motion: DrivingMotion, references: References | None, amount: float) -> DrivingMotion:
    if amount == 0:
        return motion
    if references is None:
        raise ReenactError("`neutralise` looks at the person to be moved: connect `references`, or set it to 0.")
    return neutralise(motion, references.faces.at([0]), amount)
