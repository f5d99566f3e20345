"""Random training samples: R references and one driving frame of a clip, augmented alike for old and new."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..motion_models import mesh_flows
from ..motion_models.face_mesh import BOX_LIFT, GRID, EncodedReferences, coarsen
from ..motion_models.mesh_flows import MESH_POINTS, Flows
from ..types import Faces
from .clips import Clip

BOX_EXTENTS = (1.8, 2.5)  # box sides in face extents: at run time sides are rounded up to whole steps


@dataclass(frozen=True)
class Augmentation:
    """How far training samples stray from the clips; probabilities 0..1."""

    colour: float = 0.12  # standard deviation of the entries of the shared colour matrix
    exposure: float = 0.4  # probability that references differ in exposure
    exposure_range: float = 0.12  # largest log gain between references
    flip: float = 0.5
    other_camera: float = 0.3  # probability that a reference has a framing of its own
    blur: float = 0.1  # probability that one reference is blurred
    hard_pose: float = 0.4  # probability that references are drawn far from the driving frame


class Sample(NamedTuple):
    """One driving frame and its references, ready for `FaceMesh.evidence`."""

    encoded: EncodedReferences
    flows: Flows  # T = 1
    distance: Tensor  # [1,R]
    boxes: Tensor  # [1,3]
    truth: Tensor  # [1,3,size,size]
    head: Tensor  # [1,2,G,G] head coordinates, for losses that weigh regions


def draw(clip: Clip, count: int, size: int, augmentation: Augmentation, rng: random.Random) -> Sample:
    """A random sample with `count` references; truth and boxes at `size` pixels."""
    total = len(clip.frames)
    driving = rng.randrange(total)
    chosen = _choose_references(clip, driving, count, augmentation, rng)
    truth_face = clip.faces.at([driving])
    images = clip.frames[[*chosen, driving]].float() / 255
    images = _recolour(images, augmentation, rng)
    faces, person, facing = clip.faces.at(chosen), clip.person[chosen].float() / 255, clip.facing[chosen]
    if rng.random() < augmentation.flip:
        images, person = images.flip(-1), person.flip(-1)
        faces, truth_face = (_flip(f, images.shape[-1]) for f in (faces, truth_face))

    boxes = _random_box(truth_face, rng)
    target = _crop(images[-1:], boxes, size)
    references = images[:-1]
    background = torch.eye(2, 3).repeat(count, 1, 1)
    usable = torch.ones(count, 1, *references.shape[-2:])
    for r in range(count):
        if rng.random() < augmentation.other_camera:
            moved = _other_camera(references[r], person[r], faces.at([r]), truth_face, rng)
            references[r], person[r], usable[r], background[r] = moved[:4]
            faces.landmarks[r] = moved[4]
    if count > 1 and rng.random() < augmentation.blur:
        worst = rng.randrange(count)
        references[worst : worst + 1] = F.avg_pool2d(references[worst : worst + 1], 5, 1, 2)

    cell = float(boxes[0, 2]) / GRID
    encoded = EncodedReferences(
        images=references,
        coarse=coarsen(references, cell),
        usable=coarsen(usable, cell),
        person=F.interpolate(person, size=coarse_size(references, cell), mode="bilinear", align_corners=False),
        faces=faces,
        background=background,
        facing=facing,
        sharpness=torch.ones(count),
        strengths=torch.ones(count),
    )
    flows = mesh_flows.compute_flows(truth_face, faces, background, boxes, GRID, facing)
    distance = torch.cdist(clip.descriptors[[driving]], clip.descriptors[chosen])
    return Sample(encoded, flows, distance, boxes, target, flows.head)


def coarse_size(images: Tensor, cell: float) -> tuple[int, int]:
    """(h, w) of `coarsen(images, cell)`."""
    return (max(1, round(images.shape[-2] / cell)), max(1, round(images.shape[-1] / cell)))


def _choose_references(
    clip: Clip, driving: int, count: int, augmentation: Augmentation, rng: random.Random
) -> list[int]:
    """Frames other than the driving one; sometimes those far from it, so that large motions are common."""
    others = [i for i in range(len(clip.frames)) if abs(i - driving) > 1] or [driving]
    if rng.random() < augmentation.hard_pose:
        distance = (clip.descriptors[others] - clip.descriptors[driving]).norm(dim=1)
        order = distance.argsort(descending=True)[: max(count, len(others) // 3)]
        others = [others[int(i)] for i in order]
    return [rng.choice(others) for _ in range(count)] if len(others) < count else rng.sample(others, count)


def _recolour(images: Tensor, augmentation: Augmentation, rng: random.Random) -> Tensor:
    """One colour matrix and offset for all pictures [N,3,H,W], and small exposure differences between them."""
    generator = torch.Generator().manual_seed(rng.getrandbits(31))
    matrix = torch.eye(3) + torch.randn(3, 3, generator=generator) * augmentation.colour
    offset = torch.randn(3, 1, 1, generator=generator) * 0.06
    images = torch.einsum("ij,njhw->nihw", matrix, images - 0.5) + 0.5 + offset
    if rng.random() < augmentation.exposure:
        gains = (torch.rand(len(images), 1, 1, 1, generator=generator) * 2 - 1) * augmentation.exposure_range
        images = images * gains.exp()
    return images.clamp(0, 1)


def _flip(faces: Faces, width: int) -> Faces:
    """Landmarks mirrored in place. Their order stays, so left and right swap meaning alike in all pictures."""
    mirrored = faces.landmarks.clone()
    mirrored[..., 0] = width - mirrored[..., 0]
    return faces._replace(landmarks=mirrored)


def _random_box(face: Faces, rng: random.Random) -> Tensor:
    """A box [1,3] like the ones of `steady_boxes`, with random size and offset."""
    points = face.landmarks[:, :MESH_POINTS, :2]
    low, high = points.amin(1), points.amax(1)
    extent = float((high - low).max())
    side = extent * rng.uniform(*BOX_EXTENTS)
    slack = 0.12 * extent
    jitter = torch.tensor([[rng.uniform(-slack, slack), rng.uniform(-slack, slack) - BOX_LIFT * side]])
    return torch.cat([(low + high) / 2 + jitter - side / 2, torch.tensor([[side]])], 1)


def _crop(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Pictures [T,3,size,size] under boxes [T,3], antialiased where that shrinks."""
    finer = size * max(1, math.ceil(float(boxes[0, 2]) / size))
    points = boxes[:, None, None, :2] + geometry.pixel_grid(finer, finer) / finer * boxes[:, None, None, 2:]
    crop = geometry.sample(images, geometry.normalise(points, (images.shape[-2], images.shape[-1])))
    return F.interpolate(crop, size=(size, size), mode="area") if finer != size else crop


