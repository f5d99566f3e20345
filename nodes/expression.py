"""The expression editor as a node."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..reenact_core.editing import Expression, express
from ..reenact_core.landmark_pictures import mesh_picture
from ..reenact_core.types import DrivingMotion
from . import convert, sockets
from .features import schema
from .folders import CATEGORY
from .notes import heard, seen
from .ranges import within_ranges
from .widgets import inputs_of, settings_of


class ExpressionEditor(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactExpression",
            display_name="Expression",
            category=CATEGORY,
            description="Adds a smile, a blink, a glance, a turn of the head to all frames of a motion or to some. "
            "What stands at its default changes nothing at all.",
            search_aliases=[
                "smile",
                "blink",
                "gaze",
                "mouth",
                "brows",
                "ARKit",
                "blendshapes",
                "face editor",
                "emotion",
            ],
            shows_output=True,
            inputs=[
                sockets.Motion.Input("motion", tooltip="The motion whose expression is changed."),
                *inputs_of(Expression),
            ],
            outputs=[
                sockets.Motion.Output("motion_out", display_name="motion"),
                io.Image.Output(
                    "mesh", display_name="mesh", tooltip="The face mesh of the first frame with the full change."
                ),
            ],
        )

    @classmethod
    @within_ranges
    def execute(cls, motion: DrivingMotion, **settings: Any) -> io.NodeOutput:
        expression = settings_of(Expression, settings)
        with heard() as notes:
            result = express(motion, expression)
        last = len(result.faces.score) - 1
        shown = (
            min(expression.start + round(expression.fade * float(motion.frame_rate)), last) if expression.start else 0
        )
        mesh = convert.to_host(mesh_picture(result.faces.landmarks[shown], result.canvas)[None])
        return io.NodeOutput(result, mesh, ui=seen(mesh, cls, notes))
