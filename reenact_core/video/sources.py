"""What a video can come from: a container, an animated image, or a folder of images.

A source knows its size and grid and walks through its frames from the start as often as asked. It hands out
functions that make the pixels, so that frames nobody wants are not converted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import ImageError, VideoError
from ..images import image_size, read_image
from .timing import Grid, fit_grid

logger = logging.getLogger(__name__)

# Pillow reads these; WebP and APNG animations are beyond or patchy in FFmpeg. Everything else is FFmpeg's.
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_FOLDER_RATE = Fraction(25)
PICTURE_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)

Pixels = Callable[[], Tensor]  # makes [3,H,W], uint8 0..255 or float32 in [0,1]


class Source(Protocol):
    """Frames with their timestamps in seconds (None where the file has none)."""

    path: Path
    height: int
    width: int
    grid: Grid
    has_audio: bool

    def frames(self) -> Generator[tuple[float | None, Pixels], None, None]: ...


class StillsSource:
    """Images of one size at a constant rate, in the order given."""

    has_audio = False

    def __init__(self, path: Path, images: list[Path], frame_rate: Fraction | None) -> None:
        self.path = path
        self._images = images
        try:
            self.height, self.width = image_size(images[0])
            for image in images[1:]:
                height, width = image_size(image)
                if (height, width) != (self.height, self.width):
                    raise VideoError(
                        f"{path}: the frames differ in size: {images[0].name} is {self.width}x{self.height}, "
                        f"{image.name} is {width}x{height}. Make them all the same size."
                    )
        except ImageError as error:
            raise VideoError(str(error)) from error
        self.grid = Grid(frame_rate or _FOLDER_RATE, 0.0, len(images), True)

    def frames(self) -> Generator[tuple[float | None, Pixels], None, None]:
        for image in self._images:
            yield None, partial(self._read, image)

    @staticmethod
    def _read(image: Path) -> Tensor:
        try:
            return read_image(image)
        except ImageError as error:
            raise VideoError(str(error)) from error


class AnimationSource:
    """An animated WebP, GIF, PNG or AVIF; transparent pixels keep the colour stored under them."""

    has_audio = False

    def __init__(self, path: Path) -> None:
        self.path = path
        starts: list[float] = []
        length = 0.0
        with closing(self._decode()) as decoded:
            for picture, start, end in decoded:
                starts.append(start)
                length = end
                self.width, self.height = picture.size
        if not starts:
            raise VideoError(f"{path}: no frame of it can be decoded. Copy or export it again.")
        only = Fraction(1 / length).limit_denominator(1001) if len(starts) == 1 else None
        self.grid = fit_grid(starts, [only])

    def frames(self) -> Generator[tuple[float | None, Pixels], None, None]:
        for picture, start, _ in self._decode():
            yield start, partial(_picture_tensor, picture.convert("RGB"))

    def _decode(self) -> Generator[tuple[Image.Image, float, float], None, None]:
        """Frames that decode, with start and end in seconds; the next step overwrites the picture."""
        decoded = total = 0
        end = 0.0
        try:
            with Image.open(self.path, formats=PICTURE_FORMATS) as picture:
                total = getattr(picture, "n_frames", 1)
                for index in range(total):
                    picture.seek(index)
                    picture.load()
                    milliseconds = float(picture.info.get("duration") or 0)
                    # Browsers show a delay of 10 ms or less as 100 ms; files are made to look right there.
                    start, end = end, end + (milliseconds if milliseconds > 10 else 100) / 1000
                    decoded += 1
                    yield picture, start, end
        except PICTURE_DAMAGE as error:
            logger.warning("%s: damaged, %d of %d frames could be decoded (%s)", self.path, decoded, total, error)


def _picture_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
