"""Features of the still scene around a person, and the camera movement that they agree on.

Features are SIFT (Lowe 2004, "Distinctive image features from scale-invariant keypoints"); movements are rotation,
scale and shift, found among wrong matches by RANSAC (Fischler and Bolles 1981).
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import geometry

CLEARANCE = 0.04  # margin around people, as a share of the picture's longer side, where no feature is taken
FEWEST_MATCHES = 10  # inliers that make a registration believable
MATCH_RATIO = 0.75  # Lowe's ratio test
REACH = 2.0  # pixels by which matches that agree may differ
LEAST_SCALE, MOST_SCALE, MOST_TURN = 0.4, 2.5, 20.0  # beyond, no camera saw both pictures; degrees


class SceneFeatures(NamedTuple):
    """K features of one picture."""

    points: Tensor  # [K,2] xy in pixels
    descriptors: Tensor  # [K,128] SIFT, whole numbers 0..255


def away_from(person: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Where a picture of `size` (H, W) shows nobody, 255 or 0: uint8 [H,W]. `person` is its matte [1,h,w] in 0..1."""
    reach = 2 * int(CLEARANCE * max(size) / 2) + 1
    away = F.interpolate(person[None].float(), size=size, mode="bilinear", align_corners=False)
    for window in (reach, 1), (1, reach):  # a square's largest value, along one axis after the other
        away = F.max_pool2d(away, window, 1, (window[0] // 2, window[1] // 2))
    away = away[0, 0] < 0.3
    return (away.byte() * 255).cpu().numpy()


def find_features(grey: np.ndarray, away: np.ndarray, most: int = 1500) -> SceneFeatures:
    """Features of a picture [H,W] uint8 where `away` [H,W] uint8 is not 0."""
    finder = cv2.SIFT.create(nfeatures=most, contrastThreshold=0.01)
    points, descriptors = finder.detectAndCompute(grey, away)
    if descriptors is None:
        return SceneFeatures(torch.zeros(0, 2), torch.zeros(0, 128))
    places = np.array([point.pt for point in points], np.float32) + 0.5  # our pixel convention
    return SceneFeatures(torch.from_numpy(places), torch.from_numpy(descriptors))


def register_features(first: SceneFeatures, other: SceneFeatures) -> Tensor | None:
    """Rotation, scale and shift [2,3] that take pixels of the first picture to those of the other that show the same.

    None where too few features agree (plain or blurred backgrounds), or on a transformation no camera would do
    between two pictures of one scene.
    """
    if min(len(first.points), len(other.points)) < FEWEST_MATCHES:
        return None
    pairs = cv2.BFMatcher().knnMatch(first.descriptors.numpy(), other.descriptors.numpy(), k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < MATCH_RATIO * pair[1].distance]
    if len(good) < FEWEST_MATCHES:
        return None
    source = first.points.numpy()[[match.queryIdx for match in good]]
    destination = other.points.numpy()[[match.trainIdx for match in good]]
    affine, agreeing = fit_camera(source, destination, REACH)
    if affine is None or int(agreeing.sum()) < FEWEST_MATCHES:
        return None
    scale = float(np.hypot(affine[0, 0], affine[1, 0]))
    turn = float(np.degrees(np.arctan2(affine[1, 0], affine[0, 0])))
    believable = LEAST_SCALE < scale < MOST_SCALE and abs(turn) < MOST_TURN
    return torch.from_numpy(affine).float() if believable else None


def moved_apart(one: Tensor, other: Tensor, size: tuple[int, int]) -> float:
    """Largest distance between where two maps [..,2,3] take a point half-way to the edges of a picture (H, W)."""
    inner = torch.tensor([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]) * torch.tensor([size[1], size[0]])
    apart = geometry.apply_affine(one, inner) - geometry.apply_affine(other, inner)
    return float(apart.norm(dim=-1).amax())


def fit_camera(source: np.ndarray, destination: np.ndarray, reach: float) -> tuple[np.ndarray | None, np.ndarray]:
    """The movement [2,3] on which most pairs of points [K,2] agree within `reach` pixels, and which do: [K] bool."""
    cv2.setRNGSeed(0)  # RANSAC draws at random; the same pictures must give the same result
    affine, agreeing = cv2.estimateAffinePartial2D(source, destination, method=cv2.RANSAC, ransacReprojThreshold=reach)
    if affine is None:
        return None, np.zeros(len(source), bool)
    return affine, agreeing[:, 0].astype(bool)
