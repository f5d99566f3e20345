"""Motion in files: track a clip once, use it for many people."""

from __future__ import annotations

from comfy_api.latest import io

from ..reenact_core.storage import load_motion, save_motion
from ..reenact_core.types import DrivingMotion
from . import files, sockets
from .features import schema
from .folders import CATEGORY
from .naming import from_input
from .notes import noted
from .shown import motion_outputs, shown_motion

ENDING = ".motion.safetensors"


class SaveMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactSaveMotion",
            display_name="Save Motion",
            category=CATEGORY,
            description="Saves motion to the output folder. It holds no picture of the driving person.",
            search_aliases=["export motion", "store landmarks", "reuse driving video"],
            inputs=[
                sockets.Motion.Input("motion", tooltip="The motion to save."),
                io.String.Input(
                    "filename_prefix",
                    default="reenact/motion",
                    tooltip="Folder and beginning of the name, below the output folder.",
                ),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, motion: DrivingMotion, filename_prefix: str) -> io.NodeOutput:
        path, name = files.next_path(filename_prefix, ENDING)
        save_motion(motion, path)
        return io.NodeOutput(ui=noted([name]))


class LoadMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactLoadMotion",
            display_name="Load Motion",
            category=CATEGORY,
            description="Loads motion that Save Motion has written.",
            search_aliases=["import motion", "saved motion", "reuse driving video"],
            shows_output=True,
            inputs=[
                io.Combo.Input(
                    "file",
                    options=files.listed(ENDING),
                    tooltip="A file in the input or output folder, or the sample of the pack.",
                )
            ],
            outputs=motion_outputs(),
        )

    @classmethod
    def validate_inputs(cls, file: str) -> bool | str:
        return files.problem_with(file) or True

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        return files.fingerprint(file)

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        with from_input("file"):
            motion = load_motion(files.path_of(file))
        return shown_motion(motion, cls)
