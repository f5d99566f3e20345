"""What fusion did, as pictures: whose pixel, how much of whom, where references contradict each other, and seams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .decoding.paste_back import paste
from .fusing import FusedChunk, FusedFrames
from .fusion.base import match_size, weighted_sum
from .previews import PALETTE, attribution
from .stopping import may_stop
from .types import Evidence
from .warping import WarpedReferences

STRONGEST_DISAGREEMENT = 0.25  # standard deviation that is shown white
STRONGEST_SEAM = 0.1  # change per pixel that is shown white
# Black, violet, orange, white: larger values are lighter, so that the map also reads in grey.
HEAT = ((0.0, 0.0, 0.0), (0.4, 0.1, 0.45), (0.95, 0.5, 0.15), (1.0, 1.0, 1.0))


class FusionPictures(NamedTuple):
    """Pictures of T fused frames, on the model's square."""

    attribution: Tensor  # [T,3,n,n] in [0,1] the references' colours, mixed by their weights
    weights: Tensor  # [T,R,n,n] 0..1, share of each reference; the mean over bands or channels
    disagreement: Tensor  # [T,1,n,n] >= 0, see `disagreement`
    seams: Tensor  # [T,1,n,n] >= 0, see `seam_energy`

    def shown(self) -> dict[str, Tensor]:
        """All as colour pictures in [0,1]: [T,3,n,n], the weights of all references side by side [T,3,n,R n]."""
        return {
            "attribution": self.attribution,
            "weights": tinted(self.weights),
            "disagreement": heat(self.disagreement / STRONGEST_DISAGREEMENT),
            "seams": heat(self.seams / STRONGEST_SEAM),
        }


def fusion_pictures(warped: WarpedReferences, evidence: Evidence, weights: Tensor) -> FusionPictures:
    """The pictures of frames with this evidence, fused with weights [T,R,B,y,x]."""
    looks = warped.model.preview(warped.encoded, evidence).float()  # [T,R,3,n,n]
    share = match_size(weights.float().mean(2, keepdim=True), looks).expand(-1, -1, -1, *looks.shape[-2:])
    confidence = match_size(evidence.claims.float(), looks)
    may_stop()
    apart = disagreement(looks, confidence)
    may_stop()
    seams = seam_energy(looks, share)
    may_stop()
    return FusionPictures(attribution(weights, looks.shape[-1]), share[:, :, 0], apart, seams)


def disagreement(looks: Tensor, confidence: Tensor) -> Tensor:
    """Where references that claim to show a pixel contradict each other: [T,1,y,x] in 0..0.5.

    The standard deviation over references, each counting by its confidence c times the user's prior, whatever the
    strategy does with them, averaged over the three channels f:

        v_r = c_r / sum c,   m = sum v_r f_r,   D = sqrt( mean over channels of sum v_r (f_r - m)^2 )

    Args:
        looks: [T,R,3,y,x] warped pictures. confidence: [T,R,1,y,x] >= 0.
    """
    shares = confidence / confidence.sum(1, keepdim=True).clamp_min(1e-6)
    mean = weighted_sum(looks, shares)
    return weighted_sum((looks - mean[:, None]).square().mean(2, keepdim=True), shares).sqrt()


def seam_energy(looks: Tensor, weights: Tensor) -> Tensor:
    """Edges of the fused picture that no reference has: [T,1,y,x] >= 0, change of colour per pixel.

    The gradient of a blend F = sum w_r f_r has two parts, sum w_r grad f_r, which the references have too, and
    sum f_r grad w_r, which comes from the change of weights alone. The second is the seam; as the weights sum to 1,
    it is S = | sum (f_r - F) grad w_r |, the length over x and y, averaged over the channels.

    Args:
        looks: [T,R,3,y,x] warped pictures. weights: [T,R,1,y,x], summing to 1.
    """
    apart = looks - weighted_sum(looks, weights)[:, None]
    slopes = torch.stack(torch.gradient(weights, dim=(-2, -1)), 2)  # [T,R,2,1,y,x]
    seam = (apart[:, :, None] * slopes).sum(1)  # [T,2,3,y,x]
    return seam.norm(dim=1).mean(1, keepdim=True)


def heat(values: Tensor) -> Tensor:
    """Values [T,1,y,x], 0 black to 1 white, as colours [T,3,y,x]."""
    colours = torch.tensor(HEAT).to(values)
    place = values.clamp(0, 1) * (len(HEAT) - 1)
    parts = [(1 - (place - number).abs()).clamp_min(0) * colour[:, None, None] for number, colour in enumerate(colours)]
    return torch.stack(parts).sum(0)


def tinted(weights: Tensor) -> Tensor:
    """Weights [T,R,y,x] side by side, each in the colour of its reference: [T,3,y,R x]."""
    colours = [torch.tensor(PALETTE[r % len(PALETTE)]).to(weights)[:, None, None] for r in range(weights.shape[1])]
    return torch.cat([weights[:, r, None] * colour for r, colour in enumerate(colours)], -1)


def on_canvas(pictures: Tensor, boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Pictures [T,C,n,n] where the boxes [T,3] lie on a black canvas (H, W): [T,C,H,W] in [0,1]."""
    whole = torch.ones(1, int(boxes[0, 2]), int(boxes[0, 2]))
    black = torch.zeros(pictures.shape[1], *canvas)
    return paste(black, pictures.float().cpu(), boxes, whole)[0].clamp(0, 1)


class WatchedFusion(NamedTuple):
    """Fused frames that somebody else looks at, chunk by chunk, before they are decoded."""

    fused: FusedFrames
    watch: Callable[[FusedChunk, Evidence], None]

    @property
    def warped(self) -> WarpedReferences:
        return self.fused.warped

    @torch.inference_mode()
    def chunks(self) -> Iterator[FusedChunk]:
        """The frames in order."""
        current: list[Evidence] = []

        def noted() -> Iterator[tuple[int, int, Evidence]]:
            for start, stop, evidence in self.warped.all_evidence():
                current[:] = [evidence]
                yield start, stop, evidence

        for chunk in self.fused.over(noted()):
            self.watch(chunk, current[0])
            yield chunk
