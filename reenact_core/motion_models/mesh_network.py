"""The network of the face-mesh model: which candidate flow, which reference, how far to trust it, what to mend.

`MeshNetwork` runs once per (driving frame, reference) pair, whatever the picture's resolution, and sees all references
of a frame together: first on a GRID x GRID map over the frame's box, then on a map of FINE x FINE cells, where it looks
at every reference as it would be warped, beside the mixture of all. Contributions over candidate flows are the
first-order motion model's dense motion (https://arxiv.org/abs/2003.00196, section 3.2); the scores per frequency band
follow multi-band blending (Burt and Adelson 1983): low frequencies may be averaged, high ones want one source.
`mesh_refiner` mends the fused picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from .. import geometry
from .mesh_flows import COUNT, FINER, MESH
from .mesh_layers import BesideConv, FromTwo, channels_last, merge, norm, norm_block

GRID = 64
FINE = FINER * GRID
BANDS = 3  # scores for frequencies below GRID, between GRID and 2 GRID, and above
DECISION = (15.0, 144.0, 960.0)  # factor on the logits of each band: averaging blurs, most of all in the high band
INPUTS = COUNT * 3 + COUNT * 2 + 1 + 1 + 1 + 3 + 2 + 3
FOLLOW = (4.0, 4.0, 8.0)  # power of the low band's weights that each band takes where references disagree
LEAST = -20.0  # logarithm of the least weight that counts
DISAGREE = (0.004, 0.012)  # squared difference of references from their mixture where that begins, and is complete
RESIDUAL_REACH = 0.06  # largest learned correction of the deformation, in box sides
QUIET = 0.1  # share of the greatest strength below which a reference has no influence on the others
HANDED = 16  # channels handed from the coarse map to the fine one
DETAIL = 24  # channels on the fine map
CONTEXT = DETAIL + 1 + 2  # what the refiner is told: detail, squared distance from the consensus, openings


class NetworkOutput(NamedTuple):
    """What the network (or the rules in its place) decides for T frames and R references.

    The grid is FINE where the network decides and GRID where the rules do: n x n.
    """

    contributions: Tensor  # [T,R,COUNT,G,G] softmax over candidates, on the coarse grid
    shift: Tensor  # [T,R,2,n,n] correction of the deformation, in box sides
    deformation: Tensor  # [T,R,n,n,2] where to look in each reference, normalised
    scores: Tensor | None  # [T,R,BANDS,n,n] fusion logits; the rules have none
    confidence: Tensor  # [T,R,1,n,n] 0..1
    context: Tensor | None  # [T,R,CONTEXT,n,n] for the refiner; the rules have none


class NetworkInputs(NamedTuple):
    """Everything the network is told about T frames and R references."""

    maps: Tensor  # [T,R,INPUTS,G,G] candidates' looks and geometry, see `network_inputs`
    grids: Tensor  # [T,R,COUNT,G,G,2] candidate positions, normalised in the reference
    mesh: Tensor  # [T,R,FINE,FINE,2] the mesh candidate on the fine grid, normalised
    openings: Tensor  # [T,2,FINE,FINE] 1 inside the driving lips, eyelids
    pictures: Tensor  # [R,3,h,w] references with about one pixel per fine cell
    per_box: Tensor  # [R,1,1,2] normalised reference units (x, y) that one box side spans, for shifts

    def of(self, references: list[int]) -> NetworkInputs:
        """Some of the references."""
        shared = {"openings": self.openings, "pictures": self.pictures[references], "per_box": self.per_box[references]}
        return NetworkInputs(self.maps[:, references], self.grids[:, references], self.mesh[:, references], **shared)


class MeshNetwork(nn.Module):
    """A U-Net over pairs with a view of the other references, then registration to their consensus on a finer grid."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        fine, middle, deep = width, 3 * width, 4 * width  # channels at GRID, GRID / 2, and below
        self.enter = norm_block(INPUTS, fine)
        self.down1 = norm_block(fine, middle, stride=2)
        self.down2 = norm_block(middle, deep, stride=2)
        self.down3 = norm_block(deep, deep, stride=2)
        self.joint = FromTwo(BesideConv(3 * deep, deep), *norm(deep))
        self.up2 = merge(2 * deep, deep)
        self.up1 = merge(deep + middle, middle)
        self.up0 = merge(middle + fine, fine)
        self.first = nn.Conv2d(fine, COUNT + 2 + BANDS + 1, 3, padding=1)
        self.hand = nn.Conv2d(fine, HANDED, 1)
        self.register = nn.Sequential(
            nn.Conv2d(HANDED + 9 + 2 + 2, DETAIL, 3, padding=1),
            nn.SiLU(inplace=True),
            nn.Conv2d(DETAIL, DETAIL, 3, padding=1),
            nn.SiLU(inplace=True),
        )
        self.second = nn.Conv2d(DETAIL, 2 + BANDS + 1, 3, padding=1)
        for parameter in (*self.first.parameters(), *self.second.parameters()):
            nn.init.zeros_(parameter)
        with torch.no_grad():
            self.first.get_parameter("bias")[MESH] = 1.0  # begin as the mesh's own flow

    def forward(self, inputs: NetworkInputs) -> NetworkOutput:
        """One decision per pair."""
        frames, count = inputs.maps.shape[:2]

        def pairs(maps: Tensor) -> Tensor:  # [T*R,C,h,w] -> [T,R,C,h,w]
            return maps.unflatten(0, (frames, count))

        x = self._trunk(inputs.maps.flatten(0, 1), count)
        first = _head(self.first, x)
        contributions = first[:, :COUNT].softmax(1)
        shift = RESIDUAL_REACH * torch.tanh(first[:, COUNT : COUNT + 2])

        # On the fine grid the mesh's own flow is known better than the coarse one says. Positions are kept as planes
        # [T,R,2,n,n] of x and y, which the processor reads in one go.
        per_box = inputs.per_box.movedim(-1, 1)
        coarse = mix_candidates(inputs.grids, pairs(contributions))
        known = torch.cat([coarse, inputs.grids[:, :, MESH]], -1).flatten(0, 1).permute(0, 3, 1, 2)
        fine = pairs(_finer(torch.cat([known, contributions[:, MESH : MESH + 1], shift, first[:, COUNT + 2 :]], 1)))
        place, mesh, drawn, shift, logits = fine.split([2, 2, 1, 2, BANDS + 1], 2)
        place = place + drawn * (inputs.mesh.movedim(-1, 2) - mesh) + shift * per_box

        # Second look: every reference as it would be warped now, beside the mixture of all.
        looks = sample_each(inputs.pictures, place.movedim(2, -1))  # [T,R,3,F,F]
        consensus = (looks * logits[:, :, :1].softmax(1)).sum(1, keepdim=True)
        apart = looks - consensus
        openings = inputs.openings[:, None].expand(-1, count, -1, -1, -1)
        pulled = stretch(place.movedim(2, -1).detach(), inputs.per_box)
        beside = torch.cat([looks, consensus.expand_as(looks), apart, openings, pulled], 2).flatten(0, 1)
        detail = self.register(_beside(_finer(self.hand(x)), beside))
        # A small correction: it bears half precision.
        second = pairs(self.second(detail).to(first.dtype, memory_format=torch.contiguous_format))
        correction = 0.5 * RESIDUAL_REACH * torch.tanh(second[:, :, :2])
        place = place + correction * per_box
        logits = logits + second[:, :, 2:]
        told = torch.cat([apart.square().mean(2, keepdim=True), openings], 2).flatten(0, 1)
        return NetworkOutput(
            contributions=pairs(contributions),
            shift=shift + correction,
            deformation=place.movedim(2, -1),
            scores=logits[:, :, :BANDS] * logits.new_tensor(DECISION)[:, None, None],
            confidence=torch.sigmoid(4 * logits[:, :, BANDS:]),
            context=pairs(_beside(detail, told)),
        )

    def _trunk(self, x: Tensor, count: int) -> Tensor:
        """Features [T*R,width,G,G] of pairs, `count` references per frame."""
        skip0 = self.enter(x.contiguous(memory_format=torch.channels_last))
        skip1 = self.down1(skip0)
        skip2 = self.down2(skip1)
        deep = self.down3(skip2)
        others = [reduce(deep, "(t r) c h w -> t c h w", how, r=count) for how in ("mean", "max")]
        deep = self.joint(deep, torch.cat(others, 1))
        return self.up0(self.up1(self.up2(deep, skip2), skip1), skip0)


