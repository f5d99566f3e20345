"""Candidate backward flows of the face-mesh model and what geometry knows about each pixel.

Six candidates per driving pixel, each an absolute position in the reference. They take the place of the sparse
motions of the first-order motion model (https://arxiv.org/abs/2003.00196, section 3.1): geometry from a tracker
instead of learned keypoints.

0 background: the still scene, aligned once per reference
1-3 head: the rigid head transform for a pixel at the depth of the face, of the ears, of the back of the head
4 mesh: the landmark mesh's own flow, irises included, extended smoothly beyond the face
5 torso: a damped head translation
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..face_regions import INNER_LIPS, LEFT_LIDS, MESH_POINTS, MIDDLE_LIPS, RIGHT_LIDS, STEADY
from ..tracking import canonical_mesh
from ..types import Faces

BACKGROUND, HEAD, MESH, TORSO = 0, slice(1, 4), 4, 5
COUNT = 6
FINER = 2  # the mesh is drawn on a grid this much finer: eyelids and lips are only a few cells wide
HEAD_DEPTHS = (0.0, 0.35, 0.8)  # behind the face's mean depth, in face heights
TORSO_DAMPING = 0.4
# Points that expressions hardly move, in the picture: with eye corners, upper ends of the brows and the nose's tip.
RIGID = (*STEADY, 33, 133, 362, 263, 70, 300, 105, 334, 1, 2)
FOREHEAD, CHIN = 10, 152
# (iris centre, its rim points, the corners and lids that bound the eye's opening)
EYES = ((468, (469, 470, 471, 472), (33, 133, 159, 145)), (473, (474, 475, 476, 477), (362, 263, 386, 374)))


class Flows(NamedTuple):
    """Geometry of T driving frames against R references on a G x G grid over each frame's box."""

    positions: Tensor  # [T,R,COUNT,G,G,2] xy in pixels of the reference, one per candidate
    mesh: Tensor  # [T,R,F,F,2] the mesh candidate on a grid of F = FINER * G cells per side
    vertices: Tensor  # [T,478,3] the driving mesh and irises in shares of the box, depth too
    moved: Tensor  # [T,R,468,2] where the mesh's vertices lie in the reference, from where the still scene has them
    drawn: Tensor  # [T,R,2,F,F] the same on the grid, without the irises
    openings: Tensor  # [T,2,F,F] 1 inside the driving face's lips (channel 0), eyelids (1)
    inside: Tensor  # [T,1,G,G] 0..1, share of the cell that the face mesh covers
    residual: Tensor  # [T,R,1,G,G] how far mesh and rigid flow differ, in face heights; 0 = same expression here
    facing: Tensor  # [T,R,1,G,G] cosine of the reference's view of the skin seen here; <= 0 is turned away
    normals: Tensor  # [T,3,G,G] skin normals in the driving frame
    head: Tensor  # [T,2,G,G] xy in head coordinates (face heights, origin at the face's centre, roll undone)
    angle: Tensor  # [T,R] degrees between the two head rotations
    turn: Tensor  # [T,R,3] axis-angle of the rotation from driving to reference head, radians


def face_height(landmarks: Tensor) -> Tensor:
    """Distance forehead to chin in pixels, in 3-D so that nodding does not shorten it: [N]."""
    return (landmarks[:, FOREHEAD] - landmarks[:, CHIN]).norm(dim=-1).clamp_min(1e-3)


def lip_gap(landmarks: Tensor) -> Tensor:
    """Opening between the lips [N] of landmarks [N,478,3], in face heights."""
    points = landmarks[:, torch.tensor(MIDDLE_LIPS)]  # [N,P,2,3]
    return (points[:, :, 0] - points[:, :, 1]).norm(dim=-1).mean(1) / face_height(landmarks)


def vertex_normals(landmarks: Tensor) -> Tensor:
    """Unit normals [N,468,3] of the face mesh; z < 0 looks at the camera."""
    _, triangles = canonical_mesh()
    flat = geometry.triangle_normals(landmarks[:, :MESH_POINTS], triangles)  # [N,F,3]
    normals = torch.zeros(len(landmarks), MESH_POINTS, 3)
    for corner in range(3):
        normals.index_add_(1, triangles[:, corner], flat)
    normals = F.normalize(normals, dim=-1)
    # The canonical mesh winds either way; a visible face looks at the camera on average.
    return normals * torch.where(normals[..., 2:].mean(1, keepdim=True) > 0, -1.0, 1.0)


