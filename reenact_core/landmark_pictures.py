"""Pictures of references as the tracker sees them."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .tracking import canonical_mesh
from .types import References

SIDE = 512  # pixels
_POINT = (60, 230, 120)
_IRIS = (255, 210, 60)
_LINE = (110, 150, 190)
_IRISES = 468  # landmarks from here on lie on the irises


def reference_pictures(references: References, landmarks: bool = True, side: int = SIDE) -> Tensor:
    """The references in order, fitted into squares with black bars: [R,3,side,side] in [0,1].

    landmarks: draw the tracked points, and darken what the masks rule out.
    """
    pictures = []
    for image, mask, points in zip(references.images, references.masks, references.faces.landmarks):
        factor = side / max(image.shape[-2:])
        shown = image * (0.3 + 0.7 * mask) if landmarks else image
        picture, left, top = _fitted(shown.cpu(), factor, side)
        if landmarks:
            picture = _with_points(picture, points[:, :2] * factor + torch.tensor([left, top]))
        pictures.append(picture)
    return torch.stack(pictures)


def mesh_picture(landmarks: Tensor, canvas: tuple[int, int]) -> Tensor:
    """The face mesh of landmarks [478,3] in pixels of a canvas (H, W), as lines on black: [3,H,W] in [0,1]."""
    pixels = np.zeros((*canvas, 3), np.uint8)
    points = landmarks[:, :2]
    for triangle in points[canonical_mesh()[1]].round().int().numpy():
        cv2.polylines(pixels, [triangle], True, _LINE, 1, cv2.LINE_AA)
    radius = max(1, round(float((points[_IRISES + 1 :] - points[_IRISES]).norm(dim=1).amin())))
    for centre in (_IRISES, _IRISES + 5):
        x, y = points[centre].round().int().tolist()
        cv2.circle(pixels, (x, y), radius, _IRIS, -1, cv2.LINE_AA)
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def _fitted(image: Tensor, factor: float, side: int) -> tuple[Tensor, int, int]:
    """The image [3,side,side] scaled by `factor` and centred, and where its corner lies."""
    height, width = (max(1, min(side, round(length * factor))) for length in image.shape[-2:])
    scaled = F.interpolate(image[None], size=(height, width), mode="bilinear", antialias=True, align_corners=False)[0]
    left, top = (side - width) // 2, (side - height) // 2
    return F.pad(scaled, (left, side - width - left, top, side - height - top)).clamp(0, 1), left, top


def _with_points(picture: Tensor, points: Tensor) -> Tensor:
    """The picture [3,H,W] with a dot at each of the points [478,2]."""
    pixels = np.ascontiguousarray(picture.permute(1, 2, 0).mul(255).round().byte().numpy())
    extent = float((points.amax(0) - points.amin(0)).amax())
    radius = max(1, round(extent / 220))
    for number, (x, y) in enumerate(points.tolist()):
        colour = _IRIS if number >= _IRISES else _POINT
        cv2.circle(pixels, (round(x - 0.5), round(y - 0.5)), radius, colour, -1, cv2.LINE_AA)
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
