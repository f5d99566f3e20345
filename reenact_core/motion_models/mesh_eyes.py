"""Eyes at the picture's own resolution: irises where the driving eyes have them, and lids that close.

The mesh spans an open eye with triangles from lid to lid, which know nothing of where it looks. Here the opening is
drawn with a mesh of its own: a hub and a ring on the iris, which keeps its shape, and the lids around it, up to which
the rest stretches. What is left of an opening between closed lids shows the rim of the upper lid, with its lashes.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..face_regions import LEFT_IRIS, LEFT_LIDS, RIGHT_IRIS, RIGHT_LIDS
from .mesh_seams import draw, windows, windows_of

IRISES, LIDS = (RIGHT_IRIS, LEFT_IRIS), (RIGHT_LIDS, LEFT_LIDS)
# Numbers into the lids, which begin at the outer corner: what lies above what, the middle three in the middle.
LOWER, UPPER = (1, 2, 3, 4, 5, 6, 7), (15, 14, 13, 12, 11, 10, 9)
HUB = 0.6  # how far towards the lids the hub may lie
WITHIN = 0.9  # the same for the ring, and for both in a reference: it shows no more of an iris than its lids leave free
OPEN = (0.12, 0.25)  # height over the iris' diameter of an eye that is closed, and of one that is not
RIM = 0.25  # of the distance by which lids close: what of the lower one's rim, as white as the eye, is left out


def close_lids(moved: Tensor, local: Tensor) -> Tensor:
    """The mesh's flow [T,R,468,2] whose lower lids look below the reference's rim where eyes [T,478,3] are closed."""
    lids = torch.tensor(LIDS)
    lower, upper = lids[:, LOWER], lids[:, UPPER]
    wider = moved[:, :, upper] - moved[:, :, lower]  # [T,R,2,7,2] how much wider the reference's lids are apart
    up = F.normalize(local[:, upper, :2] - local[:, lower, :2], dim=-1)[:, None]
    shut = 1 - _openness(local)[:, None, :, None, None]
    onto = RIM * shut * wider * ((wider * up).sum(-1, keepdim=True) > 0)
    return moved.index_add(2, lower.flatten(), -onto.flatten(2, 3))


def place_irises(places: Tensor, references: Tensor, share: Tensor, local: Tensor) -> None:
    """Draw the openings of the eyes into `places`, in place.

    Args:
        places: [T,R,S,S,2] where to look, in pixels of the reference.
        references: [R,478,3] landmarks in pixels of the reference.
        share: [T,R,G,G] 0..1 how much of `places` is the mesh's flow.
        local: [T,478,3] driving landmarks in pixels of `places`.
    """
    size, frames = places.shape[2], len(local)
    outline = local[:, torch.tensor(LIDS), :2]  # [T,2,16,2]
    inner = _hub_and_ring(local, outline)
    shown = references[:, torch.tensor(LIDS), :2].expand(frames, -1, -1, -1, -1)  # [T,R,2,16,2]
    seen = _within(_as_irises_lie(inner, local, references), shown, WITHIN)
    targets = shown[..., _rim_above(), :].lerp(torch.cat([seen, shown], 3), _openness(local)[:, None, :, None, None])

    points = torch.cat([inner, outline], 2)  # [T,2,33,2]
    side, corner = windows(points.flatten(0, 1), size)
    if side < 2:
        return
    corner = corner.unflatten(0, (frames, 2))
    values = F.pad(targets.permute(0, 2, 3, 1, 4).flatten(3), (0, 1), value=1.0)  # [T,2,33,2R+1]
    flat = F.pad(points - corner[:, :, None], (0, 1)).flatten(0, 1)
    drawn = draw(flat, _fan(), values.flatten(0, 1), side).unflatten(0, (frames, 2))  # [T,2,2R+1,c,c]
    middle = geometry.normalise(inner[:, None, :, 0], (size, size))  # [T,1,2,2]
    known = geometry.sample(share.cpu(), middle)[:, :, 0] * _openness(references)  # [T,R,2] a closed eye shows no iris
    for eye in range(2):
        *patch, inside = drawn[:, eye].split(2, 1)
        patch = torch.stack(patch, 1).movedim(2, -1).to(places)  # [T,R,c,c,2]
        weight = (known[:, :, eye, None, None] * inside)[..., None].to(places)
        for window, new, much in zip(windows_of(places, corner[:, eye], side), patch, weight):
            window.lerp_(new, much.expand_as(new))


def around_eyes(openings: Tensor) -> Tensor:
    """Openings [T,1,n,n] and one cell around them: rims that a blurred picture shows beyond the lids."""
    return geometry.widen(openings)


def _hub_and_ring(local: Tensor, outline: Tensor) -> Tensor:
    """Points [T,2,17,2] on the irises of landmarks [T,478,3], between lids [T,2,16,2]."""
    iris = local[:, torch.tensor(IRISES), :2]
    centre = iris[:, :, :1]
    radius = (iris[:, :, 1:] - centre).norm(dim=-1).mean(2)
    hub = _within(centre, outline, HUB)
    # Where rays from the hub to the lids leave the iris.
    start, ray = hub - centre, outline - hub
    a, b = ray.square().sum(-1, keepdim=True).clamp_min(1e-6), (start * ray).sum(-1, keepdim=True)
    beyond = start.square().sum(-1, keepdim=True) - radius[..., None, None].square()
    leaves = ((b.square() - a * beyond).clamp_min(0).sqrt() - b) / a
    return torch.cat([hub, hub + ray * leaves.clamp(0, WITHIN)], 2)


def _as_irises_lie(points: Tensor, local: Tensor, references: Tensor) -> Tensor:
    """Points [T,2,P,2] on the driving irises, moved with them onto the references': [T,R,2,P,2]."""
    irises, frames, count = torch.tensor(IRISES), len(local), len(references)
    own = local[:, None, irises, :2].expand(-1, count, -1, -1, -1)
    other = references[:, irises, :2].expand(frames, -1, -1, -1, -1)
    fit = geometry.fit_similarity(own.flatten(0, 2), other.flatten(0, 2)).unflatten(0, (frames, count, 2))
    return geometry.apply_affine(fit, points[:, None])


