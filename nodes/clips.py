"""Driving frames and their sound, out of a VIDEO or an IMAGE batch, without loading a whole video.

A VIDEO that comes from a file is streamed from it; a view cut out of one (trimmed by the host's own node)
keeps its window. Only what exists as tensors anyway, or can be had in no other way, is taken from tensors.
"""

from __future__ import annotations

import io as bytes_io
import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, TypedDict

import av
import folder_paths
import numpy as np
import torch
from av.error import FFmpegError
from comfy_api.latest import Input
from torch import Tensor

from ..reenact_core.errors import VideoError
from ..reenact_core.video import VideoReader
from ..reenact_core.video.container import first_frame_time, open_container
from . import convert

log = logging.getLogger(__name__)

MOST_RATE = 1000  # frames per second


class Audio(TypedDict):
    """The host's AUDIO."""

    waveform: Tensor  # [1,C,S] in [-1,1]
    sample_rate: int  # samples per second


class Clip(NamedTuple):
    """Consecutive frames that can be walked any number of times while the clip is open."""

    chunks: Callable[[int], Iterator[Tensor]]  # frames per chunk -> [n,3,H,W] in [0,1]
    size: tuple[int, int]  # (H, W)
    frame_rate: Fraction  # frames per second
    frame_count: int | None  # None where it is not known beforehand
    audio: Callable[[], Audio | None]  # the sound of these frames, in step with the first
    source: Path | None = None  # the file, where the clip is all of it; only while the clip is open


def frame_rate_of(number: float) -> Fraction:
    """The frame rate a decimal number stands for: 29.97 is 30000/1001.

    Raises:
        VideoError: it is not a positive number.
    """
    _check_rate(number)
    for nominal in (24, 30, 48, 60, 120):
        broadcast = Fraction(nominal * 1000, 1001)
        if abs(float(broadcast) - number) < 0.004:
            return broadcast
    return Fraction(number).limit_denominator(1001)


def _check_rate(rate: float | Fraction) -> None:
    if not 0 < rate <= MOST_RATE:
        raise VideoError(f"The frame rate is {float(rate):g}; it must be more than 0, and at most {MOST_RATE}.")


def clip_of_images(images: Tensor, frame_rate: Fraction, audio: Audio | None = None, name: str = "images") -> Clip:
    """A clip of an IMAGE batch [T,H,W,C]; errors call it `name`."""
    height, width = images.shape[-3:-1]
    count = len(images) if images.ndim == 4 else 1
    return Clip(
        chunks=lambda size: convert.chunks_of(images, size, name),
        size=(height, width),
        frame_rate=frame_rate,
        frame_count=count,
        audio=lambda: audio,
    )


@contextmanager
def open_clip(video: Input.Video) -> Iterator[Clip]:
    """The frames of a VIDEO, streamed where it comes from a file.

    Raises:
        VideoError: it cannot be read, or its window holds no frame.
    """
    if type(video).get_stream_source is Input.Video.get_stream_source:
        yield _loaded(video)
        return
    with _file_of(video.get_stream_source()) as path, VideoReader(path) as reader:
        shown = video.get_dimensions()
        if sorted(shown) != sorted((reader.info.width, reader.info.height)):
            log.info("A cropped view of a video can not be streamed and is loaded as a whole.")
            yield _loaded(video)
        else:
            yield _streamed(path, reader, _window(video))


def _loaded(video: Input.Video) -> Clip:
    parts = video.get_components()
    if len(parts.images) == 0:
        raise VideoError("The video has no frames. Check the node that made it.")
    _check_rate(parts.frame_rate)
    return clip_of_images(parts.images, Fraction(parts.frame_rate), parts.audio, "video")


def _window(video: Input.Video) -> tuple[float, float]:
    """(start, duration) in the file's own seconds; duration 0 = to the end. Older hosts can't trim."""
    window = getattr(video, "get_active_trim_window", None)
    return (0.0, 0.0) if window is None else window()


def _streamed(path: Path, reader: VideoReader, window: tuple[float, float]) -> Clip:
    info = reader.info
    start, duration = window
    origin = float(first_frame_time(path))
    first = _slot(start, origin, info.frame_rate)
    stop = _slot(start + duration, origin, info.frame_rate) if duration else None
    ends = [end for end in (stop, info.frame_count) if end is not None]
    count = min(ends) - first if ends else None
    if count is not None and count <= 0:
        raise VideoError(
            f"{path.name}: no frame lies between {start:.3f} and {start + duration:.3f} s; "
            f"it has {info.frame_count} frames at {float(info.frame_rate):.3f} per second. Trim less."
        )
    begin = origin + first / float(info.frame_rate)
    length = count / float(info.frame_rate) if duration and count is not None else None
    return Clip(
        chunks=lambda size: reader.chunks(size, first, stop),
        size=(info.height, info.width),
        frame_rate=info.frame_rate,
        frame_count=count,
        audio=lambda: read_audio(path, begin, length),
        source=path if window == (0.0, 0.0) else None,
    )


def _slot(seconds: float, origin: float, rate: Fraction) -> int:
    """Index of the first frame shown at `seconds` or later; a thousandth of a frame early still counts."""
    return max(0, math.ceil((seconds - origin) * float(rate) - 1e-3))


@contextmanager
def _file_of(source: str | bytes_io.BytesIO) -> Iterator[Path]:
    """`source` as a file: a video in memory is put into the host's temporary folder meanwhile."""
    if not isinstance(source, bytes_io.BytesIO):
        yield Path(source)
        return
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="reenact_") as own:
        path = Path(own) / "clip"
        with path.open("wb") as file:
            source.seek(0)
            shutil.copyfileobj(source, file)
        yield path


def read_audio(path: Path, begin: float = 0.0, length: float | None = None) -> Audio | None:
    """The sound of a file from `begin` on, for `length` seconds or to its end, in the file's own seconds.

    Silence is put in front where the sound begins later. None where there is no sound that can be decoded.
    """
    pieces: list[np.ndarray] = []
    rate, missing = 0, None  # samples per second; samples by which the first piece begins after `begin`
    with open_container(path) as container:
        stream = next((s for s in container.streams.audio if s.codec_context is not None), None)
        if stream is None:
            return None
        resampler = av.AudioResampler(format="fltp")
        try:
            for decoded in container.decode(stream):
                for frame in resampler.resample(decoded):
                    rate = frame.sample_rate
                    if missing is None:
                        missing = round(((frame.time or 0.0) - begin) * rate)
                    pieces.append(frame.to_ndarray())
                if length is not None and decoded.time is not None and decoded.time > begin + length + 1:
                    break
        except FFmpegError as error:
            log.warning("%s: its sound ends early (%s)", path.name, error)
    if missing is None:
        return None
    sound = torch.from_numpy(np.concatenate(pieces, axis=1))  # [C,S]
    silence = sound.new_zeros(len(sound), max(missing, 0))
    sound = torch.cat([silence, sound[:, max(-missing, 0) :]], dim=1)
    if length is not None:
        sound = sound[:, : round(length * rate)]
    return Audio(waveform=sound[None], sample_rate=rate) if sound.shape[1] else None
