"""Stage 0: the motion model."""

from __future__ import annotations

from functools import lru_cache

from comfy_api.latest import io

from ..reenact_core.motion_models import load_model, model_names
from . import sockets
from .features import schema
from .folders import CATEGORY
from .networks import MotionNetwork, managed


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactLoadModel",
            display_name="Load Reenact Model",
            category=CATEGORY,
            description="Loads the motion model: it decides how references are warped and how frames are painted.",
            search_aliases=["face reenactment", "motion model", "face mesh", "portrait animation"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=model_names(),
                    default="face_mesh",
                    tooltip="face_mesh ships with the pack, needs no download and works at any resolution.",
                )
            ],
            outputs=[sockets.Model.Output("model_out", display_name="model")],
        )

    @classmethod
    def execute(cls, model: str) -> io.NodeOutput:
        return io.NodeOutput(_network(model))


@lru_cache(maxsize=2)
def _network(name: str) -> MotionNetwork:
    """One network per model, however many loader nodes there are."""
    return managed(load_model(name))
