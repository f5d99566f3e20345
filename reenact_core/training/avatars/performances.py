"""Clips of avatars for training, in the cache beside the clips of real people."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F

from ...errors import ReenactError
from ...tracking import FaceTracker
from ..clips import EXTENT_PIXELS, Clip, read_clip, write_clip
from ..exact_truth import CELL, ExactTruth
from .heads import AvatarData, random_identity
from .motion import random_controls
from .renderer import Renderer, Rendering, render_motion
from .scene import random_scene

log = logging.getLogger(__name__)

SURE = 0.5  # score of the tracker below which a frame is left out: its landmarks may be beside the face
LARGEST_YAWS = (30.0, 45.0, 60.0)  # degrees; motions take turns


@dataclass(frozen=True)
class AvatarConfig:
    """How many avatars are rendered, and how."""

    clips: int = 24
    performers: int = 2  # identities that perform the same motion in the same scene
    frames: int = 48
    rate: float = 12.0  # frames per second
    size: int = 384  # pixels
    seed: int = 0

    def __post_init__(self) -> None:
        smallest = {"clips": 0, "performers": 1, "frames": 8, "size": 64}
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise ReenactError(f"Avatars: {name} is {getattr(self, name)}, but must be at least {least}.")
        if self.size % CELL:
            raise ReenactError(f"Avatars: size is {self.size}, but must be a multiple of {CELL}.")
        if self.rate <= 0:
            raise ReenactError(f"Avatars: rate is {self.rate}, but must be above 0.")


def load_avatars(folder: Path, config: AvatarConfig, cache: Path, tracker: FaceTracker) -> list[Clip]:
    """Clips from the cache folder, called avatar_MOTION_PERFORMER; those that are not there yet are rendered first.

    Args:
        folder: with the data of the heads.
    Raises:
        ReenactError: the data, moderngl or an EGL driver is missing.
    """
    cache.mkdir(parents=True, exist_ok=True)
    data = renderer = None
    clips = []
    for number in range(config.clips):
        motion, performer = divmod(number, config.performers)
        stored = cache / f"avatar_{motion:03d}_{performer}.safetensors"
        if not stored.exists():
            data, renderer = data or AvatarData(folder), renderer or Renderer()
            log.info("Rendering %s", stored.stem)
            _store(_perform(data, renderer, config, motion, performer), stored, tracker)
        clip = read_clip(stored)
        if len(clip.frames) >= 8:
            clips.append(clip)
    return clips


def _perform(data: AvatarData, renderer: Renderer, config: AvatarConfig, motion: int, performer: int) -> Rendering:
    """One of the identities that perform a motion; motion and scene depend on the motion's number alone."""
    shared, own = random.Random(f"{config.seed} {motion}"), random.Random(f"{config.seed} {motion} {performer}")
    side = (config.size, config.size)
    scene = random_scene(side, EXTENT_PIXELS * config.size / 384, shared)
    times = np.arange(config.frames) / config.rate
    controls = random_controls(data.shape_names, times, LARGEST_YAWS[motion % len(LARGEST_YAWS)], shared)
    return render_motion(data, random_identity(data, own), controls, scene, renderer)


def _store(rendering: Rendering, stored: Path, tracker: FaceTracker) -> None:
    """Track the frames as at run time, leave out those where no face is surely found, and write the clip."""
    frames = (rendering.frames * 255).round().byte()
    (faces,) = tracker.track_video([frames.float() / 255])
    found = (faces.found & (faces.score > SURE)).nonzero().flatten()
    truth = rendering.truth
    kept = ExactTruth(truth.triangle[found], truth.vertices[found], truth.corners, truth.part, truth.focal)
    person = (F.avg_pool2d(rendering.alpha[found], CELL) * 255).round().byte()
    write_clip(stored, frames[found], person, faces.at(found).cpu(), kept)
