"""Frames into a video file, an animated GIF or a folder of PNG files, chunk by chunk."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from fractions import Fraction
from pathlib import Path

import torch
from av.error import FFmpegError
from torch import Tensor

from ..errors import VideoError
from ..images import SUFFIXES as IMAGE_SUFFIXES
from .encoding import ContainerEncoder, Encoder, GifEncoder, StillsEncoder

_CONTAINERS = (".mp4", ".mov", ".webm")
_OTHER_VIDEOS = (".mkv", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".ts", ".3gp")
_OUR_FRAME = re.compile(r"\d{6,}\.png")
# Containers count time in fractions of 32 bits; real frame rates are far from these bounds.
_LARGEST_DENOMINATOR = 60000


class VideoWriter:
    """Writes frames of one size to `path`; what kind of file is decided by its suffix.

    .mp4, .mov (H.264, crf 16) and .webm (VP9) carry the sound of `audio_from`, .gif and a folder of lossless
    `000000.png, ...` (any name without a suffix of an image or video) do not. H.264 needs even sides: an odd
    frame grows by one column or row that repeats its edge, because the alternatives that keep the size do
    not play in browsers. Colours are BT.709, limited range, and marked as such. A GIF has a palette per
    frame; its clock has steps of 1/100 s and no viewer shows more than 50 frames per second, so a faster
    one loses frames.

    Sound is copied as it is where the container allows, else encoded to AAC (mp4, mov) or Opus (webm). It
    keeps its offset to the first frame of `audio_from`, and ends with the frames written.

    Everything is written under a temporary name beside `path` and renamed by `close`, which a `with` block
    calls on success; on an exception nothing is left behind. Missing parent folders are made. An existing
    file is replaced, and so is a folder that holds numbered frames alone.

    Raises `VideoError` for a path, size or frame rate that can't be used, and when the disk refuses.
    """

    def __init__(
        self,
        path: str | Path,
        frame_rate: Fraction | int | float,
        size: tuple[int, int],
        audio_from: str | Path | None = None,
    ) -> None:
        self.path = Path(path)
        self.frame_count = 0
        self._height, self._width = size
        rate = Fraction(frame_rate).limit_denominator(_LARGEST_DENOMINATOR)
        if rate <= 0:
            raise VideoError(f"{path}: the frame rate must be more than 0, {frame_rate} was given.")
        if self._height < 1 or self._width < 1:
            raise VideoError(f"{path}: can't write frames of {self._width}x{self._height} pixels.")
        _check_target(self.path)
        self._beside = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}.part")
        self._made_folders: list[Path] = []
        self._encoder: Encoder | None = None
        try:
            self._make_parents()
            self._encoder = self._open_encoder(rate, None if audio_from is None else Path(audio_from))
        except (FFmpegError, OSError) as error:
            self.abort()
            raise VideoError(f"{path}: can't be written ({error}). Choose another place.") from error
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(self, chunk: Tensor) -> None:
        """Append `chunk` [n,3,H,W] float, values outside [0,1] are clipped.

        Raises `VideoError` for another shape, NaN or infinity, and when the disk refuses.
        """
        if self._encoder is None:
            raise VideoError(f"{self.path}: the writer is closed, no frame can be added.")
        if chunk.ndim != 4 or tuple(chunk.shape[1:]) != (3, self._height, self._width):
            raise VideoError(
                f"{self.path}: got frames of shape {list(chunk.shape)}, "
                f"this video takes [n, 3, {self._height}, {self._width}]."
            )
        for frame in chunk.detach():
            if not torch.isfinite(frame).all():
                raise VideoError(
                    f"{self.path}: frame {self.frame_count} holds NaN or infinity. That is a fault of the stage before."
                )
            scaled = frame.float().clamp(0, 1).mul_(255).round_().to(torch.uint8)
            rgb = scaled.permute(1, 2, 0).contiguous().cpu().numpy()
            try:
                self._encoder.add(rgb)
            except (FFmpegError, OSError) as error:
                raise VideoError(f"{self.path}: writing failed ({error}). Is the disk full?") from error
            self.frame_count += 1

    def close(self) -> None:
        """Finish the file and give it its name. Raises `VideoError` when no frame was written."""
        if self._encoder is None:
            return
        if self.frame_count == 0:
            self.abort()
            raise VideoError(f"{self.path}: no frame was written, so there is no video to save.")
        try:
            self._encoder.finish()
            self._encoder = None
            self._move_into_place()
        except (FFmpegError, OSError) as error:
            self.abort()
            raise VideoError(f"{self.path}: writing failed ({error}). Is the disk full?") from error
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Throw away what was written; `path` stays as it was. Does nothing after `close`."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.discard()
        if self._beside.is_dir():
            shutil.rmtree(self._beside, ignore_errors=True)
        elif self._beside.exists():
            self._beside.unlink()
        for folder in reversed(self._made_folders):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def _make_parents(self) -> None:
        missing = []
        folder = self.path.parent
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self._made_folders.append(folder)

    def _open_encoder(self, rate: Fraction, audio_from: Path | None) -> Encoder:
        suffix, size = self.path.suffix.lower(), (self._height, self._width)
        if suffix not in (*_CONTAINERS, ".gif"):
            return StillsEncoder(self._beside)
        self._beside.touch()  # FFmpeg opens it with the first frame, which is late to hear that it can't
        if suffix in _CONTAINERS:
            return ContainerEncoder(self._beside, suffix[1:], rate, size, audio_from)
        return GifEncoder(self._beside, rate, size)

    def _move_into_place(self) -> None:
        if not self.path.is_dir():
            os.replace(self._beside, self.path)
            return
        replaced = self._beside.with_suffix(".old")
        os.replace(self.path, replaced)
        os.replace(self._beside, self.path)
        shutil.rmtree(replaced, ignore_errors=True)


def _check_target(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in _OTHER_VIDEOS or (suffix in IMAGE_SUFFIXES and suffix != ".gif"):
        raise VideoError(
            f"{path}: can't write '{suffix}' videos. Use .mp4, .webm, .mov or .gif, "
            f"or a name without such a suffix for a folder of PNG frames."
        )
    if suffix in (*_CONTAINERS, ".gif"):
        if path.is_dir():
            raise VideoError(f"{path}: is a folder, a video file was expected. Give a file name inside it.")
    elif path.is_dir():
        strangers = [entry.name for entry in path.iterdir() if not _OUR_FRAME.fullmatch(entry.name)]
        if strangers:
            raise VideoError(
                f"{path}: holds '{strangers[0]}' besides numbered frames and won't be replaced. "
                f"Name a new or empty folder, or end the name in .mp4."
            )
    elif path.exists():
        raise VideoError(f"{path}: is a file, a folder for frames was expected. End the name in .mp4 or so.")
