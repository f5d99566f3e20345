"""`reenact train`: train the face-mesh network from clips."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..errors import ReenactError
from ..evaluation.networks import LPIPS_FILE
from ..tracking import FaceTracker, PersonMatte
from ..training.augmentation import Augmentation
from ..training.avatars import AvatarConfig, load_avatars
from ..training.clips import load_clips
from ..training.loop import TrainingConfig, train
from ..training.losses import LossWeights
from ..video import is_video
from .options import chosen_device


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare `reenact train`."""
    parser = subparsers.add_parser("train", help="train the network of the face_mesh model")
    parser.add_argument("--config", type=Path, help="JSON with fields of the training configuration")
    parser.add_argument("--clips", nargs="+", required=True, type=Path, help="videos, or folders of videos")
    parser.add_argument("--metrics-folder", type=Path, required=True, help=f"folder with {LPIPS_FILE}")
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoints, log and sheets")
    parser.add_argument("--avatars", type=Path, help="folder with heads to render further clips of (docs/training.md)")
    parser.add_argument("--cache", type=Path, help="folder for prepared clips (default: OUTPUT/cache)")
    parser.add_argument("--steps", type=int, help="number of steps, instead of the configuration's")
    parser.add_argument("--smoke", action="store_true", help="a few steps at small size, to see that all works")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps ...")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Prepare clips and train; an interrupted run in the output folder is continued."""
    device = chosen_device(options)
    config = read_config(options.config) if options.config else TrainingConfig()
    if options.smoke:
        config = replace(
            config, steps=4, size=128, references=(1, 3), save_every=2, sheet_every=4, width=8, refiner_width=8
        )
        config = replace(config, avatars=replace(config.avatars, clips=2))
    if options.steps is not None:
        config = replace(config, steps=options.steps)
    lpips = options.metrics_folder / LPIPS_FILE
    if not lpips.is_file():
        raise ReenactError(f"{lpips} does not exist. Training needs it for its perceptual loss.")
    for path in options.clips:
        if not path.is_dir() and not is_video(path):
            raise ReenactError(f"{path}: is no video that can be read. Give talking-head videos, or folders of them.")
    paths = [file for path in options.clips for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    videos = [path for path in paths if is_video(path)]
    cache, tracker = options.cache or options.output / "cache", FaceTracker.load(device)
    # Avatars come first: what may be missing for them is said before the longer work on the videos.
    avatars = [] if options.avatars is None else load_avatars(options.avatars, config.avatars, cache, tracker)
    clips = [*load_clips(videos, cache, tracker, PersonMatte.load(device)), *avatars]
    weights = train(clips, config, lpips, options.output, str(device))
    print(weights)


def read_config(file: Path) -> TrainingConfig:
    """A training configuration from JSON; fields that are not given keep their defaults.

    Raises:
        ReenactError: the file is missing, is no JSON object, or has an unknown field.
    """
    try:
        given = json.loads(file.read_text())
        if not isinstance(given, dict):
            raise ReenactError(f"{file} holds a {type(given).__name__}, a JSON object with fields was expected.")
        parts = {"losses": LossWeights, "augmentation": Augmentation, "avatars": AvatarConfig}
        for key, kind in parts.items():
            if key in given:
                given[key] = kind(**given[key])
        known = {item.name: item for item in fields(TrainingConfig)}
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ReenactError(f"{file}: unknown field(s) {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
        return TrainingConfig(**values)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
        raise ReenactError(f"{file} is not a training configuration ({error}).") from error
