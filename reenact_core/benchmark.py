"""How fast each stage is and how much memory the whole takes, on a real clip, as times and as ratios."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .decoding import decode
from .errors import FaceError, ReenactError
from .fusing import FusedChunk, fuse_references
from .fusion.base import FusionStrategy
from .motion import encode_motion
from .motion_models.base import MotionModel
from .references import encode_references, pick_by_coverage
from .retargeting import Transfer
from .tracking import FaceTracker
from .types import Faces
from .video import VideoReader
from .warping import Memo, WarpedReferences, warp_per_reference

try:
    import resource
except ImportError:  # Windows has no such module
    resource = None

_RATE = Fraction(25)
STAGES = ("encode_references", "encode_motion", "warp_per_reference", "fuse_references", "decode", "render")
WHOLE = ("encode_motion", "render")  # what a driving frame costs a user
SAMPLED = 4  # chunks on which the three middle stages are timed one by one
MEASURED = 64  # driving frames per measurement; a shorter clip is played forth and back


def benchmark(
    clip: Path,
    model: MotionModel,
    strategy: FusionStrategy,
    counts: Sequence[int] = (1, 2, 4, 8),
    sizes: Sequence[int] = (256, 512, 1024),
    frame_counts: Sequence[int] = (),
    progress: Callable[[str], None] = lambda text: None,
) -> dict:
    """Time every stage for each R and frame size; figures are the best of two runs, in ms per frame of a driving video
    of MEASURED frames. To find the face in its first one is part of that.

    "render" is the stream of finished frames that a user gets: warp, fuse and decode of some chunks side by side,
    nothing kept. The three are also timed one by one on a few chunks, one chunk after the other with all threads on
    each: they show which costs what, and their sum may be more or less than "render". Frames per second are those of
    tracking and rendering.

    Frames are the clip's, cropped to a square around the head and resized, so that a size of 512 means a 512 x 512
    video; the head's box then takes what the clip's framing gives it. The first stage is per reference, once.

    Args:
        frame_counts: lengths for which peak memory is measured too (the clip is repeated); slow.
    """
    for name, values, least in (("reference counts", counts, 1), ("sizes", sizes, 64), ("lengths", frame_counts, 1)):
        if any(value < least for value in values):
            raise ReenactError(f"The {name} to measure are {list(values)}, but each must be at least {least}.")
    tracker = FaceTracker.load(model.device)
    rows = []
    frames, faces = _square_frames(clip, tracker)
    for size in sizes:
        video = F.interpolate(frames, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        for count in counts:
            progress(f"{size} px, {count} references")
            runs = [_measure(video, faces, count, model, strategy, tracker) for _ in range(2)]
            best = {stage: min(run[stage] for run in runs) for stage in STAGES}
            per_frame = sum(best[stage] for stage in WHOLE)
            rows.append(
                {
                    "size": size,
                    "references": count,
                    "ms": {stage: round(value, 2) for stage, value in best.items()},
                    "frames_per_second": round(1000 / per_frame, 2),
                    "peak_memory_mb": _peak_memory(),
                }
            )
    base = {row["size"]: row for row in rows if row["references"] == min(counts)}
    for row in rows:
        reference = base[row["size"]]
        row["time_against_fewest_references"] = round(reference["frames_per_second"] / row["frames_per_second"], 3)
    lengths = [_memory_over_length(frames, n, model, strategy, tracker, progress) for n in frame_counts]
    return {
        "schema": "reenact-bench/2",
        "machine": {
            "system": platform.platform(),
            "threads": torch.get_num_threads(),
            "device": str(model.device),
        },
        "model": model.name,
        "strategy": strategy.name,
        "rows": rows,
        "memory_over_length": lengths,
    }


def write_benchmark(result: dict, path: Path) -> None:
    """Write the result as JSON, beside the final name first."""
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text(json.dumps(result, indent=2) + "\n")
    partial.replace(path)


def _measure(
    video: Tensor,
    faces: Faces,
    count: int,
    model: MotionModel,
    strategy: FusionStrategy,
    tracker: FaceTracker,
) -> dict[str, float]:
    """Milliseconds per stage: per reference for the first, per driving frame for the others."""
    chosen = pick_by_coverage(faces, count)
    last = len(video) - 1
    driving = video[[last - abs(last - i % max(2 * last, 1)) for i in range(MEASURED)]]
    timer = _Timer(model.device)
    references = encode_references([video[i] for i in chosen], tracker)
    timer.lap("encode_references", max(count, 1))
    motion = encode_motion((driving[i : i + 8] for i in range(0, len(driving), 8)), _RATE, tracker, model)
    timer.lap("encode_motion", len(driving))
    warped = warp_per_reference(references, motion, model, Transfer.ABSOLUTE)
    timer.restart()
    for _ in decode(fuse_references(warped, strategy)):
        pass
    timer.lap("render", len(driving))
    few = SAMPLED * warped.chunk
    warped = warped._replace(motion=warped.motion.at(slice(0, few)), boxes=warped.boxes[:few], memo=Memo(1 << 40))
    frames = len(warped.boxes)
    with torch.inference_mode():
        timer.restart()
        for span in warped.spans():
            warped.evidence(*span)
        timer.lap("warp_per_reference", frames)
        chunks = [task() for task in fuse_references(warped, strategy).tasks()]
        timer.lap("fuse_references", frames)
        for _ in decode(_Fused(warped, chunks)):
            pass
        timer.lap("decode", frames)
    return timer.times


class _Fused(NamedTuple):
    """Chunks that are fused already."""

    warped: WarpedReferences
    made: list[FusedChunk]

    def chunks(self) -> Iterator[FusedChunk]:
        return iter(self.made)


def _memory_over_length(
    frames: Tensor,
    length: int,
    model: MotionModel,
    strategy: FusionStrategy,
    tracker: FaceTracker,
    progress: Callable[[str], None],
) -> dict:
    """Peak memory after streaming `length` frames (the clip repeated) through all stages."""
    progress(f"memory of {length} frames")
    small = F.interpolate(frames, size=(192, 192), mode="area")

    def stream() -> Iterable[Tensor]:
        for start in range(0, length, 8):
            yield small[[i % len(small) for i in range(start, min(start + 8, length))]]

    references = encode_references([small[0], small[len(small) // 2]], tracker)
    motion = encode_motion(stream(), _RATE, tracker, model)
    warped = warp_per_reference(references, motion, model, Transfer.ABSOLUTE)
    for _ in decode(fuse_references(warped, strategy)):
        pass
    return {"frames": length, "peak_memory_mb": _peak_memory()}


def _square_frames(clip: Path, tracker: FaceTracker) -> tuple[Tensor, Faces]:
    """Up to 64 frames cut to the largest square around the head, and their faces."""
    with VideoReader(clip) as reader:
        frames = torch.cat([chunk for _, chunk in zip(range(8), reader.chunks(8))])
    faces = Faces(*(torch.cat(f) for f in zip(*(part.cpu() for part in tracker.track_video([frames])))))
    if not faces.found.any():
        raise FaceError(f"{clip}: none of its first {len(frames)} frames shows a face. Give a talking-head video.")
    height, width = frames.shape[-2:]
    side = min(height, width)
    centre = faces.landmarks[faces.found, :, :2].mean((0, 1))
    left = int((centre[0] - side / 2).clamp(0, width - side))
    top = int((centre[1] - side / 2).clamp(0, height - side))
    return frames[:, :, top : top + side, left : left + side], faces


class _Timer:
    """Laps in milliseconds per unit of work."""

    def __init__(self, device: torch.device) -> None:
        self.times: dict[str, float] = {}
        self._device = device
        self._start = time.perf_counter()

    def restart(self) -> None:
        """What went on since the last lap counts for no stage."""
        self._start = time.perf_counter()

    def lap(self, stage: str, units: int) -> None:
        """End the current lap as `stage`, which did `units` of work."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self.times[stage] = (now - self._start) * 1000 / units
        self._start = time.perf_counter()


def _peak_memory() -> int | None:
    """Peak resident memory of this process in megabytes so far; None where the system does not tell."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20) if sys.platform == "darwin" else peak / (1 << 10))
