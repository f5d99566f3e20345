"""Where to look and what is there, at the picture's own resolution.

This is most of what warping costs beside the network. On a CPU OpenCV does it, about twice as fast as torch, which
gathers every channel of a pixel on its own.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..stopping import may_stop
from .mesh_network import sample_each

LANES = 4  # channels of a pixel; OpenCV reads four at once faster than three


def pixel_by_pixel(images: Tensor) -> Tensor | None:
    """Images [R,3,H,W] as [R,H,W,4] with an empty fourth channel, as `look_up` wants them; None if it is not the CPU's
    work."""
    if not geometry.is_for_opencv(images):
        return None
    pixels = images.new_zeros(len(images), *images.shape[2:], LANES)
    pixels[..., :3] = images.movedim(1, -1)
    return pixels


def places_at(deformation: Tensor, image_size: tuple[int, int], size: int) -> Tensor:
    """Deformation [T,R,n,n,2], normalised in pictures of `image_size` (H, W), in their pixels at size x size, bilinear:
    [T,R,size,size,2]."""
    height, width = image_size
    places = (deformation + 1) * deformation.new_tensor([width / 2, height / 2])
    if not geometry.is_for_opencv(places):
        flat = places.flatten(0, 1).permute(0, 3, 1, 2).contiguous()  # as channels-last it takes four times as long
        flat = F.interpolate(flat, size=(size, size), mode="bilinear", align_corners=False)
        return flat.permute(0, 2, 3, 1).unflatten(0, deformation.shape[:2])
    result = places.new_empty(*places.shape[:2], size, size, 2)
    for small, large in zip(places.flatten(0, 1).contiguous().numpy(), result.flatten(0, 1).numpy(), strict=True):
        cv2.resize(small, (size, size), large, interpolation=cv2.INTER_LINEAR)
    return result


def look_up(images: Tensor, pixels: Tensor | None, places: Tensor) -> Tensor:
    """Images [R,3,H,W], each seen at its own places [T,R,h,w,2] (xy in pixels), bilinear, edges repeated: [T,R,3,h,w].

    Args:
        pixels: the images as `pixel_by_pixel` gives them.
    """
    if pixels is None or not geometry.is_for_opencv(places):
        return sample_each(images, geometry.normalise(places, (images.shape[-2], images.shape[-1])))
    frames, count, height, width = places.shape[:4]
    seen = places.new_empty(frames, count, 3, height, width)
    colours, shifted = np.empty((height, width, LANES), np.float32), np.empty((height, width, 2), np.float32)
    empty = np.empty((height, width), np.float32)  # for the fourth channel
    one_map: Any = None  # x and y are in one; its type hints do not know that
    for frame, where in zip(seen.numpy(), places.numpy(), strict=True):
        may_stop()
        for planes, source, at in zip(frame, pixels.numpy(), where, strict=True):
            np.subtract(at, 0.5, shifted)  # OpenCV's first pixel lies at 0
            cv2.remap(source, shifted, one_map, cv2.INTER_LINEAR, colours, cv2.BORDER_REPLICATE)
            cv2.split(colours, [*planes, empty])
    return seen
