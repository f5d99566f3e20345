"""The pipeline as the subject of an evaluation, and videos as its clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from ..decoding import decode
from ..errors import VideoError
from ..fusing import Smoothing, fuse_references
from ..fusion.base import FusionStrategy
from ..fusion_space import FusionSpace
from ..motion import encode_motion
from ..motion_models.base import MotionModel
from ..references import encode_references, pick_by_coverage
from ..retargeting import Retargeting, Transfer, retarget
from ..tracking import FaceTracker
from ..types import DrivingMotion, Faces
from ..video import VideoReader, is_video
from ..warping import Memo, WarpedReferences, warp_per_reference
from .stages import Stages
from .transfer import Intend

_CHUNK = 8  # frames read at once


class VideoClip:
    """A video file as an evaluation clip; `limit` > 0 uses its first so many frames only.

    The file is opened when its frames or their rate are asked for, so that one that is no video is one clip less and
    no more. VideoError is raised then.
    """

    def __init__(self, path: Path, limit: int = 0) -> None:
        """Raises VideoError when there is no such file."""
        if not path.is_file():
            raise VideoError(f"{path} does not exist. Give a video file, or a folder with video files.")
        self._path = path
        self._stop = limit or None
        self.name = path.name
        self.signature = f"{path.name}, {path.stat().st_size} bytes, first {limit or 'to last'} frames"

    @cached_property
    def _reader(self) -> VideoReader:
        return VideoReader(self._path)

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second."""
        return self._reader.info.frame_rate

    def chunks(self) -> Iterator[Tensor]:
        """All frames in order, chunks [n,3,H,W] in [0,1]."""
        return self._reader.chunks(_CHUNK, stop=self._stop)

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """The frames [3,H,W] in [0,1] at ascending indices, in one pass that holds one chunk."""
        if not indices:
            return
        wanted = set(indices)
        number = indices[0]
        for chunk in self._reader.chunks(_CHUNK, start=indices[0], stop=indices[-1] + 1):
            for image in chunk:
                if number in wanted:
                    yield image
                number += 1


def find_clips(paths: Sequence[Path], limit: int = 0) -> list[VideoClip]:
    """Clips of video files and of the videos directly inside folders, in order of name within a folder.

    Raises VideoError when a path does not exist or a folder holds no video.
    """
    clips = []
    for path in paths:
        if not path.is_dir():
            clips.append(VideoClip(path, limit))
            continue
        videos = [file for file in sorted(path.iterdir()) if file.name[0] != "." and is_video(file)]
        if not videos:
            raise VideoError(f"{path} holds no video. Give a folder with video files, or the files themselves.")
        clips += [VideoClip(video, limit) for video in videos]
    return clips


def pipeline_stages(
    tracker: FaceTracker,
    model: MotionModel,
    strategies: Mapping[str, FusionStrategy],
    smoothing: Smoothing | None = None,
    size: int | None = None,
    memo_bytes: int = 2**30,
    transfer: Transfer = Transfer.ABSOLUTE,
    retargeting: Retargeting | None = None,
    space: FusionSpace = FusionSpace.AUTO,
) -> Stages:
    """The pipeline, ready for `protocol.evaluate` in absolute mode or `transfer.evaluate_transfer` in either.

    Args:
        strategies: by the names that the settings list.
        smoothing: of weights over time; applied within runs of consecutive frames only, since the protocol
            reconstructs every k-th frame.
        memo_bytes: budget for warps that are kept from one strategy to the next.
        retargeting: what relative transfer takes over from the driver; None = the defaults.
    """
    warps = _Warps(tracker, model, size, memo_bytes, transfer, retargeting)

    def reconstruct(
        images: Sequence[Tensor], motion: DrivingMotion, indices: Sequence[int], strategy: str
    ) -> Iterator[Tensor]:
        for run in warps.runs(images, motion, indices):
            for chunk in decode(fuse_references(run, strategies[strategy], smoothing, space)):
                yield chunk.images

    return Stages(
        encode_motion=partial(_encode_motion, tracker, model),
        pick=pick_by_coverage,
        reconstruct=reconstruct,
        track=tracker.track_images,
    )


def intended_faces(tracker: FaceTracker, transfer: Transfer, retargeting: Retargeting | None = None) -> Intend:
    """A function: the references' images and the driver's motion -> the faces the person should show."""

    def intend(images: Sequence[Tensor], motion: DrivingMotion) -> Faces:
        return retarget(motion, encode_references(images, tracker), transfer, retargeting).faces

    return intend


def _encode_motion(
    tracker: FaceTracker, model: MotionModel, chunks: Iterator[Tensor], frame_rate: Fraction
) -> DrivingMotion:
    return encode_motion(chunks, frame_rate, tracker, model)


class _Warps:
    """Warped references of the latest references and frames, so that strategies that follow share them."""

    def __init__(
        self,
        tracker: FaceTracker,
        model: MotionModel,
        size: int | None,
        memo_bytes: int,
        transfer: Transfer,
        retargeting: Retargeting | None,
    ) -> None:
        self._tracker, self._model, self._size, self._memo_bytes = tracker, model, size, memo_bytes
        self._transfer, self._retargeting = transfer, retargeting
        self._subject: tuple[list[Tensor], DrivingMotion, tuple[int, ...]] | None = None
        self._runs: list[WarpedReferences] = []

    def runs(self, images: Sequence[Tensor], motion: DrivingMotion, indices: Sequence[int]) -> list[WarpedReferences]:
        """One value per run of consecutive frames, each with a memo of its own."""
        if not self._is_latest(images, motion, indices):
            references = encode_references(images, self._tracker)
            whole = warp_per_reference(
                references, motion, self._model, self._transfer, self._size, retargeting=self._retargeting
            )
            spans = _consecutive(indices)
            share = self._memo_bytes // len(spans)
            self._runs = [_part(whole, start, stop, share) for start, stop in spans]
            self._subject = (list(images), motion, tuple(indices))
        return self._runs

    def _is_latest(self, images: Sequence[Tensor], motion: DrivingMotion, indices: Sequence[int]) -> bool:
        if self._subject is None:
            return False
        known_images, known_motion, known_indices = self._subject
        return (
            known_motion is motion
            and known_indices == tuple(indices)
            and len(known_images) == len(images)
            and all(known is image for known, image in zip(known_images, images, strict=True))
        )


def _part(whole: WarpedReferences, start: int, stop: int, memo_bytes: int) -> WarpedReferences:
    frames = slice(start, stop)
    return whole._replace(motion=whole.motion.at(frames), boxes=whole.boxes[frames], memo=Memo(memo_bytes))


def _consecutive(indices: Sequence[int]) -> list[tuple[int, int]]:
    """[3, 4, 5, 9] -> [(3, 6), (9, 10)]."""
    numbers = torch.tensor(indices)
    breaks = (numbers.diff() != 1).nonzero().flatten() + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in numbers.tensor_split(breaks.tolist())]
