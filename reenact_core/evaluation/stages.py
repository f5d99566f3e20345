"""What an evaluation is given: clips, and the stages of the method under test as plain callables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple, Protocol

from torch import Tensor

from ..types import DrivingMotion, Faces
from .measuring import Track


class Clip(Protocol):
    """A video as the protocols need it."""

    @property
    def name(self) -> str: ...
    @property
    def frame_rate(self) -> Fraction: ...
    def chunks(self) -> Iterator[Tensor]:
        """All frames in order, chunks [n,3,H,W] in [0,1]."""
        ...

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """The frames [3,H,W] in [0,1] at ascending indices."""
        ...


class Stages(NamedTuple):
    """What is evaluated, as callables."""

    # All frames of a clip -> its motion.
    encode_motion: Callable[[Iterator[Tensor], Fraction], DrivingMotion]
    # (faces of the candidates, count) -> indices in order of choice; fewer where there are not enough.
    pick: Callable[[Faces, int], list[int]]
    # (R references [3,H,W], motion of the whole clip, ascending frame numbers, strategy) -> chunks
    # [n,3,H,W], one frame for each frame number. In absolute mode where a clip is rebuilt from itself.
    reconstruct: Callable[[Sequence[Tensor], DrivingMotion, Sequence[int], str], Iterator[Tensor]]
    track: Track
