"""Damaged, missing and impossible videos: one clear error, nothing left behind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

from reenact_core.errors import VideoError
from reenact_core.images import write_image
from reenact_core.video import VideoReader, VideoWriter, is_video

from .clips import colour_of, shown, write_clip

FRAMES = 60


@pytest.fixture
def clip(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a numbered clip of 60 frames with its index in front, so that cutting it leaves frames."""

    def make(name: str) -> Path:
        colours = [colour_of(index) for index in range(FRAMES)]
        with VideoWriter(tmp_path / name, 25, (64, 96)) as writer:
            noise = 0.03 * torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
            for colour in colours:
                writer.write(torch.tensor(colour).view(1, 3, 1, 1) + noise)
        return tmp_path / name

    return make


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.mov"])
def test_a_cut_video_yields_what_decodes_and_says_so(
    clip: Callable[[str], Path], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = clip(name)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 6 // 10])
    with VideoReader(path) as reader:
        frames = torch.cat(list(reader.chunks(7)))
    assert 20 < len(frames) < 50
    whole = len(frames) - 1  # the last one may be cut itself
    assert shown(frames[:whole], FRAMES) == list(range(whole))
    assert f"{len(frames)} of {FRAMES} frames" in caplog.text


def test_damage_in_the_middle_keeps_the_rest_in_time(
    clip: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = clip("a.mp4")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 400] = bytes(400)
    path.write_bytes(raw)
    with VideoReader(path) as reader:
        frames = torch.cat(list(reader.chunks(7)))
    assert len(frames) == FRAMES
    assert shown(frames[:20], FRAMES) == list(range(20))


def test_whole_files_raise_no_alarm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    colours = [colour_of(index) for index in range(30)]
    for name, codec in (
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.ts", "libx264"),
        ("a.webm", "libvpx-vp9"),
        ("a.avi", "mpeg4"),
    ):
        write_clip(tmp_path / name, [index / 25 for index in range(30)], colours, codec=codec, ticks=25)
        with caplog.at_level(logging.WARNING), VideoReader(tmp_path / name) as reader:
            assert shown(torch.cat(list(reader.chunks(8))), 30) == list(range(30)), name
    assert not [record for record in caplog.records if record.name.startswith("reenact_core")]


def test_unreadable_inputs(tmp_path: Path, clip: Callable[[str], Path]) -> None:
    whole = clip("whole.mp4").read_bytes()
    (tmp_path / "headless.mp4").write_bytes(whole[len(whole) // 2 :])
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    (tmp_path / "text.png").write_text("not a picture\n" * 50)
    (tmp_path / "text.txt").write_text("not a video\n" * 50)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nwhole.mp4\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile 'whole.mp4'\n")
    (tmp_path / "zero.mp4").touch()
    (tmp_path / "empty").mkdir()
    write_image(tmp_path / "mixed" / "1.png", torch.rand(3, 4, 4))
    write_image(tmp_path / "mixed" / "2.png", torch.rand(3, 4, 5))
    write_image(tmp_path / "bad" / "1.png", torch.rand(3, 4, 4))
    (tmp_path / "bad" / "2.png").write_text("not a picture")
    expected = {
        "missing.mp4": "does not exist",
        "headless.mp4": "can't be read as a video|can be decoded",
        "text.mp4": "can't be read as a video",
        "text.png": "can be decoded",
        "text.txt": "text file or playlist",
        "list.m3u8": "can't be read|playlist",
        "list.mp4": "playlist",
        "zero.mp4": "0 bytes",
        "empty": "holds no image among its 0 entries",
        "mixed": "1.png is 4x4, 2.png is 5x4",
        "bad": "no known image",
    }
    for name, words in expected.items():
        with pytest.raises(VideoError, match=words):
            VideoReader(tmp_path / name)
        assert not is_video(tmp_path / name)
    assert is_video(tmp_path / "whole.mp4")


def test_a_video_without_frames_or_pictures(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "none.mp4"), "w") as container:
        container.add_stream("libx264", rate=25)
        container.start_encoding()
    write_clip(tmp_path / "sound.mkv", [0.0, 1.0], [(0, 0, 0)] * 2, sound=("aac", 0.0, 0.5), pictures=False)
    for name in ("none.mp4", "sound.mkv"):
        with pytest.raises(VideoError, match=r"no video stream|frames can be decoded"):
            VideoReader(tmp_path / name)


def test_a_picture_that_breaks_on_the_way(tmp_path: Path) -> None:
    for index in range(3):
        write_image(tmp_path / f"{index}.png", torch.rand(3, 32, 32))
    raw = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(VideoError, match=r"1\.png.*cut short"):
        list(VideoReader(tmp_path).chunks(1))


def test_a_cut_animation_yields_what_decodes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = [Image.effect_noise((64, 64), 90) for _ in range(8)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=40)
    raw = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(raw[: len(raw) // 2])
    with VideoReader(tmp_path / "a.gif") as reader:
        assert 0 < sum(len(chunk) for chunk in reader.chunks(2)) < 8


def test_bad_ranges(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png", torch.rand(3, 4, 4))
    with VideoReader(tmp_path) as reader:
        for arguments in ({"size": 0}, {"size": 1, "start": 1}, {"size": 1, "start": -1}, {"size": 1, "stop": 0}):
            with pytest.raises(VideoError):
                list(reader.chunks(**arguments))
        with pytest.raises(VideoError, match="counting starts at 0"):
            reader.frames([-1])
    with pytest.raises(VideoError, match="more than 0"):
        VideoReader(tmp_path, 0)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "frames", "new/deeper/a.mp4", "new/frames"])
def test_an_exception_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    def fail(writer: VideoWriter) -> None:
        with writer:
            writer.write(torch.rand(30, 3, 32, 32))
            raise KeyError

    with pytest.raises(KeyError):
        fail(VideoWriter(tmp_path / name, 25, (32, 32)))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(VideoError, match="no frame"), VideoWriter(tmp_path / name, 25, (32, 32)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_exception_keeps_the_older_result(tmp_path: Path) -> None:
    for name in ("a.mp4", "frames"):
        for attempt in range(2):
            try:
                with VideoWriter(tmp_path / name, 25, (32, 32)) as writer:
                    writer.write(torch.full((3, 3, 32, 32), 0.5))
                    if attempt:
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                pass
        with VideoReader(tmp_path / name) as reader:
            assert len(torch.cat(list(reader.chunks(9)))) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "frames"]


def test_bad_frames(tmp_path: Path) -> None:
    good = torch.rand(2, 3, 16, 16)
    for frames, words in (
        (good[:, :, :8], "this video takes"),
        (good[0], "this video takes"),
        (torch.where(good > 0.5, torch.nan, good), "NaN"),
        (good / 0, "NaN or infinity"),
    ):
        with pytest.raises(VideoError, match=words), VideoWriter(tmp_path / "a.mp4", 25, (16, 16)) as writer:
            writer.write(frames)
    assert list(tmp_path.iterdir()) == []


def test_bad_targets(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").touch()
    before = sorted(tmp_path.rglob("*"))
    for name, rate, size, words in (
        ("folder.mp4", 25, (8, 8), "is a folder"),
        ("file", 25, (8, 8), "is a file, a folder"),
        ("file/a.mp4", 25, (8, 8), "can't be written"),
        ("holiday", 25, (8, 8), "beach.jpg"),
        ("a.mkv", 25, (8, 8), "Use .mp4"),
        ("a.png", 25, (8, 8), "Use .mp4"),
        ("a.mp4", 0, (8, 8), "more than 0"),
        ("a.mp4", 25, (0, 8), "8x0 pixels"),
    ):
        with pytest.raises(VideoError, match=words):
            VideoWriter(tmp_path / name, rate, size)
    with pytest.raises(VideoError, match="can't be written"):
        VideoWriter("/proc/no/a.mp4", 25, (8, 8))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_closed_writer_takes_no_more(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 25, (16, 16)) as writer:
        writer.write(torch.rand(2, 3, 16, 16))
    with pytest.raises(VideoError, match="closed"):
        writer.write(torch.rand(2, 3, 16, 16))
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_leaving_a_walk_early_lets_go_of_the_file(tmp_path: Path, clip: Callable[[str], Path]) -> None:
    path = clip("a.mp4")
    with VideoReader(path) as reader:
        walk = reader.chunks(2)
        next(walk)
    assert list(walk) == []
