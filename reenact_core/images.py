"""Still images: files to `[3,H,W]` float tensors in [0,1] and back.

Transparency is straight: the colours are kept as stored and the alpha channel becomes a mask. Nothing is
composited over a background, because the pipeline wants to know which pixels may be used, not a guess at
what lies behind them.
"""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

import av
import numpy as np
import torch
from av.error import FFmpegError
from PIL import Image, ImageOps
from torch import Tensor

from .errors import ImageError

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".apng", ".avif"))
_WRITERS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, Image.DecompressionBombError)
_ORIENTATION_TAG = 0x0112


def read_image(path: str | Path) -> Tensor:
    """The image in `path` as [3,H,W] float32 RGB in [0,1].

    EXIF orientation is applied. Grey is repeated over the channels, palettes and CMYK are converted, 16-bit
    channels are scaled by 65535, an animation gives its first frame, transparency is ignored (the colours
    stay as stored; see `read_image_and_mask`).

    Raises `ImageError` when the file is missing, is no image, or is cut short.
    """
    return read_image_and_mask(path)[0]


def read_image_and_mask(path: str | Path) -> tuple[Tensor, Tensor]:
    """The image as in `read_image`, and its alpha channel as [1,H,W] in [0,1]: ones where it has none.

    Raises `ImageError` when the file is missing, is no image, or is cut short.
    """
    path = _existing_file(path)
    try:
        with Image.open(path) as opened:
            pixels = _deep_png(path, opened) if _is_deep_png(opened) else _pixels(opened)
    except _DAMAGE as error:
        raise ImageError(_why_unreadable(path, error)) from error
    except FFmpegError as error:
        raise ImageError(_why_unreadable(path, error)) from error
    if not np.isfinite(pixels).all():
        raise ImageError(f"{path}: holds NaN or infinite pixels. Export the image again.")
    tensor = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().clamp_(0, 1)  # [4,H,W]
    return tensor[:3].clone(), tensor[3:].clone()


def image_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of an image file as `read_image` would return it, read from its header alone.

    Raises `ImageError` when the file is missing or is no image.
    """
    path = _existing_file(path)
    try:
        with Image.open(path) as opened:
            width, height = opened.size
            sideways = opened.getexif().get(_ORIENTATION_TAG, 1) in (5, 6, 7, 8)
    except _DAMAGE as error:
        raise ImageError(_why_unreadable(path, error)) from error
    return (width, height) if sideways else (height, width)


def write_image(path: str | Path, image: Tensor) -> None:
    """Write `image` [3,H,W] float in [0,1] (values outside are clipped) as 8-bit PNG or JPEG by suffix.

    JPEG is written at quality 95 without chroma subsampling. The file is written beside its final name and
    renamed, so that a reader never sees half an image; missing parent folders are made.

    Raises `ImageError` for another suffix, another shape, NaN or infinity, or a place that can't be written.
    """
    path = Path(path)
    kind = _WRITERS.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"{path}: can't write '{path.suffix}' images. Use .png, .jpg or .jpeg.")
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, an image file was expected. Give a file name inside it.")
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise ImageError(f"{path}: can't write shape {list(image.shape)} as an image. It must be [3,H,W].")
    picture = Image.fromarray(to_bytes(image, str(path)))
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"compress_level": 4}
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(beside, format=kind, **options)
        os.replace(beside, path)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: can't be written ({error}). Choose another place.") from error
    finally:
        if path.parent.is_dir():
            beside.unlink(missing_ok=True)


def to_bytes(image: Tensor, name: str) -> np.ndarray:
    """`image` [3,H,W] float in [0,1], clipped and rounded to uint8 [H,W,3]; `name` is for the message.

    Raises `ImageError` when a value is NaN or infinite.
    """
    image = image.detach().float()
    if not torch.isfinite(image).all():
        raise ImageError(f"{name}: the image holds NaN or infinity. The stage before it made them.")
    scaled = image.clamp(0, 1).mul(255).round_().to(torch.uint8)
    return scaled.permute(1, 2, 0).contiguous().cpu().numpy()


def list_images(folder: str | Path) -> list[Path]:
    """The image files of `folder` (not of its subfolders) in natural order: `2.png` before `10.png`.

    Hidden files are left out. Raises `ImageError` when the folder is missing or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        seen = "is a file" if folder.exists() else "does not exist"
        raise ImageError(f"{folder}: {seen}, a folder of images was expected. Check the path.")
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise ImageError(f"{folder}: can't be listed ({error}).") from error
    images = [p for p in entries if p.suffix.lower() in SUFFIXES and p.name[0] != "." and p.is_file()]
    if not images:
        raise ImageError(
            f"{folder}: holds no image among its {len(entries)} entries. Known types: {', '.join(sorted(SUFFIXES))}."
        )
    return sorted(images, key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    pieces = re.findall(r"\d+|\D+", path.name.lower())
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]


def _existing_file(path: str | Path) -> Path:
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, an image file was expected. Name one of its files.")
    if not path.exists():
        raise ImageError(f"{path}: does not exist. Check the path.")
    return path


def _why_unreadable(path: Path, error: Exception) -> str:
    if path.is_file() and path.stat().st_size == 0:
        return f"{path}: is empty (0 bytes). Copy or export it again."
    if isinstance(error, Image.UnidentifiedImageError):
        return f"{path}: its content is no known image. Give a PNG, JPEG, WebP, BMP, TIFF or GIF file."
    return f"{path}: can't be read as an image ({error}). It may be cut short; copy or export it again."


def _is_deep_png(opened: Image.Image) -> bool:
    """Whether Pillow would silently drop the low bytes: PNG with 16 bits in more than one channel."""
    return (
        opened.format == "PNG"
        and opened.mode != "I;16"
        and any(";16B" in str(tile) for tile in getattr(opened, "tile", ()))
    )


def _deep_png(path: Path, opened: Image.Image) -> np.ndarray:
    """[H,W,4] float32 of a 16-bit colour PNG, which Pillow opens with 8 bits only."""
    orientation = opened.getexif().get(_ORIENTATION_TAG, 1)
    with av.open(str(path.resolve()), format="png_pipe") as container:
        frame = next(container.decode(video=0))
        if frame.format.name not in ("rgb48be", "rgba64be"):
            frame = frame.reformat(format="rgba64be")
        deep = frame.to_ndarray().astype(np.float32) / 65535
    if deep.shape[2] == 3:
        deep = np.concatenate([deep, np.ones_like(deep[..., :1])], axis=2)
    if orientation in (5, 6, 7, 8):
        deep = deep.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        deep = deep[:, ::-1]
    if orientation in (3, 4, 7, 8):
        deep = deep[::-1]
    return np.ascontiguousarray(deep)


def _pixels(opened: Image.Image) -> np.ndarray:
    """[H,W,4] float32 of an open image file; only the first frame of an animation is decoded."""
    opened.load()
    picture = ImageOps.exif_transpose(opened)
    if picture.mode == "F" or picture.mode.startswith("I"):
        grey = np.asarray(picture, dtype=np.float32)[..., None]
        if picture.mode != "F":
            grey = grey / 65535
        return np.concatenate([grey, grey, grey, np.ones_like(grey)], axis=2)
    if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        picture = picture.convert("RGB")
    return np.asarray(picture.convert("RGBA"), dtype=np.float32) / 255
