"""What a good picture is: reconstruction, edges, perceptual distance, and honest confidence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..motion_models.mesh_network import NetworkOutput
from ..types import Evidence


@dataclass(frozen=True)
class LossWeights:
    """Share of each term in the total."""

    pixels: float = 1.0
    edges: float = 1.0
    perceptual: float = 0.6
    each_reference: float = 0.25
    confidence: float = 0.05
    smoothness: float = 0.02


def picture_loss(result: Tensor, truth: Tensor, perceptual: nn.Module, weights: LossWeights) -> Tensor:
    """Loss of pictures [T,3,N,N]: absolute error weighted to the head's middle, edges at three scales, LPIPS."""
    emphasis = _middle(result.shape[-1]).to(result)
    total = weights.pixels * ((result - truth).abs() * emphasis).mean()
    for scale in (1, 2, 4):
        a, b = (F.avg_pool2d(x, scale) if scale > 1 else x for x in (result, truth))
        across = (a.diff(dim=-1) - b.diff(dim=-1)).abs().mean()
        down = (a.diff(dim=-2) - b.diff(dim=-2)).abs().mean()
        total = total + weights.edges * (across + down)
    return total + weights.perceptual * perceptual(result, truth).mean()


def warp_loss(evidence: Evidence, output: NetworkOutput, truth: Tensor, weights: LossWeights) -> Tensor:
    """Every reference should land in place on its own, and its confidence should say how well it did."""
    factor = evidence.features.shape[-1] // output.confidence.shape[-1]
    looks = F.avg_pool2d(evidence.features.flatten(0, 1), factor).unflatten(0, evidence.features.shape[:2])
    error = (looks - F.avg_pool2d(truth, factor)[:, None]).abs().mean(2, keepdim=True)  # [T,R,1,G,G]
    deserved = torch.exp(-error.detach() / 0.08)
    honest = (output.confidence - deserved).square().mean()
    trusted = output.confidence.detach().clamp_min(0.1)
    landed = (error * trusted).sum() / trusted.sum()
    rough = output.shift.diff(dim=-1).abs().mean() + output.shift.diff(dim=-2).abs().mean()
    rough = rough * output.shift.shape[-1]
    return weights.each_reference * landed + weights.confidence * honest + weights.smoothness * rough


def _middle(size: int) -> Tensor:
    """Weights [size,size] with mean 1, highest where the face is: faces matter more than corners."""
    axis = (torch.arange(size) + 0.5) / size - 0.5
    bump = torch.exp(-(axis[:, None].square() + axis[None].square()) / (2 * 0.22**2))
    emphasis = 0.5 + bump
    return emphasis / emphasis.mean()
