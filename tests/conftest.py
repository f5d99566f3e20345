"""Fixtures that several test files share: the tracker, and a short clip of a generated person."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tracker():
    """The face tracker with the weights that ship in the package."""
    from reenact_core.tracking import FaceTracker

    return FaceTracker.load()


@pytest.fixture(scope="session")
def person():
    """Twelve frames [12,3,350,350] of one generated person, head turning and mouth moving."""
    import torch

    from reenact_core.video import VideoReader

    from .faces import CLIP, DATA, SAMPLE

    known = DATA / CLIP
    path, step = (known, 10) if known.exists() else (SAMPLE, 2)
    with VideoReader(path) as reader:
        return torch.stack(list(reader.frames(list(range(0, 12 * step, step)))))


@pytest.fixture(scope="session")
def person_faces(person, tracker):
    """The tracked faces of `person`, axis 12."""
    return tracker.track_images(list(person))


@pytest.fixture(scope="session")
def person_files(person, tmp_path_factory) -> Path:
    """A folder with `driving.mp4` (11 frames), `a.png` and `b.png` of that person at 256 px."""
    import torch.nn.functional as F

    from reenact_core.images import write_image
    from reenact_core.video import VideoWriter

    folder = tmp_path_factory.mktemp("person")
    small = F.interpolate(person, size=(256, 256), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
    write_image(folder / "a.png", small[0])
    write_image(folder / "b.png", small[6])
    with VideoWriter(folder / "driving.mp4", 25, (256, 256)) as writer:
        writer.write(small[:11])
    return folder
