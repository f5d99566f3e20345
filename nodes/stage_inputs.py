"""Inputs that a stage's node and the one-node video have in common."""

from __future__ import annotations

from comfy_api.latest import io

from ..reenact_core.retargeting import Transfer
from .widgets import one_of


def warp_inputs() -> list[io.Input]:
    """How driving motion is applied, and the working size."""
    return [
        io.Combo.Input(
            "transfer",
            options=[Transfer.RELATIVE.value, Transfer.ABSOLUTE.value],
            default=Transfer.RELATIVE.value,
            tooltip="relative: the change since the neutral frame, applied to the first reference, on its canvas; for "
            "another person's motion. absolute: the head goes where the driving head is, on the driving canvas; for "
            "the same person.",
        ),
        io.Int.Input(
            "size",
            default=0,
            min=0,
            max=2048,
            step=64,
            tooltip="Working pixels per side of the box around the head; smaller is faster and softer. 0 works at the "
            "head's own resolution.",
        ),
    ]


def tracking_inputs() -> list[io.Input]:
    """Which driving face is followed, and how."""
    return [
        io.Int.Input(
            "face_index",
            default=0,
            min=0,
            max=15,
            tooltip="Which driving face to follow where there are several: 0 is the largest, 1 the next.",
        ),
        io.Boolean.Input(
            "smooth", default=True, tooltip="Remove the tracker's jitter and bridge frames without a face."
        ),
        io.Int.Input(
            "neutral_frame",
            default=-1,
            min=-1,
            max=1_000_000,
            tooltip="The frame in which the driving face is at rest; relative motion counts from it. -1 finds one by "
            "itself.",
        ),
    ]


def feather_input() -> io.Input:
    """The rim of the painted square."""
    return io.Float.Input(
        "feather",
        default=0.08,
        min=0.0,
        max=0.5,
        step=0.01,
        tooltip="Width of the soft rim with which the painted square is laid into the picture, as a share of its side.",
    )


def transfer_of(transfer: str) -> Transfer:
    """The core's transfer for the widget `transfer`."""
    return Transfer(one_of("transfer", transfer, [choice.value for choice in Transfer]))


def working_size(size: int) -> int | None:
    """The core's working size for the widget `size`; the least is one that shows anything."""
    return max(size, 64) if size else None


def neutral_of(neutral_frame: int) -> int | None:
    """The core's neutral frame for the widget `neutral_frame`."""
    return None if neutral_frame < 0 else neutral_frame
