"""The default motion model: a dense face mesh moves the references' own pixels, at their own resolution.

References are aligned to the canvas and matched in colour once. For every driving frame, candidate flows
(`mesh_flows`) are mixed per pixel into one deformation per reference; confidence says how well that reference shows
the pixel. Fusion happens on images (C = 3).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import geometry
from ..decoding.colour_match import colour_gains
from ..pose import pose_distance
from ..tracking import PersonMatte, canonical_mesh
from ..types import DrivingMotion, Evidence, Faces, References
from . import mesh_flows
from .base import MotionModel
from .mesh_flows import MESH, MESH_POINTS, TORSO

GRID = 128  # cells per side on which geometry is computed; the deformation is resized from there
MATTE_SIZE = 160  # cells on the longer side of a reference's person matte
BOX_EXTENT = 1.9  # side of the box in units of the landmarks' larger extent
BOX_LIFT = 0.06  # the box is shifted up by this share of its side: hair is taller than the neck is of interest


class EncodedReferences(NamedTuple):
    """R references at working scale, padded to one size."""

    images: Tensor  # [R,3,H,W] in [0,1], colour matched to the first
    masks: Tensor  # [R,1,H,W] in [0,1] usable pixels; 0 in the padding
    person: Tensor  # [R,1,h,w] in [0,1], 1 = person, over the whole padded image
    faces: Faces  # in pixels of `images`
    background: Tensor  # [R,2,3] canvas pixels -> pixels of `images`
    facing: Tensor  # [R,468] cosine of the view of each vertex, <= 0 where hidden
    sharpness: Tensor  # [R] 0..1 relative to the sharpest
    strengths: Tensor  # [R]


class FaceMesh(MotionModel):
    """Geometric part: contributions and confidence follow from rules, not from a network."""

    name = "face_mesh"

    def __init__(self) -> None:
        super().__init__()
        self.matte = PersonMatte.load()

    def place(self, motion: DrivingMotion) -> Tensor:
        return steady_boxes(motion.faces.landmarks, motion.canvas)

    def encode_references(self, references: References, motion: DrivingMotion, size: float) -> EncodedReferences:
        scaled = [_rescale(references, r, motion, size) for r in range(len(references.images))]
        height = max(image.shape[-2] for image, _, _ in scaled)
        width = max(image.shape[-1] for image, _, _ in scaled)
        images = torch.stack([_pad(image, height, width, "replicate") for image, _, _ in scaled]).to(self.device)
        masks = torch.stack([_pad(mask, height, width, "constant") for _, mask, _ in scaled]).to(self.device)
        factors = torch.tensor([factor for _, _, factor in scaled])
        faces = references.faces._replace(landmarks=references.faces.landmarks * factors[:, None, None])
        person = self._person(images)
        sizes = [tuple(image.shape[-2:]) for image, _, _ in scaled]
        background = align_backgrounds(images, person, faces, sizes, motion)
        facing = visible_vertices(faces.landmarks)
        gains = colour_gains(images, faces.landmarks[:, :MESH_POINTS], facing.clamp_min(0))
        return EncodedReferences(
            images=(images * gains[:, :, None, None].to(images)).clamp(0, 1),
            masks=masks,
            person=person,
            faces=faces,
            background=background,
            facing=facing,
            sharpness=_sharpness(images, faces.landmarks),
            strengths=references.strengths,
        )

    def warp(self, encoded: EncodedReferences, motion: DrivingMotion, boxes: Tensor, size: int) -> Evidence:
        flows = mesh_flows.compute_flows(
            motion.faces, encoded.faces, encoded.background, boxes.float(), GRID, encoded.facing
        )
        frames, count = flows.angle.shape
        image_size = (encoded.images.shape[-2], encoded.images.shape[-1])
        grids = geometry.normalise(flows.positions, image_size).to(encoded.images)  # [T,R,6,G,G,2]
        contributions, confidence = self._mix(encoded, flows, grids)
        deformation = (grids * contributions[..., None]).sum(2).flatten(0, 1).permute(0, 3, 1, 2)
        deformation = F.interpolate(deformation, size=(size, size), mode="bilinear", align_corners=False)
        deformation = deformation.permute(0, 2, 3, 1).unflatten(0, (frames, count))
        features = torch.stack(
            [
                geometry.sample(encoded.images[r].expand(frames, -1, -1, -1), deformation[:, r])
                for r in range(count)
            ],
            dim=1,
        )
        coarse = (grids * contributions[..., None]).sum(2).transpose(0, 1)
        usable = torch.stack(
            [geometry.sample(encoded.masks[r].expand(frames, -1, -1, -1), coarse[r], "zeros") for r in range(count)],
            dim=1,
        )
        prior = usable * encoded.strengths.to(usable)[None, :, None, None, None]
        distance = pose_distance(motion.faces, encoded.faces)
        return Evidence(features, confidence, distance, prior)

    def decode(self, encoded: EncodedReferences, features: Tensor, motion: DrivingMotion, boxes: Tensor) -> Tensor:
        return features.clamp(0, 1)

    def plate(self, encoded: EncodedReferences, canvas: tuple[int, int]) -> Tensor:
        """The first reference, aligned to the canvas."""
        points = geometry.pixel_grid(*canvas).flatten(0, 1)
        positions = geometry.apply_affine(encoded.background[:1], points[None])
        grid = geometry.normalise(positions, (encoded.images.shape[-2], encoded.images.shape[-1]))
        return geometry.sample(encoded.images[:1], grid.unflatten(1, canvas))[0]

    def _person(self, images: Tensor) -> Tensor:
        """Person matte [R,1,h,w] of padded images, coarse: it guides weights, never edges."""
        scale = MATTE_SIZE / max(images.shape[-2:])
        size = [max(1, round(side * scale)) for side in images.shape[-2:]]
        return F.interpolate(self.matte.matte(images), size=size, mode="bilinear", antialias=True, align_corners=False)

    def _mix(self, encoded: EncodedReferences, flows: mesh_flows.Flows, grids: Tensor) -> tuple[Tensor, Tensor]:
        """Contributions [T,R,6,G,G] (sum 1 over candidates) and confidence [T,R,1,G,G] by rule.

        Inside the mesh the mesh decides. Around it the head's rigid motion, below it the torso's, elsewhere the
        still background; each counts as far as the reference's matte says that it finds a person (or background)
        where it looks.
        """
        frames, count = flows.angle.shape
        device = grids.device
        inside, head = flows.inside.to(device)[:, None], flows.head.to(device)[:, None]  # [T,1,1|2,G,G]
        soft_inside = F.avg_pool2d(inside.flatten(0, 1), 5, 1, 2).unflatten(0, (frames, 1))
        x, y = head[:, :, :1], head[:, :, 1:]
        # Head with hair: an ellipse in face heights, a little above the face's centre.
        radius = ((x / 0.72).square() + ((y + 0.12) / 0.85).square()).sqrt()
        near_head = torch.sigmoid((1.0 - radius) / 0.08)
        below = torch.sigmoid((y - 0.45) / 0.06) * torch.sigmoid((1.2 - x.abs() / (0.5 + y.clamp_min(0))) / 0.1)

        def person_at(candidate: int) -> Tensor:
            looked = [
                geometry.sample(encoded.person[r].expand(frames, -1, -1, -1), grids[:, r, candidate], "zeros")
                for r in range(count)
            ]
            return torch.stack(looked, 1)

        head_here = near_head * (1 - below) * person_at(2)
        torso_here = below * person_at(TORSO)
        rest = 1 - soft_inside
        mesh = soft_inside + rest * head_here * 0.0
        rigid = rest * head_here
        torso = rest * (1 - head_here) * torso_here
        still = (1 - mesh - rigid - torso).clamp_min(0)
        zero = torch.zeros_like(rigid)
        parts = [still, zero, rigid, zero, mesh.expand_as(rigid), torso]
        contributions = torch.cat(parts, 2)

        angle = flows.angle.to(device)[:, :, None, None, None]
        like_pose = torch.exp(-(angle / 25).square())
        like_expression = torch.exp(-(flows.residual.to(device) / 0.05).square())
        seen = flows.facing.to(device).clamp(0, 1).sqrt()
        on_face = seen * like_pose * like_expression * (0.5 + 0.5 * encoded.sharpness.to(device)[None, :, None, None, None])
        plain = 1 - person_at(mesh_flows.BACKGROUND)  # the reference really shows background there
        confidence = (
            contributions[:, :, MESH : MESH + 1] * on_face
            + rigid * like_pose * person_at(2)
            + torso * like_pose
            + still * plain
        )
        return contributions, confidence.clamp(1e-4, 1)


def steady_boxes(landmarks: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Square boxes [T,3] long (left, top, side) around the head, one side for all frames and calm in motion.

    A box that need not move does not: where one still box of at most 1.35 times the side holds every frame, it is
    used, because then the background grid stands still too.
    """
    points = landmarks[:, :MESH_POINTS, :2]
    low, high = points.amin(1), points.amax(1)  # [T,2]
    extent = (high - low).amax(1)
    side = BOX_EXTENT * torch.quantile(extent, 0.98)
    centre = (low + high) / 2
    middle = (centre.amin(0) + centre.amax(0)) / 2
    reach = (centre.amax(0) - centre.amin(0)).max()
    if side + reach <= 1.35 * side:
        side = side + reach
        centre = middle.expand_as(centre)
    lift = torch.stack([torch.zeros(()), BOX_LIFT * side])
    whole = int(side.ceil().clamp(16, 2 * max(canvas)))
    corner = (centre - lift - whole / 2).round().long()
    return torch.cat([corner, torch.full((len(corner), 1), whole)], 1)


