"""Sound: from the driving video into the result, in step with the frames."""

from __future__ import annotations

import logging
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError

from ..errors import VideoError
from .container import first_frame_time, open_container

logger = logging.getLogger(__name__)

# The codecs players expect to find in each kind of file; others are encoded anew.
_COPIED = {
    "mp4": ("aac", "mp3", "mp3float", "ac3", "eac3", "alac"),
    "mov": ("aac", "mp3", "mp3float", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le"),
    "webm": ("opus", "libopus", "vorbis", "libvorbis"),
}
_ENCODERS = {"mp4": ("aac", 192_000), "mov": ("aac", 192_000), "webm": ("libopus", 160_000)}
_OPUS_RATES = (48000,)
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)


class AudioFeed:
    """Feeds one audio stream into an output container, as far as its video has come.

    Sound that can't be read or stored any further is given up with a warning: a long render is worth more.
    """

    def __init__(
        self,
        source: InputContainer,
        stream: av.AudioStream,
        output: OutputContainer,
        target: av.AudioStream,
        copied: bool,
        start: Fraction,
    ) -> None:
        self._source, self._stream, self._output, self._target = source, stream, output, target
        self._copied, self._start = copied, start
        self._pieces = self._read()
        self._next: tuple[Fraction, av.Packet | av.AudioFrame] | None = None
        self._ended = False

    def advance(self, until: Fraction) -> None:
        """Store the sound that begins before `until`, in seconds after the first video frame."""
        while not self._ended:
            try:
                if self._next is None:
                    self._next = next(self._pieces, None)
                if self._next is None:
                    self._ended = True
                elif self._next[0] >= until:
                    return
                else:
                    self._store(self._next[1])
                    self._next = None
            except (FFmpegError, OSError) as error:
                logger.warning("%s: its sound ends early in the result (%s)", self._source.name, error)
                self._ended = True

    def finish(self) -> None:
        """Store what the audio encoder holds back and let go of the source."""
        if not self._copied:
            self._output.mux(self._target.encode(None))
        self.close()

    def close(self) -> None:
        self._pieces.close()
        self._source.close()

    def _read(self) -> Generator[tuple[Fraction, av.Packet | av.AudioFrame], None, None]:
        """Packets or decoded frames and their time in seconds, counted from the first video frame."""
        for packet in self._source.demux(self._stream):
            if not self._copied:
                for frame in packet.decode():
                    if frame.pts is not None and frame.time_base:
                        frame.pts -= round(self._start / frame.time_base)
                        yield frame.pts * frame.time_base, frame
            elif packet.size and packet.pts is not None and packet.time_base:
                shift = round(self._start / packet.time_base)
                packet.pts -= shift
                packet.dts = packet.pts if packet.dts is None else packet.dts - shift
                yield packet.pts * packet.time_base, packet

    def _store(self, piece: av.Packet | av.AudioFrame) -> None:
        if isinstance(piece, av.AudioFrame):
            self._output.mux(self._target.encode(piece))
        else:
            piece.stream = self._target
            self._output.mux(piece)


def open_audio(path: Path, output: OutputContainer, kind: str) -> AudioFeed | None:
    """The sound of the file `path` for an output of `kind` (mp4, mov, webm); None when it has none.

    Raises `VideoError` when the file can't be opened.
    """
    if path.is_dir():
        return None
    if not path.exists():
        raise VideoError(f"{path}: does not exist, the sound was to come from it. Check the path.")
    start = first_frame_time(path)
    source = open_container(path)
    if not source.streams.audio:
        source.close()
        return None
    stream = source.streams.audio[0]
    copied = stream.codec_context.name in _COPIED[kind]
    if copied:
        target = output.add_stream_from_template(stream)
    else:
        name, bit_rate = _ENCODERS[kind]
        rates = _OPUS_RATES if name == "libopus" else _AAC_RATES
        rate = stream.rate if stream.rate in rates else 48000
        target = cast(av.AudioStream, output.add_stream(name, rate=rate))
        target.codec_context.layout = "mono" if stream.channels == 1 else "stereo"
        target.codec_context.bit_rate = bit_rate
    return AudioFeed(source, stream, output, target, copied, start)
