"""Video in and out: formats, colours, timestamps, rotation, memory."""

from __future__ import annotations

import logging
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from reenact_core.errors import VideoError
from reenact_core.images import read_image, write_image
from reenact_core.video import VideoReader, VideoWriter, encoding, is_video

from .clips import colour_of, shown, turn_track, write_clip

NTSC = Fraction(30000, 1001)


def flat_frames(count: int, height: int, width: int) -> torch.Tensor:
    colours = torch.rand(count, 3, 1, 1, generator=torch.Generator().manual_seed(count + height))
    return colours.expand(count, 3, height, width)


def picture(height: int, width: int) -> torch.Tensor:
    """A smooth coloured picture without symmetry, [3,H,W]."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    light = 0.1 * torch.sin(12 * x + 5 * y)
    return torch.stack([0.1 + 0.7 * x, 0.2 + 0.6 * y, 0.5 - 0.3 * x * y]) + light


def save(path: Path, frames: torch.Tensor, rate: Fraction | int = 25, **options: object) -> Path:
    with VideoWriter(path, rate, (frames.shape[2], frames.shape[3]), **options) as writer:
        for chunk in frames.split(4):
            writer.write(chunk)
    return path


def load(path: Path, size: int = 5) -> torch.Tensor:
    with VideoReader(path) as reader:
        return torch.cat(list(reader.chunks(size)))


def flat(width: int, height: int, index: int) -> Image.Image:
    return Image.new("RGB", (width, height), tuple(round(level * 255) for level in colour_of(index)))


def numbered(path: Path, times: list[float], **options: object) -> Path:
    write_clip(path, times, [colour_of(index) for index in range(len(times))], **options)
    return path


@pytest.mark.parametrize("size", [(48, 64), (49, 63)], ids=["even", "odd"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.webm", "a.gif", "frames"])
def test_round_trip_keeps_colours_rate_count_and_size(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    frames = flat_frames(11, *size)
    rate = Fraction(20) if name in ("a.gif", "frames") else NTSC
    path = save(tmp_path / name, frames, rate)
    with VideoReader(path, 20 if name == "frames" else None) as reader:
        grown = name in ("a.mp4", "a.mov")
        height, width = (side + side % 2 if grown else side for side in size)
        info = reader.info
        assert (info.height, info.width, info.frame_rate) == (height, width, rate)
        assert (info.frame_count, info.has_audio, info.resampled) == (11, False, False)
        chunks = list(reader.chunks(4))
        assert [len(chunk) for chunk in chunks] == [4, 4, 3]
        assert torch.cat(chunks).dtype == torch.float32
        expected = frames[:, :, :1, :1].expand(-1, -1, height, width)
        assert (torch.cat(chunks) - expected).abs().max() <= 2 / 255
        assert torch.equal(torch.cat(list(reader.chunks(100))), torch.cat(chunks)), "a second walk differs"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_folder_is_lossless_and_numbered_from_zero(tmp_path: Path) -> None:
    frames = (torch.rand(3, 3, 9, 7) * 255).round() / 255
    path = save(tmp_path / "new" / "frames", frames)
    assert sorted(p.name for p in path.iterdir()) == ["000000.png", "000001.png", "000002.png"]
    assert torch.equal(load(path), frames)
    save(path, frames[:1])
    assert torch.equal(load(path), frames[:1]), "an older and longer result must not shine through"


@pytest.mark.parametrize(("name", "decibels"), [("a.mp4", 40), ("a.webm", 38), ("a.gif", 30)])
def test_detail_survives(tmp_path: Path, name: str, decibels: float) -> None:
    frames = picture(96, 128)[None].repeat(6, 1, 1, 1)
    error = (load(save(tmp_path / name, frames)) - frames).square().mean()
    assert -10 * error.log10() > decibels


@pytest.mark.parametrize(("matrix", "height"), [(1, 64), (5, 64), (None, 64), (None, 720)])
@pytest.mark.parametrize("full_range", [False, True])
def test_colours_follow_matrix_and_range(tmp_path: Path, matrix: int | None, height: int, full_range: bool) -> None:
    """Against the formulas of BT.601 and BT.709, on files written plane by plane."""
    colour = np.array([0.8, 0.3, 0.1])
    red, blue = (0.299, 0.114) if matrix == 5 or (matrix is None and height == 64) else (0.2126, 0.0722)
    luma = np.dot([red, 1 - red - blue, blue], colour)
    chroma = [(colour[2] - luma) / (2 - 2 * blue), (colour[0] - luma) / (2 - 2 * red)]
    levels = [luma * 255, *(128 + 255 * c for c in chroma)]
    if not full_range:
        levels = [16 + luma * 219, *(128 + 224 * c for c in chroma)]
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, height, "yuv420p"
        stream.codec_context.color_range = 2 if full_range else 1
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        planes = [np.full(n, round(v), np.uint8) for n, v in zip((64 * height, *[16 * height] * 2), levels)]
        frame = av.VideoFrame.from_ndarray(np.concatenate(planes).reshape(-1, 64), "yuv420p")
        frame.color_range = stream.codec_context.color_range
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    got = load(path)[0].mean(dim=(1, 2)).numpy()
    np.testing.assert_allclose(got, colour, atol=2 / 255)


def test_written_files_say_how_their_colours_are_coded(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.webm"):
        with av.open(str(save(tmp_path / name, flat_frames(2, 32, 32)))) as container:
            context = container.streams.video[0].codec_context
            assert (context.colorspace, context.color_range) == (1, 1)


def test_steady_timestamps_are_taken_as_they_are(tmp_path: Path) -> None:
    for name, rate in (("a.mp4", NTSC), ("a.mkv", NTSC), ("a.mov", Fraction(24)), ("b.mp4", Fraction(25, 2))):
        path = numbered(tmp_path / name, [0.3 + index / float(rate) for index in range(40)])
        with VideoReader(path) as reader:
            assert reader.info.frame_count == 40
            assert not reader.info.resampled
            assert reader.info.frame_rate == rate
            assert shown(torch.cat(list(reader.chunks(16))), 40) == list(range(40))


def test_varying_rate_is_resampled_by_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    steps = np.random.default_rng(1).uniform(0.01, 0.09, 49)
    times = [0.0, *np.cumsum(steps).tolist()]
    path = numbered(tmp_path / "phone.mp4", times)
    with caplog.at_level(logging.WARNING), VideoReader(path) as reader:
        info = reader.info
        seen = shown(torch.cat(list(reader.chunks(8))), 50)
    assert "varies" in caplog.text
    assert info.resampled
    assert float(info.frame_rate) == pytest.approx(49 / times[-1], rel=1e-3)
    assert info.frame_count == len(seen)
    off = [abs(times[frame] - slot / float(info.frame_rate)) for slot, frame in enumerate(seen)]
    gap = max(steps)
    assert max(off) <= gap, "a frame is shown further from its time than the next frame is away"
    assert len(seen) / float(info.frame_rate) == pytest.approx(times[-1], abs=0.1)


def test_a_few_dropped_frames_keep_the_rate(tmp_path: Path) -> None:
    times = [index / 30 for index in range(60) if index not in (20, 41)]
    path = numbered(tmp_path / "camera.mkv", times)
    with VideoReader(path) as reader:
        info, frames = reader.info, torch.cat(list(reader.chunks(8)))
    assert info.frame_rate == 30
    assert info.frame_count == 60
    assert shown(frames, 58) == [*range(20), 19, *range(20, 40), 39, *range(40, 58)]


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((0, 1, -1, 0), lambda image: torch.rot90(image, -1, (1, 2))),
        ((-1, 0, 0, -1), lambda image: torch.rot90(image, 2, (1, 2))),
        ((0, -1, 1, 0), lambda image: torch.rot90(image, 1, (1, 2))),
        ((-1, 0, 0, 1), lambda image: image.flip(2)),
        ((1, 0, 0, -1), lambda image: image.flip(1)),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 2)),
    ],
    ids=["clockwise", "upside down", "counterclockwise", "mirrored", "flipped", "transposed"],
)
def test_rotation_metadata_is_applied(tmp_path: Path, matrix: tuple[int, int, int, int], turned) -> None:
    stored = picture(48, 64)
    path = save(tmp_path / "phone.mp4", stored[None].repeat(3, 1, 1, 1))
    turn_track(path, matrix)
    expected = turned(stored)
    with VideoReader(path) as reader:
        assert (reader.info.height, reader.info.width) == tuple(expected.shape[1:])
        assert (next(reader.chunks(1))[0] - expected).square().mean() < 1e-3


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png"])
def test_animated_images_are_videos(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    frames = [flat(32, 24, index) for index in range(45)]
    durations = [66, 67, 67] * 15 if suffix == ".webp" else [60, 70, 70] * 15
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)
    assert is_video(path)
    with VideoReader(path) as reader:
        assert reader.info[:5] == (24, 32, Fraction(15), 45, False)
        assert shown(torch.cat(list(reader.chunks(4))), 45) == list(range(45))


def test_pauses_in_an_animation_become_repeated_frames(tmp_path: Path) -> None:
    frames = [flat(8, 8, index) for index in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[100, 300, 100])
    with VideoReader(tmp_path / "a.gif") as reader:
        assert reader.info.resampled
        assert shown(torch.cat(list(reader.chunks(4))), 3) == [0, 1, 2]
        assert reader.info.frame_rate == 5


def test_gif_faster_than_viewers_can_show_keeps_its_speed(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gif", flat_frames(60, 8, 8), 60)
    with Image.open(path) as picture:
        delays = []
        for index in range(picture.n_frames):
            picture.seek(index)
            delays.append(picture.info["duration"])
    assert min(delays) >= 20
    assert sum(delays) == pytest.approx(1000, abs=40)


def test_any_frames_can_be_picked(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a.mp4", [index / 25 for index in range(30)])
    with VideoReader(path) as reader:
        assert shown(reader.frames([7, 29, 0, 7]), 30) == [7, 29, 0, 7]
        assert reader.frames([]).shape == (0, 3, 64, 96)
        assert shown(torch.cat(list(reader.chunks(4, start=5, stop=11))), 30) == list(range(5, 11))
        with pytest.raises(VideoError, match="it has 30 frames"):
            reader.frames([3, 30])


def test_folder_of_images_in_natural_order(tmp_path: Path) -> None:
    for index in range(12):
        write_image(tmp_path / f"f{index}.png", torch.tensor(colour_of(index)).view(3, 1, 1).expand(3, 4, 6))
    with VideoReader(tmp_path, Fraction(24)) as reader:
        assert reader.info == (4, 6, Fraction(24), 12, False, False)
        assert shown(torch.cat(list(reader.chunks(5))), 12) == list(range(12))
    assert VideoReader(tmp_path).info.frame_rate == 25
    assert not is_video(tmp_path)


def test_a_single_image_is_one_frame(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", torch.rand(3, 5, 5))
    with VideoReader(tmp_path / "a.png") as reader:
        assert reader.info.frame_count == 1
        assert torch.equal(reader.frames([0])[0], read_image(tmp_path / "a.png"))
    assert not is_video(tmp_path / "a.png")


def test_the_odd_edge_is_repeated(tmp_path: Path) -> None:
    image = picture(33, 47)
    written = load(save(tmp_path / "a.mp4", image[None].repeat(3, 1, 1, 1)))[0]
    assert (written[:, :33, :47] - image).square().mean() < 1e-3
    assert (written[:, 33, :47] - image[:, 32]).abs().mean() < 0.05
    assert (written[:, :33, 47] - image[:, :, 46]).abs().mean() < 0.05


def test_without_x264_another_codec_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    frames = flat_frames(5, 48, 64)
    assert (load(save(tmp_path / "a.mp4", frames)) - frames).abs().max() < 4 / 255
    assert "mpeg4 is used instead" in caplog.text
    monkeypatch.setattr(av, "codecs_available", set())
    with pytest.raises(VideoError, match="libx264, mpeg4"):
        VideoWriter(tmp_path / "b.mp4", 25, (8, 8))
    assert set(encoding.CODECS) == {"mp4", "mov", "webm"}
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


MEASURE = """
import resource, sys, torch
from reenact_core.video import VideoReader, VideoWriter, encoding
torch.set_num_threads(1)
folder, target, side, few, many = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
encoding.CODECS["mp4"] = (encoding.Codec("libx264", {"crf": "16", "preset": "ultrafast"}, True),)
ramp = torch.linspace(0, 1, side).expand(1, 3, side, side)
source = f"{folder}/source.mp4"
with VideoWriter(source, 25, (side, side)) as writer:
    for index in range(many):
        writer.write(ramp.roll(index, 3))
