"""Training data: clips are tracked once, cut to the region around the head and cached."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import ReenactError
from ..motion_models.mesh_flows import MESH_POINTS
from ..motion_models.mesh_references import visible_vertices
from ..pose import descriptor
from ..tracking import FaceTracker, PersonMatte
from ..types import Faces
from ..video import VideoReader
from .exact_truth import ExactTruth

log = logging.getLogger(__name__)

EXTENT_PIXELS = 150  # the face's larger extent in a cached clip: a box of 1.9 extents then has about 285 px
MARGIN = 1.5  # the region reaches this many extents beyond the face's centre on every side, where there is picture
LONGEST = 160  # frames kept of one clip
CACHE_VERSION = 1


class Clip(NamedTuple):
    """One person in front of one camera."""

    name: str
    frames: Tensor  # [T,3,h,w] uint8
    person: Tensor  # [T,1,h/4,w/4] uint8 matte
    faces: Faces  # axis T, in pixels of `frames`
    facing: Tensor  # [T,468] cosine of the view of each vertex
    descriptors: Tensor  # [T,P] pose and expression
    truth: ExactTruth | None = None  # of rendered clips


def load_clips(paths: Sequence[Path], cache: Path, tracker: FaceTracker, matte: PersonMatte) -> list[Clip]:
    """Clips from the cache folder; those that are not there yet are prepared first.

    Raises:
        ReenactError: no clip has enough frames with a face, or two share a name.
    """
    names = [path.stem for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ReenactError(f"Clips are told apart by name, but several are called {', '.join(twice)}. Rename them.")
    cache.mkdir(parents=True, exist_ok=True)
    clips = []
    for path in paths:
        stored = cache / f"{path.stem}.safetensors"
        if not stored.exists():
            _prepare(path, stored, tracker, matte)
        clip = read_clip(stored)
        if len(clip.frames) >= 8:
            clips.append(clip)
        else:
            log.warning("%s: only %d frames show a face; left out.", path.name, len(clip.frames))
    if not clips:
        raise ReenactError(f"None of the {len(paths)} clips has 8 frames with a face. Give talking-head videos.")
    return clips


def _prepare(path: Path, stored: Path, tracker: FaceTracker, matte: PersonMatte) -> None:
    """Track a clip, cut the region that the head ever visits, scale it and store it."""
    log.info("Preparing %s", path.name)
    with VideoReader(path) as reader:
        faces = list(tracker.track_video(reader.chunks(8)))
        tracked = Faces(*(torch.cat(fields) for fields in zip(*faces)))
        found = tracked.found.nonzero().flatten()
        if len(found) > LONGEST:
            found = found[torch.linspace(0, len(found) - 1, LONGEST).round().long()]
        if len(found) == 0:
            save_file(
                {"frames": torch.zeros(0, 3, 8, 8, dtype=torch.uint8)},
                stored,
                {"version": str(CACHE_VERSION)},
            )
            return
        kept = tracked.at(found)
        points = kept.landmarks[:, :MESH_POINTS, :2]
        extent = (points.amax(1) - points.amin(1)).amax(1).median()
        centre = points.mean(1)
        size = torch.tensor([reader.info.width, reader.info.height])
        low = (centre.amin(0) - MARGIN * extent).clamp_min(0).floor().long()
        high = torch.minimum((centre.amax(0) + MARGIN * extent).ceil().long(), size)
        factor = min(1.0, EXTENT_PIXELS / float(extent))
        height, width = (max(32, round(float(side) * factor)) for side in (high - low).flip(0))
        frames, people = [], []
        wanted, position = set(found.tolist()), 0
        for chunk in reader.chunks(8):
            inside = [i for i in range(len(chunk)) if position + i in wanted]
            position += len(chunk)
            if not inside:
                continue
            cut = chunk[inside, :, low[1] : high[1], low[0] : high[0]]
            cut = F.interpolate(cut, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
            people.append((F.avg_pool2d(matte.matte(cut), 4) * 255).round().byte())
            frames.append((cut * 255).round().clamp(0, 255).byte())
    true_factor = torch.tensor([width, height]) / (high - low)
    landmarks = kept.landmarks.clone()
    landmarks[..., :2] = (landmarks[..., :2] - low) * true_factor
    landmarks[..., 2] = landmarks[..., 2] * factor
    write_clip(stored, torch.cat(frames), torch.cat(people), kept._replace(landmarks=landmarks))


def write_clip(stored: Path, frames: Tensor, person: Tensor, faces: Faces, truth: ExactTruth | None = None) -> None:
    """Put a clip into a cache folder: frames [T,3,h,w] and matte [T,1,h/4,w/4] uint8, and what `Clip` says of them."""
    tensors = {
        "frames": frames,
        "person": person,
        "landmarks": faces.landmarks,
        "blendshapes": faces.blendshapes,
        "rotation": faces.rotation,
        "score": faces.score,
    }
    if truth is not None:
        tensors |= {f"truth.{name}": field for name, field in truth._asdict().items()}
    partial = stored.with_suffix(f".{os.getpid()}.partial")  # several processes may prepare the same clip
    save_file({key: value.contiguous() for key, value in tensors.items()}, partial, {"version": str(CACHE_VERSION)})
    partial.replace(stored)


def read_clip(stored: Path) -> Clip:
    """A clip from a cache folder.

    Raises:
        ReenactError: it was written by another version.
    """
    with safe_open(stored, "pt") as file:
        if (file.metadata() or {}).get("version") != str(CACHE_VERSION):
            raise ReenactError(f"{stored} was written by another version. Delete it and run again.")
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if len(tensors["frames"]) == 0:
        nothing = torch.zeros(0)
        return Clip(stored.stem, tensors["frames"], nothing, Faces(*[nothing] * 5), nothing, nothing)
    found = torch.ones(len(tensors["score"]), dtype=torch.bool)
    faces = Faces(tensors["landmarks"], tensors["blendshapes"], tensors["rotation"], tensors["score"], found)
    return Clip(
        name=stored.stem,
        frames=tensors["frames"],
        person=tensors["person"],
        faces=faces,
        facing=visible_vertices(faces.landmarks),
        descriptors=descriptor(faces),
        truth=ExactTruth(*(tensors[f"truth.{name}"] for name in ExactTruth._fields))
        if "truth.part" in tensors
        else None,
    )