def _within(points: Tensor, outline: Tensor, share: float) -> Tensor:
    """Points [..,P,2], pulled towards the middle of outlines [..,16,2] to at most `share` of the way from there to the
    outline."""
    middle = outline.mean(-2, keepdim=True)
    ray, start, edge = points - middle, outline - middle, outline.roll(-1, -2) - outline
    # Where a ray meets an edge: t ray = start + s edge.
    across = _cross(ray[..., :, None, :], edge[..., None, :, :])  # [..,P,16]
    t = _cross(start, edge)[..., None, :] / across
    s = _cross(start[..., None, :, :], ray[..., :, None, :]) / across
    reach = torch.where((t > 0) & (s >= 0) & (s <= 1), t, torch.inf).amin(-1, keepdim=True)
    return middle + ray * (share * reach).clamp_max(1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _openness(landmarks: Tensor) -> Tensor:
    """How open the right and the left eye of landmarks [N,478,3] are: [N,2], 0 closed, 1 open, narrow or wide."""
    lids, iris = landmarks[:, torch.tensor(LIDS), :2], landmarks[:, torch.tensor(IRISES), :2]
    height = (lids[:, :, UPPER[2:5]] - lids[:, :, LOWER[2:5]]).norm(dim=-1).mean(-1)
    radius = (iris[:, :, 1:] - iris[:, :, :1]).norm(dim=-1).mean(-1)
    return geometry.smooth_step((height / (2 * radius).clamp_min(1e-6) - OPEN[0]) / (OPEN[1] - OPEN[0]))


@cache
def _rim_above() -> Tensor:
    """The upper lid above hub, ring and lids [33], as numbers into the lids."""
    lids = torch.arange(len(RIGHT_LIDS))
    lids[list(LOWER)] = lids[list(UPPER)]
    return torch.cat([lids[UPPER[3] :][:1], lids, lids])


@cache
def _fan() -> Tensor:
    """Triangles [48,3] between hub (0), ring (1 to 16) and lids (17 to 32)."""
    ring = 1 + torch.arange(len(RIGHT_LIDS))
    after, lids = ring.roll(-1), ring + len(RIGHT_LIDS)
    inner = torch.stack([torch.zeros_like(ring), ring, after], 1)
    outer = torch.stack([ring, lids, after], 1), torch.stack([after, lids, lids.roll(-1)], 1)
    return torch.cat([inner, *outer])
