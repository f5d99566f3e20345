"""Two or more fusions of the same frames, side by side and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..reenact_core.comparing import Display, Scorer, frames_side_by_side, score_table
from ..reenact_core.decoding.decode import Fused, FusedInTasks
from ..reenact_core.errors import ImageError
from ..reenact_core.evaluation.networks import Lpips, load_metric_networks
from . import convert, sockets
from .features import schema
from .folders import CATEGORY
from .naming import from_input
from .notes import seen
from .progress import Progress
from .ranges import within_ranges
from .stages import FusedEarlier, HostFused
from .widgets import growing_inputs, grown, inputs_of, settings_of

MOST = 16


class Compare(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        template = sockets.Fused.Input("fused", tooltip="Fused references; connect one Fuse References node each.")
        return schema(
            node_id="ReenactCompare",
            display_name="Compare Fusions",
            category=CATEGORY,
            description="Shows two or more fusions of the same frames side by side, as a wipe or as differences, and "
            "measures them where the true frames are given.",
            search_aliases=["compare strategies", "side by side", "wipe", "difference", "psnr", "lpips", "metrics"],
            shows_output=True,
            inputs=[
                *growing_inputs(template, "fusions", "fused", 2, MOST),
                io.Image.Input(
                    "truth",
                    optional=True,
                    tooltip="The true frames: with absolute transfer of the same person's motion, the driving frames. "
                    "They are shown too, and every fusion is measured against them.",
                ),
                *inputs_of(Display),
                io.Int.Input(
                    "every",
                    default=5,
                    min=1,
                    max=1000,
                    optional=True,
                    tooltip="Measure every so many frames; the perceptual distance takes its time.",
                ),
                io.String.Input(
                    "metrics_folder",
                    default="",
                    optional=True,
                    tooltip="Folder with the network for the perceptual distance LPIPS; empty: without it.",
                ),
            ],
            outputs=[
                io.Image.Output("images", display_name="images", tooltip="The comparison, frame by frame."),
                io.String.Output(
                    "table", display_name="table", tooltip="The metrics, in Markdown; empty without truth."
                ),
                io.Float.Output(
                    "frame_rate", display_name="frame_rate", tooltip="Frames per second, for Create Video."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_ranges
    def execute(cls, **arguments: Any) -> io.NodeOutput:
        connected: dict[str, HostFused] = grown("fusions", "fused", arguments)
        given = list(connected.values())
        display = settings_of(Display, arguments)
        display.check(len(given))
        fusions: dict[str, Fused | FusedInTasks] = {}
        for number, fused in enumerate(given, 1):
            label = fused.label if fused.label not in fusions else f"{fused.label} ({number})"
            fusions[label] = FusedEarlier(fused.source.awake(), fused.parts)
        boxes, rate = given[0].source.warped.boxes, given[0].source.warped.motion.frame_rate
        truth, every = _truth(arguments.get("truth"), len(boxes)), arguments.get("every") or 5
        scorer = Scorer(list(fusions), None if truth is None else _lpips(arguments.get("metrics_folder") or ""))
        progress = Progress(len(boxes), cls.hidden.unique_id)
        shown = convert.FrameCollector(len(boxes))
        with from_input(*connected):
            together = frames_side_by_side(fusions)
        for number, results in enumerate(together):
            pictures = {name: picture.cpu() for name, picture in results.items()}
            wanted = None if truth is None else _sized(truth[number], next(iter(pictures.values())))
            if wanted is not None and number % every == 0:
                scorer.add(pictures, wanted, boxes[number])
            shown.add(display.render(pictures, wanted)[None])
            progress.advance(1)
        images = shown.result()
        scores = scorer.scores()
        table = score_table(scores) if scores else ""
        return io.NodeOutput(images, table, float(rate), ui=seen(images[len(images) // 2][None], cls, [table]))


def _truth(image: Tensor | None, count: int) -> Tensor | None:
    """The true frames [T,3,H,W]."""
    if image is None:
        return None
    frames = convert.to_core(image, "truth")
    if len(frames) != count:
        raise ImageError(f"`truth` has {len(frames)} frames, the fusions have {count}. Connect the driving frames.")
    return frames


def _sized(truth: Tensor, like: Tensor) -> Tensor:
    if truth.shape != like.shape:
        sizes = [f"{picture.shape[-1]} x {picture.shape[-2]}" for picture in (truth, like)]
        raise ImageError(
            f"`truth`: its frames are {sizes[0]} pixels, the fusions' canvas is {sizes[1]}. "
            "Warp with absolute transfer, and connect the driving frames."
        )
    return truth


def _lpips(folder: str) -> Lpips | None:
    return load_metric_networks(Path(folder)).lpips if folder.strip() else None
