"""Where the still background of each reference lies on the output canvas."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..types import DrivingMotion, Faces, Transfer
from . import mesh_flows
from .camera import Camera, learn_camera
from .mesh_flows import MESH_POINTS

GRID = 64  # cells per side on which two backgrounds are compared
FEWEST_MATCHES = 14  # inliers that make a registration believable
REGISTRATION_GAIN = 0.9  # a registration has to agree this much better, or a still camera would seem to tremble
MATCH_RATIO = 0.75  # Lowe's ratio test
CLEARANCE = 0.04  # margin around people, as a share of the picture's longer side, where no feature is taken


def align_backgrounds(
    images: Tensor, person: Tensor, faces: Faces, sizes: list[tuple[int, int]], motion: DrivingMotion
) -> tuple[Tensor, Camera | None]:
    """Affine maps [R,2,3] from canvas to reference pixels for everything that does not move, and the camera's part
    in the head's movement, where references and driving frames come from one camera that moved.

    Three readings compete. A reference from the same camera shares the canvas's frame. One from elsewhere is laid so
    that its face covers the driving face (scale and shift, no rotation). And where its background shows the same
    things as the first reference's, from a camera that moved or zoomed, features register the two. The first
    reference takes the first reading if that is plausible, else the second; the others take what agrees best with
    the first reference wherever both show background.
    """
    shared = [_same_camera(size, motion.canvas) for size in sizes]
    laid = [_face_over_face(faces.landmarks[r : r + 1], motion.faces.landmarks) for r in range(len(sizes))]
    options = [
        [shared[r], laid[r]] if _plausible(shared[r], laid[r], sizes[r], motion) else [laid[r]]
        for r in range(len(sizes))
    ]
    chosen, registered = [options[0][0]], [False]
    for r in range(1, len(sizes)):
        moved = register(images[0], person[0], images[r], person[r])
        if moved is not None:
            options[r].append(geometry.compose_affine(moved, chosen[0]))
        errors = [_disagreement(images, person, chosen[0], option, r, motion.canvas) for option in options[r]]
        if moved is not None:
            errors[-1] /= REGISTRATION_GAIN
        chosen.append(options[r][int(np.argmin(errors))])
        registered.append(moved is not None and chosen[r] is not laid[r])  # one that stood still tells as much
    background = torch.stack(chosen)
    if motion.transfer is not Transfer.ABSOLUTE or chosen[0] is not shared[0]:
        return background, None
    on_canvas = geometry.invert_affine(torch.stack(shared))
    landmarks = faces.landmarks.clone()
    landmarks[..., :2] = geometry.apply_affine(on_canvas, landmarks[..., :2])
    return background, learn_camera(landmarks, geometry.compose_affine(on_canvas, background), torch.tensor(registered))


def register(first: Tensor, first_person: Tensor, other: Tensor, other_person: Tensor) -> Tensor | None:
    """Rotation, scale and shift [2,3] that take background pixels of `first` to `other` [3,H,W], by matched features.

    None where too few features agree (plain or blurred backgrounds), or on a transformation no camera would do
    between two pictures of one scene. `*_person` [1,h,w] are mattes; people move on their own and do not count.
    """
    finder = cv2.SIFT.create(nfeatures=1500, contrastThreshold=0.01)
    found = [_features(finder, *pair) for pair in ((first, first_person), (other, other_person))]
    if min(len(points) for points, _ in found) < FEWEST_MATCHES:
        return None
    pairs = cv2.BFMatcher().knnMatch(found[0][1], found[1][1], k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < MATCH_RATIO * pair[1].distance]
    if len(good) < FEWEST_MATCHES:
        return None
    source = np.array([found[0][0][match.queryIdx] for match in good], np.float32)
    destination = np.array([found[1][0][match.trainIdx] for match in good], np.float32)
    cv2.setRNGSeed(0)  # RANSAC draws at random; the same pictures must give the same result
    affine, inliers = cv2.estimateAffinePartial2D(source, destination, method=cv2.RANSAC, ransacReprojThreshold=2.0)
    if affine is None or int(inliers.sum()) < FEWEST_MATCHES:
        return None
    scale = float(np.hypot(affine[0, 0], affine[1, 0]))
    turn = float(np.degrees(np.arctan2(affine[1, 0], affine[0, 0])))
    if not 0.4 < scale < 2.5 or abs(turn) > 20:
        return None
    return torch.from_numpy(affine).float()


def _features(finder: cv2.SIFT, image: Tensor, person: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Positions [K,2] in our pixel convention and descriptors [K,128] of features away from people."""
    height, width = image.shape[-2:]
    reach = 2 * int(CLEARANCE * max(height, width) / 2) + 1
    away = F.interpolate(person[None], size=(height, width), mode="bilinear", align_corners=False)
    away = F.max_pool2d(away, reach, 1, reach // 2)[0, 0] < 0.3
    grey = (image.mean(0) * 255).byte().cpu().numpy()
    points, descriptors = finder.detectAndCompute(grey, away.byte().cpu().numpy())
    if descriptors is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    return np.array([point.pt for point in points], np.float32) + 0.5, descriptors


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
