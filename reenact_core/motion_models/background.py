"""Where the still background of each reference lies on the output canvas."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..scene_features import SceneFeatures, away_from, find_features, moved_apart, register_features
from ..scenery import STILL
from ..stopping import may_stop, watched
from ..types import DrivingMotion, Faces, Transfer
from . import mesh_flows
from .camera import CameraMaps, filmed_camera, learn_camera
from .mesh_flows import MESH_POINTS

GRID = 64  # cells per side on which two backgrounds are compared
REGISTRATION_GAIN = 0.9  # a registration has to agree this much better, or a still camera would seem to tremble


class Backgrounds(NamedTuple):
    """Where everything lies that does not move."""

    maps: Tensor  # [R,2,3] canvas pixels -> reference pixels
    shared: Tensor  # [R] bool, which references show the first one's scene
    camera: CameraMaps | None  # what says how the camera moved, where it did


def align_backgrounds(
    images: Tensor, person: Tensor, faces: Faces, sizes: list[tuple[int, int]], motion: DrivingMotion
) -> Backgrounds:
    """The scene of each reference [R,3,H,W], laid on the canvas.

    Four readings compete. A reference from the same camera shares the canvas's frame. One from elsewhere is laid so
    that its face covers the driving face (scale and shift, no rotation). Where its background shows the same things
    as the first reference's, from a camera that moved or zoomed, features register the two; in absolute transfer also
    with the background of the first driving frame. The first reference takes the last reading where there is one,
    else the first if that is plausible, else the second; the others take what agrees best with the first reference
    wherever both show background.

    With the first reference found in the driving frames, their own camera is followed; else the references may tell
    what the head's movement says of it (`camera.learn_camera`).
    """
    shared = [_same_camera(size, motion.canvas) for size in sizes]
    laid = [_face_over_face(faces.landmarks[r : r + 1], motion.faces.landmarks) for r in range(len(sizes))]
    options = [
        [shared[r], laid[r]] if _plausible(shared[r], laid[r], sizes[r], motion) else [laid[r]]
        for r in range(len(sizes))
    ]
    scene = motion.scene if motion.transfer is Transfer.ABSOLUTE else None
    features: list[SceneFeatures] = []
    if scene is not None or len(sizes) > 1:  # one reference alone is registered with nothing else
        features = [background_features(*pair) for pair in zip(images, person)]
    found: list[Tensor | None] = [None] * len(sizes)
    if scene is not None:
        found = [register_features(scene.features, own) for own in features]
    chosen, registered, same_scene = [options[0][0] if found[0] is None else found[0]], [False], [True]
    if found[0] is not None and _alike(found[0], shared[0], motion.canvas):
        chosen = [shared[0]]
    for r in range(1, len(sizes)):
        may_stop()
        moved = register_features(features[0], features[r])
        readings = [None if moved is None else geometry.compose_affine(moved, chosen[0]), found[r]]
        measured = [reading for reading in readings if reading is not None]
        errors = [
            _disagreement(images, person, chosen[0], option, r, motion.canvas) / (REGISTRATION_GAIN if n < 0 else 1)
            for n, option in enumerate([*measured, *options[r]], -len(measured))
        ]
        chosen.append([*measured, *options[r]][int(np.argmin(errors))])
        registered.append(moved is not None and chosen[r] is not laid[r])  # one that stood still tells as much
        both_found = found[0] is not None and found[r] is not None
        same_scene.append(moved is not None or both_found or (chosen[0] is shared[0] and chosen[r] is shared[r]))
    background, same_scene = torch.stack(chosen), torch.tensor(same_scene)
    if scene is not None and scene.camera is not None and found[0] is not None:
        still = torch.equal(scene.camera, torch.eye(2, 3).expand_as(scene.camera))
        return Backgrounds(background, same_scene, None if still else filmed_camera)
    if motion.transfer is not Transfer.ABSOLUTE or chosen[0] is not shared[0]:
        return Backgrounds(background, same_scene, None)
    on_canvas = geometry.invert_affine(torch.stack(shared))
    landmarks = faces.landmarks.clone()
    landmarks[..., :2] = geometry.apply_affine(on_canvas, landmarks[..., :2])
    seen = geometry.compose_affine(on_canvas, background)
    learned = learn_camera(landmarks, seen, torch.tensor(registered))
    return Backgrounds(background, same_scene, None if learned is None else learned.maps)


def background_features(image: Tensor, person: Tensor) -> SceneFeatures:
    """Features of an image [3,H,W] away from the person, of whom `person` [1,h,w] is the matte."""
    size = (image.shape[-2], image.shape[-1])
    grey, away = (image.mean(0) * 255).byte().cpu().numpy(), away_from(person, size)
    return watched(lambda: find_features(grey, away))


def _alike(one: Tensor, other: Tensor, canvas: tuple[int, int]) -> bool:
    """Whether two maps [2,3] differ by less than features can be trusted, everywhere on the canvas."""
    scale = float(torch.linalg.det(other[:, :2]).abs().sqrt())
    return moved_apart(one, other, canvas) < STILL * max(canvas) * scale


def _same_camera(size: tuple[int, int], canvas: tuple[int, int]) -> Tensor:
    """The map [2,3] that stretches the canvas onto the reference."""
    return torch.tensor([[size[1] / canvas[1], 0, 0], [0, size[0] / canvas[0], 0]])


def _face_over_face(reference: Tensor, driving: Tensor) -> Tensor:
    """The scale and shift [2,3] that take the middle of all driving faces [T,478,3] to the reference's [1,478,3]."""
    ratio = mesh_flows.face_height(reference)[0] / mesh_flows.face_height(driving).median()
    centre = driving[:, :MESH_POINTS, :2].mean((0, 1))
    offset = reference[0, :MESH_POINTS, :2].mean(0) - ratio * centre
    return torch.cat([torch.eye(2) * ratio, offset[:, None]], 1)


