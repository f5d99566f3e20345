"""Encoders: each takes uint8 [H,W,3] frames one at a time and writes them under a temporary name."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import av
import av.filter
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from PIL import Image

from ..errors import VideoError
from .audio import AudioFeed, open_audio
from .container import BT709, EXACT, FULL_RANGE, LIMITED_RANGE

logger = logging.getLogger(__name__)


class Encoder(Protocol):
    def add(self, frame: np.ndarray) -> None: ...

    def finish(self) -> None: ...

    def discard(self) -> None: ...


class Codec(NamedTuple):
    name: str
    options: dict[str, str]
    even: bool  # needs even width and height


_MPEG4 = Codec("mpeg4", {"qmin": "1", "qmax": "3"}, True)
_VP9_OPTIONS = {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "3", "row-mt": "1"}
# The first one that this build of FFmpeg has is used; builds without GPL parts lack libx264.
CODECS: dict[str, tuple[Codec, ...]] = {
    "mp4": (Codec("libx264", {"crf": "16", "preset": "medium"}, True), _MPEG4),
    "mov": (Codec("libx264", {"crf": "16", "preset": "medium"}, True), _MPEG4),
    "webm": (Codec("libvpx-vp9", _VP9_OPTIONS, False), Codec("libvpx", {"crf": "8", "b": "8M"}, False)),
}


class ContainerEncoder:
    """H.264 in mp4 and mov, VP9 in webm, with sound."""

    def __init__(self, file: Path, kind: str, rate: Fraction, size: tuple[int, int], audio_from: Path | None) -> None:
        self._rate, self._count = rate, 0
        self._audio: AudioFeed | None = None
        codec = _available(kind)
        height, width = size
        self._padding = ((0, height % 2), (0, width % 2), (0, 0)) if codec.even else ((0, 0),) * 3
        options = {"movflags": "+faststart"} if kind != "webm" else {}
        self._container = av.open(str(file.resolve()), "w", format=kind, options=options)
        try:
            stream = _video_stream(self._container, codec.name, rate, codec.options)
            stream.width = width + self._padding[1][1]
            stream.height = height + self._padding[0][1]
            stream.pix_fmt = "yuv420p"
            context = stream.codec_context
            context.time_base = 1 / rate
            context.color_range = LIMITED_RANGE
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.thread_type = "AUTO"
            self._stream = stream
            if audio_from is not None:
                self._audio = open_audio(audio_from, self._container, kind)
        except BaseException:
            self.discard()
            raise

    def add(self, frame: np.ndarray) -> None:
        if any(after for _, after in self._padding):
            frame = np.pad(frame, self._padding, mode="edge")
        picture = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(
            format="yuv420p",
            dst_colorspace=BT709,
            src_color_range=FULL_RANGE,
            dst_color_range=LIMITED_RANGE,
            interpolation=EXACT,
        )
        picture.pts, picture.time_base = self._count, 1 / self._rate
        self._container.mux(self._stream.encode(picture))
        self._count += 1
        if self._audio is not None:
            self._audio.advance(self._count / self._rate)

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        if self._audio is not None:
            self._audio.finish()
        self._container.close()

    def discard(self) -> None:
        if self._audio is not None:
            self._audio.close()
        _drop(self._container)


class GifEncoder:
    """An endless GIF with a palette of 256 colours for each frame."""

    _TICKS = 100  # the format's clock, per second
    _SHORTEST = 2  # ticks; viewers slow down anything shorter to ten frames per second

    def __init__(self, file: Path, rate: Fraction, size: tuple[int, int]) -> None:
        self._rate, self._count, self._last_tick = rate, 0, -self._SHORTEST
        height, width = size
        self._graph = _palette_graph(width, height)
        self._container = av.open(str(file.resolve()), "w", format="gif")
        self._stream = _video_stream(self._container, "gif", Fraction(self._TICKS), {})
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "pal8"
        self._stream.codec_context.time_base = Fraction(1, self._TICKS)
        if rate > self._TICKS // self._SHORTEST:
            logger.warning("%s frames per second are too many for a GIF; some are left out", float(rate))

    def add(self, frame: np.ndarray) -> None:
        tick = round(self._count * self._TICKS / self._rate)
        self._count += 1
        if tick < self._last_tick + self._SHORTEST:
            return
        self._last_tick = tick
        picture = av.VideoFrame.from_ndarray(frame, "rgb24")
        picture.pts, picture.time_base = tick, Fraction(1, self._TICKS)
        self._graph.push(picture)
        for packet in self._stream.encode(cast(av.VideoFrame, self._graph.pull())):
            packet.duration = max(round(self._TICKS / self._rate), self._SHORTEST)  # used for the last one
            self._container.mux(packet)

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def discard(self) -> None:
        _drop(self._container)


class StillsEncoder:
    """A folder of lossless PNG files, numbered from 000000."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        folder.mkdir()

    def add(self, frame: np.ndarray) -> None:
        Image.fromarray(frame).save(self._folder / f"{self._count:06d}.png", compress_level=4)
        self._count += 1

    def finish(self) -> None:
        """Every file is complete already."""

    def discard(self) -> None:
        """The folder belongs to the writer, which removes it."""


def _available(kind: str) -> Codec:
    choice = CODECS[kind]
    for codec in choice:
        if codec.name in av.codecs_available:
            if codec is not choice[0]:
                logger.warning("FFmpeg has no %s here; %s is used instead", choice[0].name, codec.name)
            return codec
    names = ", ".join(codec.name for codec in choice)
    raise VideoError(f".{kind} needs one of the codecs {names}, and FFmpeg has none here. Use a folder.")


def _video_stream(container: OutputContainer, codec: str, rate: Fraction, options: dict[str, str]) -> av.VideoStream:
    return cast(av.VideoStream, container.add_stream(codec, rate=rate, options=options))


def _palette_graph(width: int, height: int) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat("rgb24"), time_base=Fraction(1, 100))
    split = graph.add("split")
    palette = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    apply = graph.add("paletteuse", "new=1:dither=sierra2_4a")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(apply, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(apply, 0, 1)
    apply.link_to(sink)
    graph.configure()
    return graph


def _drop(container: OutputContainer) -> None:
    """Close a half-written container whose file is about to be removed."""
    try:
        container.close()
    except (FFmpegError, OSError, ValueError) as error:
        logger.debug("closing an unfinished file: %s", error)
