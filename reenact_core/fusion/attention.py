"""Attention over references: the driving face asks, each reference answers with its own pose and expression.

Our reading of how few-shot vid2vid (https://arxiv.org/abs/1910.12713) and Implicit Warping
(https://arxiv.org/abs/2210.01794) fuse references: softmax over references of query times key, scaled.
The queries and keys here are measured, not learned: pose and expression per region of the face. Their product is
replaced by minus half the squared distance, from which it differs, for keys of one length, by a constant only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..types import Evidence
from .base import FusionStrategy, parameter, softmax_over_references


@dataclass(frozen=True)
class Attention(FusionStrategy):
    name = "attention"
    summary = "Each part of the face attends to the references that are most like it in pose and expression."

    temperature: float = parameter(
        0.5, 0.1, 5.0, "Distance, in clearly visible differences, within which references share a pixel."
    )
    visibility: float = parameter(
        3.0, 0.0, 10.0, "How much each pixel's confidence counts beside the likeness of its region."
    )

    def weights(self, evidence: Evidence) -> Tensor:
        """[T,R,1,h,w]; a pixel on the border of regions asks for a mixture of them. Without regions in the evidence
        the whole frame asks with its pose and expression."""
        confidence = evidence.confidence.float()
        if evidence.regions is None or evidence.differences is None:
            apart = evidence.distance.float()[:, :, None, None, None].expand_as(confidence)
        else:
            differences = evidence.differences.float().square()
            apart = torch.einsum("tghw,trg->trhw", evidence.regions.float(), differences)[:, :, None].sqrt()
        likeness = -0.5 * (apart / self.temperature).square()
        logits = likeness + self.visibility * confidence.clamp_min(1e-5).log()
        return softmax_over_references(logits, 1.0).to(evidence.confidence.dtype)
