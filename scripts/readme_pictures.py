"""Makes the README's pictures from the results of `make demo`.

    make demo && python scripts/readme_pictures.py

Writes docs/images/sheet.jpg and docs/images/other_person.jpg, each below 400 kB.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reenact_core.images import read_image_and_mask  # noqa: E402
from reenact_core.video import VideoReader  # noqa: E402

OUT, IMAGES = ROOT / "out", ROOT / "docs" / "images"
MOST_BYTES = 400_000
WIDTH = 1200  # px
COLUMNS = 6


def strip(path: Path, side: int = WIDTH // COLUMNS) -> Tensor:
    """Frames spread over a video, side by side: [3,side,COLUMNS*side]."""
    with VideoReader(path) as reader:
        count = sum(len(chunk) for chunk in reader.chunks(16))
        numbers = [round(i * (count - 1) / (COLUMNS - 1)) for i in range(COLUMNS)]
        frames = torch.stack(list(reader.frames(numbers)))
    small = torch.nn.functional.interpolate(frames, size=(side, side), mode="bilinear", antialias=True)
    return torch.cat(list(small), -1)


def save(image: Tensor, path: Path) -> None:
    """Write [3,H,W] in [0,1] as JPEG, as good as the limit allows."""
    array = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(array)
    picture.thumbnail((WIDTH, 10_000), Image.Resampling.LANCZOS)
    for quality in range(92, 40, -4):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= MOST_BYTES:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def main() -> None:
    """Both pictures."""
    save(read_image_and_mask(OUT / "demo_sheet.png")[0], IMAGES / "sheet.jpg")
    rows = [strip(ROOT / "samples" / "other_person.mp4"), strip(OUT / "demo_other_person.mp4")]
    save(torch.cat(rows, -2), IMAGES / "other_person.jpg")


if __name__ == "__main__":
    main()
