"""Pictures of what the stages did: attribution maps and the contact sheet of a run."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from . import geometry
from .decoding import decode
from .fusing import FusedFrames
from .sheets import contact_sheet
from .warping import WarpedReferences

PALETTE = (
    (0.90, 0.35, 0.25), (0.25, 0.55, 0.90), (0.35, 0.75, 0.35), (0.95, 0.75, 0.20),
    (0.60, 0.40, 0.80), (0.20, 0.75, 0.75), (0.90, 0.50, 0.75), (0.55, 0.45, 0.30),
)  # fmt: skip


def attribution(weights: Tensor, size: int) -> Tensor:
    """Which reference each pixel came from, as a picture [T,3,size,size] in [0,1].

    Weights [T,R,B,y,x] mix the references' colours; with more than eight references the colours repeat.
    """
    colours = torch.tensor([PALETTE[r % len(PALETTE)] for r in range(weights.shape[1])]).to(weights)
    picture = torch.einsum("trhw,rc->tchw", weights.mean(2), colours)
    return geometry.enlarge(picture, (size, size))


@torch.inference_mode()
def reenactment_sheet(fused: FusedFrames, driving: Mapping[int, Tensor]) -> Tensor:
    """Contact sheet [3,H,W]: the references, then rows of driving | each warped reference | attribution | result.

    Args:
        driving: some driving frames [3,H,W] by number.
    """
    warped = fused.warped
    labels = [f"{r + 1}: {name}" for r, name in enumerate(warped.references.labels)]
    framed = [_framed(image, PALETTE[r % len(PALETTE)]) for r, image in enumerate(warped.references.images)]
    rows: list[list[Tensor | None]] = [[None, *framed]]
    names = ["references"]
    for number, frame in sorted(driving.items()):
        chosen = fused._replace(warped=warped.only(number))
        chunk = next(chosen.chunks())
        result = next(decode(chosen))
        looks = warped.model.preview(warped.encoded, warped.evidence(number, number + 1))[0]
        pictures = [*looks, attribution(chunk.weights, warped.size)[0]]
        rows.append([frame, *(_on_canvas(p, warped, number) for p in pictures), result.images[0]])
        names.append(f"frame {number}")
    return contact_sheet(rows, ["driving", *labels, "attribution", "result"], names)


def _on_canvas(picture: Tensor, warped: WarpedReferences, number: int) -> Tensor:
    """The part of a picture [3,size,size] of a frame's box that lies on the canvas."""
    left, top, side = warped.boxes[number].tolist()
    height, width = warped.motion.canvas
    scale = picture.shape[-1] / side
    rows = slice(round(max(0, -top) * scale), round(min(side, height - top) * scale))
    columns = slice(round(max(0, -left) * scale), round(min(side, width - left) * scale))
    return picture[:, rows, columns]


def _framed(image: Tensor, colour: tuple[float, float, float]) -> Tensor:
    """The picture with a frame in its attribution colour."""
    width = max(2, image.shape[-2] // 40)
    border = torch.tensor(colour)[:, None, None].expand(3, image.shape[-2] + 2 * width, image.shape[-1] + 2 * width)
    framed = border.clone()
    framed[:, width:-width, width:-width] = image.cpu()
    return framed
