"""What strategies share that go by the order of the references' values: who takes part, and where shares are told."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import Evidence


def sampled(evidence: Evidence) -> Tensor:
    """The features' values in the middle of each cell of the confidence: [T,R,C,h,w], or all where they are no finer.

    Shares are told on that grid: at full size every reference's would be as large as its picture.
    """
    features = evidence.features
    down, across = (max(1, features.shape[axis] // evidence.confidence.shape[axis]) for axis in (-2, -1))
    return features[..., down // 2 :: down, across // 2 :: across]


def entitled(evidence: Evidence) -> list[Tensor]:
    """The features of each reference, R x [T,C,H,W]. Where the user's prior forbids a reference, it stands for the mean
    of the others, so that it shifts neither largest nor middle value much; where all are forbidden, none is."""
    features = evidence.features.unbind(1)
    allowed = evidence.prior > 0  # [T,R,1,h,w]
    allowed = allowed | ~allowed.any(1, keepdim=True)
    if allowed.all():
        return list(features)
    masks = [F.interpolate(own.to(features[0]), size=features[0].shape[-2:]) for own in allowed.unbind(1)]
    total, voters = torch.zeros_like(features[0]), torch.zeros_like(masks[0])
    for feature, mask in zip(features, masks):
        total.addcmul_(feature, mask)
        voters += mask
    mean = total.div_(voters)
    whole = allowed.flatten(2).all(2).all(0).tolist()
    return [
        feature if complete else torch.where(mask > 0, feature, mean)
        for feature, mask, complete in zip(features, masks, whole)
    ]
