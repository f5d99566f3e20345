"""Stage 3: what every reference shows of every driving frame, computed chunk by chunk on demand."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .halving import in_halves
from .motion_models.base import MotionModel
from .parallel import ahead
from .plausibility import weigh_references
from .pose_limits import uncovered
from .retargeting import Retargeting, Transfer, retarget
from .stopping import may_stop
from .types import DrivingMotion, Evidence, References

log = logging.getLogger(__name__)

MOST_FRAMES = 8  # frames computed together, before any out-of-memory halving
# Warped pictures of one chunk on the CPU: below 32 MB the C library reuses memory instead of mapping fresh pages,
# which costs more than the arithmetic. Measured with `reenact bench`.
CHUNK_BYTES = 26 << 20
LEAST_FRAMES = 2  # of a chunk on the CPU all the same: one alone takes an eighth longer with four references at 512 px
DEVICE_CHUNK_BYTES = 2 << 30  # the same on other devices, where only the room counts


class Memo:
    """Recent chunks of evidence within a byte budget, so that another strategy need not warp again."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._lock = Lock()  # chunks are computed on several threads
        self._chunks: OrderedDict[tuple[int, int], Evidence] = OrderedDict()

    def get(self, key: tuple[int, int]) -> Evidence | None:
        """The evidence kept for frames [start, stop), or None."""
        with self._lock:
            if key in self._chunks:
                self._chunks.move_to_end(key)
            return self._chunks.get(key)

    def put(self, key: tuple[int, int], evidence: Evidence) -> None:
        """Keep evidence; the oldest is dropped when the budget is exceeded. One over the budget is not kept."""
        if evidence.nbytes > self._budget:
            return
        with self._lock:
            self._chunks[key] = evidence
            while sum(kept.nbytes for kept in self._chunks.values()) > self._budget:
                self._chunks.popitem(last=False)


class WarpedReferences(NamedTuple):
    """The lazy result of `warp_per_reference`: everything needed to compute evidence for any frames."""

    model: MotionModel
    references: References
    motion: DrivingMotion  # on the output canvas
    encoded: Any  # the model's own view of the references
    boxes: Tensor  # [T,3] long, left top side on the canvas
    size: int  # working pixels per side of a box
    memo: Memo
    chunk: int  # frames per span
    notes: tuple[str, ...] = ()  # sentences about references that do not fit the others

    def evidence(self, start: int, stop: int) -> Evidence:
        """What the references show of frames [start, stop)."""
        may_stop()
        kept = self.memo.get((start, stop))
        if kept is None:
            kept = self._compute(start, stop)
            self.memo.put((start, stop), kept)
        return kept

    def all_evidence(self) -> Iterator[tuple[int, int, Evidence]]:
        """(start, stop, evidence) of all frames, span by span in order, computed ahead."""
        return ahead(lambda span: (*span, self.evidence(*span)), self.spans(), self.model.device)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Consecutive (start, stop) spans that cover all frames in chunks; none reaches across a cut."""
        for shot in self.motion.shot_spans():
            for start in range(shot.start, shot.stop, self.chunk):
                yield start, min(start + self.chunk, shot.stop)

    def only(self, frame: int) -> WarpedReferences:
        """The same for a single driving frame, whose evidence is kept."""
        frames = slice(frame, frame + 1)
        return self._replace(motion=self.motion.at(frames), boxes=self.boxes[frames], memo=Memo(1 << 40))

    @torch.inference_mode()
    def _compute(self, start: int, stop: int) -> Evidence:
        def warp(frames: slice) -> Evidence:
            return self.model.warp(self.encoded, self.motion.at(frames), self.boxes[frames], self.size)

        return in_halves(warp, stop - start, start)


@torch.inference_mode()
def warp_per_reference(
    references: References,
    motion: DrivingMotion,
    model: MotionModel,
    transfer: Transfer = Transfer.RELATIVE,
    size: int | None = None,
    memo_bytes: int = 0,
    chunk: int | None = None,
    retargeting: Retargeting | None = None,
    weigh: bool = True,
) -> WarpedReferences:
    """Prepare the dense warp of every reference to every driving frame; nothing is warped yet.

    Args:
        size: working pixels per side of the box around the head, at most the box's own side; None = the box's side,
            so that one working pixel is one canvas pixel. Models of one fixed size ignore it.
        memo_bytes: budget for keeping evidence between runs with different strategies.
        chunk: frames computed together; fewer take less memory and let the caller look up more often. None chooses.
        retargeting: what is taken over from the driver in relative transfer; None = the defaults.
        weigh: leave out or hold back references that do not fit the others (`plausibility`), and say so.
    """
    references, notes = weigh_references(references) if weigh else (references, ())
    for note in notes:
        log.warning("%s", note)
    may_stop()
    own = retarget(motion, references, transfer, retargeting)
    for note in uncovered(own.faces, references.faces):
        log.warning("%s", note)
    may_stop()
    boxes = model.place(own)
    side = int(boxes[0, 2])
    working = model.working_size(side, size)
    encoded = model.encode_references(references, own, side, working)
    chunk = chunk or _frames_per_chunk(model, len(references.images), working)
    return WarpedReferences(model, references, own, encoded, boxes, working, Memo(memo_bytes), chunk, notes)


def _frames_per_chunk(model: MotionModel, count: int, size: int) -> int:
    """How many frames to compute together."""
    least, budget = (LEAST_FRAMES, CHUNK_BYTES) if model.device.type == "cpu" else (1, DEVICE_CHUNK_BYTES)
    return min(MOST_FRAMES, max(least, budget // (model.bytes_per_pair(size) * count)))
