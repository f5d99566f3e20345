"""Frames out of a video container (mp4, webm, mov, mkv, avi, ...) by way of FFmpeg."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.reformatter import ColorRange
from torch import Tensor

from ..errors import VideoError
from .sources import Pixels
from .timing import Grid, fit_grid

logger = logging.getLogger(__name__)

# FFmpeg's fast path takes the nearest chroma sample and rounds coarsely (3/255 off); these flags of its scaler
# don't: bicubic, full chroma interpolation out and in, accurate rounding. Older PyAV has no names for them.
EXACT = 0x4 | 0x2000 | 0x4000 | 0x40000
FULL_RANGE, LIMITED_RANGE = int(ColorRange.JPEG), int(ColorRange.MPEG)
BT601, BT709 = 5, 1
# How a file names its matrix (ITU-T H.273 MatrixCoefficients) -> how the scaler names it.
_MATRICES = {1: BT709, 4: 4, 5: BT601, 6: BT601, 7: 7, 9: 9, 10: 9}
_DURATION = re.compile(r"(\d+):(\d+):([\d.]+)")
# The first frame shown is among this many first packets, however codecs reorder.
_REORDERED = 64
# FFmpeg renders text as terminal art and follows playlists to other files; neither is meant here.
_TEXTS = ("tty", "hls", "concat", "dash", "imf")
_ONLY_FILES = {"protocol_whitelist": "file"}


class _Index(NamedTuple):
    """What a walk over the packets of a file tells, without decoding."""

    times: list[float]  # seconds at which the frames are shown; short where a frame has no timestamp
    packets: int
    shown: int  # packets an edit list doesn't hide
    promised: int  # frames the file's own index tells of, 0 where it has none
    end: float | None  # seconds, end of the stream as noted by Matroska and WebM


def open_container(path: Path) -> InputContainer:
    """`path` opened by FFmpeg. Raises `VideoError` when its content is no video or audio it knows."""
    try:
        container = av.open(str(path.resolve()), options=_ONLY_FILES)
    except (FFmpegError, OSError, ValueError) as error:
        if path.is_file() and path.stat().st_size == 0:
            raise VideoError(f"{path}: is empty (0 bytes). Copy or export it again.") from error
        reason = getattr(error, "strerror", None) or str(error)
        raise VideoError(
            f"{path}: can't be read as a video ({reason}). "
            f"It is damaged or cut short, or no video at all; try playing it, then export it again."
        ) from error
    if container.format.name.split(",")[0] in _TEXTS:
        container.close()
        raise VideoError(f"{path}: is a text file or playlist. Give the video file itself.")
    return container


def first_frame_time(path: Path) -> Fraction:
    """Seconds at which the first picture of `path` is shown; 0 when it has no pictures or no timestamps."""
    times = []
    with open_container(path) as container:
        try:
            packets = container.demux(_video_stream(container, path))
            for packet in islice(packets, _REORDERED):
                if packet.pts is not None and not packet.is_discard:
                    times.append(packet.pts * packet.time_base)
        except (VideoError, FFmpegError) as error:
            logger.debug("%s: no time of a first frame (%s)", path, error)
    return min(times, default=Fraction(0))


class ContainerSource:
    """The first real video stream of a file: rotated as its metadata says, in RGB, full range."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_container(path) as container:
            stream = _video_stream(container, path)
            self.has_audio = bool(container.streams.audio)
            claims = [stream.average_rate, stream.base_rate, stream.guessed_rate]
            index = _index(container, stream)
        with closing(self._decode()) as decoded:
            first = next(decoded, None)
        if first is None:
            raise VideoError(f"{path}: none of its frames can be decoded. Copy or export it again.")
        self._coded = (first.width, first.height)
        # Asked once for all frames: the answer ties a frame into a reference cycle, so that its memory would
        # stay until the garbage collector comes by, hundreds of frames later.
        self._display_matrix = _display_matrix(first)
        pixels = self._pixels(first)
        self.height, self.width = pixels.shape[1:]
        if len(index.times) < index.shown:
            self.grid = fit_grid([0.0], claims)._replace(count=None)
        else:
            self.grid = fit_grid(index.times, claims)
        self._expected = _expected_frames(index, self.grid)

    def frames(self) -> Generator[tuple[float | None, Pixels], None, None]:
        decoded = 0
        for frame in self._decode():
            decoded += 1
            yield frame.time, partial(self._pixels, frame)
        if decoded < self._expected:
            logger.warning("%s: damaged, %d of %d frames could be decoded", self.path, decoded, self._expected)

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """All frames that decode; damaged packets are skipped."""
        with open_container(self.path) as container:
            stream = _video_stream(container, self.path)
            # Decoding several frames at once would lose good ones together with a damaged one.
            stream.thread_type = "SLICE"
            for packet in _packets(container, stream):
                try:
                    frames = stream.decode(packet)
                except FFmpegError as error:
                    logger.debug("%s: skipped a damaged packet (%s)", self.path, error)
                else:
                    yield from frames

    def _pixels(self, frame: av.VideoFrame) -> Tensor:
        """[3,H,W] uint8 of a decoded frame."""
        width, height = self._coded
        if frame.format.is_rgb or frame.format.name == "pal8":
            rgb = frame.reformat(width, height, "rgb24")
        else:
            matrix = _matrix(frame)
            rgb = frame.reformat(
                width,
                height,
                "rgb24",
                src_colorspace=matrix,
                # RGB has no matrix, but PyAV 14 ignores that of the source when both sides are named alike.
                dst_colorspace=BT601 if matrix == BT709 else BT709,
                src_color_range=_range(frame),
                dst_color_range=FULL_RANGE,
                interpolation=EXACT,
            )
        upright = _upright(rgb.to_ndarray(), self._display_matrix)
        return torch.from_numpy(upright).permute(2, 0, 1)


