"""Finding faces: a short-range and a full-range BlazeFace, merged, with harder looks where both see nothing.

Paper: BlazeFace, Bazarevsky et al. 2019 (arXiv 1907.05047). Weights converted from MediaPipe (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .graph import GraphNet

SAME_FACE = 0.3  # intersection over union from which two candidates count as one face


class Detections(NamedTuple):
    """M faces found in one image, largest first."""

    boxes: Tensor  # [M,4] xyxy px
    keypoints: Tensor  # [M,6,2] px: right and left eye (the person's), nose, mouth, right and left ear
    scores: Tensor  # [M] 0..1

    def at(self, index) -> Detections:
        return Detections(*(field[index] for field in self))


def _anchors(size: int, layers: list[tuple[int, int]]) -> Tensor:
    """Centres [A,2] in 0..1 of the candidate boxes; layers: (cells per side, boxes per cell)."""
    centres = []
    for cells, boxes in layers:
        axis = (torch.arange(cells) + 0.5) / cells
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        centres.append(torch.stack([x, y], -1).reshape(-1, 1, 2).expand(-1, boxes, 2).reshape(-1, 2))
    return torch.cat(centres)


class _BlazeFace(nn.Module):
    """One detector with its anchors: canvas [N,3,S,S] in [0,1] -> points [N,A,8,2] in 0..1, scores [N,A]."""

    anchors: Tensor

    def __init__(self, net: GraphNet, layers: list[tuple[int, int]]):
        super().__init__()
        self.net, self.size = net, net.size
        self.register_buffer("anchors", _anchors(net.size, layers))

    def forward(self, canvas: Tensor) -> tuple[Tensor, Tensor]:
        outputs = [value.permute(0, 2, 3, 1).flatten(1) for value in self.net(canvas * 2 - 1)]
        half = len(outputs) // 2
        points = torch.cat(outputs[:half], 1).view(len(canvas), -1, 8, 2) / self.size
        scores = torch.cat(outputs[half:], 1).sigmoid()
        centre, extent = points[:, :, :1] + self.anchors[:, None], points[:, :, 1:2]
        keypoints = points[:, :, 2:] + self.anchors[:, None]
        return torch.cat([centre - extent / 2, centre + extent / 2, keypoints], 2), scores


def _letterbox(images: Tensor, size: int) -> tuple[Tensor, float]:
    """Images [N,3,H,W] fitted into the top-left of a black square; also the square's side in image pixels."""
    height, width = images.shape[-2:]
    side = max(height, width)
    fitted = max(1, round(height * size / side)), max(1, round(width * size / side))
    small = F.interpolate(images, fitted, mode="bilinear", antialias=True, align_corners=False)
    return F.pad(small, (0, size - fitted[1], 0, size - fitted[0])), float(side)


def _merge(points: Tensor, scores: Tensor) -> Detections:
    """Candidates [A,8,2] (two corners, six keypoints) and scores [A] -> one averaged detection per face."""
    order = scores.argsort(descending=True)
    points, scores = points[order], scores[order]
    low, high = points[:, 0], points[:, 1]
    common = (torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)).clamp_min(0).prod(2)
    area = (high - low).clamp_min(0).prod(1)
    similar = common / (area[:, None] + area - common).clamp_min(1e-6) > SAME_FACE
    free = torch.ones_like(scores, dtype=torch.bool)
    faces, best = [], []
    for index in range(len(scores)):
        if free[index]:
            group = similar[index] & free
            weight = scores[group, None, None]
            faces.append((points[group] * weight).sum(0) / weight.sum())
            best.append(scores[index])
            free &= ~similar[index]
            free[index] = False
    merged = torch.stack(faces) if faces else points[:0]
    kept = torch.stack(best) if best else scores[:0]
    size = (merged[:, 1] - merged[:, 0]).prod(1).argsort(descending=True)
    return Detections(merged[size, :2].flatten(1), merged[size, 2:], kept[size])


class FaceDetector(nn.Module):
    """Faces in images of one size; `search` looks harder in a single image."""

    def __init__(self, short: GraphNet, full: GraphNet):
        super().__init__()
        self.short, self.full = _BlazeFace(short, [(16, 2), (8, 6)]), _BlazeFace(full, [(48, 1)])

    @classmethod
    def load(cls) -> FaceDetector:
        """Raises CheckpointError."""
        return cls(GraphNet.load("detector_short"), GraphNet.load("detector_full"))

    def forward(self, images: Tensor, threshold: float = 0.5) -> list[Detections]:
        """Faces in images [N,3,H,W] in [0,1], scores above `threshold`."""
        found = []
        for network in (self.short, self.full):
            canvas, side = _letterbox(images, network.size)
            points, scores = network(canvas)
            found.append((points * side, scores))
        merged = []
        for index in range(len(images)):
            points = torch.cat([points[index] for points, _ in found])
            scores = torch.cat([scores[index] for _, scores in found])
            keep = scores > threshold
            merged.append(_merge(points[keep], scores[keep]))
        return merged

    def search(self, image: Tensor, threshold: float = 0.5) -> Iterator[Detections]:
        """Ever harder looks at one image [3,H,W], each yielding what it found (possibly nothing).

        As it is, with a wide border (faces that fill the frame), turned by quarters (rolled heads), and in
        overlapping tiles (small faces).
        """
        yield self(image[None], threshold)[0]
        height, width = image.shape[-2:]
        border = max(height, width) // 2
        yield self._within(F.pad(image, (border,) * 4), (-border, -border), threshold)
        turned = [self._turned(image, quarters, threshold) for quarters in (1, 3, 2)]
        yield _merge(*_pool(turned))
        for tiles in (2, 4):
            side = -(-max(height, width) * 3 // (2 * tiles))
            if side < 2 * self.short.size // tiles:
                return
            corners = [(x, y) for y in _starts(height, side) for x in _starts(width, side)]
            parts = [image[:, y : y + side, x : x + side] for x, y in corners]
            looks = [self._within(part, corner, threshold) for part, corner in zip(parts, corners)]
            yield _merge(*_pool(looks))

    def _within(self, image: Tensor, corner: tuple[int, int], threshold: float) -> Detections:
        found = self(image[None], threshold)[0]
        offset = image.new_tensor(corner)
        return Detections(found.boxes + offset.repeat(2), found.keypoints + offset, found.scores)

    def _turned(self, image: Tensor, quarters: int, threshold: float) -> Detections:
        found = self(torch.rot90(image, quarters, (1, 2))[None], threshold)[0]
        points = torch.cat([found.boxes.view(-1, 2, 2), found.keypoints], 1)
        for turn in range(quarters):  # undo one counter-clockwise quarter at a time
            width = image.shape[-1] if (quarters - turn) % 2 == 1 else image.shape[-2]
            points = torch.stack([width - points[..., 1], points[..., 0]], -1)
        corners = points[:, :2]
        boxes = torch.cat([corners.amin(1), corners.amax(1)], 1)
        return Detections(boxes, points[:, 2:], found.scores)


def _starts(length: int, side: int) -> list[int]:
    """Evenly spread starts of tiles of `side` that cover `length` with at least a third of overlap."""
    if length <= side:
        return [0]
    count = -(-(length - side) * 3 // (side * 2)) + 1
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _pool(found: list[Detections]) -> tuple[Tensor, Tensor]:
    points = [torch.cat([each.boxes.view(-1, 2, 2), each.keypoints], 1) for each in found]
    return torch.cat(points), torch.cat([each.scores for each in found])
