"""Outputs and pictures that several nodes have in common: motion with its plot, references with their coverage."""

from __future__ import annotations

from collections.abc import Iterable

from comfy_api.latest import io
from torch import Tensor

from ..reenact_core.coverage import coverage_picture
from ..reenact_core.landmark_pictures import reference_pictures
from ..reenact_core.motion_plot import motion_plot
from ..reenact_core.types import DrivingMotion, References
from . import convert, sockets
from .notes import seen

Node = type[io.ComfyNode]


def plot_output() -> io.Output:
    """The picture of `plot_of`."""
    return io.Image.Output("plot", display_name="plot", tooltip="Head turn and expression over time.")


def motion_outputs() -> list[io.Output]:
    """What `shown_motion` gives."""
    return [
        sockets.Motion.Output("motion_out", display_name="motion"),
        plot_output(),
        io.Float.Output("frame_rate_out", display_name="frame_rate", tooltip="Frames per second."),
    ]


def plot_of(motion: DrivingMotion) -> Tensor:
    """IMAGE [1,H,W,3]: head turn and expression over time."""
    return convert.to_host(motion_plot(motion)[None])


def shown_motion(motion: DrivingMotion, node: Node, notes: Iterable[str] = ()) -> io.NodeOutput:
    """Motion, its plot and its frame rate; the plot and the `notes` are seen on the `node`."""
    plot = plot_of(motion)
    return io.NodeOutput(motion, plot, float(motion.frame_rate), ui=seen(plot, node, notes))


def landmarks_input() -> io.Input:
    """Whether `shown_references` draws landmarks."""
    return io.Boolean.Input(
        "show_landmarks", default=True, tooltip="Draw what the face tracker found into the pictures."
    )


def references_outputs() -> list[io.Output]:
    """What `shown_references` gives."""
    return [
        sockets.References.Output("references_out", display_name="references"),
        io.Image.Output("pictures", display_name="pictures", tooltip="The references, square, in order."),
        io.Image.Output(
            "coverage",
            display_name="coverage",
            tooltip="Which head turns and mouth openings the references show, and where the holes are.",
        ),
    ]


def shown_references(references: References, landmarks: bool, node: Node, notes: Iterable[str] = ()) -> io.NodeOutput:
    """References, their pictures and what they cover; the pictures and the `notes` are seen on the `node`."""
    pictures = convert.to_host(reference_pictures(references, landmarks))
    coverage = convert.to_host(coverage_picture(references.faces, references.labels)[None])
    return io.NodeOutput(references, pictures, coverage, ui=seen(pictures, node, notes))
