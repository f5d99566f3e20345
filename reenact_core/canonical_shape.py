"""A person's resting face without pose, fused from many tracked pictures.

Every face is brought into head coordinates: turned back by its head rotation, shifted and scaled so that its rigid
points lie on those of the shape. There all pictures of one person agree but for expression, the tracker's errors and
what a view does not show; a weighted, robust mean of them is the shape. A vertex counts by how squarely it was seen,
by how calm the part of the face around it was, and by how sure the tracker was (generalised Procrustes analysis,
Gower 1975, with the iteratively reweighted mean of robust statistics).

Head coordinates: x to the image's right and y down of an upright frontal face, z away from the camera; the origin is
the centre of the rigid points and the unit the height of the canonical face that has the same rigid points.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from .head_channels import PARTS, PREFIXES, part_weights
from .motion_models.mesh_flows import CHIN, FOREHEAD, RIGID, lip_gap, vertex_normals
from .tracking import BLENDSHAPE_NAMES, canonical_mesh
from .types import Faces

MOST_VIEWS = 400  # faces fused at most; of more, evenly chosen ones
CALM = 0.35  # norm of a part's blendshapes beyond the calmest view's at which a view counts exp(-1/2)
GLANCING = 0.03  # weight of a vertex seen edge-on or not at all: better than nothing where no view shows it
OUTLIER = 0.012  # distance from the mean, in face heights, at which a view of a vertex counts half
ROUNDS = 4
PARTED = 8.0  # effort of the mouth per face height of parted lips: coefficients alone take many a grin for rest


class HeadPose(NamedTuple):
    """Where N heads are: image = scale * rotation @ head + centre."""

    scale: Tensor  # [N] pixels per face height
    rotation: Tensor  # [N,3,3] head -> camera
    centre: Tensor  # [N,3] pixels

    def to_head(self, landmarks: Tensor) -> Tensor:
        """Image landmarks [N,P,3] in head coordinates."""
        return (landmarks - self.centre[:, None]) @ self.rotation / self.scale[:, None, None]

    def to_image(self, points: Tensor) -> Tensor:
        """The inverse of `to_head`; `points` is [N,P,3] or [1,P,3]."""
        return points @ self.rotation.transpose(1, 2) * self.scale[:, None, None] + self.centre[:, None]


class CanonicalShape(NamedTuple):
    """A resting face in head coordinates."""

    points: Tensor  # [478,3]
    blendshapes: Tensor  # [52] what the tracker reads in it: zero for nobody


def head_pose(faces: Faces, points: Tensor) -> HeadPose:
    """Poses of faces whose shape is `points` [478,3]: the tracker's rotation, and the scale and place that fit.

    Only x and y decide, which the tracker sees; its depth is a guess.
    """
    rigid = list(RIGID)
    model = points[rigid] @ faces.rotation.transpose(1, 2)  # [N,P,3]
    seen = faces.landmarks[:, rigid]
    model_centre, centre = model.mean(1), seen.mean(1)
    flat, wanted = (model - model_centre[:, None])[..., :2], (seen - centre[:, None])[..., :2]
    scale = (flat * wanted).sum((1, 2)) / flat.square().sum((1, 2)).clamp_min(1e-9)
    scale = scale.clamp_min(1e-3)
    return HeadPose(scale, faces.rotation, centre - model_centre * scale[:, None])


def fuse_shape(faces: Faces) -> CanonicalShape:
    """The resting face of one person from N faces, each in pixels of a picture of its own.

    At least one face is found; the others are left out.
    """
    kept = faces.found.nonzero()[:, 0]
    if len(kept) > MOST_VIEWS:
        kept = kept[torch.linspace(0, len(kept) - 1, MOST_VIEWS).round().long()]
    faces = faces.at(kept)
    trust = calmness(faces) * _views(faces.landmarks) * faces.score.clamp_min(0.05)[:, None]  # [N,478]
    points = average_shape()
    for _ in range(ROUNDS):
        shapes = head_pose(faces, points).to_head(faces.landmarks)
        weights = trust
        for step in range(2 * ROUNDS):
            own = (shapes - _weighted(shapes, weights)).norm(dim=-1)  # [N,478]
            weights = trust / (1 + (_by_part(own) / OUTLIER).square())
            if step >= ROUNDS:  # which views of a part agree is known: now single vertices of them may be wrong
                weights = weights / (1 + (own / OUTLIER).square())
        points = _rescaled(_weighted(shapes, weights))
    coefficients = _calm_by_part(faces) * faces.score.clamp_min(0.05)[:, None]  # [N,4]
    coefficients = coefficients / coefficients.sum(0)
    resting = faces.blendshapes.mean(0)
    for part, row in zip(PARTS, coefficients.T):
        index = _coefficients_of(part)
        resting[index] = row @ faces.blendshapes[:, index]
    return CanonicalShape(points, resting)


@cache
def average_shape() -> Tensor:
    """The canonical mesh [478,3] in head coordinates; the irises rest in the middle of the eyes' corners."""
    vertices = canonical_mesh()[0]
    vertices = vertices / (vertices[FOREHEAD] - vertices[CHIN]).norm()
    vertices = vertices - vertices[list(RIGID)].mean(0)
    irises = [vertices[[outer, inner]].mean(0).expand(5, 3) for outer, inner in ((33, 133), (362, 263))]
    return torch.cat([vertices, *irises])


