"""Stage 5: run the model's decoder once per frame and lay the result into the full picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..fusing import FusedChunk
from ..fusion_space import late_blend, resized
from ..halving import in_halves
from ..parallel import ahead
from ..stopping import may_stop
from ..warping import WarpedReferences
from .paste_back import box_mask, paste


class DecodedChunk(NamedTuple):
    """Finished frames [start, stop)."""

    start: int
    stop: int
    images: Tensor  # [T,3,H,W] in [0,1] on the output canvas
    masks: Tensor  # [T,1,H,W] in [0,1], 1 = painted by the model
    crops: Tensor  # [T,3,size,size] in [0,1], the model's own picture of each box


class Fused(Protocol):
    """What decoding needs: fused chunks in order."""

    @property
    def warped(self) -> WarpedReferences: ...

    def chunks(self) -> Iterator[FusedChunk]: ...


@runtime_checkable
class FusedInTasks(Protocol):
    """The same, where each chunk may be made on a thread of its own, as those of FusedFrames."""

    @property
    def warped(self) -> WarpedReferences: ...

    def tasks(self) -> Iterator[Callable[[], FusedChunk]]: ...


@torch.inference_mode()
def decode(fused: Fused | FusedInTasks, feather: float = 0.08) -> Iterator[DecodedChunk]:
    """Finished frames in order, a chunk at a time.

    Args:
        feather: width of the soft rim inside each box, as a share of its side, 0..0.5.
    """
    warped = fused.warped
    mask = box_mask(int(warped.boxes[0, 2]), feather)

    def paint(chunk: FusedChunk) -> tuple[Tensor, Tensor, Tensor]:
        frames = slice(chunk.start, chunk.stop)
        motion, boxes = warped.motion.at(frames), warped.boxes[frames]
        if chunk.pictures is not None and chunk.trusted is None:
            crops = resized(chunk.pictures, (warped.size, warped.size)).clamp(0, 1)
        else:
            levels = () if chunk.levels is None else (chunk.levels,)
            crops = warped.model.decode(warped.encoded, chunk.features, motion, boxes, *levels)
            if chunk.pictures is not None and chunk.trusted is not None:
                crops = late_blend(crops, chunk.pictures, chunk.trusted).clamp(0, 1)
        may_stop()
        plate = warped.model.plate(warped.encoded, motion)
        may_stop()
        images, masks = paste(plate, crops, boxes, mask.to(plate))
        return images, masks, crops

    @torch.inference_mode()
    def finish(chunk: FusedChunk) -> DecodedChunk:
        may_stop()
        painted = in_halves(lambda frames: paint(chunk.at(frames)), chunk.stop - chunk.start)
        return DecodedChunk(chunk.start, chunk.stop, *painted)

    if isinstance(fused, FusedInTasks):
        return ahead(lambda task: finish(task()), fused.tasks(), warped.model.device)
    return map(finish, fused.chunks())