def decide(network: MeshNetwork, inputs: NetworkInputs, strengths: Tensor) -> NetworkOutput:
    """The network's decisions; it sees all references of a frame together, but those of hardly any strength [R] have no
    influence on what it decides about the others."""
    loud = (strengths >= QUIET * strengths.max()).cpu()
    output = network(inputs)
    if bool(loud.all()):
        return output
    chosen = loud.nonzero()[:, 0].tolist()
    for all_pairs, pairs in zip(output, network(inputs.of(chosen))):
        all_pairs[:, chosen] = pairs
    return output


def follow_low_band(scores: Tensor, apart: Tensor) -> Tensor:
    """Scores [T,R,BANDS,n,n] with which all bands come from where the coarse picture mostly comes from, if references
    disagree.

    Elsewhere each band chooses for itself. But where the outlines of hair, ears or glasses lie apart in two references,
    detail of the one upon coarse colours of the other would be a second contour beside the first, and the mean of
    their coarse colours a shadow.

    Args:
        apart: [T,R,1,n,n] squared distance of each reference from the mixture of all.
    """
    weights = scores[:, :, :1].log_softmax(1).clamp_min(LEAST)
    disagreement = geometry.widen((weights.exp() * apart).sum(1))[:, None]  # [T,1,1,n,n]
    share = ((disagreement - DISAGREE[0]) / (DISAGREE[1] - DISAGREE[0])).clamp(0, 1)
    return scores.lerp(weights * weights.new_tensor(FOLLOW)[:, None, None], share.expand_as(scores))


