"""Stage 5: fused references become finished frames."""

from __future__ import annotations

from comfy_api.latest import io

from ..reenact_core.decoding import decode
from . import convert, sockets
from .features import schema
from .folders import CATEGORY
from .progress import Progress
from .ranges import within_ranges
from .stage_inputs import feather_input
from .stages import FusedEarlier, HostFused


class Decode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactDecode",
            display_name="Decode",
            category=CATEGORY,
            description="Paints the frames and lays them back into the picture.",
            search_aliases=["paste back", "reenactment result", "render"],
            inputs=[
                sockets.Fused.Input("fused", tooltip="The fused references."),
                io.Boolean.Input(
                    "paste_back",
                    default=True,
                    tooltip="On: the whole picture. Off: only the square around the head, at the working size.",
                ),
                feather_input(),
            ],
            outputs=[
                io.Image.Output("images", display_name="images", tooltip="The finished frames."),
                io.Mask.Output("mask", display_name="mask", tooltip="White where the model has painted."),
                io.Float.Output(
                    "frame_rate", display_name="frame_rate", tooltip="Frames per second, for Create Video."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_ranges
    def execute(cls, fused: HostFused, paste_back: bool = True, feather: float = 0.08) -> io.NodeOutput:
        warped = fused.source.awake()
        count = len(warped.boxes)
        height, width = warped.motion.canvas if paste_back else (warped.size, warped.size)
        images, masks = convert.FrameCollector(count), convert.FrameCollector(count)
        progress = Progress(count, cls.hidden.unique_id)
        for chunk in decode(FusedEarlier(warped, fused.parts), feather):
            shown = chunk.images if paste_back else chunk.crops
            images.add(shown)
            masks.add(chunk.masks if paste_back else shown.new_ones(len(shown), 1, height, width))
            progress.advance(len(shown), shown[0])
        return io.NodeOutput(images.result(), masks.mask(), float(warped.motion.frame_rate))