def visible_vertices(landmarks: Tensor) -> Tensor:
    """Cosine of the view of each vertex [R,468], made negative where another part of the face hides it."""
    cosine = -mesh_flows.vertex_normals(landmarks)[..., 2]
    _, triangles = canonical_mesh()
    resolution = 96
    local = landmarks[:, :MESH_POINTS].clone()
    low, high = local[..., :2].amin(1, keepdim=True), local[..., :2].amax(1, keepdim=True)
    factor = (resolution - 2) / (high - low).amax(-1, keepdim=True).clamp_min(1e-3)
    local[..., :2] = (local[..., :2] - low) * factor + 1
    local[..., 2:] = local[..., 2:] * factor
    triangle, weights = geometry.rasterise(local, triangles, resolution)
    corners = torch.gather(
        local[..., 2], 1, triangles[triangle.clamp_min(0)].flatten(1)
    ).unflatten(1, (*triangle.shape[1:], 3))
    depth = torch.where(triangle >= 0, (corners * weights).sum(-1), torch.inf)
    cell = local[..., :2].long().clamp(0, resolution - 1)
    front = torch.gather(depth.flatten(1), 1, cell[..., 1] * resolution + cell[..., 0])
    hidden = local[..., 2] > front + 0.04 * resolution
    return torch.where(hidden, -cosine.abs(), cosine)


