"""Stage 3: what every reference shows of every driving frame."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..reenact_core.retargeting import Transfer
from ..reenact_core.types import DrivingMotion, References
from ..reenact_core.warping import WarpedReferences, warp_per_reference
from . import convert, sockets
from .features import schema
from .folders import CATEGORY
from .networks import MotionNetwork, heed_cancel
from .notes import heard, seen
from .progress import Progress
from .ranges import within_ranges
from .stage_inputs import transfer_of, warp_inputs, working_size
from .stages import HostMemo, HostWarped


class WarpPerReference(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactWarpPerReference",
            display_name="Warp Per Reference",
            category=CATEGORY,
            description="Moves each reference into the pose and expression of each driving frame. The slowest stage; "
            "its results are kept, so that another fusion strategy need not wait for it again.",
            search_aliases=["dense motion", "warp", "retarget", "flow", "relative motion"],
            shows_output=True,
            inputs=[
                sockets.Model.Input("model", tooltip="The motion model."),
                sockets.References.Input("references", tooltip="The person to be moved."),
                sockets.Motion.Input(
                    "motion", tooltip="How the person shall move; motion from Retarget is taken as it is."
                ),
                *warp_inputs(),
                io.Boolean.Input(
                    "all_pictures",
                    default=False,
                    tooltip="Give the pictures below for every frame and not only for the middle one. Takes memory for "
                    "frames times references pictures.",
                ),
                io.Boolean.Input(
                    "weigh",
                    default=True,
                    optional=True,
                    tooltip="On: a picture of somebody else is left out, one out of focus or in another light is used "
                    "only where no other shows a pixel; the node says which. Off: all are used as they are.",
                ),
            ],
            outputs=[
                sockets.Warped.Output("warped", display_name="warped"),
                io.Image.Output(
                    "pictures",
                    display_name="warped pictures",
                    tooltip="Each reference as it was warped; the references of a frame follow each other.",
                ),
                io.Mask.Output(
                    "confidence",
                    display_name="confidence",
                    tooltip="White where a reference shows the frame well; in the order of the warped pictures.",
                ),
                io.Image.Output(
                    "flow",
                    display_name="flow",
                    tooltip="Where in its reference each pixel comes from, as an ST map: red is x, green is y, 0 to 1. "
                    "Black where the model has no such map.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_ranges
    def execute(
        cls,
        model: MotionNetwork,
        references: References,
        motion: DrivingMotion,
        transfer: str = Transfer.RELATIVE.value,
        size: int = 0,
        all_pictures: bool = False,
        weigh: bool = True,
    ) -> io.NodeOutput:
        network = model.ready()
        transferred = transfer_of(transfer)
        with heard() as notes:
            warped = warp_per_reference(references, motion, network, transferred, working_size(size), weigh=weigh)
        kept = HostWarped.of(model, warped)
        awake = kept.awake()
        _fill(awake, cls.hidden.unique_id)
        middle = len(awake.boxes) // 2
        shown = awake if all_pictures else awake.only(middle)
        pictures, confidence, flow = _pictures(shown)
        return io.NodeOutput(kept, pictures, confidence, flow, ui=seen(_of_middle(pictures, shown), cls, notes))


def _fill(warped: WarpedReferences, node_id: str | None) -> None:
    """Warp as many frames as the memo holds; the others are warped when they are asked for."""
    progress = Progress(len(warped.boxes), node_id)
    memo = warped.memo
    assert isinstance(memo, HostMemo)
    for start, stop, _ in warped.all_evidence():
        progress.advance(stop - start)
        if (start, stop) not in memo:
            break


def _pictures(warped: WarpedReferences) -> tuple[Tensor, Tensor, Tensor]:
    """Warped pictures, confidence and ST maps of every frame and reference, for the host."""
    count = len(warped.boxes) * len(warped.references.images)
    images, masks, maps = (convert.FrameCollector(count) for _ in range(3))
    for _, _, evidence in warped.all_evidence():
        looks = warped.model.preview(warped.encoded, evidence)
        size = (looks.shape[-2], looks.shape[-1])
        confidence = torch.nn.functional.interpolate(evidence.confidence.flatten(0, 1), size, mode="bilinear")
        images.add(looks.flatten(0, 1))
        masks.add(confidence)
        heed_cancel()
        maps.add(_st_map(evidence.places, looks))
        heed_cancel()
    return images.result(), masks.mask(), maps.result()


def _st_map(places: Tensor | None, looks: Tensor) -> Tensor:
    """Places [T,R,2,h,w] as pictures [T*R,3,y,x] of the size of the warped ones."""
    if places is None:
        return torch.zeros_like(looks.flatten(0, 1))
    size = (looks.shape[-2], looks.shape[-1])
    shares = torch.nn.functional.interpolate(places.flatten(0, 1), size, mode="bilinear")
    return torch.nn.functional.pad(shares, (0, 0, 0, 0, 0, 1))


def _of_middle(pictures: Tensor, warped: WarpedReferences) -> Tensor:
    """The pictures of one frame: the node's own preview."""
    count = len(warped.references.images)
    start = len(pictures) // count // 2 * count
    return pictures[start : start + count]