def _plausible(shared: Tensor, laid: Tensor, size: tuple[int, int], motion: DrivingMotion) -> bool:
    """Whether the same camera could have seen this face: like picture shape, face of like size in a like place."""
    driving = motion.faces.landmarks
    centre, spread = driving[:, :MESH_POINTS, :2].mean((0, 1)), float(mesh_flows.face_height(driving).median())
    place = geometry.apply_affine(geometry.compose_affine(geometry.invert_affine(shared), laid), centre[None])[0]
    like_shape = abs(size[1] / size[0] - motion.canvas[1] / motion.canvas[0]) < 0.01
    return (
        like_shape and 0.55 < float(laid[0, 0] / shared[0, 0]) < 1.8 and float((place - centre).norm()) < 1.2 * spread
    )


def _disagreement(
    images: Tensor, person: Tensor, first: Tensor, option: Tensor, index: int, canvas: tuple[int, int]
) -> float:
    """Mean absolute difference between references 0 and `index` where both show background; inf where they never do."""
    points = (geometry.pixel_grid(GRID, GRID) / GRID * torch.tensor([canvas[1], canvas[0]])).flatten(0, 1)
    size = (images.shape[-2], images.shape[-1])
    looks, plain = [], []
    for r, affine in ((0, first), (index, option)):
        grid = geometry.normalise(geometry.apply_affine(affine, points), size).unflatten(0, (GRID, GRID))[None]
        looks.append(geometry.sample(images[r : r + 1], grid, "zeros"))
        inside = (grid.abs() <= 1).all(-1)[:, None].to(images)
        plain.append((1 - geometry.sample(person[r : r + 1], grid)) * inside)
    weight = plain[0] * plain[1]
    if float(weight.mean()) < 0.02:
        return float("inf")
    return float(((looks[0] - looks[1]).abs().mean(1, keepdim=True) * weight).sum() / weight.sum())
