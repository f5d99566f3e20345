"""The small network of the face-mesh model: which candidate flow, which reference, how far to trust it.

It runs once per (driving frame, reference) pair on a GRID x GRID map over the frame's box, whatever the picture's
resolution, and sees all references of a frame together. Contributions over candidate flows are the first-order
motion model's dense motion (https://arxiv.org/abs/2003.00196, section 3.2); the scores per frequency band follow
multi-band blending (Burt and Adelson 1983): low frequencies may be averaged, high ones want one source.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .. import geometry
from ..errors import CheckpointError
from .mesh_flows import COUNT, MESH

GRID = 64
BANDS = 3  # scores for frequencies below GRID, between GRID and 2 GRID, and above
INPUTS = COUNT * 3 + COUNT * 2 + 1 + 1 + 1 + 3 + 2 + 3
RESIDUAL_REACH = 0.06  # largest learned correction of the deformation, in box sides


class NetworkOutput(NamedTuple):
    """What the network (or the rules in its place) decides for T frames and R references on its grid."""

    contributions: Tensor  # [T,R,COUNT,G,G] softmax over candidates
    shift: Tensor  # [T,R,2,G,G] correction of the deformation, in box sides
    scores: Tensor | None  # [T,R,BANDS,G,G] fusion logits; the rules have none
    confidence: Tensor  # [T,R,1,G,G] 0..1


class MeshNetwork(nn.Module):
    """A U-Net over pairs with a view of the other references, then one round of registration to the consensus."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        fine, middle, deep = width, 64, 128  # channels at GRID, GRID / 2, and below: detail is thin, context is wide
        self.enter = _block(INPUTS, fine)
        self.down1 = _block(fine, middle, stride=2)
        self.down2 = _block(middle, deep, stride=2)
        self.down3 = _block(deep, deep, stride=2)
        self.joint = _block(2 * deep, deep)
        self.up2 = _merge(2 * deep, deep)
        self.up1 = _merge(deep + middle, middle)
        self.up0 = _merge(middle + fine, fine)
        self.first = nn.Conv2d(fine, COUNT + 2 + BANDS + 1, 3, padding=1)
        self.register = nn.Sequential(_block(fine + 9, fine), _block(fine, fine))
        self.second = nn.Conv2d(fine, 2 + BANDS + 1, 3, padding=1)
        for parameter in (*self.first.parameters(), *self.second.parameters()):
            nn.init.zeros_(parameter)
        with torch.no_grad():
            self.first.get_parameter("bias")[MESH] = 1.0  # begin as the mesh's own flow

    def forward(self, inputs: Tensor, grids: Tensor, coarse: Tensor, per_box: Tensor) -> NetworkOutput:
        """One decision per pair.

        Args:
            inputs: [T,R,INPUTS,G,G] from `network_inputs`.
            grids: [T,R,COUNT,G,G,2] candidate positions, normalised in the reference.
            coarse: [R,3,h,w] references at the grid's own scale.
            per_box: [R,1,1,2] normalised reference units (x, y) that one box side spans, for shifts.
        """
        frames, count = inputs.shape[:2]
        x = inputs.flatten(0, 1)
        skip0 = self.enter(x)
        skip1 = self.down1(skip0)
        skip2 = self.down2(skip1)
        deep = self.down3(skip2)
        others = reduce(deep, "(t r) c h w -> t c h w", "mean", r=count)
        deep = self.joint(torch.cat([deep, repeat(others, "t c h w -> (t r) c h w", r=count)], 1))
        x = self.up2(torch.cat([_double(deep), skip2], 1))
        x = self.up1(torch.cat([_double(x), skip1], 1))
        x = self.up0(torch.cat([_double(x), skip0], 1))
        first = _head(self.first, x)
        contributions = first[:, :COUNT].softmax(1).unflatten(0, (frames, count))
        shift = RESIDUAL_REACH * torch.tanh(first[:, COUNT : COUNT + 2])
        logits = first[:, COUNT + 2 :]

        # Second look: every reference as it would be warped now, beside the mixture of all.
        place = mix_candidates(grids, contributions, shift.unflatten(0, (frames, count)), per_box)
        looks = sample_each(coarse, place)  # [T,R,3,G,G]
        share = logits[:, :1].unflatten(0, (frames, count)).softmax(1)
        consensus = (looks * share).sum(1, keepdim=True).expand_as(looks)
        beside = torch.cat([looks, consensus, looks - consensus], 2).flatten(0, 1)
        second = _head(self.second, self.register(torch.cat([x, beside], 1)))
        shift = shift + 0.5 * RESIDUAL_REACH * torch.tanh(second[:, :2])
        logits = logits + second[:, 2:]
        pairs = logits.unflatten(0, (frames, count))
        return NetworkOutput(
            contributions=contributions,
            shift=shift.unflatten(0, (frames, count)),
            scores=4 * pairs[:, :, :BANDS],
            confidence=torch.sigmoid(4 * pairs[:, :, BANDS:]),
        )


def load_network(file: Path) -> MeshNetwork:
    """The network stored by training; its width follows from the tensors' shapes.

    Raises:
        CheckpointError: the file is missing, damaged, or holds something else.
    """
    try:
        tensors = load_file(file)
        network = MeshNetwork(tensors["enter.0.weight"].shape[0])
        network.load_state_dict({key: value.float() for key, value in tensors.items()})
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{file} holds no weights of the face_mesh network ({error}).") from error
    return network.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


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


def mix_candidates(grids: Tensor, contributions: Tensor, shift: Tensor, per_box: Tensor) -> Tensor:
    """Deformation [T,R,G,G,2]: candidates [T,R,K,G,G,2] mixed by contributions, plus shift [T,R,2,G,G] box sides."""
    mixed = (grids * contributions[..., None]).sum(2)
    return mixed + rearrange(shift, "t r c h w -> t r h w c") * per_box


def sample_each(images: Tensor, deformation: Tensor, padding: str = "border") -> Tensor:
    """Images [R,C,H,W] each looked up by its own deformations [T,R,h,w,2]: [T,R,C,h,w]."""
    frames = deformation.shape[0]
    looks = [
        geometry.sample(images[r].expand(frames, -1, -1, -1), deformation[:, r], padding)
        for r in range(images.shape[0])
    ]
    return torch.stack(looks, 1)


def _head(head: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution whose results are decisions and positions: in full precision, whatever that of x [N,C,G,G].

    Its few channels are read apart from each other, so they do not stay channels last.
    """
    with torch.autocast(x.device.type, enabled=False):
        return head(x.to(head.weight.dtype)).contiguous()


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.SiLU(inplace=True))


def _merge(inputs: int, outputs: int) -> nn.Sequential:
    """A 1 x 1 convolution first, so that the 3 x 3 one is cheap."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), _block(outputs, outputs))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
