"""Laying square crops back into the full picture without a visible seam."""

from __future__ import annotations

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor


def box_mask(side: int, feather: float) -> Tensor:
    """Soft-edged square [1,side,side]: 1 inside, falling to 0 at the rim over `feather` of the side."""
    from_edge = (torch.arange(side) + 0.5).minimum(side - torch.arange(side) - 0.5)
    ramp = (from_edge / max(feather * side, 0.5)).clamp(0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return (ramp[:, None] * ramp[None])[None]


def paste(plate: Tensor, crops: Tensor, boxes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Blend crops into copies of the plate.

    Args:
        plate: [1,3,H,W] or [T,3,H,W]. crops: [T,3,n,n].
        boxes: [T,3] long, may reach beyond the plate. mask: [1,side,side].
    Returns:
        images [T,3,H,W] and masks [T,1,H,W]. The rim is soft only where the box ends inside the picture: where it
        reaches beyond the picture's edge there is nothing to blend with.
    """
    height, width = plate.shape[-2:]
    side = mask.shape[-1]
    images = plate.expand(len(crops), -1, -1, -1).clone()
    masks = torch.zeros_like(images[:, :1])
    for t, (left, top, _) in enumerate(boxes.tolist()):
        on_plate, in_box = _overlap(left, top, side, (height, width))
        inner = _open_edges(mask, left < 0, left + side > width, top < 0, top + side > height)
        crop = crops[t : t + 1]
        if crop.shape[-1] != side:  # one at a time: all together are the most memory that decoding takes
            crop = _resized(crop, side).clamp_(0, 1)
        images[t][on_plate].lerp_(crop[0][in_box].to(plate), inner[in_box])
        masks[t][on_plate] = inner[in_box]
    return images, masks


def _resized(crops: Tensor, side: int) -> Tensor:
    """Crops [T,3,n,n] as [T,3,side,side], bicubic; on a CPU by OpenCV, which is ten times as fast as torch at that."""
    if crops.device.type != "cpu":
        return F.interpolate(crops, size=(side, side), mode="bicubic", align_corners=False)
    resized = torch.empty(*crops.shape[:2], side, side)
    for plane, larger in zip(crops.float().flatten(0, 1).numpy(), resized.flatten(0, 1).numpy(), strict=True):
        cv2.resize(plane, (side, side), larger, interpolation=cv2.INTER_CUBIC)
    return resized.to(crops.dtype)


def lay_on_black(crops: Tensor, boxes: Tensor, canvas: tuple[int, int], black: Tensor | None = None) -> Tensor:
    """Crops [T,C,side,side] of boxes [T,3] long where they lie on the canvas (H, W), with 0 around: [T,C,H,W].

    They are written into `black`, if it is given.
    """
    images = crops.new_zeros(*crops.shape[:2], *canvas) if black is None else black
    for t, (left, top, side) in enumerate(boxes.tolist()):
        on_canvas, in_box = _overlap(left, top, side, canvas)
        images[t][on_canvas] = crops[t][in_box]
    return images


def _overlap(left: int, top: int, side: int, size: tuple[int, int]) -> tuple[tuple, tuple]:
    """Where box and picture of `size` (H, W) meet, as indices [C,rows,columns] of the picture and of the box; empty
    where they do not."""
    starts = [min(max(start, 0), length) for start, length in zip((top, left), size)]
    stops = [max(min(start + side, length), begin) for start, length, begin in zip((top, left), size, starts)]
    spans = list(zip(starts, stops))
    return (
        (slice(None), *(slice(*span) for span in spans)),
        (slice(None), *(slice(begin - start, end - start) for start, (begin, end) in zip((top, left), spans))),
    )


def _open_edges(mask: Tensor, left: bool, right: bool, top: bool, bottom: bool) -> Tensor:
    """The mask with its rim filled in on the sides that lie beyond the picture."""
    side = mask.shape[-1]
    column, row = mask[:, side // 2 : side // 2 + 1, :], mask[:, :, side // 2 : side // 2 + 1]
    half = side // 2
    if left or right:
        column = column.clone()
        column[..., : half if left else 0] = 1
        column[..., half if right else side :] = 1
    if top or bottom:
        row = row.clone()
        row[:, : half if top else 0] = 1
        row[:, half if bottom else side :] = 1
    return column * row
