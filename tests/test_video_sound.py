"""Sound keeps its place beside the picture, whatever the container, the offset and the frame rate."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from reenact_core.errors import VideoError
from reenact_core.video import VideoReader, VideoWriter

from .clips import beep_time, flash_time, write_clip

STEADY = [index / 25 for index in range(50)]
VARYING = np.cumsum(np.random.default_rng(3).uniform(0.01, 0.07, 50)).tolist()


def clip_with_beep(path: Path, times: list[float], sound: str, start: float, **options: object) -> Path:
    """A white flash and a beep at second 1."""
    colours = [(0.9,) * 3 if 0.999 <= seconds < 1.2 else (0.1,) * 3 for seconds in times]
    write_clip(path, times, colours, sound=(sound, start, 1.0), **options)
    return path


def copy(source: Path, target: Path, stop: int | None = None) -> Path:
    with (
        VideoReader(source) as reader,
        VideoWriter(target, reader.info.frame_rate, (64, 96), audio_from=source) as writer,
    ):
        assert reader.info.has_audio
        for chunk in reader.chunks(7, stop=stop):
            writer.write(chunk)
    return target


def audio_codec(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.name


def audio_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize(
    ("source", "picture", "sound", "target", "expected"),
    [
        ("a.mp4", "libx264", "aac", "b.mp4", "aac"),
        ("a.mp4", "libx264", "aac", "b.mov", "aac"),
        ("a.mp4", "libx264", "aac", "b.webm", "opus"),
        ("a.webm", "libvpx-vp9", "libopus", "b.webm", "opus"),
        ("a.webm", "libvpx-vp9", "libopus", "b.mp4", "aac"),
        ("a.mkv", "libx264", "pcm_s16le", "b.mp4", "aac"),
        ("a.mkv", "libx264", "pcm_s16le", "b.mov", "pcm_s16le"),
    ],
)
def test_sound_stays_in_step(tmp_path: Path, source: str, picture: str, sound: str, target: str, expected: str) -> None:
    for offset, start in ((0.0, 0.0), (0.4, 0.0), (0.0, 0.6)):
        times = [offset + seconds for seconds in STEADY]
        original = clip_with_beep(tmp_path / source, times, sound, start, codec=picture)
        copied = copy(original, tmp_path / target)
        assert audio_codec(copied) == expected
        before = beep_time(original) - flash_time(original)
        after = beep_time(copied) - flash_time(copied)
        assert after == pytest.approx(before, abs=0.004), f"offset {offset}, start {start}"


def test_sound_is_copied_bit_by_bit(tmp_path: Path) -> None:
    original = clip_with_beep(tmp_path / "a.mp4", STEADY, "aac", 0.0)
    copied = audio_packets(copy(original, tmp_path / "b.mp4"))
    assert len(copied) > 80
    assert copied == audio_packets(original)[: len(copied)]


def test_sound_of_a_varying_frame_rate(tmp_path: Path) -> None:
    original = clip_with_beep(tmp_path / "a.mp4", VARYING, "aac", 0.0)
    copied = copy(original, tmp_path / "b.mp4")
    drift = (beep_time(copied) - flash_time(copied)) - (beep_time(original) - flash_time(original))
    assert abs(drift) < 0.05, "more than a frame off"


def test_sound_ends_with_the_frames(tmp_path: Path) -> None:
    original = clip_with_beep(tmp_path / "a.mp4", STEADY, "aac", 0.0)
    for name in ("b.mp4", "b.webm"):
        copied = copy(original, tmp_path / name, stop=30)
        with av.open(str(copied)) as container:
            end = max(frame.time + frame.samples / frame.sample_rate for frame in container.decode(audio=0))
        assert end == pytest.approx(30 / 25, abs=0.08)


def test_sources_without_sound(tmp_path: Path) -> None:
    write_clip(tmp_path / "silent.mp4", STEADY, [(0.5,) * 3] * 50)
    (tmp_path / "folder").mkdir()
    for source in ("silent.mp4", "folder"):
        with VideoWriter(tmp_path / "b.mp4", 25, (64, 96), audio_from=tmp_path / source) as writer:
            writer.write(torch.rand(3, 3, 64, 96))
        with VideoReader(tmp_path / "b.mp4") as reader:
            assert not reader.info.has_audio
    with pytest.raises(VideoError, match="sound was to come from it"):
        VideoWriter(tmp_path / "c.mp4", 25, (64, 96), audio_from=tmp_path / "missing.mp4")
    assert not (tmp_path / "c.mp4").exists()


def test_gif_and_folder_go_without_sound(tmp_path: Path) -> None:
    original = clip_with_beep(tmp_path / "a.mp4", STEADY, "aac", 0.0)
    for name in ("b.gif", "frames"):
        with VideoReader(copy(original, tmp_path / name)) as reader:
            assert not reader.info.has_audio


def test_broken_sound_costs_the_sound_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    original = clip_with_beep(tmp_path / "a.mkv", STEADY, "libopus", 0.0)
    whole = audio_packets(original)
    raw = original.read_bytes()
    for packet in whole[20:]:
        raw = raw.replace(packet, bytes([255]) * len(packet))
    original.write_bytes(raw)
    with VideoReader(copy(original, tmp_path / "b.mp4")) as reader:
        assert sum(len(chunk) for chunk in reader.chunks(9)) == 50


def test_the_result_may_replace_its_source(tmp_path: Path) -> None:
    original = clip_with_beep(tmp_path / "a.mp4", STEADY, "aac", 0.0)
    before = beep_time(original) - flash_time(original)
    copy(original, original)
    assert beep_time(original) - flash_time(original) == pytest.approx(before, abs=0.004)