def copy(count):
    with VideoReader(source) as reader, VideoWriter(f"{folder}/{target}", 25, (side, side)) as writer:
        for chunk in reader.chunks(16, stop=count):
            writer.write(chunk)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = max(copy(few) for _ in range(4))  # the allocator settles within the first rounds
print(copy(many) - before)
"""


def growth_of_peak(folder: Path, target: str, side: int, few: int, many: int) -> float:
    """MB that copying `many` frames adds to the peak memory of copying `few`, in a process of its own."""
    command = [sys.executable, "-c", MEASURE, str(folder), target, str(side), str(few), str(many)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


linux = pytest.mark.skipif(sys.platform != "linux", reason="the peak is counted in KiB on Linux alone")


@linux
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """360 more frames are 110 MB of float32 and 27 MB of bytes."""
    growth = growth_of_peak(tmp_path, "out.mp4", 160, 40, 400)
    assert growth < 15, f"peak memory grew by {growth:.0f} MB"


@linux
@pytest.mark.slow
@pytest.mark.parametrize("target", ["out.mp4", "out.webm", "out.gif", "out"])
def test_memory_does_not_grow_with_a_long_clip(tmp_path: Path, target: str) -> None:
    """340 more frames are 267 MB of float32 and 67 MB of bytes."""
    growth = growth_of_peak(tmp_path, target, 256, 60, 400)
    assert growth < 30, f"peak memory grew by {growth:.0f} MB"
