"""Square, rotated regions of interest: where they lie, cutting them out, and mapping points back.

Pixel coordinates have their origin at the top-left corner of the image, x right, y down.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry

ENLARGE = 1.5  # side of a region / longer side of the face's box, as the landmark network was trained
RIGHT_EYE, LEFT_EYE, FOREHEAD, CHIN = 33, 263, 10, 152  # landmarks; outer corners of the person's eyes
SHORT_EYE_LINE = 0.35  # eye line / face height below which the eye line is too foreshortened to give the roll


class Regions(NamedTuple):
    """N squares, turned by `angle` about their centres."""

    centre: Tensor  # [N,2] px
    side: Tensor  # [N] px
    angle: Tensor  # [N] radians, clockwise on the screen; 0 = upright head

    def at(self, index) -> Regions:
        return Regions(*(field[index] for field in self))

    def axes(self) -> Tensor:
        """[N,2,2] columns: the region's x and y axis in the image, in pixels per full side."""
        cos, sin = self.angle.cos() * self.side, self.angle.sin() * self.side
        return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def regions_of_detections(boxes: Tensor, keypoints: Tensor) -> Regions:
    """Regions of detected faces: boxes [M,4] xyxy, keypoints [M,6,2] that begin with right and left eye."""
    eye_line = keypoints[:, 1] - keypoints[:, 0]
    side = (boxes[:, 2:] - boxes[:, :2]).amax(1) * ENLARGE
    return Regions((boxes[:, :2] + boxes[:, 2:]) / 2, side, torch.atan2(eye_line[:, 1], eye_line[:, 0]))


def regions_of_landmarks(landmarks: Tensor) -> Regions:
    """Regions around known landmarks [N,478,2 or 3], upright along the eye line.

    In a profile the eye line points at the camera; the line from forehead to chin then takes over.
    """
    points = landmarks[..., :2]
    eye_line = points[:, LEFT_EYE] - points[:, RIGHT_EYE]
    height = points[:, CHIN] - points[:, FOREHEAD]
    across = torch.stack([height[:, 1], -height[:, 0]], 1)
    share = (SHORT_EYE_LINE - eye_line.norm(dim=1) / across.norm(dim=1).clamp_min(1e-6)).clamp_min(0)
    eye_line = eye_line + across * share[:, None]
    angle = torch.atan2(eye_line[:, 1], eye_line[:, 0])
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    x = points[..., 0] * cos + points[..., 1] * sin
    y = points[..., 1] * cos - points[..., 0] * sin
    low, high = torch.stack([x.amin(1), y.amin(1)], 1), torch.stack([x.amax(1), y.amax(1)], 1)
    x, y = ((low + high) / 2).split(1, dim=1)
    centre = torch.cat([x * cos - y * sin, x * sin + y * cos], 1)
    return Regions(centre, (high - low).amax(1) * ENLARGE, angle)


def crop(images: Tensor, regions: Regions, size: int) -> Tensor:
    """The regions of images [N,3,H,W], resampled to [N,3,size,size]; black beyond the image.

    Regions more than twice as large as `size` are averaged down first, so that no pixel is skipped.
    """
    shrink = max(1, int(regions.side.amax().clamp(0, 8 * size) / (1.5 * size)))
    scale = 2 / images.new_tensor([images.shape[-1], images.shape[-2]])
    if shrink > 1:
        images = F.avg_pool2d(images, shrink, ceil_mode=True, count_include_pad=False)
        scale = 2 / shrink / images.new_tensor([images.shape[-1], images.shape[-2]])
    if geometry.is_for_opencv(images):
        return _crop_on_cpu(images, regions, shrink, size)
    x, y = (regions.axes().to(images) * scale[:, None]).unbind(-1)  # [N,2] each
    corner = regions.centre.to(images) * scale - 1
    steps = ((torch.arange(size, device=images.device, dtype=images.dtype) + 0.5) / size - 0.5)[:, None]
    rows, columns = corner[:, None] + steps * y[:, None], steps * x[:, None]  # [N,size,2] each
    planes = rows.movedim(2, 1)[..., None] + columns.movedim(2, 1)[:, :, None]  # [N,2,size,size], read in one go
    grid = planes.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _crop_on_cpu(images: Tensor, regions: Regions, shrink: int, size: int) -> Tensor:
    """The same from images that are averaged down already, by OpenCV in a third of the time."""
    result = images.new_empty(*images.shape[:2], size, size)
    to_pixels = regions.axes() / (shrink * size)  # [N,2,2] pixels of the images per pixel of the crop
    first = regions.centre / shrink - 0.5 + (to_pixels @ torch.full((2, 1), 0.5 - size / 2))[..., 0]
    maps = torch.cat([to_pixels, first[..., None]], 2).double().numpy()
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for image, onto, planes in zip(images.numpy(), maps, result.numpy(), strict=True):
        for source, target in zip(image, planes, strict=True):
            cv2.warpAffine(source, onto, (size, size), target, how, cv2.BORDER_CONSTANT, 0)
    return result


def to_image(points: Tensor, regions: Regions, size: int) -> Tensor:
    """Points [N,P,3] in pixels of a crop of `size` -> pixels of the image; z is scaled like x and y."""
    axes = regions.axes().to(points)
    xy = (points[..., :2] / size - 0.5) @ axes.transpose(1, 2) + regions.centre[:, None].to(points)
    z = points[..., 2:] * (regions.side.to(points) / size)[:, None, None]
    return torch.cat([xy, z], 2)


def overlap(first: Regions, second: Regions) -> Tensor:
    """Intersection over union [N] of the regions, as if none were turned."""
    low = torch.maximum(first.centre - first.side[:, None] / 2, second.centre - second.side[:, None] / 2)
    high = torch.minimum(first.centre + first.side[:, None] / 2, second.centre + second.side[:, None] / 2)
    common = (high - low).clamp_min(0).prod(1)
    return common / (first.side**2 + second.side**2 - common).clamp_min(1e-6)
