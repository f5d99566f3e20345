"""Folders of the host and of the pack that nodes read from."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

CATEGORY = "Reenact"
MODEL_FOLDERS = ("reenact", "liveportrait")  # below the host's models; the second is where other packs keep theirs
SAMPLES = Path(__file__).resolve().parents[1] / "samples"


def register() -> None:
    """Make the host look for checkpoints in our folders; other places may be named in extra_model_paths.yaml."""
    for name in MODEL_FOLDERS:
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))
