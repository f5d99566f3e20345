"""References in files: choose, mask and weigh the pictures of a person once."""

from __future__ import annotations

from comfy_api.latest import io

from ..reenact_core.storage import load_references, save_references
from ..reenact_core.types import References
from . import files, sockets
from .features import schema
from .folders import CATEGORY
from .naming import from_input
from .notes import noted
from .shown import landmarks_input, references_outputs, shown_references

ENDING = ".references.safetensors"


class SaveReferences(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactSaveReferences",
            display_name="Save References",
            category=CATEGORY,
            description="Saves references with their pictures, masks, strengths and labels to the output folder.",
            search_aliases=["export references", "store person", "save identity"],
            inputs=[
                sockets.References.Input("references", tooltip="The references to save."),
                io.String.Input(
                    "filename_prefix",
                    default="reenact/person",
                    tooltip="Folder and beginning of the name, below the output folder.",
                ),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, references: References, filename_prefix: str) -> io.NodeOutput:
        path, name = files.next_path(filename_prefix, ENDING)
        save_references(references, path)
        return io.NodeOutput(ui=noted([name]))


class LoadSavedReferences(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactLoadSavedReferences",
            display_name="Load Saved References",
            category=CATEGORY,
            description="Loads references that Save References has written.",
            search_aliases=["import references", "saved person", "load identity"],
            shows_output=True,
            inputs=[
                io.Combo.Input("file", options=files.listed(ENDING), tooltip="A file in the input or output folder."),
                landmarks_input(),
            ],
            outputs=references_outputs(),
        )

    @classmethod
    def validate_inputs(cls, file: str) -> bool | str:
        return files.problem_with(file) or True

    @classmethod
    def fingerprint_inputs(cls, file: str, show_landmarks: bool) -> str:
        return f"{files.fingerprint(file)} {show_landmarks}"

    @classmethod
    def execute(cls, file: str, show_landmarks: bool = True) -> io.NodeOutput:
        with from_input("file"):
            references = load_references(files.path_of(file))
        return shown_references(references, show_landmarks, cls)
