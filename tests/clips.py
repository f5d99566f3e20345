"""Small video files for the tests: any timestamps, a beep in the sound, a flash in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

SIZE = (64, 96)  # (H, W)


Colour = tuple[float, float, float]


def colour_of(index: int) -> Colour:
    """The colour that frame `index` (< 216) of a numbered clip is filled with."""
    red, green, blue = ((15 + 45 * (index // 6**place % 6)) / 255 for place in range(3))
    return red, green, blue


def shown(frames: torch.Tensor, count: int) -> list[int]:
    """Which frames of a numbered clip of `count` frames these [n,3,H,W] are."""
    known = torch.tensor([colour_of(index) for index in range(count)])
    return torch.cdist(frames.mean(dim=(2, 3)), known).argmin(dim=1).tolist()


def write_clip(
    path: Path,
    times: Sequence[float],
    colours: Sequence[Colour],
    *,
    codec: str = "libx264",
    sound: tuple[str, float, float] | None = None,
    size: tuple[int, int] = SIZE,
    ticks: int = 90000,
    pictures: bool = True,
) -> None:
    """Frames of one colour each at `times` seconds, rounded to 1/`ticks`.

    `sound` is (codec, start, beep): seconds at which it begins and beeps.
    """
    with av.open(str(path), "w") as container:
        if not pictures:
            audio = container.add_stream(sound[0], rate=48000)
            audio.codec_context.layout = "stereo"
            for frame in _beeping(sound[1], sound[2], max(times)):
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
            return
        stream = container.add_stream(codec, rate=25, options={} if codec == "mpeg4" else {"crf": "10"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, ticks)
        audio = container.add_stream(sound[0], rate=48000) if sound else None
        if audio is not None:
            audio.codec_context.layout = "stereo"
        for seconds, colour in zip(times, colours, strict=True):
            level = (np.broadcast_to(colour, (*size, 3)) * 255).round().astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(level, "rgb24")
            frame.pts, frame.time_base = round(seconds * ticks), Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None and audio is not None:
            for frame in _beeping(sound[1], sound[2], max(times) + 0.1):
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))


def _beeping(start: float, beep: float, end: float) -> list[av.AudioFrame]:
    seconds = start + np.arange(round((end - start) * 48000)) / 48000
    wave = 0.5 * np.sin(2 * np.pi * 1000 * seconds) * ((seconds >= beep) & (seconds < beep + 0.1))
    frames = []
    for first in range(0, len(wave), 1024):
        piece = wave[first : first + 1024].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([piece, piece]), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        frame.pts, frame.time_base = round(start * 48000) + first, Fraction(1, 48000)
        frames.append(frame)
    return frames


def beep_time(path: Path) -> float:
    """Seconds at which the sound of a file gets loud, on the clock of its container."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.abs(frame.to_ndarray().astype(np.float32)).reshape(-1)
            scale = 1 if frame.format.name.startswith("flt") else 32768
            if frame.format.is_packed:
                loud = loud[:: frame.layout.nb_channels]
            above = np.flatnonzero(loud[: frame.samples] > 0.2 * scale)
            if len(above):
                return float(frame.time) + above[0] / frame.sample_rate
    raise AssertionError(f"no beep in {path}")


def flash_time(path: Path) -> float:
    """Seconds at which the picture of a file first gets bright, on the clock of its container."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.to_ndarray(format="gray").mean() > 128:
                return float(frame.time)
    raise AssertionError(f"no flash in {path}")


def turn_track(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Put a, b, c, d of the display matrix (row vectors, x right, y down) into an mp4's first track."""
    raw = bytearray(path.read_bytes())
    place = raw.index(b"tkhd") + 44
    a, b, c, d = ((value << 16).to_bytes(4, "big", signed=True) for value in matrix)
    raw[place : place + 8] = a + b
    raw[place + 12 : place + 20] = c + d
    path.write_bytes(raw)
