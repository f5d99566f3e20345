"""`reenact study` and `reenact evaluate` among odd clips: a note for each, and the good one is measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from torch import Tensor

from reenact_core.cli import main
from reenact_core.video import VideoReader

from ..faces import ROOT

ODD = {"blank.webp": "No face was found", "short.webp": "it has 2 frames", "torn.mp4": "can be decoded"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    (folder / "good.mp4").write_bytes((ROOT / "samples" / "driving.mp4").read_bytes())
    (folder / "torn.mp4").write_bytes((ROOT / "samples" / "driving.mp4").read_bytes()[:3000])
    greys = [Image.new("RGB", (96, 96), (shade, shade, shade)) for shade in range(40, 160, 10)]
    greys[0].save(folder / "blank.webp", save_all=True, append_images=greys[1:], duration=40, lossless=True)
    with VideoReader(folder / "good.mp4") as reader:
        faces = [as_picture(frame) for frame in reader.frames([0, 1])]
    faces[0].save(folder / "short.webp", save_all=True, append_images=faces[1:], duration=40)
    return folder


def as_picture(frame: Tensor) -> Image.Image:
    return Image.fromarray((frame * 255).byte().permute(1, 2, 0).numpy())


@pytest.mark.slow
@pytest.mark.parametrize("command", ["study", "evaluate"])
def test_odd_clips_become_notes(clips, tmp_path, command):
    common = ["--clips", str(clips), "--references", "9", "--strategies", "mean", "--limit", "10", "--size", "64"]
    if command == "study":
        report = tmp_path / "study" / "study.json"
        own = ["--models", "face_mesh_rules", "--most-frames", "1", "--output", str(report.parent)]
    else:
        report = tmp_path / "evaluation.json"
        own = ["--model", "face_mesh_rules", "--json", str(report)]
    assert main([command, *common, *own]) == 0
    tree = json.loads(report.read_text())
    result = tree["models"]["face_mesh_rules"]["evaluation"] if command == "study" else tree
    assert [clip["name"] for clip in result["clips"]] == ["good.mp4"]
    notes = "\n".join(result["notes"])
    for name, why in ODD.items():
        assert any(name in note and why in note for note in result["notes"])
    assert "references" in notes  # nine were asked for, five frames of the first half show a face
