"""What a good picture is: reconstruction, edges, perceptual distance, honest confidence, a background that stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..motion_models.mesh_flows import BACKGROUND
from ..motion_models.mesh_network import NetworkOutput
from ..tracking.graph import GraphNet
from ..types import Evidence


@dataclass(frozen=True)
class LossWeights:
    """Share of each term in the total."""

    pixels: float = 1.0
    squares: float = 2.0
    edges: float = 1.0
    perceptual: float = 1.0
    before_refiner: float = 0.4
    each_reference: float = 0.25
    confidence: float = 0.05
    smoothness: float = 0.02
    still: float = 0.05
    exact_flow: float = 1.0  # of rendered clips: how far warps miss, in box sides
    hidden: float = 0.05  # of rendered clips: confidence in what a reference does not show
    landmarks: float = 0.0  # how far lips, lids and irises are read off their places, in sides of the tracker's crop


class Judges(NamedTuple):
    """Networks that judge pictures; they are not trained."""

    perceptual: nn.Module  # LPIPS: pictures, pictures -> [T]
    mesh: GraphNet | None = None  # landmarks, of `GraphNet.for_gradients`; None leaves them out


def pixel_loss(result: Tensor, truth: Tensor, emphasis: Tensor, weights: LossWeights) -> Tensor:
    """Loss of pictures [T,3,N,N]: absolute and squared error under `emphasis` [T,1,N,N], edges at three scales."""
    error = result - truth
    total = weights.pixels * (error.abs() * emphasis).mean() + weights.squares * (error.square() * emphasis).mean()
    for scale in (1, 2, 4):
        step = F.avg_pool2d(error, scale) if scale > 1 else error
        total = total + weights.edges * (step.diff(dim=-1).abs().mean() + step.diff(dim=-2).abs().mean())
    return total


def picture_loss(
    result: Tensor, truth: Tensor, emphasis: Tensor, perceptual: nn.Module, weights: LossWeights
) -> Tensor:
    """`pixel_loss` and LPIPS."""
    return pixel_loss(result, truth, emphasis, weights) + weights.perceptual * perceptual(result, truth).mean()


def warp_loss(evidence: Evidence, output: NetworkOutput, truth: Tensor, still: Tensor, weights: LossWeights) -> Tensor:
    """Every reference should land in place on its own, its confidence should say how well it did, and what stands
    still should be taken from where it stood.

    Args:
        truth: [T,3,N,N]. still: [T,R,G,G] where the background's own position is known to be right.
    """
    cells = output.confidence.shape[-1]
    looks = F.adaptive_avg_pool2d(evidence.features.flatten(0, 1), cells).unflatten(0, evidence.features.shape[:2])
    error = (looks - F.adaptive_avg_pool2d(truth, cells)[:, None]).abs().mean(2, keepdim=True)  # [T,R,1,n,n]
    deserved = torch.exp(-error.detach() / 0.08)
    honest = (output.confidence - deserved).square().mean()
    trusted = output.confidence.detach().clamp_min(0.1)
    landed = (error * trusted).sum() / trusted.sum()
    rough = output.shift.diff(dim=-1).abs().mean() + output.shift.diff(dim=-2).abs().mean()
    bent = (1 - output.contributions[:, :, BACKGROUND]) * still
    return (
        weights.each_reference * landed
        + weights.confidence * honest
        + weights.smoothness * rough * cells
        + weights.still * bent.mean()
    )
