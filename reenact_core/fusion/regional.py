"""Every region of the face from the reference that suits it best, or from the one the user wants (ours; the idea of
photomontage, Agarwala et al. 2004, "Interactive Digital Photomontage", with regions in place of brushes)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ReenactError
from ..face_regions import REGIONS
from ..types import Evidence
from .base import FusionStrategy, parameter, softmax_over_references

MOST = 64  # references that can be named


def _pin(region: str) -> int:
    return parameter(0, 0, MOST, f"Number of the reference that {region} come from, counted from 1. 0: the best.", 1)


@dataclass(frozen=True)
class Regional(FusionStrategy):
    name = "regional"
    summary = "Eyes, mouth, skin, hair and background each come from the reference that suits them, or that you name."

    eyes: int = _pin("the eyes")
    mouth: int = _pin("mouth and lips")
    skin: int = _pin("skin, nose and brows")
    hair: int = _pin("hair and ears")
    background: int = _pin("background, neck and clothes")
    softness: float = parameter(0.3, 0.05, 5.0, "How softly references mix within a region: near 0 one takes it all.")
    visibility: float = parameter(1.0, 0.0, 10.0, "How much each pixel's own confidence counts within a region.")

    def check(self, count: int) -> None:
        for region in REGIONS:
            if getattr(self, region) > count:
                raise ReenactError(
                    f"regional: {region} is to come from reference {getattr(self, region)}, but there "
                    f"{'is' if count == 1 else 'are'} only {count}. Give a number from 1 to {count}, or 0."
                )

    def among(self, references: list[int]) -> Regional:
        pins = {region: getattr(self, region) - 1 for region in REGIONS}
        left = {region: references.index(pin) + 1 if pin in references else 0 for region, pin in pins.items()}
        return replace(self, **left)

    def weights(self, evidence: Evidence) -> Tensor:
        """[T,R,1,h,w]. A region's choice is a softmax over references of minus its difference from the driving frame,
        plus the logarithm of the confidence. Without regions in the evidence the frame is one region, of skin."""
        confidence = evidence.confidence.float().clamp_min(1e-5)
        frames, count = confidence.shape[:2]
        if evidence.regions is None or evidence.differences is None:
            regions = torch.zeros(frames, len(REGIONS), *confidence.shape[-2:], device=confidence.device)
            regions[:, REGIONS.index("skin")] = 1
            differences = evidence.distance.float()[:, :, None].expand(-1, -1, len(REGIONS))
        else:
            regions, differences = evidence.regions.float(), evidence.differences.float()
        shown = torch.einsum("tghw,trhw->trg", regions, confidence.log()[:, :, 0])
        shown = shown / regions.sum((2, 3))[:, None].clamp_min(1e-3)
        choice = (shown - differences) / self.softness  # [T,R,G]
        logits = choice[..., None, None] + self.visibility * confidence.log()  # [T,R,G,h,w]
        shares = softmax_over_references(logits, 1.0)
        for number, region in enumerate(REGIONS):
            if 0 < getattr(self, region) <= count:
                pinned = torch.tensor(getattr(self, region) - 1, device=shares.device)
                shares[:, :, number] = F.one_hot(pinned, count).to(shares)[None, :, None, None]
        return torch.einsum("trghw,tghw->trhw", shares, regions)[:, :, None].to(evidence.confidence.dtype)
