"""Exact flow and visibility of rendered clips.

Of every frame is stored which triangle each cell of CELL x CELL pixels shows at its centre, and where the vertices
of all triangles ever seen are. A surface point is followed by its barycentric coordinates, and it is visible in
another frame where nothing nearer is shown at its place (a shadow map's test, with a bias that grows with the slope).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import geometry

CELL = 4  # pixels
UNIT = 32  # stored steps per pixel
BIAS = 3.0  # pixels by which a surface of the same part may be nearer and still be the same one
PART_BIAS = 0.5  # the same for another part: a lid before an eyeball
JUMP = 8.0  # pixels of depth between neighbouring cells from which on they show different surfaces
FAR = 1e6  # depth of the background in pixels


class ExactTruth(NamedTuple):
    """Where every visible point of a rendered person is in every frame."""

    triangle: Tensor  # [T,h,w] int16, the triangle at the centre of each cell; -1 is background
    vertices: Tensor  # [T,V,3] int16, x, y and distance less `focal`, in 1/UNIT pixels
    corners: Tensor  # [F,3] int16 vertices of each triangle
    part: Tensor  # [F] uint8, skin, eyes, teeth, ...
    focal: Tensor  # [] float, focal length in pixels


class ExactFlow(NamedTuple):
    """What exact truth says of one driving frame and R references on a grid over the box."""

    positions: Tensor  # [1,R,2,G,G] xy in pixels of the reference that shows the same point
    visibility: Tensor  # [1,R,1,G,G] 1 = the reference shows that point
    known: Tensor  # [1,1,G,G] 1 where the driving picture has pixels


class _Surface(NamedTuple):
    """What the cells of N frames show."""

    triangle: Tensor  # [N,h,w] long
    shares: Tensor  # [N,h,w,3] barycentric coordinates on the triangle in space
    depth: Tensor  # [N,h,w] pixels
    part: Tensor  # [N,h,w] long, -1 is background


def compact(
    triangle: np.ndarray, vertices: np.ndarray, corners: np.ndarray, part: np.ndarray, focal: float
) -> ExactTruth:
    """Keep the triangles that are seen.

    Args:
        triangle: [T,h,w] index at each cell's centre, -1 is background.
        vertices: [T,V,3] x, y and distance in pixels. corners: [F,3]. part: [F].
        focal: focal length in pixels, near the mean of the distances.
    """
    seen, index = np.unique(triangle, return_inverse=True)
    index = index.reshape(triangle.shape)
    if seen[0] == -1:
        seen, index = seen[1:], index - 1
    used, remapped = np.unique(corners[seen], return_inverse=True)
    steps = (vertices[:, used] - np.array([0, 0, focal])) * UNIT
    limits = np.iinfo(np.int16)
    return ExactTruth(
        triangle=torch.from_numpy(index.astype(np.int16)),
        vertices=torch.from_numpy(steps.round().clip(limits.min, limits.max).astype(np.int16)),
        corners=torch.from_numpy(remapped.reshape(-1, 3).astype(np.int16)),
        part=torch.from_numpy(part[seen].astype(np.uint8)),
        focal=torch.tensor(float(focal)),
    )


def flow_and_visibility(truth: ExactTruth, driving: int, references: list[int], boxes: Tensor, grid: int) -> ExactFlow:
    """Where the references show what the driving frame shows, and whether they do.

    Args:
        driving, references: frame numbers.
        boxes: [1,3] left, top, side in the driving frame's pixels. grid: G.
    """
    count = len(references)
    height, width = truth.triangle.shape[1:]
    shown = _surfaces(truth, [driving])
    there = _follow(truth, shown, references)  # [R,h,w,3]
    centres = geometry.pixel_grid(height, width) * CELL
    moved = there[..., :2] - centres
    background = shown.triangle[0] < 0
    moved[:, background] = 0

    points = boxes[0, :2] + (geometry.pixel_grid(grid, grid) / grid).flatten(0, 1) * boxes[0, 2]  # [P,2]
    cells, shares = _neighbours(points, height, width)  # [4,P]
    nearest = _own_cells(points, height, width)[None]  # [1,P]
    depth = torch.where(background, FAR, shown.depth[0]).flatten()
    flat_moved, flat_there = moved.flatten(1, 2), there[..., 2].flatten(1)
    # Neighbours take part where they show the same surface: near in depth, and moving alike.
    alike = (depth[cells] - depth[nearest]).abs() < JUMP  # [4,P]
    alike = alike & ((flat_moved[:, cells] - flat_moved[:, nearest]).norm(dim=-1) <= CELL)  # [R,4,P]
    weights = shares * alike
    weights = weights / weights.sum(1, keepdim=True)
    positions = points + (flat_moved[:, cells] * weights[..., None]).sum(1)  # [R,P,2]
    distance = (flat_there[:, cells] * weights).sum(1)

    part = shown.part[0].flatten()[nearest[0]]
    visibility = _visible(_surfaces(truth, references), positions, distance, part)
    known = ((points >= 0) & (points <= torch.tensor([width, height]) * CELL)).all(-1)
    return ExactFlow(
        positions=positions.transpose(1, 2).reshape(1, count, 2, grid, grid),
        visibility=visibility.reshape(1, count, 1, grid, grid),
        known=known.float().reshape(1, 1, grid, grid),
    )


def mirror(flow: ExactFlow, width: int) -> ExactFlow:
    """What a flow becomes when all pictures, `width` pixels wide, are mirrored. Its box has been mirrored before."""
    positions = flow.positions.flip(-1).clone()
    positions[:, :, 0] = width - positions[:, :, 0]
    return ExactFlow(positions, flow.visibility.flip(-1), flow.known.flip(-1))


def move_reference(flow: ExactFlow, r: int, affine: Tensor, size: tuple[int, int]) -> ExactFlow:
    """What a flow becomes when reference r was warped, old pixels to new, by `affine` [2,3] into a picture (H, W)."""
    positions, visibility = flow.positions.clone(), flow.visibility.clone()
    moved = geometry.apply_affine(affine, positions[0, r].flatten(1).T).T.unflatten(1, positions.shape[-2:])
    inside = (geometry.normalise(moved.movedim(0, -1), size).abs() <= 1).all(-1)
    positions[0, r], visibility[0, r, 0] = moved, visibility[0, r, 0] * inside
    return flow._replace(positions=positions, visibility=visibility)


def hide_reference(flow: ExactFlow, r: int) -> ExactFlow:
    """The flow when reference r was replaced by a picture that shows nothing of the person."""
    visibility = flow.visibility.clone()
    visibility[:, r] = 0
    return flow._replace(visibility=visibility)


def exact_losses(
    deformation: Tensor, confidence: Tensor, flow: ExactFlow, size: tuple[int, int], side: float
) -> tuple[Tensor, Tensor]:
    """How far warps miss what is visible, in shares of the box, and how far what is hidden is trusted.

    Args:
        deformation: [1,R,G,G,2] normalised positions in the references. confidence: [1,R,1,G,G] 0..1.
        size: (H, W) of the references. side: of the box, in pixels.
    """
    wanted = flow.positions.movedim(2, -1).to(deformation)  # [1,R,G,G,2]
    found = (deformation + 1) / 2 * wanted.new_tensor([size[1], size[0]])
    known = flow.known.to(wanted)[:, None, 0]  # [1,1,G,G]
    visible = flow.visibility[:, :, 0].to(wanted) * known
    hidden = known - visible
    # Beyond a tenth of the box the distance counts no more: nothing there tells where to go.
    miss = ((found - wanted).norm(dim=-1) / side).clamp_max(0.1)
    missed = (miss * visible).sum() / visible.sum().clamp_min(1)
    trusted = (confidence[:, :, 0].square() * hidden).sum() / hidden.sum().clamp_min(1)
    return missed, trusted


def _surfaces(truth: ExactTruth, frames: list[int]) -> _Surface:
    triangle = truth.triangle[frames].long()
    corners = _corners(truth, triangle.clamp_min(0), frames)  # [N,h,w,3,3]
    centres = geometry.pixel_grid(*triangle.shape[1:]) * CELL
    flat = geometry.barycentric_weights(centres.expand(len(frames), -1, -1, -1), corners[..., :2])
    # What is linear on the screen is a share divided by its distance.
    shares = flat / corners[..., 2]
    shares = shares / shares.sum(-1, keepdim=True)
    nothing = triangle < 0
    part = truth.part.long()[triangle.clamp_min(0)].masked_fill(nothing, -1)
    depth = (shares * corners[..., 2]).sum(-1).masked_fill(nothing, FAR)
    return _Surface(triangle, shares, depth, part)


def _corners(truth: ExactTruth, triangle: Tensor, frames: list[int]) -> Tensor:
    """x, y and distance in pixels [N,h,w,3,3] of the corners of triangles [N,h,w] (or [1,h,w]) in N frames."""
    vertices = truth.vertices[frames].float() / UNIT
    vertices[..., 2] += truth.focal
    corners = truth.corners.long()[triangle].expand(len(frames), -1, -1, -1)
    frame = torch.arange(len(frames))[:, None, None, None]
    return vertices[frame, corners]


def _follow(truth: ExactTruth, shown: _Surface, frames: list[int]) -> Tensor:
    """x, y and distance [R,h,w,3] in other frames of what one frame's cells show; the background stays."""
    corners = _corners(truth, shown.triangle.clamp_min(0), frames)
    parts = shown.shares * corners[..., 2]  # [R,h,w,3]
    distance = parts.sum(-1, keepdim=True)
    place = (parts[..., None] * corners[..., :2]).sum(-2) / distance
    followed = torch.cat([place, distance], -1)
    still = torch.cat([geometry.pixel_grid(*shown.triangle.shape[1:]) * CELL, shown.depth[0, ..., None]], -1)
    return torch.where((shown.triangle[0] < 0)[..., None], still, followed)


