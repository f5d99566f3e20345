"""Contact sheets: pictures in a labelled grid, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import ImageError

_GAP = 4  # px between cells
_PAPER = 24  # grey of the background, 0..255
_INK = (235, 235, 235)


def contact_sheet(
    rows: Sequence[Sequence[Tensor | None]],
    column_labels: Sequence[str] = (),
    row_labels: Sequence[str] = (),
    cell_height: int = 192,
) -> Tensor:
    """Arrange pictures in a grid with labels above the columns and left of the rows.

    Args:
        rows: pictures [3,H,W] (or [1,H,W], shown grey) in [0,1], of any sizes; None leaves a cell empty.
            Rows may differ in length.
        column_labels, row_labels: printable ASCII (other characters become "?"); cut where too long.
        cell_height: every picture is resized to this height, its shape kept; columns are as wide as need be.
    Returns:
        [3,H,W] in [0,1].
    Raises:
        ImageError: no picture at all, or one of another shape.
    """
    cells = [[None if image is None else _cell(image, cell_height) for image in row] for row in rows]
    columns = max((len(row) for row in cells), default=0)
    if not any(cell is not None for row in cells for cell in row):
        raise ImageError("A contact sheet needs at least one picture, got none.")
    widths = [_column_width([row[i] for row in cells if i < len(row)], cell_height) for i in range(columns)]
    text = max(cell_height / 400, 0.35)
    line = round(34 * text) + 2 * _GAP
    left = min(max((_text_width(label, text) for label in row_labels), default=0), 2 * cell_height)
    left += 2 * _GAP if left else 0
    top = line if column_labels else 0
    sheet = np.full(
        (top + len(cells) * (cell_height + _GAP) + _GAP, left + sum(widths) + _GAP * (columns + 1), 3),
        _PAPER,
        np.uint8,
    )
    starts = np.cumsum([left + _GAP] + [width + _GAP for width in widths])
    for label, start, width in zip(column_labels, starts, widths, strict=False):
        _write(sheet[:top, start : start + width], label, text, top - 2 * _GAP)
    for number, row in enumerate(cells):
        y = top + _GAP + number * (cell_height + _GAP)
        if number < len(row_labels):
            _write(sheet[y : y + cell_height, _GAP:left], row_labels[number], text, cell_height // 2)
        for cell, start in zip(row, starts, strict=False):
            if cell is not None:
                sheet[y : y + cell_height, start : start + cell.shape[1]] = cell
    return torch.from_numpy(sheet).permute(2, 0, 1).float() / 255


def captioned(picture: Tensor, label: str, height: int | None = None) -> Tensor:
    """A picture [3,H,W] (or [1,H,W]) in [0,1] under a line with its label: [3,H',W'].

    Args:
        label: printable ASCII (other characters become "?"); cut where too long. height: of the picture, to be resized.
    """
    cell = _cell(picture, height or picture.shape[-2])
    text = max(cell.shape[0] / 400, 0.35)
    line = np.full((round(34 * text) + 2 * _GAP, cell.shape[1], 3), _PAPER, np.uint8)
    _write(line, label, text, line.shape[0] - 2 * _GAP)
    return torch.from_numpy(np.concatenate([line, cell])).permute(2, 0, 1).float() / 255


def _cell(image: Tensor, height: int) -> np.ndarray:
    """uint8 [height,W,3] of one picture."""
    if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ImageError(f"A picture of a contact sheet must be [3,H,W] or [1,H,W], got {list(image.shape)}.")
    image = image.detach().float().cpu().nan_to_num().clamp(0, 1)
    width = max(1, round(image.shape[2] * height / image.shape[1]))
    if image.shape[1] != height:
        image = F.interpolate(image[None], size=(height, width), mode="bilinear", antialias=True, align_corners=False)[
            0
        ]
    return image.expand(3, -1, -1).mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def _column_width(cells: Sequence[np.ndarray | None], height: int) -> int:
    return max((cell.shape[1] for cell in cells if cell is not None), default=height // 2)


def _text_width(label: str, scale: float) -> int:
    return cv2.getTextSize(_ascii(label), cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]


def _write(area: np.ndarray, label: str, scale: float, baseline: int) -> None:
    """Put `label` into a part of the sheet; what does not fit is shortened."""
    label = _ascii(label)
    while len(label) > 1 and _text_width(label, scale) > area.shape[1]:
        label = label[:-1]
    canvas = np.ascontiguousarray(area)
    cv2.putText(canvas, label, (0, baseline), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    area[:] = canvas


def _ascii(label: str) -> str:
    return label.encode("ascii", "replace").decode()
