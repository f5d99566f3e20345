"""How training samples stray from the clips: other colours, proportions, cameras, backgrounds, bad references."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..motion_models import mesh_flows
from ..motion_models.mesh_flows import MESH_POINTS
from ..types import Faces
from .clips import Clip


@dataclass(frozen=True)
class Augmentation:
    """How far training samples stray from the clips; probabilities 0..1."""

    colour: float = 0.12  # standard deviation of the entries of the shared colour matrix
    exposure: float = 0.4  # probability that references differ in exposure
    exposure_range: float = 0.12  # largest log gain between references
    flip: float = 0.5
    reshape: float = 0.5  # probability that all pictures of a filmed clip are turned and stretched alike
    stretch: float = 0.12  # then: largest log ratio of width to height, so that faces have other proportions
    roll: float = 10.0  # and largest angle, degrees
    other_camera: float = 0.3  # probability that a reference has a framing of its own
    blur: float = 0.1  # probability that one reference is blurred
    stranger: float = 0.12  # probability that one of three or more references shows somebody else
    bad_light: float = 0.1  # probability that one of three or more references is lit quite differently
    background: float = 0.1  # probability that another background is put behind the person in all pictures
    compression: float = 0.15  # probability that references are compressed as JPEG
    hard_pose: float = 0.4  # probability that references are drawn far from the driving frame
    unseen: float = 0.0  # probability that the driving frame opens or closes mouth or eyes as no reference does


def recolour(images: Tensor, augmentation: Augmentation, rng: random.Random) -> Tensor:
    """One colour matrix and offset for all pictures [N,3,H,W], and small exposure differences between them."""
    generator = torch.Generator().manual_seed(rng.getrandbits(31))
    matrix = torch.eye(3) + torch.randn(3, 3, generator=generator) * augmentation.colour
    offset = torch.randn(3, 1, 1, generator=generator) * 0.06
    images = torch.einsum("ij,njhw->nihw", matrix, images - 0.5) + 0.5 + offset
    if rng.random() < augmentation.exposure:
        gains = (torch.rand(len(images), 1, 1, 1, generator=generator) * 2 - 1) * augmentation.exposure_range
        images = images * gains.exp()
    return images.clamp(0, 1)


def flip(faces: Faces, width: int) -> Faces:
    """Landmarks mirrored in place. Their order stays, so left and right swap meaning alike in all pictures."""
    mirrored = faces.landmarks.clone()
    mirrored[..., 0] = width - mirrored[..., 0]
    return faces._replace(landmarks=mirrored)


def reshape(
    images: Tensor, people: Tensor, faces: Faces, truth_face: Faces, augmentation: Augmentation, rng: random.Random
) -> tuple[Tensor, Tensor, Faces, Faces]:
    """Pictures [N,3,H,W], mattes [N,1,H/4,W/4] and faces under one affine map about the driving face's middle.

    The same for all, so what stood still does; beyond the frame the picture is mirrored.
    """
    size = (images.shape[-2], images.shape[-1])
    angle, ratio = math.radians(rng.uniform(-1, 1) * augmentation.roll), rng.uniform(-1, 1) * augmentation.stretch
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = turn @ torch.diag(torch.tensor([ratio / 2, -ratio / 2]).exp())
    centre = truth_face.landmarks[0, :MESH_POINTS, :2].mean(0)
    forward = torch.cat([linear, (centre - linear @ centre)[:, None]], 1)  # old pixel -> new pixel
    grid = geometry.affine_grid(geometry.invert_affine(forward)[None], size, size).expand(len(images), -1, -1, -1)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    small = F.interpolate(grid.permute(0, 3, 1, 2), size=people.shape[-2:], mode="area").permute(0, 2, 3, 1)
    people = F.grid_sample(people, small, padding_mode="reflection", align_corners=False)
    faces, truth_face = (_mapped(face, forward) for face in (faces, truth_face))
    return images, people, faces, truth_face


def _mapped(faces: Faces, forward: Tensor) -> Faces:
    """Faces whose landmarks an affine map [2,3] has moved; depth stays."""
    landmarks = faces.landmarks.clone()
    landmarks[..., :2] = geometry.apply_affine(forward, landmarks[..., :2])
    return faces._replace(landmarks=landmarks)


def other_background(images: Tensor, people: Tensor, guest: Clip, rng: random.Random) -> Tensor:
    """Pictures [N,3,H,W] with one frame of another clip behind the person, standing still, mattes [N,1,H/4,W/4]."""
    size = (images.shape[-2], images.shape[-1])
    behind = guest.frames[[rng.randrange(len(guest.frames))]].float() / 255
    behind = F.interpolate(behind.flip(rng.choice((-1, -2))), size=size, mode="bilinear", align_corners=False)
    alpha = F.interpolate(people, size=size, mode="bilinear", align_corners=False)
    return torch.lerp(behind.expand_as(images), images, ((alpha - 0.5) * 3 + 0.5).clamp(0, 1))


def compress(image: Tensor, quality: int) -> Tensor:
    """A picture [3,H,W] as a JPEG of that quality shows it."""
    pixels = (image.permute(1, 2, 0).clamp(0, 1) * 255).byte().numpy()
    _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return torch.from_numpy(cv2.imdecode(coded, cv2.IMREAD_COLOR)).permute(2, 0, 1).float() / 255


def other_light(image: Tensor, rng: random.Random) -> Tensor:
    """A picture [3,H,W] as if the sun had moved: another exposure and contrast, and a shadow across it."""
    axis = torch.linspace(-1, 1, image.shape[-1])
    side = (rng.uniform(-0.5, 0.5) * axis).exp()[None, None]
    tint = torch.tensor([rng.uniform(0.8, 1.2) for _ in range(3)])[:, None, None]
    return (image.clamp_min(1e-4) ** rng.uniform(0.6, 1.7) * side * tint * rng.uniform(0.6, 1.5)).clamp(0, 1)


def stranger(
    guest: Clip, wanted: Tensor, driving: Faces, size: tuple[int, int], rng: random.Random
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Somebody else's frame in the place of a reference: image, matte, usable pixels, background map, landmarks,
    facing, distance; cut to `size` (H, W) around the face."""
    index = rng.randrange(len(guest.frames))
    image, matte = guest.frames[index].float() / 255, guest.person[index].float() / 255
    landmarks = guest.faces.landmarks[index].clone()
    height, width = size
    corner = landmarks[:MESH_POINTS, :2].mean(0) - torch.tensor([width / 2, height / 2])
    points = geometry.pixel_grid(height, width) + corner
    grid = geometry.normalise(points, (image.shape[-2], image.shape[-1]))[None]
    landmarks[:, :2] -= corner
    small = F.interpolate(geometry.sample(matte[None], grid), size=(height // 4, width // 4), mode="area")[0]
    inside = (grid.abs() <= 1).all(-1).to(image)
    distance = (guest.descriptors[index] - wanted).norm()
    picture = geometry.sample(image[None], grid)[0]
    return picture, small, inside, _laid(landmarks, driving), landmarks, guest.facing[index], distance


def other_camera(
    image: Tensor, person: Tensor, face: Faces, driving: Faces, rng: random.Random
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A reference re-framed as if from another photo: image, matte, usable pixels, background map, landmarks, and
    the affine map [2,3] from old to new pixels.

    The background is then laid so that the faces coincide, as it is for photos from elsewhere.
    """
    height, width = image.shape[-2:]
    scale, angle = rng.uniform(0.8, 1.15), math.radians(rng.uniform(-8, 8))
    centre = face.landmarks[0, :MESH_POINTS, :2].mean(0)
    linear = scale * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shift = torch.tensor([rng.uniform(-0.08, 0.08) * width, rng.uniform(-0.08, 0.08) * height])
    forward = torch.cat([linear, (centre + shift - linear @ centre)[:, None]], 1)  # old pixel -> new pixel
    grid = geometry.affine_grid(geometry.invert_affine(forward)[None], (height, width), (height, width))
    landmarks = face.landmarks[0].clone()
    landmarks[:, :2] = geometry.apply_affine(forward, landmarks[:, :2])
    landmarks[:, 2] = landmarks[:, 2] * scale
    matte = F.interpolate(geometry.sample(person[None], grid), size=person.shape[-2:], mode="area")[0]
    inside = (grid.abs() <= 1).all(-1).to(image)
    return geometry.sample(image[None], grid)[0], matte, inside, _laid(landmarks, driving), landmarks, forward


def _laid(landmarks: Tensor, driving: Faces) -> Tensor:
    """The background map [2,3] of a photo from elsewhere: so that its face [478,3] covers the driving one."""
    ratio = mesh_flows.face_height(landmarks[None])[0] / mesh_flows.face_height(driving.landmarks)[0]
    offset = landmarks[:MESH_POINTS, :2].mean(0) - ratio * driving.landmarks[0, :MESH_POINTS, :2].mean(0)
    return torch.cat([torch.eye(2) * ratio, offset[:, None]], 1)