def align_backgrounds(
    images: Tensor, person: Tensor, faces: Faces, sizes: list[tuple[int, int]], motion: DrivingMotion
) -> Tensor:
    """Affine maps [R,2,3] from canvas to reference pixels for everything that does not move.

    A reference from the same camera shares the canvas's frame; one from elsewhere is laid so that its face covers
    the driving face (scale and shift, no rotation). References with the canvas's shape are taken to be from the
    same camera unless the two readings can be compared with the first reference and the second fits better.
    """
    anchor = motion.faces.landmarks[:, :MESH_POINTS, :2]
    centre, spread = anchor.mean((0, 1)), mesh_flows.face_height(motion.faces.landmarks).median()
    shared, laid = [], []
    for r, (height, width) in enumerate(sizes):
        same = torch.diag(torch.tensor([width / motion.canvas[1], height / motion.canvas[0]]))
        shared.append(torch.cat([same, torch.zeros(2, 1)], 1))
        ratio = mesh_flows.face_height(faces.landmarks[r : r + 1])[0] / spread
        offset = faces.landmarks[r, :MESH_POINTS, :2].mean(0) - ratio * centre
        laid.append(torch.cat([torch.eye(2) * ratio, offset[:, None]], 1))
    chosen = []
    for r, (height, width) in enumerate(sizes):
        shape_matches = abs(width / height - motion.canvas[1] / motion.canvas[0]) < 0.01
        ratio = laid[r][0, 0] / shared[r][0, 0]
        off = geometry.apply_affine(geometry.compose_affine(geometry.invert_affine(shared[r]), laid[r]), centre[None])
        plausible = 0.55 < ratio < 1.8 and float((off[0] - centre).norm()) < 1.2 * float(spread)
        take_shared = shape_matches and plausible
        if take_shared and r > 0 and chosen[0] is shared[0]:
            errors = [_background_error(images, person, chosen[0], option, r, motion) for option in (shared[r], laid[r])]
            take_shared = errors[0] <= errors[1]
        chosen.append(shared[r] if take_shared else laid[r])
    return torch.stack(chosen)


