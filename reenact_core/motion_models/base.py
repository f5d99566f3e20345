"""The interface of a motion model and the registry that finds every model file by itself.

A motion model decides what warping and decoding mean. It turns references and driving motion into `Evidence`
(what each reference shows of each driving frame) and fused features into pictures. Everything between and around
it (fusion, smoothing, paste-back, video) is shared by all models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import ReenactError
from ..types import DrivingMotion, Evidence, Faces, References

_registry: dict[str, type[MotionModel]] = {}


class MotionModel(nn.Module, ABC):
    """Keypoints, dense warp and decoder of one family of models.

    The model works on a square box of the output canvas per frame, resampled to `size` pixels: boxes [T,3] long
    are (left, top, side) in canvas pixels and may reach beyond the canvas.
    """

    name: ClassVar[str]  # unique, lower case; what users type
    default_strategy: ClassVar[str] = "confidence"  # the fusion strategy that suits it best

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            _registry[cls.name] = cls

    @classmethod
    @abstractmethod
    def load(cls) -> MotionModel:
        """The model with the weights that ship in the package."""

    @property
    def device(self) -> torch.device:
        """Where the model's weights are, and so where its images have to go."""
        return next(chain(self.parameters(), self.buffers())).device

    def encode_driving(self, frames: Tensor, faces: Faces) -> Tensor | None:
        """The model's own motion code [T,D] of driving frames [T,3,H,W]; None where landmarks are all it needs."""
        return None

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
        """Pictures [T,3,size,size] in [0,1] from fused features [T,C,H,W]; runs once per frame."""

    def preview(self, encoded: Any, evidence: Evidence) -> Tensor:
        """Pictures [T,R,3,H,W] in [0,1] of what each reference contributes; models in feature space override it."""
        return evidence.features.clamp(0, 1)

    @abstractmethod
    def plate(self, encoded: Any, canvas: tuple[int, int]) -> Tensor:
        """The still picture [3,H,W] of the whole canvas into which the boxes are pasted."""


def model_names() -> list[str]:
    """Names of all motion models, sorted."""
    return sorted(_registry)


def load_model(name: str, device: torch.device | str = "cpu") -> MotionModel:
    """The motion model called `name` with the weights that ship in the package.

    Raises:
        ReenactError: there is none of that name.
    """
    if name not in _registry:
        raise ReenactError(f"There is no motion model {name!r}. Choose one of: {', '.join(model_names())}.")
    return _registry[name].load().to(device).eval()
