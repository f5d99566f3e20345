"""Driving videos as they come: odd sizes, few frames, extreme rates, transparency, files that are cut off."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from graphs import five_stages, node
from test_bad_wiring import failed, video_node

pytestmark = pytest.mark.host

DRIVING = Path(__file__).resolve().parents[2] / "samples" / "driving.mp4"


def write(
    path: Path,
    count: int = 4,
    rate: int = 15,
    size: tuple[int, int] = (240, 240),
    codec: str = "libx264",
    layout: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> None:
    """The first frames of the sample as another file; `size` is width and height."""
    with av.open(str(DRIVING)) as given, av.open(str(path), "w", options=options or {}) as made:
        stream = made.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, layout
        for number, frame in enumerate(given.decode(video=0)):
            if number == count:
                break
            picture = frame.reformat(*size, layout)
            picture.pts, picture.time_base = number, Fraction(1, rate)
            made.mux(stream.encode(picture))
        made.mux(stream.encode(None))


def cut_off(path: Path, share: float) -> None:
    """Leave only the first part of a file's bytes."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def prompt_of(host, path: Path, **settings) -> dict:
    """The one-node video on a file, saved."""
    prompt = {number: about for number, about in five_stages().items() if number in ("1", "2", "3")}
    prompt["30"] = node("LoadVideo", file=host.add_input(path))
    prompt["22"] = video_node(video=["30", 0], **settings)
    prompt["23"] = node("SaveVideo", video=["22", 0], filename_prefix="odd", format="auto", codec="auto")
    return prompt


def frames_of(host, run) -> tuple[list[np.ndarray], Fraction]:
    """The saved frames and their rate."""
    with av.open(io.BytesIO(host.client.fetch(run.outputs["23"]["images"][0]))) as made:
        return [frame.to_ndarray(format="rgb24") for frame in made.decode(video=0)], made.streams.video[0].average_rate


@pytest.mark.parametrize(
    ("name", "make", "count", "rate", "size"),
    [
        ("odd.mkv", {"size": (251, 237), "codec": "ffv1", "layout": "bgr0"}, 4, 15, (237, 251)),
        ("one.mp4", {"count": 1}, 1, 15, (240, 240)),
        ("slow.mp4", {"rate": 1, "count": 3}, 3, 1, (240, 240)),
        ("quick.mp4", {"rate": 120, "count": 6}, 6, 120, (240, 240)),
        ("clear.mov", {"codec": "png", "layout": "rgba"}, 4, 15, (240, 240)),
        ("clear.webm", {"codec": "libvpx-vp9", "layout": "yuva420p"}, 4, 15, (240, 240)),
    ],
)
def test_videos_of_every_kind(host, tmp_path, name, make, count, rate, size):
    write(tmp_path / name, **make)
    run = host.client.run(prompt_of(host, tmp_path / name, transfer="absolute"), timeout=240)
    assert run.status == "success", run.error
    frames, found = frames_of(host, run)
    assert len(frames) == count
    assert count == 1 or float(found) == pytest.approx(rate, rel=0.01)
    assert all(abs(seen - wanted) <= 1 for seen, wanted in zip(frames[0].shape, size))
    assert min(frame.std() for frame in frames) > 25


def test_a_video_that_is_cut_off_is_used_as_far_as_it_goes(host, tmp_path):
    path = tmp_path / "half.mp4"
    write(path, count=29, options={"movflags": "faststart"})
    cut_off(path, 0.6)
    run = host.client.run(prompt_of(host, path), timeout=240)
    assert run.status == "success", run.error
    assert 5 < len(frames_of(host, run)[0]) < 29


def without_index(path: Path) -> None:
    write(path, count=12)
    cut_off(path, 0.5)


def sound_alone(path: Path) -> None:
    with av.open(str(path), "w") as made:
        stream = made.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, 0
        made.mux(stream.encode(frame))
        made.mux(stream.encode(None))


@pytest.mark.parametrize("spoil", [without_index, sound_alone, lambda path: path.write_bytes(b"nothing")])
@pytest.mark.parametrize("kind", ["ReenactVideo", "ReenactEncodeMotion", "ReenactLoadReferences"])
def test_files_that_hold_no_video_are_named(host, tmp_path, kind: str, spoil: Callable[[Path], object]):
    path = tmp_path / "spoilt.mp4"
    spoil(path)
    prompt = prompt_of(host, path)
    if kind != "ReenactVideo":
        prompt = five_stages(frames=2) | {"30": prompt["30"]}
        del prompt["9"]
        number = "4" if kind == "ReenactEncodeMotion" else "3"
        del prompt[number]["inputs"]["images" if number == "4" else "images.image0"]
        prompt[number]["inputs"]["video"] = ["30", 0]
    where, message = failed(host, prompt)
    assert prompt[where]["class_type"] == kind
    assert message.startswith("`video`: ")
    assert "spoilt.mp4" in message
