"""Frames of a video file, an animated image or a folder of images, chunk by chunk."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ..errors import ImageError, VideoError
from ..images import list_images
from .container import ContainerSource, open_container
from .sources import PICTURE_DAMAGE, PICTURE_FORMATS, AnimationSource, Pixels, Source, StillsSource
from .timing import on_grid

logger = logging.getLogger(__name__)


class VideoInfo(NamedTuple):
    """What is known of a video before its frames are decoded."""

    height: int  # pixels, after rotation
    width: int
    frame_rate: Fraction  # frames per second, constant
    frame_count: int | None  # frames `chunks` will yield from an undamaged file; None where unknown
    has_audio: bool
    resampled: bool  # True when the file's frame rate varies and frames are repeated or dropped to even it


class VideoReader:
    """Streams the frames of `path` at a constant rate; memory holds one chunk, however long the clip.

    `path` is a video file, an animated WebP, GIF, PNG or AVIF, a folder of images of one size (natural
    order), or a single image (one frame). Rotation metadata is applied. A file whose frame rate varies is
    resampled by its timestamps onto a grid of its mean rate, so that it keeps its length and stays in step
    with its sound. Every walk over the frames opens the file anew, so walks may be repeated and interleaved.

    `frame_rate` is that of a folder of images, 25 if not given; a video keeps its own.

    Raises `VideoError` when nothing can be decoded. A damaged file yields the frames that decode and logs a
    warning that says how many.
    """

    def __init__(self, path: str | Path, frame_rate: Fraction | int | None = None) -> None:
        self.path = Path(path)
        self._walks: weakref.WeakSet[Generator[Pixels, None, None]] = weakref.WeakSet()
        self._source = _open_source(self.path, None if frame_rate is None else Fraction(frame_rate))
        grid = self._source.grid
        if not grid.constant:
            logger.warning(
                "%s: its frame rate varies; frames are repeated or dropped for a constant %.3f per second",
                self.path,
                grid.rate,
            )
        self.info = VideoInfo(
            height=self._source.height,
            width=self._source.width,
            frame_rate=grid.rate,
            frame_count=grid.count,
            has_audio=self._source.has_audio,
            resampled=not grid.constant,
        )

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End unfinished walks and let go of the file."""
        for walk in list(self._walks):
            walk.close()

    def chunks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[Tensor]:
        """Frames `start` to `stop` (not included; None: the end) as [n,3,H,W] float32 in [0,1].

        n is `size`, less in the last chunk. The frames before `start` are decoded but not converted.
        Raises `VideoError` when `size` is not positive or the video has no frame in the range.
        """
        if size < 1 or start < 0:
            raise VideoError(f"{self.path}: can't read chunks of {size} frames from frame {start} on.")
        length = None if stop is None else max(stop - start, 0)
        chunk = self._empty(size)
        filled = total = 0
        with closing(self._walk()) as walk:
            for index, pixels in enumerate(walk):
                if total == length:
                    break
                if index < start:
                    continue
                _store(pixels(), chunk[filled])
                filled, total = filled + 1, total + 1
                if filled == size:
                    yield chunk
                    chunk, filled = self._empty(size), 0
        if total == 0:
            raise VideoError(f"{self.path}: has no frame in the range {start} to {stop}.")
        if filled:
            yield chunk[:filled]

    def frames(self, indices: Sequence[int]) -> Tensor:
        """The frames at `indices` (any order, repeats allowed) as [n,3,H,W] float32 in [0,1], in one pass.

        Raises `VideoError` when the video has fewer frames.
        """
        wanted = [int(index) for index in indices]
        if wanted and min(wanted) < 0:
            raise VideoError(f"{self.path}: frame {min(wanted)} was asked for; counting starts at 0.")
        picked = self._empty(len(wanted))
        last, count = max(wanted, default=-1), 0
        with closing(self._walk()) as walk:
            for index, pixels in enumerate(walk):
                if index > last:
                    break
                count = index + 1
                places = [place for place, want in enumerate(wanted) if want == index]
                for place in places:
                    _store(pixels(), picked[place])
        if count <= last:
            raise VideoError(f"{self.path}: frame {last} was asked for, but it has {count} frames.")
        return picked

    def _walk(self) -> Generator[Pixels, None, None]:
        walk = self._pixels_in_order()
        self._walks.add(walk)
        return walk

    def _pixels_in_order(self) -> Generator[Pixels, None, None]:
        source = self._source
        with closing(source.frames()) as frames:
            yield from on_grid(frames, source.grid)

    def _empty(self, count: int) -> Tensor:
        return torch.empty(count, 3, self.info.height, self.info.width)


def is_video(path: str | Path) -> bool:
    """Whether `path` is a file with moving pictures: a video, or an animation of two frames or more."""
    path = Path(path)
    if not path.is_file():
        return False
    frames = _picture_frames(path)
    if frames is not None:
        return frames > 1
    try:
        with open_container(path) as container:
            still = container.format.name.endswith(("_pipe", "image2"))  # a picture beyond Pillow, or no picture
            return bool(container.streams.video) and not still
    except VideoError:
        return False


def _open_source(path: Path, frame_rate: Fraction | None) -> Source:
    if frame_rate is not None and frame_rate <= 0:
        raise VideoError(f"{path}: the frame rate must be more than 0, {frame_rate} was given.")
    if path.is_dir():
        try:
            return StillsSource(path, list_images(path), frame_rate)
        except ImageError as error:
            raise VideoError(str(error)) from error
    if not path.exists():
        raise VideoError(f"{path}: does not exist. Check the path.")
    frames = _picture_frames(path)
    if frames is None:
        return ContainerSource(path)
    return AnimationSource(path) if frames > 1 else StillsSource(path, [path], frame_rate)


def _picture_frames(path: Path) -> int | None:
    """How many frames Pillow sees in the file; None when its content is no picture."""
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as picture:
            return getattr(picture, "n_frames", 1)
    except PICTURE_DAMAGE:
        return None


def _store(pixels: Tensor, place: Tensor) -> None:
    """Put [3,H,W] uint8 or float pixels into `place` [3,H,W] float32."""
    place.copy_(pixels)
    if pixels.dtype == torch.uint8:
        place.div_(255)
