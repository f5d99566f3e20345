"""Editing motion before it is transferred, and making it without a video. See docs/motion.md."""

from .edit import Edit, apply_gains, edit
from .expression import PRESETS, Expression, express, with_values
from .live_link import motion_of_csv
from .procedural import SWEEPS, Idle, idle_motion, sweep_motion
from .resting import canonical_face, motion_of_image, neutralise, relaxed
from .timeline import blend, concatenate, loop, low_pass, retime, reverse, trim

__all__ = [
    "PRESETS",
    "SWEEPS",
    "Edit",
    "Expression",
    "Idle",
    "apply_gains",
    "blend",
    "canonical_face",
    "concatenate",
    "edit",
    "express",
    "idle_motion",
    "loop",
    "low_pass",
    "motion_of_csv",
    "motion_of_image",
    "neutralise",
    "relaxed",
    "retime",
    "reverse",
    "sweep_motion",
    "trim",
    "with_values",
]
