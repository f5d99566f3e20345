"""The driving person's motion becomes this person's, with a say in every channel."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..reenact_core.pose_limits import uncovered
from ..reenact_core.retargeting import Retargeting, Transfer, retarget
from ..reenact_core.types import DrivingMotion, References
from . import sockets
from .features import schema
from .folders import CATEGORY
from .notes import seen
from .ranges import within_ranges
from .shown import plot_of, plot_output
from .widgets import inputs_of, settings_of

COVERED = "The references cover everything that the motion shows."


class Retarget(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactRetarget",
            display_name="Retarget",
            category=CATEGORY,
            description="Carries another person's motion over to the person of the references and says which channels "
            "follow, and how far. Warp Per Reference does this with the defaults; put this node before it to choose.",
            search_aliases=[
                "transfer",
                "gain",
                "strength",
                "head pose",
                "expression",
                "identity",
                "limits",
                "coverage",
            ],
            shows_output=True,
            inputs=[
                sockets.Motion.Input("motion", tooltip="The driving person's motion."),
                sockets.References.Input(
                    "references", tooltip="The person to be moved; give the same ones to Warp Per Reference."
                ),
                *inputs_of(Retargeting),
            ],
            outputs=[
                sockets.Motion.Output("motion_out", display_name="motion"),
                plot_output(),
                io.String.Output(
                    "coverage",
                    display_name="coverage",
                    tooltip="What the motion shows and no reference does, one sentence a line.",
                ),
            ],
        )

    @classmethod
    @within_ranges
    def execute(cls, motion: DrivingMotion, references: References, **settings: Any) -> io.NodeOutput:
        result = retarget(motion, references, Transfer.RELATIVE, settings_of(Retargeting, settings))
        plot = plot_of(result)
        coverage = "\n".join(uncovered(result.faces, references.faces)) or COVERED
        return io.NodeOutput(result, plot, coverage, ui=seen(plot, cls, [coverage]))
