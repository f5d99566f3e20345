"""Where references are fused: in the model's features, in their warped pictures, or in both.

A model that fuses images has only the one space. Models with a decoder hand over the warped pictures beside their
features; fused without the decoder they keep the references' own detail, but nothing is filled in or corrected.
"""

from __future__ import annotations

from enum import Enum

import torch.nn.functional as F
from torch import Tensor

from .errors import ReenactError
from .motion_models.base import MotionModel
from .types import Evidence


class FusionSpace(Enum):
    """Where the strategy's weights are applied."""

    AUTO = "auto"  # where the model fuses by itself
    FEATURES = "features"  # feature maps, which the model's decoder turns into pictures
    IMAGES = "images"  # warped pictures; the decoder does nothing
    BOTH = "both"  # both, and where a reference shows a pixel well its own picture is laid over the decoded one

    def on(self, model: MotionModel | type[MotionModel]) -> FusionSpace:
        """AUTO where this is what the model does anyway, else IMAGES or BOTH.

        Raises:
            ReenactError: features are asked for, and the model has none.
        """
        if model.fuses_images and self in (FusionSpace.FEATURES, FusionSpace.BOTH):
            raise ReenactError(
                f"{model.name} fuses images and has no feature maps to fuse, but the fusion space is {self.value!r}. "
                "Choose 'auto' or 'images', or a model with a decoder (docs/models.md)."
            )
        own = FusionSpace.IMAGES if model.fuses_images else FusionSpace.FEATURES
        return FusionSpace.AUTO if self is own else self


def as_images(evidence: Evidence) -> Evidence:
    """Evidence whose features are the warped pictures [T,R,3,y,x]."""
    assert evidence.pictures is not None
    return evidence._replace(features=evidence.pictures, pictures=None, levels=None)


def trust(evidence: Evidence, share: Tensor) -> Tensor:
    """How much of the fused picture is laid over the decoded one, for weights [T,R,1,h,w]: [T,1,h,w] in 0..1.

    Sum over R of weight times confidence, where masks and the references' own borders leave something to show.
    """
    return (evidence.confidence * (evidence.prior > 0) * share).sum(1).clamp(0, 1)


def late_blend(painted: Tensor, pictures: Tensor, trusted: Tensor) -> Tensor:
    """Decoded frames with the fused pictures over them: trusted x picture + (1 - trusted) x painted.

    Args:
        painted: [T,3,n,n]. pictures: [T,3,y,x]. trusted: [T,1,h,w] in 0..1.
    """
    size = (painted.shape[-2], painted.shape[-1])
    return painted.lerp(resized(pictures, size).to(painted), resized(trusted, size).to(painted))


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures [T,C,y,x] as [T,C,*size], bilinear."""
    if pictures.shape[-2:] == size:
        return pictures
    return F.interpolate(pictures, size=size, mode="bilinear", align_corners=False)
