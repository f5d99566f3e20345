"""Stage 4: one strategy combines what the references show."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from comfy_api.latest import io, ui
from torch import Tensor

from ..reenact_core.decoding.paste_back import paste
from ..reenact_core.fusing import FusedChunk, fuse_references
from ..reenact_core.previews import attribution
from ..reenact_core.warping import WarpedReferences
from . import convert, sockets
from .features import schema
from .folders import CATEGORY
from .panel import RUNS
from .progress import Progress
from .stages import HostFused, HostWarped, light
from .strategies import chosen_smoothing, chosen_space, chosen_strategy, strategy_inputs


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
    def execute(cls, warped: HostWarped, **arguments: Any) -> io.NodeOutput:
        every = bool(arguments.get("all_pictures", True))
        source = warped.awake()
        strategy = chosen_strategy(arguments, source.model)
        fused = fuse_references(source, strategy, chosen_smoothing(arguments), chosen_space(arguments))
        progress = Progress(len(source.boxes), cls.hidden.unique_id)
        parts: list[FusedChunk] = []
        pictures: list[tuple[Tensor, Tensor]] = []
        middle = len(source.boxes) // 2
        for chunk in fused.chunks():
            parts.append(light(chunk))
            progress.advance(chunk.stop - chunk.start)
            if every:
                pictures.append(_on_canvas(parts[-1], source))
            elif chunk.start <= middle < chunk.stop:
                only = slice(middle - chunk.start, middle - chunk.start + 1)
                weights, confidence = parts[-1].weights[only], parts[-1].confidence[only]
                shown = parts[-1]._replace(start=middle, stop=middle + 1, weights=weights, confidence=confidence)
                pictures.append(_on_canvas(shown, source))
        shares = convert.to_host(torch.cat([colours for colours, _ in pictures]))
        confidence = convert.mask_to_host(torch.cat([mask for _, mask in pictures]))
        shown = shares[len(shares) // 2][None]
        about = {"reenact_panel": [RUNS.open(str(cls.hidden.unique_id), warped).about()]}
        seen = ui.PreviewImage(shown, cls=cls).as_dict() | about
        return io.NodeOutput(HostFused(warped, tuple(parts), strategy.label), shares, confidence, ui=seen)


def _on_canvas(chunk: FusedChunk, warped: WarpedReferences) -> tuple[Tensor, Tensor]:
    """Attribution [T,3,H,W] and confidence [T,1,H,W] where the head's box lies on the output canvas."""
    boxes = warped.boxes[chunk.start : chunk.stop]
    side = int(boxes[0, 2])
    colours = attribution(chunk.weights, side).float().cpu()
    confidence = F.interpolate(chunk.confidence.float().cpu(), (side, side), mode="bilinear", align_corners=False)
    black, whole = torch.zeros(4, *warped.motion.canvas), torch.ones(1, side, side)
    maps, _ = paste(black, torch.cat([colours, confidence], 1), boxes, whole)
    return maps[:, :3].clamp(0, 1), maps[:, 3:].clamp(0, 1)
