"""Folders of the host and of the pack that nodes read from."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

CATEGORY = "Reenact"
MODELS = "reenact"  # the folder below the host's models
SAMPLES = Path(__file__).resolve().parents[1] / "samples"


def register() -> None:
    """Make the host look for checkpoints in models/reenact."""
    folder_paths.add_model_folder_path(MODELS, os.path.join(folder_paths.models_dir, MODELS))
    folder_paths.folder_names_and_paths[MODELS][1].add(".safetensors")
