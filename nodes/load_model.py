"""Stage 0: the motion model, one that ships with the pack or a checkpoint of the user's."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..reenact_core.checkpoint import SUBFOLDERS, SUFFIXES
from ..reenact_core.errors import CheckpointError
from ..reenact_core.motion_models import load_model, model_names
from ..reenact_core.motion_models.architectures import ARCHITECTURES
from ..reenact_core.motion_models.live_portrait_model import LivePortraitSettings
from . import features, sockets
from .features import schema
from .folders import CATEGORY, MODEL_FOLDERS
from .networks import MotionNetwork, managed
from .ranges import within_ranges
from .widgets import inputs_of, settings_of

PREFIX = "live_portrait_"


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactLoadModel",
            display_name="Load Reenact Model",
            category=CATEGORY,
            description="Loads the motion model: it decides how references are warped and how frames are painted.",
            search_aliases=["face reenactment", "motion model", "face mesh", "LivePortrait", "portrait animation"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=[*model_names(), *checkpoints()],
                    default="face_mesh",
                    tooltip="face_mesh ships with the pack, needs no download and works at any resolution. Checkpoints "
                    "of other models are looked for in models/reenact and models/liveportrait.",
                ),
                *_live_portrait_inputs(),
            ],
            outputs=[sockets.Model.Output("model_out", display_name="model")],
        )

    @classmethod
    def validate_inputs(cls, model: str) -> bool | str:
        if model in model_names() or model in checkpoints():
            return True
        what = "the model's files into that folder" if model.endswith("/") else "it there"
        return f"`model`: there is no checkpoint models/{model}. Put {what}, press R to refresh, or choose another."

    @classmethod
    def fingerprint_inputs(cls, model: str, **settings: Any) -> str:
        path = checkpoints().get(model)
        changed = "" if path is None or not path.exists() else str(path.stat().st_mtime_ns)
        return f"{model} {changed} {sorted(settings.items())}"

    @classmethod
    @within_ranges
    def execute(cls, model: str, **arguments: Any) -> io.NodeOutput:
        settings = settings_of(LivePortraitSettings, arguments, PREFIX)
        if model in model_names():
            return io.NodeOutput(_shipped(model))
        path = checkpoints().get(model)
        if path is None:
            raise CheckpointError(f"`model`: {model!r} is not there any more. Refresh the list and choose another.")
        return io.NodeOutput(managed(load_model(path, live_portrait=settings)))


def checkpoints() -> dict[str, Path]:
    """Weights files, and folders of models published as several files, in the host's model folders, by name."""
    found: dict[str, Path] = {}
    for kind in MODEL_FOLDERS:
        for root in map(Path, folder_paths.get_folder_paths(kind)):
            if not root.is_dir():
                continue
            folders = [root, *sorted(path for path in root.iterdir() if path.is_dir() and path.name not in SUBFOLDERS)]
            for folder in folders:
                prefix = (Path(kind) / folder.relative_to(root)).as_posix()
                if _is_model(folder):
                    found.setdefault(f"{prefix}/", folder)
                files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
                found |= {f"{prefix}/{path.name}": path for path in files if not _is_part(path)}
    return found


def _is_part(path: Path) -> bool:
    return any(path.stem in entry.files for entry in ARCHITECTURES)


def _is_model(folder: Path) -> bool:
    places = (folder / name for name in SUBFOLDERS)
    return any(_is_part(path) for place in places if place.is_dir() for path in place.iterdir())


def _live_portrait_inputs() -> list[io.Input]:
    inputs = inputs_of(LivePortraitSettings, PREFIX)
    for widget in inputs:
        widget.display_name = f"{widget.id.removeprefix(PREFIX)} (LivePortrait)"  # narrow nodes cut the end
        widget.tooltip = f"Only for LivePortrait: {widget.tooltip}"
        if features.ADVANCED:
            widget.advanced = True
    return inputs


@lru_cache(maxsize=2)
def _shipped(name: str) -> MotionNetwork:
    """One network per model, however many loader nodes there are."""
    return managed(load_model(name))
