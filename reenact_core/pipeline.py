"""Multi-reference face reenactment in five calls. Read this first.

images of one person          frames of a driving video
         |                              |
  encode_references              encode_motion
         |                              |
         +------ warp_per_reference ----+      what each reference shows of each frame
                        |
                 fuse_references               one strategy, one file in `fusion/`
                        |
                      decode                   once per frame, however many references
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from torch import Tensor

from .decoding import DecodedChunk, decode
from .fusing import Smoothing, fuse_references
from .fusion.base import FusionStrategy
from .motion import encode_motion
from .motion_models.base import MotionModel
from .references import encode_references
from .retargeting import Transfer
from .tracking import FaceTracker
from .warping import warp_per_reference


def reenact(
    reference_images: Sequence[Tensor],
    driving_chunks: Iterable[Tensor],
    frame_rate: Fraction,
    tracker: FaceTracker,
    model: MotionModel,
    strategy: FusionStrategy,
    transfer: Transfer = Transfer.RELATIVE,
    smoothing: Smoothing | None = None,
    size: int | None = None,
) -> Iterator[DecodedChunk]:
    """Make the person in the references follow the driving video.

    Args:
        reference_images: R tensors [3,H_r,W_r] in [0,1], of any sizes.
        driving_chunks: tensors [n,3,H,W] in [0,1], consecutive frames.
    """
    references = encode_references(reference_images, tracker)
    motion = encode_motion(driving_chunks, frame_rate, tracker, model)
    warped = warp_per_reference(references, motion, model, transfer, size)
    fused = fuse_references(warped, strategy, smoothing)
    return decode(fused)