def _video_stream(container: InputContainer, path: Path) -> av.VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # cover art of a music file
            return stream
    raise VideoError(f"{path}: has no video stream. Give a file with pictures in it.")


def _packets(container: InputContainer, stream: av.VideoStream) -> Iterator[av.Packet | None]:
    """All packets that can be read; then an empty one or None, which makes a decoder hand out its last."""
    try:
        yield from container.demux(stream)
    except (FFmpegError, OSError) as error:
        logger.debug("%s: no further packets (%s)", container.name, error)
        yield None


def _index(container: InputContainer, stream: av.VideoStream) -> _Index:
    times: list[float] = []
    packets = shown = 0
    for packet in _packets(container, stream):
        if packet is None or not packet.size:
            continue
        packets += 1
        if packet.is_discard:
            continue
        shown += 1
        if packet.pts is not None and packet.time_base:
            times.append(float(packet.pts * packet.time_base))
    noted = _DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    end = None
    if noted is not None:
        end = int(noted[1]) * 3600 + int(noted[2]) * 60 + float(noted[3])
    return _Index(times, packets, shown, stream.frames, end)


def _expected_frames(index: _Index, grid: Grid) -> int:
    """How many frames an undamaged file would decode to."""
    promised = index.promised
    if not promised and index.end is not None and index.times and grid.constant:
        after_last = int((index.end - max(index.times)) * float(grid.rate) + 0.3)  # times are in milliseconds
        promised = index.packets + after_last - 1
    # A file may count the pauses between its frames, or frames cut away by an edit list: no damage.
    return promised if promised > max(index.packets, grid.count or 0) else index.shown


def _matrix(frame: av.VideoFrame) -> int:
    if frame.colorspace in _MATRICES:
        return _MATRICES[frame.colorspace]
    # Unmarked files follow the habit of players: high definition is BT.709, the rest BT.601.
    return BT709 if frame.width >= 1280 or frame.height > 576 else BT601


def _range(frame: av.VideoFrame) -> int:
    if frame.color_range in (FULL_RANGE, LIMITED_RANGE):
        return frame.color_range
    return FULL_RANGE if frame.format.name.startswith(("yuvj", "gray")) else LIMITED_RANGE


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """The four of its nine numbers that turn and mirror: row vectors, x right, y down, 16.16 fixed point."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), dtype=np.int32).tolist()
    return a, b, c, d


def _upright(rgb: np.ndarray, display_matrix: tuple[int, int, int, int]) -> np.ndarray:
    """[H,W,3] turned and mirrored by quarter turns; a rotation in between takes the nearest."""
    a, b, c, d = display_matrix
    if abs(b) > abs(a):
        rgb = rgb.transpose(1, 0, 2)
        mirrored_x, mirrored_y = c < 0, b < 0
    else:
        mirrored_x, mirrored_y = a < 0, d < 0
    if mirrored_x:
        rgb = rgb[:, ::-1]
    if mirrored_y:
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)
