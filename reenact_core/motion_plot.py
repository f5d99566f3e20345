"""Driving motion as curves over time."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from .pose import euler_degrees
from .tracking import BLENDSHAPE_NAMES
from .types import DrivingMotion

WIDTH, PANEL = 768, 150  # pixels
_LEFT, _GAP = 52, 30
_PAPER, _INK, _FAINT, _LOST = (24, 24, 24), (225, 225, 225), (70, 70, 70), (70, 34, 34)
_COLOURS = ((230, 90, 65), (65, 140, 230), (90, 190, 90))
_EXPRESSIONS = (("mouth", "jawOpen"), ("blink", "eyeBlinkLeft"), ("smile", "mouthSmileLeft"))


def motion_plot(motion: DrivingMotion) -> Tensor:
    """Head turn and expression over the frames, as a picture [3,H,W] in [0,1].

    Frames without a face are shaded; their motion is interpolated.
    """
    sheet = np.full((2 * PANEL + 3 * _GAP, WIDTH, 3), _PAPER, np.uint8)
    angles = euler_degrees(motion.faces.rotation)
    reach = max(20.0, float(angles.abs().max()))
    shapes = motion.faces.blendshapes[:, [BLENDSHAPE_NAMES.index(name) for _, name in _EXPRESSIONS]]
    lost = (~motion.faces.found).nonzero()[:, 0].tolist()
    _panel(sheet, _GAP, angles, ("yaw", "pitch", "roll"), (-reach, reach), lost)
    _panel(sheet, 2 * _GAP + PANEL, shapes, tuple(label for label, _ in _EXPRESSIONS), (0.0, 1.0), lost)
    count = len(angles)
    end = f"{count} frames at {float(motion.frame_rate):.2f} per second"
    _text(sheet, end, (_LEFT, 2 * PANEL + 2 * _GAP + 20), _INK)
    return torch.from_numpy(sheet).permute(2, 0, 1).float() / 255


def _panel(
    sheet: np.ndarray, top: int, values: Tensor, labels: tuple[str, ...], limits: tuple[float, float], lost: list[int]
) -> None:
    """Curves of values [T,3] between two limits, with a legend above."""
    count, low, high = len(values), *limits
    width = WIDTH - _LEFT - 12

    def across(frame: float) -> int:
        return _LEFT + round((frame + 0.5) / count * width)

    def down(value: float) -> int:
        return top + round((high - value) / (high - low) * PANEL)

    for frame in lost:
        cv2.rectangle(sheet, (across(frame - 0.5), top), (across(frame + 0.5), top + PANEL), _LOST, -1)
    for value in (low, (low + high) / 2, high):
        cv2.line(sheet, (_LEFT, down(value)), (WIDTH - 12, down(value)), _FAINT, 1)
        _text(sheet, f"{value:g}" if high <= 1 else f"{value:.0f}", (8, down(value) + 4), _INK)
    for column, (label, colour) in enumerate(zip(labels, _COLOURS)):
        _text(sheet, label, (_LEFT + 70 * column, top - 8), colour)
        points = [(across(frame), down(min(max(float(v), low), high))) for frame, v in enumerate(values[:, column])]
        if count == 1:
            cv2.circle(sheet, points[0], 3, colour, -1, cv2.LINE_AA)
        cv2.polylines(sheet, [np.array(points, np.int32)], False, colour, 1, cv2.LINE_AA)


def _text(sheet: np.ndarray, text: str, place: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
