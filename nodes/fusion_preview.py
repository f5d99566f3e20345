"""Pictures of what fusion did."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from ..reenact_core.errors import ReenactError
from ..reenact_core.fusion_pictures import fusion_pictures, on_canvas
from . import convert, sockets
from .features import schema
from .folders import CATEGORY
from .progress import Progress
from .ranges import within_ranges
from .stages import FusedEarlier, HostFused


class FusionPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactFusionPreview",
            display_name="Fusion Preview",
            category=CATEGORY,
            description="Shows whose pixel is where, the share of each reference, where references contradict each "
            "other, and where the fusion makes edges of its own.",
            search_aliases=["attribution", "weights", "mask", "disagreement", "seam", "debug"],
            inputs=[
                sockets.Fused.Input("fused", tooltip="The fused references."),
                io.Int.Input(
                    "reference",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Number of the reference whose share is given as a mask, in the order of the references.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "attribution", display_name="attribution", tooltip="Each pixel in the colour of its reference."
                ),
                io.Image.Output(
                    "weights", display_name="weights", tooltip="The share of each reference, side by side."
                ),
                io.Image.Output(
                    "disagreement",
                    display_name="disagreement",
                    tooltip="Light where references that claim to show a pixel contradict each other.",
                ),
                io.Image.Output(
                    "seams", display_name="seams", tooltip="Light where the fusion makes an edge that no reference has."
                ),
                io.Mask.Output("mask", display_name="mask", tooltip="White where the chosen reference is shown."),
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_ranges
    def execute(cls, fused: HostFused, reference: int = 1) -> io.NodeOutput:
        warped = fused.source.awake()
        count = len(warped.references.images)
        if reference > count:
            raise ReenactError(f"`reference` is {reference}, but there are {count} references. Choose one of them.")
        progress = Progress(len(warped.boxes), cls.hidden.unique_id)
        names = ("attribution", "weights", "disagreement", "seams")
        pictures = {name: convert.FrameCollector(len(warped.boxes)) for name in (*names, "mask")}
        for bring in FusedEarlier(warped, fused.parts).tasks():
            part = bring()
            evidence = warped.evidence(part.start, part.stop)
            for number in range(part.stop - part.start):
                frame = slice(number, number + 1)
                box = warped.boxes[part.start + number][None]
                drawn = fusion_pictures(warped, evidence.at(frame), part.at(frame).weights)
                shown = drawn.shown() | {"mask": drawn.weights[:, reference - 1, None]}
                for name, picture in shown.items():
                    pictures[name].add(picture if name == "weights" else on_canvas(picture, box, warped.motion.canvas))
                progress.advance(1)
        images = {name: pictures[name].result() for name in names}
        middle = len(warped.boxes) // 2
        strip = torch.cat([images[name][middle] for name in ("attribution", "disagreement", "seams")], 1)
        return io.NodeOutput(*images.values(), pictures["mask"].mask(), ui=ui.PreviewImage(strip[None], cls=cls))
