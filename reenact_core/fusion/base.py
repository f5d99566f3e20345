"""The interface of a fusion strategy and the registry that finds every strategy file by itself.

A strategy is a frozen dataclass in a file of its own in this folder. Its fields are its hyper-parameters; the
`metadata` that `parameter` writes gives their range and tooltip, from which command-line flags, node widgets and
docs are made. It answers one question: which share of each pixel comes from which reference?
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ReenactError
from ..geometry import enlarge
from ..parameters import check_ranges
from ..parameters import parameter as parameter  # strategies find it here
from ..types import Evidence

LEAST_WEIGHT = 1e-12  # less is none: arithmetic near the end of float32's range slows a processor down a hundredfold

_registry: dict[str, type[FusionStrategy]] = {}


@dataclass(frozen=True)
class FusionStrategy(ABC):
    """Decides how the evidence of R references is combined."""

    name: ClassVar[str]  # unique, lower case; what users type
    summary: ClassVar[str]  # one sentence for help texts
    symmetric: ClassVar[bool] = True  # False where the order of the references has a meaning

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            _registry[cls.name] = cls

    def __post_init__(self) -> None:
        check_ranges(self, self.name)

    @property
    def label(self) -> str:
        """The name, and what is not at its default: "confidence, temperature 0.5"."""
        own = [item for item in fields(self) if getattr(self, item.name) != item.default]
        return ", ".join([self.name, *(f"{item.name} {getattr(self, item.name):g}" for item in own)])

    def check(self, count: int) -> None:  # noqa: B027 - most strategies take any number of references
        """Refuses hyper-parameters that do not fit `count` references, before any work; raises ReenactError."""

    def among(self, references: list[int]) -> FusionStrategy:
        """The strategy when only these references are left; another one where parameters name references."""
        return self

    @abstractmethod
    def weights(self, evidence: Evidence) -> Tensor:
        """Share of each reference: [T,R,B,y,x], >= 0, sum over R 1.

        B is 1, or C where every channel chooses for itself; (y, x) is (h, w), (H, W), or (1, 1) for whole frames.
        """

    def fuse(self, evidence: Evidence, weights: Tensor) -> Tensor:
        """Fused features [T,C,H,W], here the weighted sum; `weights` are this strategy's, after the user's prior
        and temporal smoothing."""
        return weighted_sum(evidence.features, weights)


def weighted_sum(features: Tensor, weights: Tensor) -> Tensor:
    """Sum over references of features [T,R,C,H,W] times weights [T,R,1|C,h,w] of any size: [T,C,H,W].

    One reference after the other, which spares a product, and weights, the size of all features.
    """
    (first, share), *more = zip(features.split(1, 1), weights.split(1, 1), strict=True)
    total = first * match_size(share, first)
    for feature, share in more:
        total = total.addcmul_(feature, match_size(share, feature))
    return total[:, 0]


def softmax_over_references(logits: Tensor, temperature: float) -> Tensor:
    """Softmax over axis 1 in float32, so that half precision cannot overflow at low temperatures."""
    return F.threshold((logits.float() / temperature).softmax(1), LEAST_WEIGHT, 0.0).to(logits.dtype)


def share_confidence(confidence: Tensor, temperature: float) -> Tensor:
    """Shares proportional to confidence [T,R,1,h,w] to the power 1 / temperature.

    A ratio of confidences decides, not their level, so that a frame that no reference shows well does not blur.
    """
    return softmax_over_references(confidence.float().clamp_min(1e-5).log(), temperature).to(confidence.dtype)


def match_size(weights: Tensor, features: Tensor) -> Tensor:
    """Weights [T,R,B,h,w] resized to the features' [T,R,B,H,W]. Bilinear resizing keeps a sum of 1."""
    size = features.shape[-2:]
    if weights.shape[-2:] == size or weights.shape[-2:] == (1, 1):
        return weights
    resized = enlarge(weights.flatten(0, 1), (size[0], size[1]))
    return resized.unflatten(0, weights.shape[:2])


def apply_prior(weights: Tensor, prior: Tensor) -> Tensor:
    """The strategy's weights times the user's prior, again a partition of unity.

    Where the prior rules out every reference that the strategy chose, the prior alone decides; where it rules out
    all of them the strategy's weights stay, because a pixel must come from somewhere.
    """
    if weights.shape[-2:] != prior.shape[-2:] and (1, 1) not in (weights.shape[-2:], prior.shape[-2:]):
        prior = match_size(prior, weights)
    size = torch.broadcast_shapes(weights.shape[-2:], prior.shape[-2:])
    weights, prior = weights.expand(*weights.shape[:3], *size), prior.expand(*prior.shape[:3], *size)
    combined = weights * prior
    total = combined.sum(1, keepdim=True)
    alone = prior.sum(1, keepdim=True)
    fallback = torch.where(alone > 1e-6, prior / alone.clamp_min(1e-6), weights)
    return torch.where(total > 1e-6, combined / total.clamp_min(1e-6), fallback)


def strategy_names() -> list[str]:
    """Names of all strategies, sorted."""
    return sorted(_registry)


def strategy_class(name: str) -> type[FusionStrategy]:
    """The strategy called `name`.

    Raises:
        ReenactError: there is none of that name.
    """
    if name not in _registry:
        raise ReenactError(f"There is no fusion strategy {name!r}. Choose one of: {', '.join(strategy_names())}.")
    return _registry[name]
