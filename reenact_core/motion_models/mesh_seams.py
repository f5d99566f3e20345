"""Lips and lids at the picture's own resolution.

Where lips or lids meet, the mesh's flow jumps: two neighbouring pixels show places of the reference that lie an open
mouth or an open eye apart. On a grid coarser than the picture the jump becomes a ramp, which shows everything between:
a closed mouth would stay parted by a cell or two, and so would closed lids. So around these seams the mesh is drawn
once more, at one cell per pixel, and what the grid made of its flow is replaced.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..face_regions import INNER_LIPS, LEFT_LIDS, LIP_PAIRS, MESH_POINTS, RIGHT_LIDS
from ..tracking import canonical_mesh
from .mesh_flows import CHIN, FOREHEAD

RINGS = 2  # of vertices around the seam; the replacement fades out over the last
RIM = 0.1  # of the distance by which lips close: what of the rims is left out
MARGIN = 2  # pixels around them


def redraw_seams(places: Tensor, moved: Tensor, drawn: Tensor, share: Tensor, local: Tensor) -> None:
    """Replace the ramps in `places` by jumps, in place.

    Args:
        places: [T,R,S,S,2] where to look, in pixels of the reference.
        moved: [T,R,468,2] the mesh's flow at its vertices, in pixels of the reference; any smooth part left out.
        drawn: [T,R,2,F,F] the same as the grid over the box holds it.
        share: [T,R,G,G] 0..1 how much of `places` is the mesh's flow.
        local: [T,478,3] driving landmarks in pixels of `places`.
    """
    size = places.shape[2]
    moved, drawn = _lips_inwards(moved, local), drawn.flatten(1, 2)
    for seams in (INNER_LIPS,), (RIGHT_LIDS, LEFT_LIDS):
        rings = [_rings(seam) for seam in seams]
        points = torch.stack([local[:, vertices] for vertices, _, _ in rings], 1).flatten(0, 1)  # [T*s,P,3]
        side, corner = windows(points[..., :2], size)
        if side < 2:
            continue
        for number, (vertices, triangles, fade) in enumerate(rings):
            here = corner[number :: len(rings)]  # [T,2]
            at = local[:, vertices] - F.pad(here, (0, 1))[:, None]
            known = fade[None, :, None].expand(len(at), -1, 1)
            values = torch.cat([moved[:, :, vertices].permute(0, 2, 1, 3).flatten(2), known], 2)  # [T,V,2R+1]
            *patch, known = draw(at, triangles, values, side).split(2, 1)
            patch, known = torch.stack(patch, 1), known[:, None]  # [T,R,2,c,c], [T,1,1,c,c]
            grid = window_grid(here, side, size)
            ramp = geometry.sample(drawn, grid).view_as(patch)
            known = known * geometry.sample(share.cpu(), grid)[:, :, None]
            change = ((patch - ramp) * known).movedim(2, -1).to(places)  # [T,R,c,c,2]
            for window, more in zip(windows_of(places, here, side), change):
                window += more


def _lips_inwards(moved: Tensor, local: Tensor) -> Tensor:
    """The flow [T,R,468,2] whose closing lips look a little beyond the reference's rims, onto the lips themselves.

    The tracker puts the rims where the lips end, give or take a line of teeth, which closed lips would show.
    """
    upper, lower = torch.tensor(LIP_PAIRS).T
    wider = moved[:, :, upper] - moved[:, :, lower]  # [T,R,P,2] how much wider the reference's lips are apart
    up = F.normalize(local[:, FOREHEAD, :2] - local[:, CHIN, :2], dim=-1)[:, None, None]
    onto = RIM * wider * ((wider * up).sum(-1, keepdim=True) > 0)
    return moved.index_add(2, upper, onto).index_add(2, lower, -onto)


def windows(points: Tensor, size: int) -> tuple[int, Tensor]:
    """One side for all windows in pixels and each one's corner [N,2], within the picture, around points [N,P,2]."""
    low, high = points.amin(1) - MARGIN, points.amax(1) + MARGIN
    side = min(size, int((high - low).amax().ceil()))
    return side, ((low + high - side) / 2).round().clamp(0, size - side)


def window_grid(corner: Tensor, side: int, size: int) -> Tensor:
    """The pixels of windows at corners [N,2] in a picture of `size`, normalised in it: [N,side,side,2]."""
    return geometry.normalise(geometry.pixel_grid(side, side) + corner[:, None, None], (size, size))


def windows_of(maps: Tensor, corner: Tensor, side: int) -> list[Tensor]:
    """Views [R,side,side,..] of maps [T,R,S,S,..] at corners [T,2], one per frame."""
    places = enumerate(corner.long().tolist())
    return [maps[t, :, y : y + side, x : x + side] for t, (x, y) in places]


def draw(points: Tensor, triangles: Tensor, values: Tensor, side: int) -> Tensor:
    """Values [T,V,C] of points [T,V,3], in pixels of a picture of `side`, drawn between them: [T,C,side,side]; 0
    elsewhere."""
    frames, vertices = points.shape[:2]
    triangle, weights = geometry.rasterise(points, triangles, side)
    index = triangles[triangle.clamp_min(0)] + torch.arange(frames)[:, None, None, None] * vertices
    maps = F.embedding_bag(
        index.flatten(0, 2), values.flatten(0, 1), mode="sum", per_sample_weights=weights.flatten(0, 2)
    )
    return maps.unflatten(0, (frames, side, side)).permute(0, 3, 1, 2)


@cache
def _rings(seam: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices [V] around a seam, the triangles [f,3] between them (numbers into V), and the fade [V] in 0..1."""
    _, triangles = canonical_mesh()
    depth = torch.full((MESH_POINTS,), RINGS + 1)
    depth[list(seam)] = 0
    for ring in range(1, RINGS + 1):
        near = triangles[(depth[triangles] < ring).any(1)].flatten()
        depth[near] = depth[near].clamp_max(ring)
    vertices = (depth <= RINGS).nonzero()[:, 0]
    fade = (RINGS - depth[vertices]).clamp(0, 1).float()
    return vertices, triangles_between(vertices), fade


def triangles_between(vertices: Tensor) -> Tensor:
    """The triangles [f,3] of the canonical mesh that have no other vertices than these [V], as numbers into V."""
    _, triangles = canonical_mesh()
    number = torch.full((MESH_POINTS,), -1)
    number[vertices] = torch.arange(len(vertices))
    inner = number[triangles]
    return inner[(inner >= 0).all(1)]
