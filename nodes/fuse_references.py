"""Stage 4: one strategy combines what the references show."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..reenact_core import geometry
from ..reenact_core.fusing import FusedChunk, fuse_references
from ..reenact_core.previews import attribution
from . import convert, sockets
from .earlier import kept
from .features import schema
from .folders import CATEGORY
from .panel import RUNS
from .progress import Progress
from .ranges import within_ranges
from .stages import HostFused, HostWarped, light
from .strategies import by_widget, chosen_smoothing, chosen_space, chosen_strategy, strategy_inputs


class FuseReferences(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactFuseReferences",
            display_name="Fuse References",
            category=CATEGORY,
            description="Decides whose pixel is shown where. Try the strategies: the warps are kept, so a change here "
            "runs only this node and what follows it.",
            search_aliases=["fusion strategy", "blend", "combine", "multi-reference", "attribution"],
            shows_output=True,
            inputs=[
                sockets.Warped.Input("warped", tooltip="The warped references."),
                io.Boolean.Input(
                    "all_pictures",
                    default=True,
                    tooltip="Give attribution and confidence for every frame, in step with the decoded frames; off: "
                    "for the middle frame only, which saves memory.",
                ),
                *strategy_inputs(),
            ],
            outputs=[
                sockets.Fused.Output("fused", display_name="fused"),
                io.Image.Output(
                    "attribution",
                    display_name="attribution",
                    tooltip="Which reference each pixel came from, in the references' colours, on the output canvas.",
                ),
                io.Mask.Output(
                    "confidence", display_name="confidence", tooltip="White where the references show the frame well."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_ranges
    def execute(cls, warped: HostWarped, **arguments: Any) -> io.NodeOutput:
        every = bool(arguments.get("all_pictures", True))
        source = warped.awake()
        strategy = chosen_strategy(arguments, source.model)
        fused = fuse_references(source, strategy, chosen_smoothing(arguments), chosen_space(arguments))
        count, middle = len(source.boxes), len(source.boxes) // 2
        progress = Progress(count, cls.hidden.unique_id)
        parts: list[FusedChunk] = []
        shares, confidence = (convert.FrameCollector(count if every else 1) for _ in range(2))
        for chunk in fused.chunks():
            shown = light(chunk)
            parts.append(shown)
            progress.advance(chunk.stop - chunk.start)
            if not every:
                if not chunk.start <= middle < chunk.stop:
                    continue
                shown = shown.at(slice(middle - chunk.start, middle - chunk.start + 1))
            boxes = source.boxes[shown.start : shown.stop]
            for collector, crops in zip((shares, confidence), _pictures(shown, int(boxes[0, 2]))):
                collector.add_on_black(crops, boxes, source.motion.canvas)
        pictures, sure = shares.result(), confidence.result()
        run = RUNS.open(str(cls.hidden.unique_id), warped)
        about = {"reenact_panel": [run.about() | {"used": by_widget(arguments)}]}
        seen = ui.PreviewImage(_side_by_side(pictures, sure), cls=cls).as_dict() | about
        result = HostFused(warped, tuple(parts), strategy.label)
        return io.NodeOutput(result, pictures, sure[..., 0], ui=kept(seen, cls))


def _side_by_side(shares: Tensor, confidence: Tensor) -> Tensor:
    """The node's own picture [1,H,2W,3]: attribution and confidence of the middle frame. Low: the panel lies above."""
    middle = len(shares) // 2
    return torch.cat([shares[middle], confidence[middle].expand(-1, -1, 3)], 1)[None]


def _pictures(chunk: FusedChunk, side: int) -> tuple[Tensor, Tensor]:
    """Attribution [T,3,side,side] and confidence [T,1,side,side] of the head's box."""
    colours = attribution(chunk.weights, side).float().cpu()
    return colours, geometry.enlarge(chunk.confidence.float().cpu(), (side, side))