def _own_cells(points: Tensor, height: int, width: int) -> Tensor:
    """The cells in which points [...,2] lie, or the nearest ones, as flat indices [...]."""
    cells = torch.minimum((points / CELL).floor().clamp_min(0), torch.tensor([width - 1.0, height - 1.0])).long()
    return cells[..., 1] * width + cells[..., 0]


def _neighbours(points: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The four cells around points [...,2] as flat indices [4,...], and their bilinear shares [4,...]."""
    place = (points / CELL - 0.5).clamp_min(0)
    place = torch.minimum(place, torch.tensor([width - 1.0, height - 1.0]))
    low = place.floor().long()
    high = torch.minimum(low + 1, torch.tensor([width - 1, height - 1]))
    part = place - low
    corners = [(x, y) for y in (0, 1) for x in (0, 1)]
    cells = [(high if y else low)[..., 1] * width + (high if x else low)[..., 0] for x, y in corners]
    shares = [(part[..., 0] if x else 1 - part[..., 0]) * (part[..., 1] if y else 1 - part[..., 1]) for x, y in corners]
    return torch.stack(cells), torch.stack(shares)


def _visible(shown: _Surface, positions: Tensor, distance: Tensor, part: Tensor) -> Tensor:
    """Whether [R,P] points [R,P,2] at distances [R,P], of parts [P], are seen in R frames: 0 or 1."""
    height, width = shown.depth.shape[1:]
    cell = _own_cells(positions, height, width)
    depth, slope, there = (x.flatten(1).gather(1, cell) for x in (shown.depth, _slopes(shown.depth), shown.part))
    bias = torch.where(there == part, BIAS + slope, PART_BIAS)
    seen = torch.where(part < 0, there < 0, distance <= depth + bias)
    inside = ((positions >= 0) & (positions <= torch.tensor([width, height]) * CELL)).all(-1)
    return (seen & inside).float()


def _slopes(depth: Tensor) -> Tensor:
    """Largest depth step [N,h,w] from each cell to a neighbour on the same surface."""
    slopes = torch.zeros_like(depth)
    for axis in (1, 2):
        step = depth.diff(dim=axis).abs()
        step = torch.where(step < JUMP, step, 0.0)
        size = depth.shape[axis]
        slopes.narrow(axis, 0, size - 1).copy_(torch.maximum(slopes.narrow(axis, 0, size - 1), step))
        slopes.narrow(axis, 1, size - 1).copy_(torch.maximum(slopes.narrow(axis, 1, size - 1), step))
    return slopes
