"""Which poses and mouth openings a set of references shows, and where the holes are."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from .pose import DEGREES_PER_UNIT, EXPRESSIONS, euler_degrees
from .previews import PALETTE
from .tracking import BLENDSHAPE_NAMES
from .types import Faces

YAW, PITCH = 60, 40  # degrees to either side that the picture shows
OPENINGS = (("mouth closed", 0.0), ("mouth half open", 0.25), ("mouth open", 0.5))  # of the jaw, 0..1
_SCALE = 2.4  # pixels per degree
_MARGIN, _HEADER, _LINE = 44, 34, 20
_PAPER, _INK, _FAINT = (24, 24, 24), (225, 225, 225), (95, 95, 95)
_JAW = BLENDSHAPE_NAMES.index("jawOpen")


def coverage(yaw: Tensor, pitch: Tensor, opening: Tensor, faces: Faces) -> Tensor:
    """How well the faces cover poses: 1 = one of them looks like this, towards 0 = none is near.

    Args:
        yaw, pitch: degrees, opening: of the jaw 0..1; tensors of one shape.
        faces: axis R, at least one.
    Returns:
        Values of the same shape; exp(-1) at two visible differences from the nearest face.
    """
    angles = euler_degrees(faces.rotation)
    units = (DEGREES_PER_UNIT, DEGREES_PER_UNIT, EXPRESSIONS["jawOpen"])
    wanted = torch.stack([yaw, pitch, opening], -1) / torch.tensor(units)
    shown = torch.stack([angles[:, 0], angles[:, 1], faces.blendshapes[:, _JAW]], 1) / torch.tensor(units)
    distance = torch.cdist(wanted.reshape(-1, 3), shown).amin(1).reshape(yaw.shape)
    return (-(distance / 2).square()).exp()


def coverage_picture(faces: Faces, labels: Sequence[str]) -> Tensor:
    """Head turns covered by the faces, a panel per mouth opening, as a picture [3,H,W] in [0,1].

    Bright: some face shows this. Dark: a hole. Each face is a numbered dot in its attribution colour, in the panel
    nearest to its mouth opening.
    """
    width, height = round(2 * YAW * _SCALE), round(2 * PITCH * _SCALE)
    total = (height + _HEADER + _MARGIN + _LINE * (len(labels) + 1), 3 * (width + _MARGIN) + _MARGIN // 2)
    sheet = np.full((*total, 3), _PAPER, np.uint8)
    columns = (torch.arange(width) + 0.5) / _SCALE - YAW
    rows = (torch.arange(height) + 0.5) / _SCALE - PITCH
    angles, jaws = euler_degrees(faces.rotation).tolist(), faces.blendshapes[:, _JAW].tolist()
    for panel, (title, opening) in enumerate(OPENINGS):
        left = _MARGIN + panel * (width + _MARGIN)
        pitch, yaw = torch.meshgrid(rows, columns, indexing="ij")
        area = np.ascontiguousarray(_heat(coverage(yaw, pitch, torch.full_like(yaw, opening), faces)))
        for number, ((turn, nod, _), jaw) in enumerate(zip(angles, jaws)):
            if _panel_of(jaw) == panel:
                place = (
                    round((min(max(turn, -YAW), YAW) + YAW) * _SCALE),
                    round((min(max(nod, -PITCH), PITCH) + PITCH) * _SCALE),
                )
                _dot(area, place, number)
        sheet[_HEADER : _HEADER + height, left : left + width] = area
        _text(sheet, title, (left, _HEADER - 10), _INK)
        for degrees in (-YAW, 0, YAW):
            _text(sheet, str(degrees), (left + round((degrees + YAW) * _SCALE) - 10, _HEADER + height + 16), _FAINT)
    for degrees in (-PITCH, 0, PITCH):
        _text(sheet, str(degrees), (6, _HEADER + 5 + round((degrees + PITCH) * _SCALE)), _FAINT)
    below = _HEADER + height + _MARGIN
    _text(sheet, "across: yaw, down: pitch, in degrees; dark = not covered", (_MARGIN, below), _FAINT)
    for number, (label, (turn, nod, _), jaw) in enumerate(zip(labels, angles, jaws)):
        line = f"{number + 1} {label}: yaw {turn:.0f}, pitch {nod:.0f}, jaw {jaw:.2f}"
        _text(sheet, line, (_MARGIN, below + _LINE * (number + 1)), _colour(number))
    return torch.from_numpy(sheet).permute(2, 0, 1).float() / 255


def _panel_of(jaw: float) -> int:
    return min(range(len(OPENINGS)), key=lambda panel: abs(OPENINGS[panel][1] - jaw))


def _heat(values: Tensor) -> np.ndarray:
    """0..1 as uint8 [H,W,3] from dark blue to pale green."""
    low, high = torch.tensor([22.0, 26.0, 48.0]), torch.tensor([150.0, 205.0, 160.0])
    return (low + (high - low) * values[..., None]).round().byte().numpy()


def _colour(number: int) -> tuple[int, int, int]:
    red, green, blue = PALETTE[number % len(PALETTE)]
    return round(255 * red), round(255 * green), round(255 * blue)


def _dot(area: np.ndarray, place: tuple[int, int], number: int) -> None:
    cv2.circle(area, place, 9, _PAPER, -1, cv2.LINE_AA)
    cv2.circle(area, place, 8, _colour(number), -1, cv2.LINE_AA)
    _text(area, str(number + 1), (place[0] - 4, place[1] + 4), _PAPER)


def _text(area: np.ndarray, text: str, place: tuple[int, int], colour: tuple[int, int, int]) -> None:
    safe = text.encode("ascii", "replace").decode()
    cv2.putText(area, safe, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