def calmness(faces: Faces) -> Tensor:
    """How little expression each landmark shows: [N,478] in 0..1, 1 = as little as the calmest of these N faces."""
    points, _ = part_weights()
    calm = _calm_by_part(faces)
    rest = 1 - points.sum(0)
    return calm @ points + calm.mean(1, keepdim=True) * rest


def _calm_by_part(faces: Faces) -> Tensor:
    """[N,4] in 0..1 for the parts of `PARTS`."""
    shapes = faces.blendshapes
    effort = torch.stack([shapes[:, _coefficients_of(part)].square().sum(1) for part in PARTS], 1)
    effort[:, PARTS.index("mouth")] += (PARTED * lip_gap(faces.landmarks)).square()
    least = effort.quantile(0.1, dim=0) if len(effort) > 20 else effort.amin(0)
    return torch.exp(-(effort - least).clamp_min(0) / (2 * CALM**2))


def _by_part(away: Tensor) -> Tensor:
    """Distances [N,478] with each moving part's mean in place of its vertices' own.

    A part is taken from one view or another as a whole: vertex by vertex, a lip could be shut next to an open corner.
    """
    shares, _ = part_weights()
    means = away @ (shares / shares.sum(1, keepdim=True)).T  # [N,4]
    return means @ shares + away * (1 - shares.sum(0))


def _coefficients_of(part: str) -> list[int]:
    return [i for i, name in enumerate(BLENDSHAPE_NAMES) if name.startswith(PREFIXES[part])]


def _views(landmarks: Tensor) -> Tensor:
    """How squarely each landmark is seen: [N,478] in GLANCING..1; irises as the nose bridge between them."""
    facing = -vertex_normals(landmarks)[..., 2]
    return torch.cat([facing, facing[:, [168]].expand(-1, 10)], 1).clamp_min(0).square() + GLANCING


def _weighted(shapes: Tensor, weights: Tensor) -> Tensor:
    """Mean [478,3] of [N,478,3] with weights [N,478]."""
    return (shapes * weights[..., None]).sum(0) / weights.sum(0).clamp_min(1e-12)[:, None]


def _rescaled(points: Tensor) -> Tensor:
    """The shape with its rigid points' centre at the origin and their spread that of the average face."""
    rigid = list(RIGID)
    points = points - points[rigid].mean(0)
    return points * (average_shape()[rigid].norm() / points[rigid].norm())