def _background_error(
    images: Tensor, person: Tensor, first: Tensor, option: Tensor, index: int, motion: DrivingMotion
) -> float:
    """Mean absolute difference between reference `index` and reference 0 where both show background."""
    canvas = motion.canvas
    points = (geometry.pixel_grid(64, 64) * torch.tensor([canvas[1] / 64, canvas[0] / 64])).flatten(0, 1)
    size = (images.shape[-2], images.shape[-1])
    looks, plain = [], []
    for r, affine in ((0, first), (index, option)):
        grid = geometry.normalise(geometry.apply_affine(affine, points), size).unflatten(0, (64, 64))[None]
        looks.append(geometry.sample(images[r : r + 1], grid, "zeros"))
        inside = (grid.abs() <= 1).all(-1)[:, None].to(images)
        plain.append((1 - geometry.sample(person[r : r + 1], grid)) * inside)
    weight = plain[0] * plain[1]
    return float(((looks[0] - looks[1]).abs().mean(1, keepdim=True) * weight).sum() / weight.sum().clamp_min(1))


def _rescale(references: References, index: int, motion: DrivingMotion, size: float) -> tuple[Tensor, Tensor, float]:
    """Image, mask and the factor by which both were shrunk, so that sampling never skips pixels."""
    image, mask = references.images[index], references.masks[index]
    wanted = mesh_flows.face_height(motion.faces.landmarks).median() * size
    factor = float(wanted / mesh_flows.face_height(references.faces.landmarks[index : index + 1])[0])
    if factor > 0.8:
        return image, mask, 1.0
    height, width = (max(1, round(side * factor)) for side in image.shape[-2:])
    shrink = nn.Upsample(size=(height, width), mode="bilinear", align_corners=False)
    shrink = lambda x: F.interpolate(x[None], size=(height, width), mode="bilinear", antialias=True, align_corners=False)[0]
    return shrink(image), shrink(mask), factor


def _pad(image: Tensor, height: int, width: int, mode: str) -> Tensor:
    missing = (0, width - image.shape[-1], 0, height - image.shape[-2])
    return F.pad(image[None], missing, mode=mode)[0]


def _sharpness(images: Tensor, landmarks: Tensor) -> Tensor:
    """Detail of each face [R], 0..1 relative to the sharpest: mean absolute Laplacian at the mesh vertices."""
    grey = images.mean(1, keepdim=True)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=images.device, dtype=images.dtype)
    edges = F.avg_pool2d(F.conv2d(grey, kernel[None, None], padding=1).abs(), 5, 1, 2)
    grid = geometry.normalise(landmarks[:, :MESH_POINTS, :2], (images.shape[-2], images.shape[-1]))
    detail = geometry.sample(edges, grid[:, None]).mean((1, 2, 3)).float().cpu()
    return detail / detail.max().clamp_min(1e-6)
