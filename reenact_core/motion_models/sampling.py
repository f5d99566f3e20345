"""Coordinate grids, keypoint heat maps and samplers of the networks that load public checkpoints.

Convention of these networks (it differs from `geometry`): a coordinate of -1 or 1 is the centre of a border
pixel, x (y, z) order, whatever `align_corners` the sampler is called with.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

HEAT_MAP_VARIANCE = 0.01  # of the Gaussian around a keypoint, in squared coordinates
LEAST_HEAT = 1e-12  # along one axis; less is zero, because products near the end of float32 slow a CPU down tenfold


def coordinate_axis(size: int, device: torch.device) -> Tensor:
    """[size], from -1 at the first pixel's centre to 1 at the last one's."""
    return 2 * torch.arange(size, device=device, dtype=torch.float32) / (size - 1) - 1


def coordinate_grid(sizes: Sequence[int], device: torch.device) -> Tensor:
    """[h,w,2] with xy, or [d,h,w,3] with xyz, for sizes (h, w) or (d, h, w)."""
    axes = torch.meshgrid(*(coordinate_axis(size, device) for size in sizes), indexing="ij")
    return torch.stack(axes[::-1], dim=-1)


def heat_maps(points: Tensor, sizes: Sequence[int]) -> Tensor:
    """Gaussians exp(-d^2 / (2 variance)) around points [...,K,2 or 3] as [...,K,h,w] or [...,K,d,h,w].

    A Gaussian is the product of one Gaussian per axis, so the distances of all pixels are never stored.
    """
    result = torch.ones((), device=points.device)
    for i, size in enumerate(sizes):
        offset = coordinate_axis(size, points.device) - points[..., len(sizes) - 1 - i, None]
        line = F.threshold(torch.exp(-(offset**2) / (2 * HEAT_MAP_VARIANCE)), LEAST_HEAT, 0.0)
        result = result[..., None] * line.reshape(*points.shape[:-1], *[1] * i, size)
    return result


def invert_2x2(matrices: Tensor) -> Tensor:
    """Inverses of [...,2,2] in closed form, which every device can do."""
    a, b, c, d = matrices.flatten(-2).unbind(-1)
    adjugate = torch.stack([d, -b, -c, a], dim=-1).unflatten(-1, (2, 2))
    return adjugate / (a * d - b * c)[..., None, None]


def sample_2d(maps: Tensor, grids: Tensor, *, align_corners: bool) -> Tensor:
    """Bilinear samples, zeros outside, of each reference's map [R,C,H,W] at grids [T,R,...,h,w,2].

    Returns [T,R,...,C,h,w] in the dtype of `maps`; positions and interpolation are float32. All of one
    reference's grids are stacked along the height, so that its map is not repeated for every frame.
    """
    t, r, *between, h, w, _ = grids.shape
    stacked = grids.movedim(1, 0).reshape(r, -1, w, 2)
    samples = F.grid_sample(maps.float(), stacked.float(), padding_mode="zeros", align_corners=align_corners)
    samples = samples.unflatten(2, (t, *between, h)).movedim(1, -3)  # [R,T,...,C,h,w]
    return samples.movedim(1, 0).to(maps.dtype)


def sample_3d(volumes: Tensor, grids: Tensor, *, align_corners: bool) -> Tensor:
    """Trilinear samples, zeros outside, of [R,C,D,H,W] at grids [T,R,d,h,w,3]: [T,R,C,d,h,w]."""
    if volumes.device.type == "mps":  # torch has had no 3-D sampler there
        return sample_3d_by_planes(volumes, grids, align_corners=align_corners)
    t = len(grids)
    stacked = rearrange(grids.float(), "t r d h w xyz -> r (t d) h w xyz")
    samples = F.grid_sample(volumes.float(), stacked, padding_mode="zeros", align_corners=align_corners)
    return rearrange(samples, "r c (t d) h w -> t r c d h w", t=t).to(volumes.dtype)


def sample_3d_by_planes(volumes: Tensor, grids: Tensor, *, align_corners: bool) -> Tensor:
    """The same as `sample_3d` with the 2-D sampler alone.

    The planes of a volume are laid below each other with empty rows between; a position is sampled in the
    plane before and in the plane behind it, and the two samples are mixed.
    """
    t, _, d, *_ = grids.shape
    size = volumes.new_tensor(volumes.shape[:1:-1], dtype=torch.float32)  # W, H, D
    grids = grids.float() + 1
    positions = grids * (size - 1) / 2 if align_corners else (grids * size - 1) / 2
    positions = rearrange(positions, "t r d h w xyz -> r (t d h) w xyz")
    x, y, z = positions.unbind(-1)
    sheet = rearrange(F.pad(volumes.float(), (0, 0, 1, 1)), "r c d h w -> r c (d h) w")
    width, height, depth = size.tolist()
    y = y.clamp(-1, height) + 1  # -1 and H are the empty rows
    x_sheet = (2 * x + 1) / width - 1
    front = z.floor()
    result = torch.zeros((), device=volumes.device)
    for plane, weight in ((front, 1 - (z - front)), (front + 1, z - front)):
        inside = (plane >= 0) & (plane < depth)
        row = y + plane.clamp(0, depth - 1) * (height + 2)
        y_sheet = (2 * row + 1) / sheet.shape[2] - 1
        at = torch.stack([x_sheet, y_sheet], dim=-1)
        samples = F.grid_sample(sheet, at, padding_mode="zeros", align_corners=False)
        result = result + samples * (weight * inside)[:, None]
    return rearrange(result, "r c (t d h) w -> t r c d h w", t=t, d=d).to(volumes.dtype)


def resize_grids(grids: Tensor, size: Sequence[int], *, align_corners: bool) -> Tensor:
    """Grids [T,R,h,w,2] at another size, bilinear."""
    if tuple(grids.shape[2:4]) == tuple(size):
        return grids
    flat = rearrange(grids, "t r h w xy -> (t r) xy h w")
    flat = F.interpolate(flat, size=size, mode="bilinear", align_corners=align_corners)
    return rearrange(flat, "(t r) xy h w -> t r h w xy", t=len(grids))


def translated(volumes: Tensor, shifts: Tensor) -> Tensor:
    """Each volume [R,C,D,h,w] sampled at its own grid plus shifts [T,R,K,3] (xyz): [T,R,K,C,D,h,w].

    The grid has -1 and 1 at the centres of the border voxels; sampling is trilinear with `align_corners=False` and
    zeros outside. A translated grid is separable: one small matrix per axis does it, without a 3-D sampler.
    """
    depth, height, width = (
        interpolation_matrices(size, shifts[..., axis]).to(volumes.dtype)
        for axis, size in zip((2, 1, 0), volumes.shape[2:])
    )
    x = torch.einsum("trkzd,rcdhw->trkczhw", depth, volumes)
    x = torch.einsum("trkyh,trkczhw->trkczyw", height, x)
    return torch.einsum("trkxw,trkczyw->trkczyx", width, x)


def interpolation_matrices(size: int, shifts: Tensor) -> Tensor:
    """[...,size,size]: linear interpolation along one axis at its pixels moved by shifts [...]."""
    axis = coordinate_axis(size, shifts.device)
    positions = ((axis + shifts[..., None] + 1) * size - 1) / 2  # align_corners=False
    pixels = torch.arange(size, device=shifts.device)
    return (1 - (positions[..., None] - pixels).abs()).clamp_(min=0)
