"""Coordinates, rigid fits and the rasterised mesh.

Convention (used everywhere, stated only here)
----------------------------------------------
Pixel coordinates: x right, y down, z away from the camera; (0, 0) is the top-left *corner* of the image, so the
centre of row i, column j is (j + 0.5, i + 0.5). z has the unit of x; smaller is nearer.
Normalised coordinates: x_n = 2 x / W - 1, y_n = 2 y / H - 1, so that -1 and 1 are the image's edges. This is
`grid_sample` with `align_corners=False`.
Warps are backward: a deformation [.., H, W, 2] says for every output pixel where in the input to look.
Affine maps [.., 2, 3] and [.., 3, 4] act on column vectors with a 1 appended.
Rigid fits and inverses run in float32 on the CPU: they are tiny, and not every device has an SVD.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GROUPS = 2  # passes of the rasteriser


def smooth_step(share: Tensor) -> Tensor:
    """0..1 to 0..1, at rest at both ends; beyond them as at the nearer end."""
    share = share.clamp(0, 1)
    return share.square() * (3 - 2 * share)


def pixel_grid(height: int, width: int) -> Tensor:
    """Centres of the pixels of a height x width image as [height,width,2] xy in pixels."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y], dim=-1)


def normalise(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixel coordinates [..,2] of an image of `size` (H, W) to normalised ones."""
    return points * points.new_tensor([2 / size[1], 2 / size[0]]) - 1


def apply_affine(affine: Tensor, points: Tensor) -> Tensor:
    """Affine maps [..,D,D+1] on points [..,P,D]; leading axes broadcast."""
    return points @ affine[..., :-1].transpose(-1, -2) + affine[..., -1].unsqueeze(-2)


def affine_grid(affine: Tensor, size: tuple[int, int], other: tuple[int, int]) -> Tensor:
    """Where affine maps [N,2,3] take the pixels of a picture of `size` (H, W), normalised in one of size `other`:
    [N,H,W,2]. A sum of rows and columns, much faster than `apply_affine` on every pixel."""
    scaled = affine * affine.new_tensor([[2 / other[1]], [2 / other[0]]])
    down, across = (torch.arange(length, device=affine.device) + 0.5 for length in size)
    rows = down[:, None, None] * scaled[:, None, None, :, 1] + scaled[:, None, None, :, 2] - 1  # [N,H,1,2]
    return rows + across[:, None] * scaled[:, None, None, :, 0]


def compose_affine(second: Tensor, first: Tensor) -> Tensor:
    """The affine map [..,D,D+1] that does `first`, then `second`."""
    linear = second[..., :-1] @ first[..., :-1]
    offset = second[..., :-1] @ first[..., -1:] + second[..., -1:]
    return torch.cat([linear, offset], dim=-1)


def invert_affine(affine: Tensor) -> Tensor:
    """Inverse of affine maps [..,D,D+1]."""
    linear = torch.linalg.inv(affine[..., :-1].float())
    return torch.cat([linear, -linear @ affine[..., -1:].float()], dim=-1)


def fit_similarity(source: Tensor, destination: Tensor, weights: Tensor | None = None) -> Tensor:
    """Least-squares rotation, uniform scale and translation that take source to destination.

    Args:
        source, destination: [B,P,D] points, D = 2 or 3.
        weights: [P] non-negative, or None for equal weights.
    Returns:
        [B,D,D+1] affine maps. Source: Umeyama 1991, "Least-squares estimation of transformation parameters".
    """
    source, destination = source.float(), destination.float()
    share = source.new_ones(source.shape[1]) if weights is None else weights.to(source)
    share = (share / share.sum())[:, None]
    centre_s = (source * share).sum(1, keepdim=True)
    centre_d = (destination * share).sum(1, keepdim=True)
    offset_s, offset_d = source - centre_s, destination - centre_d
    u, singular, vt = torch.linalg.svd((offset_d * share).transpose(1, 2) @ offset_s)
    signs = torch.ones_like(singular)
    signs[:, -1] = torch.sign(torch.linalg.det(u @ vt))  # a reflection is not a rotation
    rotation = u @ torch.diag_embed(signs) @ vt
    scale = (singular * signs).sum(1) / (offset_s.square() * share).sum((1, 2)).clamp_min(1e-12)
    linear = scale[:, None, None] * rotation
    translation = centre_d.transpose(1, 2) - linear @ centre_s.transpose(1, 2)
    return torch.cat([linear, translation], dim=-1)


def split_similarity(affine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale [B], rotation [B,D,D] and translation [B,D] of similarity maps [B,D,D+1]."""
    scale = torch.linalg.det(affine[..., :-1]).abs().pow(1 / affine.shape[-2])
    return scale, affine[..., :-1] / scale[:, None, None], affine[..., -1]


def join_similarity(scale: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    """The inverse of `split_similarity`: [B,D,D+1]."""
    return torch.cat([scale[:, None, None] * rotation, translation[..., None]], dim=-1)


def sample(images: Tensor, deformation: Tensor, padding: str = "border") -> Tensor:
    """Bilinear look-up of images [B,C,H,W] at deformation [B,h,w,2] (normalised xy): [B,C,h,w]."""
    return F.grid_sample(images, deformation.to(images), mode="bilinear", padding_mode=padding, align_corners=False)


def is_for_opencv(maps: Tensor) -> bool:
    """Whether OpenCV may resize and sample them: at least twice as fast as torch on a CPU, but without gradients."""
    return maps.device.type == "cpu" and maps.dtype == torch.float32 and not maps.requires_grad


def _by_plane(maps: Tensor, size: tuple[int, int], write: Callable[[np.ndarray, np.ndarray], object]) -> Tensor:
    """What `write(plane, result)` makes of each plane of maps [N,C,h,w]: [N,C,H,W] of `size`."""
    result = maps.new_empty(*maps.shape[:2], *size)
    for plane, made in zip(maps.flatten(0, 1).numpy(), result.flatten(0, 1).numpy(), strict=True):
        write(plane, made)
    return result


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [N,C,h,w] at another, mostly larger size (H, W), bilinear: [N,C,H,W]."""
    if is_for_opencv(maps):
        return _by_plane(maps, size, lambda small, large: cv2.resize(small, size[::-1], large))
    # Each channel is a map of its own: torch takes three times as long for one picture of three channels.
    flat = F.interpolate(maps.flatten(0, 1)[:, None], size=size, mode="bilinear", align_corners=False)
    return flat.view(*maps.shape[:2], *size)


def shrink(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [N,C,H,W] at a smaller size (h, w), each pixel the mean over its own part of the map: [N,C,h,w]."""
    if is_for_opencv(maps):
        area = cv2.INTER_AREA
        return _by_plane(maps, size, lambda large, small: cv2.resize(large, size[::-1], small, interpolation=area))
    rows, columns = (_parts(*lengths).to(maps) for lengths in zip(maps.shape[2:], size))
    return rows @ maps @ columns.T


def _parts(length: int, count: int) -> Tensor:
    """Shares [count,length] of each of `length` pixels in the means over `count` equal parts of them."""
    edges = torch.arange(count + 1) * (length / count)
    pixel = torch.arange(length)
    overlap = edges[1:, None].minimum(pixel + 1) - edges[:-1, None].maximum(pixel)
    return overlap.clamp_min(0) * (count / length)


def resize(maps: Tensor, size: int) -> Tensor:
    """Square maps [N,C,n,n] at another size: means over boxes downwards, bilinear upwards: [N,C,size,size]."""
    if maps.shape[-1] == size:
        return maps
    return (shrink if size < maps.shape[-1] else enlarge)(maps, (size, size))


def widen(maps: Tensor) -> Tensor:
    """The largest value in 3 x 3 pixels around each of maps [N,C,H,W]."""
    if is_for_opencv(maps):
        square = np.ones((3, 3), np.uint8)
        size = (maps.shape[-2], maps.shape[-1])
        return _by_plane(maps, size, lambda narrow, wide: cv2.dilate(narrow, square, wide))
    return F.max_pool2d(maps, 3, 1, 1)


def triangle_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals [N,F,3] of a mesh [N,V,3], [F,3]; the sign follows the triangles' winding."""
    a, b, c = (vertices[:, triangles[:, i]] for i in range(3))
    return F.normalize(torch.linalg.cross(b - a, c - a), dim=-1, eps=1e-9)


def rasterise(vertices: Tensor, triangles: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Which triangle is seen at every pixel centre of a size x size image, by z-buffer.

    Every triangle is tested against the pixels of its own bounding box only, all triangles and images at once;
    the nearest one wins a pixel through an integer minimum over (depth, triangle).

    Args:
        vertices: [N,V,3] xyz in pixels of that image.
        triangles: [F,3] long.
    Returns:
        triangle [N,size,size] long, -1 where nothing is seen, and barycentric [N,size,size,3] float, 0 there.
    """
    count, faces = vertices.shape[0], triangles.shape[0]
    corners = vertices[:, triangles]  # [N,F,3,3]
    first = (corners[..., :2].amin(2) - 0.5).ceil().clamp(0, size)  # [N,F,2] first pixel centre inside the box
    last = (corners[..., :2].amax(2) - 0.5).floor().clamp(-1, size - 1)
    low, high = vertices[..., 2].amin(), vertices[..., 2].amax()
    corner = (first[..., 1] * size + first[..., 0]).long() + torch.arange(count)[:, None] * size * size
    nothing = torch.iinfo(torch.int64).max
    buffer = torch.full((count * size * size,), nothing)
    # Triangles of like extent go together, so that a few large ones do not make all boxes large.
    extent = (last - first).amax((0, 2))
    for group in extent.argsort().chunk(min(GROUPS, faces)):
        reach = int(extent[group].amax()) + 1
        if reach <= 0:
            continue
        own, begin, end = (values[:, group, ..., None, None] for values in (corners, first, last))
        own, step = own.movedim((2, 3), (0, 1)), torch.arange(reach)  # [3,3,N,f,1,1]
        x, y = begin[:, :, 0] + step, begin[:, :, 1] + step[:, None]  # [N,f,1,reach] and [N,f,reach,1]
        parts = _barycentric(x + 0.5, y + 0.5, own)  # three of [N,f,reach,reach]
        inside = torch.minimum(torch.minimum(parts[0], parts[1]), parts[2]) >= -1e-6
        inside &= (x <= end[:, :, 0]) & (y <= end[:, :, 1])
        # What follows concerns the few pixels that lie in their triangle.
        hits = inside.flatten().nonzero()[:, 0]
        which, row, column = hits // reach**2, hits // reach % reach, hits % reach  # which of N*f
        depths = own[:, 2].flatten(1)[:, which]  # [3,hits]
        depth = sum(part.flatten()[hits] * corner_depth for part, corner_depth in zip(parts, depths))
        level = ((depth - low) / (high - low).clamp_min(1e-6) * (1 << 20)).clamp(0, 1 << 20).long()
        key = level * faces + group.repeat(count)[which]
        cell = corner[:, group].flatten()[which] + row * size + column
        buffer.scatter_reduce_(0, cell, key, "amin")
    where = (buffer != nothing).nonzero()[:, 0]  # seen pixels
    nearest = buffer[where] % faces
    triangle, weights = torch.full_like(buffer, -1), torch.zeros(len(buffer), 3)
    triangle[where] = nearest
    chosen = corners.flatten(0, 1).movedim(0, 2)[..., nearest + where // size**2 * faces]  # [3,3,seen]
    weights[where] = torch.stack(_barycentric(where % size + 0.5, where // size % size + 0.5, chosen), -1)
    return triangle.view(count, size, size), weights.view(count, size, size, 3)


def barycentric_weights(points: Tensor, corners: Tensor) -> Tensor:
    """Barycentric coordinates [..,3] of points [..,2] in triangles [..,3,2]."""
    x, y = points.unbind(-1)
    return torch.stack(_barycentric(x, y, corners.movedim((-2, -1), (0, 1))), -1)


def _barycentric(x: Tensor, y: Tensor, corners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of points x, y [..] in triangles [3,2 or 3,..], coordinate by coordinate: several times as fast as with
    the coordinates of a point side by side."""
    (ax, ay, *_), (bx, by, *_), (cx, cy, *_) = corners
    across_b, down_b, across_c, down_c = bx - ax, by - ay, cx - ax, cy - ay
    area = across_b * down_c - down_b * across_c
    area = torch.where(area.abs() < 1e-9, 1e-9, area)
    across, down = x - ax, y - ay
    v = (across * down_c - down * across_c) / area
    w = (across_b * down - down_b * across) / area
    return 1 - v - w, v, w


def fill_outwards(values: Tensor, known: Tensor) -> Tensor:
    """Smooth extension of a map into the region where it is unknown, by a pull-push pyramid.

    Args:
        values: [B,C,H,W]; known: [B,1,H,W] in [0,1], 1 where `values` holds.
    Returns:
        [B,C,H,W], equal to `values` where known is 1. Source: Gortler et al. 1996, "The Lumigraph", section 3.4.
    """
    if min(values.shape[-2:]) <= 1:
        return values
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    coarse = F.avg_pool2d(values * known, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarse = fill_outwards(coarse, (share * 4).clamp(0, 1))
    coarse = F.interpolate(coarse, size=values.shape[-2:], mode="bilinear", align_corners=False)
    return torch.lerp(coarse, values, known)
