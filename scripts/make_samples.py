"""Cut the files of `samples/` out of generated clips.

    python scripts/make_samples.py FOLDER

FOLDER holds the animated WebP previews of the PyPI packages comfyui-workflow-templates-media-* (MIT). The
frames of the references come before those of the driving video, so that no result can be a mere copy.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reenact_core.images import write_image  # noqa: E402
from reenact_core.video import VideoReader, VideoWriter  # noqa: E402

log = logging.getLogger("samples")

PERSON = "video_ltx2_3_id_lora-1.webp"
REFERENCE_FRAMES = {
    "1_pursed_lips": 12,
    "2_open_mouth": 9,
    "3_smile_turned_left": 5,
    "4_parted_lips": 14,
}
DRIVING_START = 15  # the camera has come to rest; 30 frames, 2 s
OTHER_PERSON = "api_heygen_video_1_t2v-1.webp"
OTHER_CROP = 240  # pixels from the top left corner: head and shoulders


def main() -> None:
    """Command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the animated WebP files are")
    folder = parser.parse_args().folder
    samples = ROOT / "samples"

    with VideoReader(folder / PERSON) as reader:
        references = reader.frames(list(REFERENCE_FRAMES.values()))
        for name, image in zip(REFERENCE_FRAMES, references, strict=True):
            write_image(samples / "references" / f"{name}.png", image)
    cut(folder / PERSON, samples / "driving.mp4", DRIVING_START)
    cut(folder / OTHER_PERSON, samples / "other_person.mp4", 0, OTHER_CROP)
    for path in sorted(samples.rglob("*.*")):
        log.info("%s: %d kB", path.relative_to(ROOT), path.stat().st_size // 1000)


def cut(clip: Path, target: Path, start: int, side: int | None = None) -> None:
    """Frames from `start` on, cropped to the square of `side` pixels in the top left corner."""
    with VideoReader(clip) as reader:
        frames: torch.Tensor = torch.cat(list(reader.chunks(16, start=start)))[:, :, :side, :side]
        size = (frames.shape[2], frames.shape[3])
        with VideoWriter(target, reader.info.frame_rate, size) as writer:
            writer.write(frames)


if __name__ == "__main__":
    main()