def network_inputs(
    grids: Tensor, coarse: Tensor, person: Tensor, usable: Tensor, flows_maps: Tensor, turn: Tensor
) -> Tensor:
    """Everything the network sees, [T,R,INPUTS,G,G].

    Args:
        grids: [T,R,COUNT,G,G,2]. coarse: [R,3,h,w]. person, usable: [R,1,h,w].
        flows_maps: [T,R,8,G,G] inside, residual, facing, normals, head coordinates.
        turn: [T,R,3] rotation from driving to reference head, radians.
    """
    candidates, height, width = grids.shape[2:5]
    stacked = torch.cat([coarse, person, usable], 1)  # [R,5,h,w]
    tall = rearrange(grids, "t r k h w c -> t r (k h) w c")
    looks = sample_each(stacked, tall, "zeros")  # [T,R,5,K*G,G]
    looks = rearrange(looks, "t r c (k h) w -> t r (k c) h w", k=candidates)
    spread = turn[..., None, None].expand(-1, -1, -1, height, width)
    return torch.cat([looks, flows_maps, spread], 2)


def mix_candidates(grids: Tensor, contributions: Tensor) -> Tensor:
    """Deformation [T,R,G,G,2]: candidates [T,R,K,G,G,2] mixed by contributions [T,R,K,G,G]."""
    return (grids * contributions[..., None]).sum(2)


def stretch(place: Tensor, per_box: Tensor) -> Tensor:
    """How far positions [T,R,n,n,2] pull a reference apart: logarithms of area and of mean length, [T,R,2,n,n].

    Negative where few of its pixels fill many cells, as when a closed eye is opened; what is shown there is no detail.
    0 where one box side of the reference fills one box side; `per_box` as in `NetworkInputs`.
    """
    cells = (place * (place.shape[-2] / per_box)).movedim(-1, 2)  # [T,R,2,n,n]
    across, down = cells.diff(dim=4), cells.diff(dim=3)
    across, down = torch.cat([across, across[..., -1:]], 4), torch.cat([down, down[..., -1:, :]], 3)
    area = across[:, :, 0] * down[:, :, 1] - across[:, :, 1] * down[:, :, 0]
    length = (across.square() + down.square()).sum(2) / 2
    return torch.stack([area.clamp(1e-2, 1e2).log(), length.clamp(1e-2, 1e2).log() / 2], 2)


def sample_each(images: Tensor, deformation: Tensor, padding: str = "border") -> Tensor:
    """Images [R,C,H,W] each looked up by its own deformations [T,R,h,w,2]: [T,R,C,h,w].

    One look-up for all: to repeat the images for every frame costs less than to put frames together afterwards.
    """
    frames = len(deformation)
    repeated = images if frames == 1 else images.repeat(frames, 1, 1, 1)
    looks = geometry.sample(repeated, deformation.flatten(0, 1), padding)
    return looks.unflatten(0, deformation.shape[:2])


def _head(head: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution whose results are decisions and positions: in full precision, whatever that of x [N,C,G,G].

    Its few channels are read apart from each other, so they do not stay channels last.
    """
    with torch.autocast(x.device.type, enabled=False):
        return head(x.to(head.weight.dtype)).contiguous()


def _beside(features: Tensor, more: Tensor) -> Tensor:
    """Channels-last features [N,C,n,n] and further channels [N,M,n,n], brought to their precision: [N,C+M,n,n]."""
    return torch.cat([features, channels_last(more, features.dtype)], 1)


def _finer(maps: Tensor) -> Tensor:
    """Maps [N,C,G,G] on the fine grid: [N,C,FINE,FINE]."""
    if geometry.is_for_opencv(maps):
        return geometry.enlarge(maps, (FINE, FINE))
    return F.interpolate(maps, scale_factor=float(FINER), mode="bilinear", align_corners=False)
