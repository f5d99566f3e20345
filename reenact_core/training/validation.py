"""A quick look at clips that are not trained on: second halves rebuilt from first halves, as the pipeline does it.

It works on prepared clips, so it is fast enough to run during training; `reenact evaluate` is the real measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn

from ..decoding import decode
from ..evaluation.metrics import masked_mean
from ..evaluation.regions import crop, head_boxes, hull_masks, to_crop
from ..fusing import Smoothing, fuse_references
from ..fusion.base import FusionStrategy
from ..fusion.learned import Learned
from ..motion_models.face_mesh import FaceMesh
from ..references import pick_by_coverage
from ..types import DrivingMotion, References, Transfer
from ..warping import warp_per_reference
from .clips import Clip

FRAMES = 6  # measured per clip


@torch.inference_mode()
def validate(
    model: FaceMesh,
    clips: Sequence[Clip],
    perceptual: nn.Module,
    counts: Sequence[int],
    frames: int = FRAMES,
    strategy: FusionStrategy | None = None,
) -> dict[str, float]:
    """Head and face PSNR (dB) and head LPIPS for each R, means over clips; keys like "head_4", "lpips_4"."""
    scores: dict[str, list[float]] = {}
    for clip in clips:
        half = len(clip.frames) // 2
        driving = torch.linspace(half + 1, len(clip.frames) - 1, frames).round().long()
        picked = pick_by_coverage(clip.faces.at(slice(0, half)), max(counts))
        boxes = head_boxes(clip.faces.landmarks[driving])
        hulls = hull_masks(to_crop(clip.faces.landmarks[driving], boxes))
        truth = crop(clip.frames[driving].float() / 255, boxes)
        for count in counts:
            pictures = reconstruct(model, clip, picked[:count], driving, strategy or Learned())
            result = crop(pictures, boxes)
            error = (result - truth).square().mean(1, keepdim=True)
            device = model.device
            perceived = perceptual(result.to(device), truth.to(device)).mean()
            values = {
                "head": _decibel(error.mean((1, 2, 3))),
                "face": _decibel(masked_mean(error, hulls)),
                "lpips": float(perceived),
            }
            for name, value in values.items():
                scores.setdefault(f"{name}_{count}", []).append(value)
    return {name: sum(values) / len(values) for name, values in scores.items()}


def reconstruct(
    model: FaceMesh, clip: Clip, picked: Sequence[int], driving: Tensor, strategy: FusionStrategy
) -> Tensor:
    """The frames `driving` [T] of a clip made from its frames `picked`: [T,3,H,W] in [0,1]."""
    chosen = list(picked)
    images = clip.frames[chosen].float() / 255
    references = References(
        images=tuple(images),
        masks=tuple(torch.ones_like(images[:, :1])),
        faces=clip.faces.at(chosen),
        strengths=torch.ones(len(chosen)),
        labels=tuple(f"frame {index}" for index in chosen),
    )
    canvas = (images.shape[-2], images.shape[-1])
    motion = DrivingMotion(clip.faces.at(driving), canvas, Fraction(25), clip.faces.at([0]))
    warped = warp_per_reference(references, motion, model, Transfer.ABSOLUTE)
    fused = fuse_references(warped, strategy, Smoothing(0))
    return torch.cat([chunk.images.float().cpu() for chunk in decode(fused)])


def _decibel(errors: Tensor) -> float:
    """Mean PSNR of mean squared errors [T]."""
    return float(-10 * errors.clamp_min(1e-10).log10().mean())
