"""The interface of a motion model and the registry that finds every model file by itself.

A motion model decides what warping and decoding mean. It turns references and driving motion into `Evidence`
(what each reference shows of each driving frame) and fused features into pictures. Everything between and around
it (fusion, smoothing, paste-back, video) is shared by all models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..types import DrivingMotion, Evidence, Faces, References

Painter = Callable[[Tensor, tuple[Tensor, ...]], Tensor]  # fused features, fused levels -> pictures, as `decode`

_registry: dict[str, type[MotionModel]] = {}


class MotionModel(nn.Module, ABC):
    """Keypoints, dense warp and decoder of one family of models.

    The model works on a square box of the output canvas per frame, resampled to `size` pixels: boxes [T,3] long
    are (left, top, side) in canvas pixels and may reach beyond the canvas.
    """

    name: ClassVar[str]  # unique, lower case; what users type
    default_strategy: ClassVar[str] = "confidence"  # the fusion strategy that suits it best
    fuses_images: ClassVar[bool] = True  # False where features are no pictures and a decoder paints
    ships_weights: ClassVar[bool] = True  # False where users bring a checkpoint; it is then not offered by name

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            _registry[cls.name] = cls

    @classmethod
    @abstractmethod
    def load(cls) -> MotionModel:
        """The model with the weights that ship in the package; raises CheckpointError where none do."""

    @property
    def device(self) -> torch.device:
        """Where the model's weights are, and so where its images have to go."""
        return next(chain(self.parameters(), self.buffers())).device

    def working_size(self, side: int, size: int | None) -> int:
        """Pixels per side that the model paints for boxes of `side` canvas pixels; `size` is the user's wish."""
        return side if size is None else min(size, side)

    def bytes_per_pair(self, size: int) -> int:
        """About the memory that warping one reference to one frame takes."""
        return 12 * size**2

    def driving_box(self, faces: Faces) -> Tensor | None:
        """The square [3] long (left, top, side) of all driving frames of a clip that `encode_driving` looks at.

        Chosen by the first faces that are seen, of which at least one was found; None where landmarks are all the
        model needs of driving frames.
        """
        return None

    def encode_driving(self, frames: Tensor, box: Tensor) -> Tensor:
        """The model's own motion code [T,D], on the CPU, of the square `box` [3] of driving frames [T,3,H,W]."""
        raise NotImplementedError(f"{type(self).__name__} wants a driving box but does not encode driving frames")

    @abstractmethod
    def place(self, motion: DrivingMotion) -> Tensor:
        """Boxes [T,3] on the output canvas in which the model paints; `motion` is already this person's."""

    @abstractmethod
    def encode_references(self, references: References, motion: DrivingMotion, side: int, size: int) -> Any:
        """What the model keeps of the references, computed once. Boxes of `side` canvas pixels get `size` pixels."""

    @abstractmethod
    def warp(self, encoded: Any, motion: DrivingMotion, boxes: Tensor, size: int) -> Evidence:
        """Evidence for the T frames of `motion`, batched over frames and references."""

    @abstractmethod
    def decode(self, encoded: Any, features: Tensor, motion: DrivingMotion, boxes: Tensor) -> Tensor:
        """Pictures [T,3,size,size] in [0,1] from fused features [T,C,H,W]; runs once per frame.

        A model whose evidence has `levels` takes them, fused, as one more argument.
        """

    def painter(self) -> Painter | None:
        """`decode` for interactive previews: on the CPU, in a fraction of a second, with networks of its own.

        None where decoding takes longer.
        """
        return None

    def preview(self, encoded: Any, evidence: Evidence) -> Tensor:
        """Pictures [T,R,3,y,x] in [0,1] of what each reference contributes."""
        return (evidence.features if evidence.pictures is None else evidence.pictures).clamp(0, 1)

    @abstractmethod
    def plate(self, encoded: Any, motion: DrivingMotion) -> Tensor:
        """The whole canvas into which the boxes are pasted: one picture [1,3,H,W], or one per frame [T,3,H,W]."""


def registered_models() -> dict[str, type[MotionModel]]:
    """All motion models by name."""
    return dict(_registry)


def model_names() -> list[str]:
    """Names of the motion models whose weights ship in the package, sorted."""
    return sorted(name for name, kind in _registry.items() if kind.ships_weights)
