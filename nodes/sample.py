"""Pictures and clips that ship with the pack, so that every example graph runs at once."""

from __future__ import annotations

import torch
from comfy_api.latest import InputImpl, io

from ..reenact_core.images import list_images, read_image_and_mask
from . import convert
from .features import schema
from .folders import CATEGORY, SAMPLES

CLIPS = {"same person": "driving.mp4", "other person": "other_person.mp4"}


class Sample(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactSample",
            display_name="Reenact Sample",
            category=CATEGORY,
            description="Four pictures of a generated person and a clip that drives him. They ship with the pack.",
            search_aliases=["example", "demo", "test clip"],
            inputs=[
                io.Combo.Input(
                    "driving",
                    options=list(CLIPS),
                    default="same person",
                    tooltip="Who moves: the person of the pictures himself (use absolute motion), or somebody else "
                    "(use relative motion).",
                )
            ],
            outputs=[
                io.Image.Output("references", display_name="references", tooltip="Four pictures of one person."),
                io.Video.Output("video", display_name="driving", tooltip="The driving clip, 2 to 3 seconds."),
            ],
        )

    @classmethod
    def execute(cls, driving: str) -> io.NodeOutput:
        pictures = [read_image_and_mask(path)[0] for path in list_images(SAMPLES / "references")]
        video = InputImpl.VideoFromFile(str(SAMPLES / CLIPS[driving]))
        return io.NodeOutput(convert.to_host(torch.stack(pictures)), video)