def _other_camera(
    image: Tensor, person: Tensor, face: Faces, driving: Faces, rng: random.Random
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A reference re-framed as if from another photo: image, matte, usable pixels, background map, landmarks.

    The background is then laid so that the faces coincide, as it is for photos from elsewhere.
    """
    height, width = image.shape[-2:]
    scale, angle = rng.uniform(0.8, 1.15), math.radians(rng.uniform(-8, 8))
    centre = face.landmarks[0, :MESH_POINTS, :2].mean(0)
    linear = scale * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shift = torch.tensor([rng.uniform(-0.08, 0.08) * width, rng.uniform(-0.08, 0.08) * height])
    forward = torch.cat([linear, (centre + shift - linear @ centre)[:, None]], 1)  # old pixel -> new pixel
    inverse = geometry.invert_affine(forward)
    points = geometry.apply_affine(inverse, geometry.pixel_grid(height, width).flatten(0, 1))
    grid = geometry.normalise(points, (height, width)).unflatten(0, (height, width))[None]
    landmarks = face.landmarks[0].clone()
    landmarks[:, :2] = geometry.apply_affine(forward, landmarks[:, :2])
    landmarks[:, 2] = landmarks[:, 2] * scale
    ratio = mesh_flows.face_height(landmarks[None])[0] / mesh_flows.face_height(driving.landmarks)[0]
    offset = landmarks[:MESH_POINTS, :2].mean(0) - ratio * driving.landmarks[0, :MESH_POINTS, :2].mean(0)
    laid = torch.cat([torch.eye(2) * ratio, offset[:, None]], 1)
    matte = F.interpolate(geometry.sample(person[None], grid), size=person.shape[-2:], mode="area")[0]
    inside = (grid.abs() <= 1).all(-1).to(image)
    return geometry.sample(image[None], grid)[0], matte, inside, laid, landmarks
