"""Draw the pack's pictures: icon and banner (SVG and PNG) and the thumbnails of the example graphs.

    python scripts/make_artwork.py

Icon and banner are drawn from the canonical face mesh in the colours of attribution; the thumbnails are results of the
graphs' own settings on the samples.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reenact_core.coverage import coverage_picture  # noqa: E402
from reenact_core.decoding import decode  # noqa: E402
from reenact_core.fusing import fuse_references  # noqa: E402
from reenact_core.fusion import strategy_class  # noqa: E402
from reenact_core.images import list_images, read_image  # noqa: E402
from reenact_core.landmark_pictures import reference_pictures  # noqa: E402
from reenact_core.motion import encode_motion  # noqa: E402
from reenact_core.motion_models import load_model  # noqa: E402
from reenact_core.motion_plot import motion_plot  # noqa: E402
from reenact_core.previews import PALETTE, attribution  # noqa: E402
from reenact_core.references import encode_references, pick_frames  # noqa: E402
from reenact_core.retargeting import Transfer  # noqa: E402
from reenact_core.tracking import FaceTracker, canonical_mesh  # noqa: E402
from reenact_core.video import VideoReader  # noqa: E402
from reenact_core.warping import warp_per_reference  # noqa: E402
from scripts.make_workflows import PUBLIC_MODELS  # noqa: E402

ASSETS, WORKFLOWS, SAMPLES = ROOT / "assets", ROOT / "workflows", ROOT / "samples"
SIDE = 400  # of a thumbnail
QUARTER = SIDE // 4
CAPTION = 60  # pixels
PAPER = "#15181f"


def main() -> None:
    """Draw everything."""
    ASSETS.mkdir(exist_ok=True)
    _save_drawing("icon", 400, 400, _face(200, 200, 165))
    ghosts = "".join(_face(150 + 190 * i, 168, 70, [i]) for i in range(3))
    arrow = '<path d="M 640 160 h 90 m -24 -18 l 26 18 l -26 18" fill="none" stroke="#9aa4b5" stroke-width="6"/>'
    _save_drawing("banner", 1200, 320, ghosts + arrow + _face(960, 162, 135))
    _thumbnails()


def _face(x: float, y: float, radius: float, colours: list[int] | None = None) -> str:
    """The canonical mesh as coloured triangles, as SVG: each triangle in the colour of one of the references."""
    vertices, triangles = canonical_mesh()
    points = vertices[:, :2] - (vertices[:, :2].amax(0) + vertices[:, :2].amin(0)) / 2
    points = points / points.abs().max() * radius + torch.tensor([x, y])
    order = vertices[triangles][..., 2].mean(1).argsort(descending=True)  # far ones first
    centres = points[triangles].mean(1)
    pieces = []
    for number in order.tolist():
        corners = " ".join(f"{px:.1f},{py:.1f}" for px, py in points[triangles[number]].tolist())
        angle = torch.atan2(centres[number, 1] - y, centres[number, 0] - x)
        which = int((angle / torch.pi + 1) * 2) % 4 if colours is None else colours[number % len(colours)]
        shade = 1 - 0.35 * float((centres[number] - torch.tensor([x, y])).norm()) / radius
        red, green, blue = (round(255 * value * shade) for value in PALETTE[which])
        pieces.append(f'<polygon points="{corners}" fill="rgb({red},{green},{blue})" stroke="{PAPER}"/>')
    return "".join(pieces)


def _save_drawing(name: str, width: int, height: int, content: str) -> None:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    svg = f'{head}<rect width="{width}" height="{height}" rx="36" fill="{PAPER}"/>{content}</svg>\n'
    (ASSETS / f"{name}.svg").write_text(svg)
    scale = 2
    canvas = np.full((height * scale, width * scale, 3), [0x15, 0x18, 0x1F], np.uint8)
    for part in content.split("<")[1:]:
        if part.startswith("polygon"):
            text = part.split('points="')[1].split('"')[0]
            fill = part.split("rgb(")[1].split(")")[0]
            corners = np.array([[float(v) * scale for v in pair.split(",")] for pair in text.split()]).round()
            cv2.fillPoly(canvas, [corners.astype(np.int32)], [int(v) for v in fill.split(",")], cv2.LINE_AA)
            cv2.polylines(canvas, [corners.astype(np.int32)], True, (0x15, 0x18, 0x1F), 1, cv2.LINE_AA)
        elif part.startswith("path"):
            cv2.arrowedLine(canvas, (640 * scale, 160 * scale), (732 * scale, 160 * scale), (154, 164, 181), 10)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    Image.fromarray(small).save(ASSETS / f"{name}.png", optimize=True)


def _thumbnails() -> None:
    tracker, model = FaceTracker.load(), load_model("face_mesh")
    references = encode_references([read_image(path) for path in list_images(SAMPLES / "references")], tracker)
    with VideoReader(SAMPLES / "driving.mp4") as reader:
        motion = encode_motion(reader.chunks(8), reader.info.frame_rate, tracker, model)
        driving = reader.frames([12])[0]
    with VideoReader(SAMPLES / "other_person.mp4") as reader:
        other = encode_motion(reader.chunks(8), reader.info.frame_rate, tracker, model)
        stranger = reader.frames([20])[0]
    faces = [_square(picture, SIDE // 4) for picture in reference_pictures(references, True)]
    plain = [_square(picture, SIDE // 4) for picture in reference_pictures(references, False)]
    warped = warp_per_reference(references, motion, model, Transfer.ABSOLUTE)
    results, shares = {}, {}
    for name in (model.default_strategy, "nearest"):
        fused = fuse_references(warped.only(12), strategy_class(name)())
        results[name] = next(decode(fused)).images[0]
        shares[name] = attribution(next(fused.chunks()).weights, warped.size)[0]
    best, share = results[model.default_strategy], shares[model.default_strategy]
    strategy = strategy_class(model.default_strategy)()
    later = next(decode(fuse_references(warped.only(26), strategy))).images[0]
    moved = warp_per_reference(references, other, model, Transfer.RELATIVE).only(20)
    puppet = next(decode(fuse_references(moved, strategy))).images[0]
    _save("five_stages", [[[face] for face in faces], [[driving, share], [best]]], [QUARTER, 3 * QUARTER])
    pairs = [[[results[name], shares[name]] for name in results]]
    _save("compare_strategies", pairs, [SIDE])
    picked = encode_references([frame for _, frame in pick_frames(SAMPLES / "driving.mp4", 4, tracker)], tracker)
    chosen = [[face] for face in reference_pictures(picked, True)]
    coverage = coverage_picture(picked.faces, picked.labels)
    heights = [QUARTER, 3 * QUARTER // 2, 3 * QUARTER // 2]
    _save("references_from_video", [chosen, [[coverage]], [[stranger], [puppet]]], heights)
    coarse = F.interpolate(_square(best, SIDE // 8)[None], size=best.shape[-2:])[0]
    left = torch.arange(best.shape[-1]) < best.shape[-1] // 2
    _save("composite_and_upscale", [[[torch.where(left, coarse, best)]]], [SIDE])
    _save("save_and_reuse_motion", [[[motion_plot(motion)]], [[best], [later]]], [SIDE // 2, SIDE // 2])
    _captioned(stranger)
    _save("one_node_video", [[[face] for face in plain], [[stranger], [puppet]]], [QUARTER, 3 * QUARTER])


def _captioned(stranger: Tensor) -> None:
    """For models whose checkpoints we do not have: what goes in, and the model's name."""
    pictures = [_square(read_image(path), SIDE // 4) for path in list_images(SAMPLES / "references")]
    for model in PUBLIC_MODELS:
        caption = np.full((CAPTION, SIDE, 3), [0x15, 0x18, 0x1F], np.uint8)
        (width, height), _ = cv2.getTextSize(model.title, cv2.FONT_HERSHEY_SIMPLEX, 0.7, 1)
        start = ((SIDE - width) // 2, (CAPTION + height) // 2)
        cv2.putText(caption, model.title, start, cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0x9A, 0xA4, 0xB5), 1, cv2.LINE_AA)
        words = torch.from_numpy(caption).permute(2, 0, 1) / 255
        rows = [[[picture] for picture in pictures], [[words]], [[stranger]]]
        _save(model.name, rows, [QUARTER, CAPTION, SIDE - QUARTER - CAPTION])


def _square(picture: Tensor, side: int) -> Tensor:
    return F.interpolate(picture[None], size=(side, side), mode="bilinear", antialias=True)[0]


def _save(name: str, rows: list[list[list[Tensor]]], heights: list[int]) -> None:
    """A square thumbnail of rows of columns, each a stack of pictures of equal height."""
    sheet = np.full((sum(heights), SIDE, 3), [0x15, 0x18, 0x1F], np.uint8)
    top = 0
    for row, height in zip(rows, heights):
        width = SIDE // len(row)
        for column, stack in enumerate(row):
            part = height // len(stack)
            for number, picture in enumerate(stack):
                cell = _fitted(picture.cpu(), part, width).clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
                y = top + number * part + (part - len(cell)) // 2
                x = column * width + (width - cell.shape[1]) // 2
                sheet[y : y + len(cell), x : x + cell.shape[1]] = cell
        top += height
    Image.fromarray(sheet).save(WORKFLOWS / f"{name}.jpg", quality=85, optimize=True)


def _fitted(picture: Tensor, height: int, width: int) -> Tensor:
    """Square pictures fill the cell and are cropped, more below than above; plots and words are seen as a whole."""
    square = picture.shape[-1] == picture.shape[-2]
    factors = height / picture.shape[-2], width / picture.shape[-1]
    factor = max(factors) if square else min(factors)
    size = (max(1, round(picture.shape[-2] * factor)), max(1, round(picture.shape[-1] * factor)))
    scaled = F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)[0]
    top, left = max(0, size[0] - height) // 5, max(0, size[1] - width) // 2
    return scaled[:, top : top + height, left : left + width]


if __name__ == "__main__":
    main()
