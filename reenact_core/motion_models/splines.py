"""Candidate motions of the Thin-Plate Spline Motion Model: https://arxiv.org/abs/2203.14367.

T(p) = A [p; 1] + sum_i w_i U(|p - p_i|) with U(r) = r^2 ln r^2, where p_i are the driving points of one plate
and T takes them to its reference points. All in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .sampling import coordinate_grid

PLATE = 5  # keypoints of one spline
RADIAL_EPS = 1e-9
RIDGE = 0.01  # on the whole diagonal of a spline's system; the published weights expect it


def splines(reference: Tensor, driving: Tensor) -> Tensor:
    """Coefficients [...,L,8,2] of the splines that take driving to reference points, both [...,K,2].

    The first five rows weigh the radial functions around the driving points, the last three are A^T.
    """
    ends = rearrange(reference.float(), "... (l p) xy -> ... l p xy", p=PLATE)
    starts = rearrange(driving.float(), "... (l p) xy -> ... l p xy", p=PLATE)
    kernel = radial(((starts[..., :, None, :] - starts[..., None, :, :]) ** 2).sum(-1))
    affine = torch.cat([starts, torch.ones_like(starts[..., :1])], dim=-1)
    top = torch.cat([kernel, affine], dim=-1)
    bottom = F.pad(affine.mT, (0, 3))
    system = torch.cat([top, bottom], dim=-2) + RIDGE * torch.eye(PLATE + 3, device=driving.device)
    ends = F.pad(ends, (0, 0, 0, 3)).expand(*system.shape[:-2], -1, -1)
    if system.device.type == "mps":  # which has lacked this solver
        return torch.linalg.solve(system.cpu(), ends.cpu()).to(system.device)
    return torch.linalg.solve(system, ends)


def radial(squared: Tensor) -> Tensor:
    """U(r) = r^2 ln(r^2) of squared distances, kept finite at 0."""
    return squared * torch.log(squared + RADIAL_EPS)


def sparse_motions(reference: Tensor, driving: Tensor, size: Sequence[int], background: Tensor | None) -> Tensor:
    """Candidate grids [T,R,L+1,h,w,2]: background (None = identity), then each plate's spline.

    Keypoints are [R,K,2] and [T,R,K,2]; background is [T,R,3,3].
    """
    grid = coordinate_grid(size, driving.device)  # [h,w,2]
    homogeneous = torch.cat([grid, torch.ones_like(grid[..., :1])], dim=-1)  # [h,w,3]
    coefficients = splines(reference, driving)  # [T,R,L,8,2]
    starts = rearrange(driving, "t r (l p) xy -> t r l 1 1 p xy", p=PLATE)
    basis = radial(((grid[..., None, :] - starts) ** 2).sum(-1))  # [T,R,L,h,w,5]
    basis = torch.cat([basis, homogeneous.expand(*basis.shape[:-1], 3)], dim=-1)
    moved = torch.einsum("trlhwb,trlbc->trlhwc", basis, coefficients)
    if background is None:
        first = grid.expand(*moved.shape[:2], *grid.shape)
    else:
        projected = torch.einsum("trij,hwj->trhwi", background, homogeneous)
        first = projected[..., :2] / projected[..., 2:]
    return torch.cat([first[:, :, None], moved], dim=2)
