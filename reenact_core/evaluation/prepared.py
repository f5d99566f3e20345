"""One clip made ready: its motion, the chosen references, and the truth with all that is derived from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ReenactError
from ..pose import pose_distance
from ..types import DrivingMotion, Faces
from .measuring import Truth, count_triples, prepare_truth
from .networks import MetricNetworks
from .regions import crop
from .result import ClipRecord, Method, Pictures
from .settings import Selection, Settings, select_frames
from .stages import Clip, Stages

_SHORTEST = 8  # frames; below, a half clip says nothing


class PreparedClip(NamedTuple):
    """What every method of one clip shares. Axis N: the chosen frames, R: the picked references."""

    record: ClipRecord
    motion: DrivingMotion  # of the whole clip
    references: tuple[Tensor, ...]  # R x [3,H,W] in [0,1], in the order of choice
    distance: Tensor  # [N,R] in pose and expression
    truth: Truth


def prepare_clip(
    clip: Clip,
    stages: Stages,
    settings: Settings,
    networks: MetricNetworks,
    most_references: int,
    step: Callable[[str], None],
) -> PreparedClip:
    """Track the clip, choose references in its first half and frames in its second, and derive the truth.

    Args:
        step: called with what is done now.
    Raises:
        ReenactError: the clip is too short, or no chosen frame shows a face.
    """
    step("tracking")
    motion = stages.encode_motion(clip.chunks(), clip.frame_rate)
    faces = motion.faces.cpu()
    count = len(faces.found)
    if count < _SHORTEST:
        raise ReenactError(f"it has {count} frames; at least {_SHORTEST} are needed.")
    selection = select_frames(faces.found.tolist(), settings)
    if not selection.indices:
        raise ReenactError("no sampled frame of its second half shows a face.")
    picked = stages.pick(faces.at(slice(0, (count + 1) // 2)), most_references)
    images = read_frames(clip, picked)
    step("reading the truth")
    driving = faces.at(list(selection.indices))
    height, width = motion.canvas
    record = ClipRecord(
        name=clip.name,
        frames=count,
        width=width,
        height=height,
        frame_rate=float(clip.frame_rate),
        step=selection.step,
        sampled=tuple(i for i, mark in zip(selection.indices, selection.sampled, strict=True) if mark),
        flicker_triples=count_triples(selection.indices),
        references=tuple(picked),
        without_face=selection.without_face,
    )
    return PreparedClip(
        record=record,
        motion=motion,
        references=tuple(images[i] for i in picked),
        distance=pose_distance(driving, faces.at(picked)),
        truth=read_truth(clip, selection, driving, stages, networks, settings.full_side),
    )


def read_frames(clip: Clip, indices: Sequence[int]) -> dict[int, Tensor]:
    """The frames [3,H,W] at `indices`, in any order and with repetitions, by their number."""
    wanted = sorted(set(indices))
    return dict(zip(wanted, clip.frames(wanted), strict=True))


def read_truth(
    clip: Clip, selection: Selection, faces: Faces, stages: Stages, networks: MetricNetworks, full_side: int | None
) -> Truth:
    """The chosen frames of a clip, in which these faces (axis N) were tracked, and what follows from them."""
    frames = clip.frames(selection.indices)
    images = torch.stack([image.mul(255).round().to(torch.uint8) for image in frames])
    return prepare_truth(
        selection.indices, selection.sampled, images, faces.landmarks, stages.track, networks, full_side
    )


class Gallery:
    """Collects the head crops of the middle measured frame."""

    def __init__(self, truth: Truth) -> None:
        sampled = truth.sampled.nonzero().flatten()
        self._position = int(sampled[len(sampled) // 2])
        self._frame = truth.indices[self._position]
        at = slice(self._position, self._position + 1)
        self._truth = crop(truth.images[at].float() / 255, truth.boxes.at(at))[0]
        self._results: list[tuple[Method, Tensor]] = []

    def watcher(self, method: Method) -> Callable[[int, Tensor], None]:
        """A callback for `measure` that keeps this frame's crop."""

        def watch(position: int, picture: Tensor) -> None:
            if position == self._position:
                self._results.append((method, picture.clone()))

        return watch

    def pictures(self, clip: str) -> Pictures:
        """What was collected."""
        return Pictures(clip, self._frame, self._truth, tuple(self._results))
