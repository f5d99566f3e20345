"""What one more reference does to each strategy: a good one, and three that do harm.

Three references are given; a fourth is added, and the frames are rebuilt again. A strategy that is worth using gains
from a good picture and is not spoiled by a bad one that a user overlooked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from . import metrics
from .networks import MetricNetworks
from .prepared import PreparedClip
from .regions import crop, head_boxes
from .stages import Stages

GIVEN = 3  # references before one is added
GOOD = "good"
OTHER_PERSON = "other person"
BLURRED = "blurred"
WRONG_LIGHT = "wrong light"
KINDS = (GOOD, OTHER_PERSON, BLURRED, WRONG_LIGHT)
_FRAMES = 4  # compared per clip
_BLUR = 0.02  # sigma in sides of the head's box: 5 px of 256
_SIDES = (0.4, 1.3)  # brightness at the left and at the right of the head
_TINT = (1.15, 1.0, 0.75)


@dataclass(frozen=True)
class AddedReference:
    """Change of the head crop's quality when a reference of one kind is added to three."""

    clip: str
    strategy: str
    kind: str  # of KINDS
    psnr: float  # dB, with it minus without it; below 0 = it costs
    lpips: float | None  # the same for LPIPS; above 0 = it costs


def measure_added(
    prepared: PreparedClip,
    strategies: Sequence[str],
    stages: Stages,
    networks: MetricNetworks,
    stranger: Tensor | None,
    step: Callable[[str], None],
) -> list[AddedReference]:
    """Rebuild some frames from three references, and from three and one more of each kind.

    Args:
        stranger: a picture [3,H,W] in [0,1] of somebody else; None leaves this kind out.
        step: called with what is done now, once per kind and once before them.
    """
    name, given = prepared.record.name, prepared.references
    if len(given) <= GIVEN:
        return []
    fourth = given[GIVEN]
    landmarks = prepared.motion.faces.landmarks[prepared.record.references[GIVEN]].cpu()
    pictures = {GOOD: fourth, BLURRED: blurred(fourth, landmarks), WRONG_LIGHT: lit_from_one_side(fourth, landmarks)}
    if stranger is not None:
        pictures[OTHER_PERSON] = stranger
    step(f"{GIVEN} references")
    before = _qualities(prepared, given[:GIVEN], strategies, stages, networks)
    found = []
    for kind in (kind for kind in KINDS if kind in pictures):
        step(f"{GIVEN} references and one {kind}")
        after = _qualities(prepared, [*given[:GIVEN], pictures[kind]], strategies, stages, networks)
        for strategy, (psnr, lpips) in after.items():
            old_psnr, old_lpips = before[strategy]
            change = None if lpips is None or old_lpips is None else lpips - old_lpips
            found.append(AddedReference(name, strategy, kind, psnr - old_psnr, change))
    return found


def blurred(image: Tensor, landmarks: Tensor) -> Tensor:
    """A picture [3,H,W] out of focus, by an amount that goes with the size of the face [478,3] in it."""
    side = float(head_boxes(landmarks[None]).side[0])
    pixels = image.permute(1, 2, 0).contiguous().cpu().numpy()
    soft = cv2.GaussianBlur(pixels, (0, 0), _BLUR * side, borderType=cv2.BORDER_REPLICATE)
    return torch.from_numpy(np.ascontiguousarray(soft.transpose(2, 0, 1))).to(image)


def lit_from_one_side(image: Tensor, landmarks: Tensor) -> Tensor:
    """A picture [3,H,W] in warm light from the right of the face [478,3] in it, dark at its left."""
    boxes = head_boxes(landmarks[None])
    columns = torch.arange(image.shape[2]) + 0.5
    share = ((columns - boxes.corner[0, 0]) / boxes.side[0]).clamp(0, 1)
    gain = _SIDES[0] + (_SIDES[1] - _SIDES[0]) * share
    return (image * gain.to(image) * torch.tensor(_TINT).view(3, 1, 1).to(image)).clamp(0, 1)


@torch.inference_mode()
def _qualities(
    prepared: PreparedClip,
    references: Sequence[Tensor],
    strategies: Sequence[str],
    stages: Stages,
    networks: MetricNetworks,
) -> dict[str, tuple[float, float | None]]:
    """PSNR and LPIPS of the head crop by strategy, means over some of the measured frames."""
    truth = prepared.truth
    sampled = truth.sampled.nonzero().flatten()
    chosen = sampled[torch.linspace(0, len(sampled) - 1, min(_FRAMES, len(sampled))).round().long()].tolist()
    real = torch.cat([crop(truth.images[i : i + 1].float() / 255, truth.boxes.at([i])) for i in chosen])
    found: dict[str, tuple[float, float | None]] = {}
    for strategy in strategies:
        chunks = stages.reconstruct(references, prepared.motion, [truth.indices[i] for i in chosen], strategy)
        frames = [frame for chunk in chunks for frame in chunk.clamp(0, 1).cpu().float()]
        made = torch.cat([crop(frame[None], truth.boxes.at([i])) for frame, i in zip(frames, chosen, strict=True)])
        lpips = None if networks.lpips is None else float(networks.lpips(made, real).mean())
        found[strategy] = (float(metrics.psnr(made, real).mean()), lpips)
    return found
