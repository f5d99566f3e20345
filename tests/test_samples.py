"""The files in `samples/` are what their README says."""

from __future__ import annotations

from pathlib import Path

from reenact_core.images import list_images, read_image
from reenact_core.video import VideoReader

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


def test_references_are_small_and_differ() -> None:
    paths = list_images(SAMPLES / "references")
    assert len(paths) == 4
    assert all(path.stat().st_size < 400_000 for path in paths)
    images = [read_image(path) for path in paths]
    for index, image in enumerate(images):
        assert image.shape == (3, 350, 350)
        assert all((image - other).abs().mean() > 0.02 for other in images[:index])


def test_clips_are_short_and_small() -> None:
    for name, side, frames, most in (("driving.mp4", 350, 30, 1_000_000), ("other_person.mp4", 240, 45, 700_000)):
        with VideoReader(SAMPLES / name) as reader:
            assert (reader.info.height, reader.info.width) == (side, side)
            assert sum(len(chunk) for chunk in reader.chunks(16)) == frames == reader.info.frame_count
            assert reader.info.frame_rate == 15
        assert (SAMPLES / name).stat().st_size < most
