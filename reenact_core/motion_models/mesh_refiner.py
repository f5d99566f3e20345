"""The refiner of the face-mesh model: what warping cannot give is mended in the fused picture, once per frame.

Shading that changes as the head turns, ghosts where references disagree, the inside of a mouth that no reference
shows. It paints a soft residual at REFINED pixels per box whatever the picture's size, so that fine detail stays what
the references showed. The network is a U-Net on pixel-unshuffled pictures (Shi et al. 2016,
https://arxiv.org/abs/1609.05158).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import geometry
from .mesh_layers import DoubledConv, FromTwo, channels_last, merge, norm_block
from .mesh_network import CONTEXT, FINE

STEP = 2  # pixels per side that one cell of the fine grid holds
REFINED = STEP * FINE
REACH = 0.5  # largest change of a channel


class MeshRefiner(nn.Module):
    """Fused picture and fused context in, residual out."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        deep = 2 * width
        self.enter = nn.Sequential(
            nn.Conv2d(3 * STEP**2 + CONTEXT, width, 3, padding=1),
            nn.SiLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(inplace=True),
        )
        self.down1 = norm_block(width, deep, stride=2)
        self.down2 = norm_block(deep, deep, stride=2)
        self.down3 = norm_block(deep, deep, stride=2)
        self.up2 = merge(2 * deep, deep)
        self.up1 = merge(2 * deep, deep)
        self.up0 = FromTwo(
            DoubledConv(deep + width, width, 3),
            nn.SiLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(inplace=True),
        )
        self.width = width
        self.leave = nn.Conv2d(width, 3 * STEP**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.get_parameter("bias"))

    def twin(self) -> MeshRefiner:
        """The same network once more, on the CPU."""
        twin = MeshRefiner(self.width).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        twin.load_state_dict(self.state_dict())
        return twin.eval()

    def forward(self, pictures: Tensor, context: Tensor, reserve: Tensor) -> Tensor:
        """Pictures [T,3,S,S] in [0,1], mended. `context` [T,CONTEXT,FINE,FINE] is fused like the pictures. Where
        `reserve` [T,2,FINE,FINE] is 1, not 0, nothing is changed (channel 0), or no colour (channel 1)."""
        size = pictures.shape[-1]
        small = geometry.resize(pictures, REFINED)
        parts = F.pixel_unshuffle(small, STEP), context
        skip0 = self.enter(torch.cat([channels_last(part, context.dtype) for part in parts], 1))
        skip1 = self.down1(skip0)
        skip2 = self.down2(skip1)
        x = self.up1(self.up2(self.down3(skip2), skip2), skip1)
        x = self.up0(x, skip0)
        left = self.leave(x).float().contiguous()  # three channels last would be slow from here on
        residual = REACH * torch.tanh(F.pixel_shuffle(left, STEP))
        reserve = geometry.resize(reserve.float(), REFINED)
        still, colourless = reserve.split(1, 1)
        shade = residual.mean(1, keepdim=True).expand_as(residual)
        residual = residual.lerp(shade, colourless.expand_as(shade))
        residual = _soften(residual * (1 - still))
        return geometry.resize(residual, size).to(pictures).add_(pictures)


def _soften(residual: Tensor) -> Tensor:
    """Without its finest detail, which a perceptual loss fills with hatching: detail is the references' task.

    Means of 3 x 3 pixels, twice, edges repeated; along one axis after the other.
    """
    for axis in (2, 3):
        length = residual.shape[axis]
        for _ in range(2):
            first, last = residual.narrow(axis, 0, 1), residual.narrow(axis, length - 1, 1)
            padded = torch.cat([first, residual, last], axis)
            before, here, after = (padded.narrow(axis, start, length) for start in range(3))
            residual = (before + here).add_(after).div_(3)
    return residual