def compute_flows(
    driving: Faces, reference: Faces, background: Tensor, boxes: Tensor, grid: int, facing: Tensor
) -> Flows:
    """All candidates and pixel-wise facts.

    Args:
        driving: axis T, canvas pixels. reference: axis R, pixels of each reference.
        background: [R,2,3] or, where the camera moves, [T,R,2,3] affine maps from canvas to reference pixels.
        boxes: [T,3] left, top, side on the canvas. grid: G.
        facing: [R,468] cosine of each reference's view of each vertex (0 or less where hidden).
    """
    frames, count = len(driving.score), len(reference.score)
    points = box_points(boxes, grid)  # [T,G*G,2] canvas pixels
    height = face_height(driving.landmarks)

    # Rigid head transform for every pair, driving -> reference.
    source = driving.landmarks[:, RIGID].repeat_interleave(count, 0)
    rigid = geometry.fit_similarity(source, reference.landmarks[:, RIGID].repeat(frames, 1, 1))
    _, rotation, _ = geometry.split_similarity(rigid)
    centre = driving.landmarks[:, :MESH_POINTS].mean(1)  # [T,3]
    depths = centre[:, 2:] + height[:, None] * torch.tensor(HEAD_DEPTHS)  # [T,3]
    head = _rigid_positions(rigid.unflatten(0, (frames, count)), points, depths)  # [T,R,3,G*G,2]

    # Everything that lives on vertices is rasterised in one weighted look-up. Movement is counted from where the still
    # scene lies, which also says the scale: a reference may be larger or smaller than the canvas.
    resting = geometry.apply_affine(background, driving.landmarks[:, None, :MESH_POINTS, :2])  # [T,R,468,2]
    moved = reference.landmarks[None, :, :MESH_POINTS, :2] - resting
    rigidly = geometry.apply_affine(rigid, driving.landmarks[:, :MESH_POINTS].repeat_interleave(count, 0))
    residual = rigidly.unflatten(0, (frames, count))[..., :2] - reference.landmarks[None, :, :MESH_POINTS, :2]
    residual = residual.norm(dim=-1, keepdim=True) / face_height(reference.landmarks)[None, :, None, None]
    seen = facing[None, :, :, None].expand(frames, -1, -1, -1)
    per_pair = torch.cat([moved, residual, seen], -1).permute(0, 2, 1, 3).flatten(2)  # [T,468,R*4]
    attributes = torch.cat([per_pair, vertex_normals(driving.landmarks)], -1)
    covered, openings, maps = _rasterise_attributes(driving.landmarks, attributes, boxes, grid * FINER)
    maps = geometry.fill_outwards(maps, covered)  # beyond the face the nearest skin's values continue
    fine = box_points(boxes, grid * FINER)
    drawn = maps[:, : count * 4].unflatten(1, (count, 4))[:, :, :2].contiguous()  # [T,R,2,F,F]
    mesh = drawn.flatten(3) + geometry.apply_affine(background, fine[:, None]).transpose(2, 3)
    mesh = mesh + _iris_shift(driving.landmarks, reference.landmarks, fine, covered)
    mesh = mesh.unflatten(3, (grid * FINER, grid * FINER))  # [T,R,2,F,F]
    maps, inside = F.avg_pool2d(maps, FINER), F.avg_pool2d(covered, FINER)
    pairs = maps[:, : count * 4].unflatten(1, (count, 4))  # [T,R,4,G,G]
    coarse_mesh = geometry.shrink(mesh.flatten(0, 1), (grid, grid)).unflatten(0, (frames, count))
    coarse_mesh = coarse_mesh.flatten(3).transpose(2, 3)  # [T,R,G*G,2]

    still = geometry.apply_affine(background, points[:, None])  # [T,R,G*G,2]
    anchor = geometry.apply_affine(background, centre[:, None, None, :2]).squeeze(2)  # [T,R,2]
    drift = TORSO_DAMPING * (reference.landmarks[None, :, :MESH_POINTS, :2].mean(2) - anchor)
    torso = still + drift[:, :, None]

    positions = torch.cat([still[:, :, None], head, coarse_mesh[:, :, None], torso[:, :, None]], 2)
    turn = _axis_angle(rotation).unflatten(0, (frames, count))
    return Flows(
        positions=positions.unflatten(3, (grid, grid)),
        mesh=mesh.movedim(2, -1),
        vertices=in_boxes(driving.landmarks, boxes),
        moved=moved,
        drawn=drawn,
        openings=openings,
        inside=inside,
        residual=pairs[:, :, 2:3],
        facing=pairs[:, :, 3:4],
        normals=maps[:, count * 4 :] * inside,
        head=_head_coordinates(driving, points, height, grid),
        angle=torch.rad2deg(turn.norm(dim=-1)),
        turn=turn,
    )


def box_points(boxes: Tensor, grid: int) -> Tensor:
    """Canvas positions [T,grid*grid,2] of the cell centres of a grid over each box."""
    unit = (geometry.pixel_grid(grid, grid) / grid).flatten(0, 1)
    return boxes[:, None, :2] + unit * boxes[:, None, 2:]


def in_boxes(landmarks: Tensor, boxes: Tensor) -> Tensor:
    """Landmarks [T,P,3] on the canvas in shares of each box's side: [T,P,3]."""
    return (landmarks - F.pad(boxes[:, :2], (0, 1))[:, None]) / boxes[:, None, 2:]


