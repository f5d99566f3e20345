"""Random training samples: R references and one driving frame of a clip, augmented alike for old and new."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..face_regions import INNER_LIPS
from ..motion_models import mesh_flows
from ..motion_models.mesh_boxes import BOX_LIFT
from ..motion_models.mesh_flows import FINER, MESH_POINTS, Flows, box_points
from ..motion_models.mesh_network import FINE, GRID
from ..motion_models.mesh_references import EncodedReferences, coarsen
from ..types import Faces
from .augmentation import (
    Augmentation,
    compress,
    flip,
    other_background,
    other_camera,
    other_light,
    recolour,
    reshape,
    stranger,
)
from .clips import Clip
from .exact_truth import ExactFlow, flow_and_visibility, hide_reference, mirror, move_reference

APART = ((13, 14), (159, 145), (386, 374))  # landmarks that tell how far mouth and eyes are open
EXTREME = 16  # one of so many frames shows the mouth or the eyes at an extreme
BOX_EXTENTS = (1.8, 2.5)  # box sides in face extents: at run time sides are rounded up to whole steps


class Sample(NamedTuple):
    """One driving frame and its references, ready for `FaceMesh.evidence`."""

    encoded: EncodedReferences
    flows: Flows  # T = 1
    distance: Tensor  # [1,R]
    boxes: Tensor  # [1,3]
    truth: Tensor  # [1,3,size,size]
    landmarks: Tensor  # [1,478,2] of the driving face, in pixels of `truth`
    shown: Tensor  # [1,1,size,size] 1 where the driving frame has a picture; beyond its edge nothing is judged
    emphasis: Tensor  # [1,1,size,size] > 0, mean 1: how much each pixel counts
    still: Tensor  # [1,R,G,G] 0..1, 1 = still background, and the reference's background map is right there
    exact: ExactFlow | None  # on the fine grid; of rendered clips


def draw(
    clip: Clip, count: int, size: int, augmentation: Augmentation, rng: random.Random, others: Sequence[Clip] = ()
) -> Sample:
    """A random sample with `count` references; truth and boxes at `size` pixels.

    Now and then one of three or more references is a bad one: a frame of `others`, blurred, or in strange light.
    """
    driving, chosen = _choose_frames(clip, count, augmentation, rng)
    truth_face = clip.faces.at([driving])
    images = clip.frames[[*chosen, driving]].float() / 255
    images = recolour(images, augmentation, rng)
    people, facing = clip.person[[*chosen, driving]].float() / 255, clip.facing[chosen]
    faces = clip.faces.at(chosen)
    flipped = rng.random() < augmentation.flip
    if flipped:
        images, people = images.flip(-1), people.flip(-1)
        faces, truth_face = (flip(f, images.shape[-1]) for f in (faces, truth_face))
    if clip.truth is None and rng.random() < augmentation.reshape:
        images, people, faces, truth_face = reshape(images, people, faces, truth_face, augmentation, rng)
    if others and rng.random() < augmentation.background:
        images = other_background(images, people, rng.choice(others), rng)

    boxes = _random_box(truth_face, rng)
    exact = _exact_flow(clip, driving, chosen, boxes, flipped)
    target = _crop(images[-1:], boxes, size)
    references, person = images[:-1], people[:-1]
    background = torch.eye(2, 3).repeat(count, 1, 1)
    usable = torch.ones(count, 1, *references.shape[-2:])
    same_camera = torch.ones(count)
    distance = torch.cdist(clip.descriptors[[driving]], clip.descriptors[chosen])
    for r in range(count):
        if rng.random() < augmentation.other_camera:
            moved = other_camera(references[r], person[r], faces.at([r]), truth_face, rng)
            references[r], person[r], usable[r], background[r] = moved[:4]
            faces.landmarks[r] = moved[4]
            if exact is not None:
                exact = move_reference(exact, r, moved[5], (images.shape[-2], images.shape[-1]))
            same_camera[r] = 0
    if count >= 3 and others and rng.random() < augmentation.stranger:
        r = rng.randrange(count)
        guest = rng.choice(others)
        references[r], person[r], usable[r], background[r], faces.landmarks[r], facing[r], distance[0, r] = stranger(
            guest, clip.descriptors[driving], truth_face, (references.shape[-2], references.shape[-1]), rng
        )
        same_camera[r] = 0
        exact = None if exact is None else hide_reference(exact, r)
    if rng.random() < augmentation.compression:
        references = torch.stack([compress(reference, rng.randrange(25, 70)) for reference in references])
    if count > 1 and rng.random() < augmentation.blur:
        worst, reach = rng.randrange(count), rng.choice((5, 9))
        references[worst : worst + 1] = F.avg_pool2d(
            references[worst : worst + 1], reach, 1, reach // 2, count_include_pad=False
        )
    if count >= 3 and rng.random() < augmentation.bad_light:
        worst = rng.randrange(count)
        references[worst] = other_light(references[worst], rng)

    cell = float(boxes[0, 2]) / GRID
    encoded = EncodedReferences(
        images=references,
        coarse=coarsen(references, cell),
        fine=coarsen(references, cell / FINER),
        usable=coarsen(usable, cell),
        person=F.interpolate(person, size=coarse_size(references, cell), mode="bilinear", align_corners=False),
        faces=faces,
        background=background,
        facing=facing,
        sharpness=torch.ones(count),
        strengths=torch.ones(count),
    )
    flows = mesh_flows.compute_flows(truth_face, faces, background, boxes, GRID, facing)
    height, width = images.shape[-2:]
    grid = geometry.normalise(box_points(boxes, GRID), (height, width)).unflatten(1, (GRID, GRID))
    away = 1 - geometry.sample(people[-1:], grid)
    visible = (grid.abs() <= 1).all(-1)[:, None].float()
    # Only well away from the person: the matte's rim is unsure.
    still = (away > 0.95).float() * visible * same_camera[None, :, None, None]
    shown = F.interpolate(visible, size=(size, size), mode="nearest")
    landmarks = (truth_face.landmarks[..., :2] - boxes[:, None, :2]) / boxes[:, None, 2:] * size
    emphasis = _emphasis(truth_face, boxes, size)
    return Sample(encoded, flows, distance, boxes, target, landmarks, shown, emphasis, still, exact)


def coarse_size(images: Tensor, cell: float) -> tuple[int, int]:
    """(h, w) of `coarsen(images, cell)`."""
    return (max(1, round(images.shape[-2] / cell)), max(1, round(images.shape[-1] / cell)))


def _exact_flow(clip: Clip, driving: int, chosen: list[int], boxes: Tensor, flipped: bool) -> ExactFlow | None:
    """Exact flow of a rendered clip on the fine grid over `boxes` [1,3], which lie in the flipped picture if so."""
    if clip.truth is None:
        return None
    width = clip.frames.shape[-1]
    own = boxes.clone()
    if flipped:
        own[:, 0] = width - boxes[:, 0] - boxes[:, 2]
    flow = flow_and_visibility(clip.truth, driving, chosen, own, FINE)
    return mirror(flow, width) if flipped else flow


def _choose_frames(clip: Clip, count: int, augmentation: Augmentation, rng: random.Random) -> tuple[int, list[int]]:
    """The driving frame and others as references; sometimes those far from it, so that large motions are common."""
    frames = list(range(len(clip.frames)))
    rarely = rng.random() < augmentation.unseen
    if rarely:
        frames = _extremes(clip.faces, rng)
    driving = rng.choice(frames[: max(3, len(frames) // EXTREME)] if rarely else frames)
    others = [i for i in frames if abs(i - driving) > 1] or [driving]
    if rarely:
        others = others[-max(count, len(others) // 2) :]
    elif rng.random() < augmentation.hard_pose:
        distance = (clip.descriptors[others] - clip.descriptors[driving]).norm(dim=1)
        order = distance.argsort(descending=True)[: max(count, len(others) // 3)]
        others = [others[int(i)] for i in order]
    return driving, [rng.choice(others) for _ in range(count)] if len(others) < count else rng.sample(others, count)


def _extremes(faces: Faces, rng: random.Random) -> list[int]:
    """All frames, the ones whose mouth is most open first, or most closed, or whose eyes are most closed."""
    upper, lower = (faces.landmarks[:, points] for points in zip(*APART))  # [T,3,3] each
    mouth, *eyes = (upper - lower).norm(dim=-1).unbind(1)
    height = mesh_flows.face_height(faces.landmarks)
    return (rng.choice((mouth, -mouth, -sum(eyes))) / height).argsort(descending=True).tolist()


def _emphasis(face: Faces, boxes: Tensor, size: int) -> Tensor:
    """How much each pixel of the box counts [1,1,size,size]: most around eyes and mouth, then the face."""
    points = box_points(boxes, GRID).unflatten(1, (GRID, GRID))  # [1,G,G,2]
    landmarks = face.landmarks[0, :, :2]
    height = mesh_flows.face_height(face.landmarks)
    emphasis = torch.full((1, GRID, GRID), 0.5)
    middle = landmarks[:MESH_POINTS].mean(0)
    features = (*(landmarks[eye[0]] for eye in mesh_flows.EYES), landmarks[list(INNER_LIPS)].mean(0))
    for centre, spread, gain in ((middle, 0.6, 1.0), *((feature, 0.12, 1.5) for feature in features)):
        away = (points - centre).square().sum(-1) / (2 * (spread * height) ** 2)
        emphasis = emphasis + gain * torch.exp(-away)
    emphasis = emphasis / emphasis.mean()
    return F.interpolate(emphasis[None], size=(size, size), mode="bilinear", align_corners=False)


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