def _rigid_positions(rigid: Tensor, points: Tensor, depths: Tensor) -> Tensor:
    """Where rigid maps [T,R,3,4] take points [T,P,2] at depths [T,D]: [T,R,D,P,2]."""
    plane = torch.einsum("tpk,trjk->trpj", points, rigid[..., :2, :2])
    shift = rigid[..., None, :2, 2] * depths[:, None, :, None] + rigid[..., None, :2, 3]  # [T,R,D,2]
    return plane[:, :, None] + shift[..., None, :]


def _rasterise_attributes(
    landmarks: Tensor, attributes: Tensor, boxes: Tensor, grid: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Vertex attributes [T,468,A] drawn on the grid: coverage [T,1,F,F], openings [T,2,F,F] and maps [T,A,F,F]
    (0 outside), with F = grid."""
    frames, vertices = landmarks.shape[0], MESH_POINTS
    _, triangles = canonical_mesh()
    local = in_boxes(landmarks[:, :vertices], boxes) * grid
    triangle, weights = geometry.rasterise(local, triangles, grid)
    index = triangles[triangle.clamp_min(0)] + torch.arange(frames)[:, None, None, None] * vertices
    maps = F.embedding_bag(
        index.flatten(0, 2),
        attributes.flatten(0, 1).contiguous(),
        mode="sum",
        per_sample_weights=weights.flatten(0, 2),
    )
    maps = maps.unflatten(0, (frames, grid, grid)).permute(0, 3, 1, 2)
    covered = (triangle >= 0)[:, None]
    openings = opening_triangles()[:, triangle.clamp_min(0)].transpose(0, 1) & covered
    return covered.float(), openings.float(), maps


@cache
def opening_triangles() -> Tensor:
    """Which triangles of the canonical mesh span the open mouth (row 0) and eyes (row 1): [2,898] bool."""
    _, triangles = canonical_mesh()

    def within(ring: tuple[int, ...]) -> Tensor:
        return torch.isin(triangles, torch.tensor(ring)).all(1)

    return torch.stack([within(INNER_LIPS), within(RIGHT_LIDS) | within(LEFT_LIDS)])


def _iris_shift(driving: Tensor, reference: Tensor, points: Tensor, inside: Tensor) -> Tensor:
    """Extra displacement [T,R,2,P] that carries the irises: the mesh alone moves lids and corners only.

    The difference between where the mesh takes the driving iris and where the reference's iris is, faded out over
    the eye's opening.
    """
    frames, count = len(driving), len(reference)
    centres, rims, openings = (list(part) for part in zip(*EYES))  # of both eyes: [2], [2,4], [2,4]
    irises = driving[:, centres, :2]  # [T,2,2]
    corners = driving[:, torch.tensor(openings), :2]  # [T,2,4,2]
    fit = geometry.fit_similarity(
        corners[:, None].expand(-1, count, -1, -1, -1).flatten(0, 2),
        reference[None, :, torch.tensor(openings), :2].expand(frames, -1, -1, -1, -1).flatten(0, 2),
    ).unflatten(0, (frames, count, len(EYES)))
    carried = geometry.apply_affine(fit, irises[:, None, :, None])[..., 0, :]  # [T,R,2,2]
    shift = reference[:, centres, :2] - carried
    limit = 0.5 * (corners[:, :, 0] - corners[:, :, 1]).norm(dim=-1)[:, None, :, None]
    shift = shift * (limit / shift.norm(dim=-1, keepdim=True).clamp_min(1e-6)).clamp_max(1)
    radius = (driving[:, torch.tensor(rims), :2] - irises[:, :, None]).norm(dim=-1).mean(2, keepdim=True)  # [T,2,1]
    away = (points[:, None] - irises[:, :, None]).norm(dim=-1)  # [T,2,P]
    fade = torch.sigmoid((1.6 * radius - away) / (0.25 * radius.clamp_min(1e-3))) * inside.flatten(2)
    return shift.transpose(2, 3) @ fade[:, None]


def _head_coordinates(driving: Faces, points: Tensor, height: Tensor, grid: int) -> Tensor:
    """Pixels seen from the head: [T,2,G,G] in face heights, x to the image's right and y down along the face."""
    landmarks = driving.landmarks[:, :MESH_POINTS, :2]
    down = F.normalize(landmarks[:, CHIN] - landmarks[:, FOREHEAD], dim=-1)
    right = torch.stack([down[:, 1], -down[:, 0]], -1)
    offset = points - landmarks.mean(1, keepdim=True)
    axes = torch.stack([right, down], -1)  # [T,2,2]
    return ((offset @ axes) / height[:, None, None]).transpose(1, 2).unflatten(2, (grid, grid))


def _axis_angle(rotation: Tensor) -> Tensor:
    """Axis times angle in radians [B,3] of rotations [B,3,3] below 180 degrees."""
    skew = torch.stack(
        [
            rotation[:, 2, 1] - rotation[:, 1, 2],
            rotation[:, 0, 2] - rotation[:, 2, 0],
            rotation[:, 1, 0] - rotation[:, 0, 1],
        ],
        -1,
    )
    cosine = ((rotation.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)
    return F.normalize(skew, dim=-1) * torch.acos(cosine)[:, None]
