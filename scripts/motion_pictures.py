"""Makes the pictures of docs/motion.md: the person of the samples with controls of the expression editor.

    python scripts/motion_pictures.py

Writes docs/images/expressions.jpg (one control each), docs/images/presets.jpg (ready-made expressions and turns) and
the thumbnail workflows/edit_expression.jpg.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from readme_pictures import IMAGES, save  # noqa: E402

from reenact_core.decoding import decode  # noqa: E402
from reenact_core.editing import Expression, express  # noqa: E402
from reenact_core.editing.resting import RATE, resting_motion  # noqa: E402
from reenact_core.fusing import fuse_references  # noqa: E402
from reenact_core.fusion import strategy_class  # noqa: E402
from reenact_core.images import list_images, read_image  # noqa: E402
from reenact_core.motion_models import load_model  # noqa: E402
from reenact_core.references import encode_references  # noqa: E402
from reenact_core.retargeting import Transfer  # noqa: E402
from reenact_core.sheets import contact_sheet  # noqa: E402
from reenact_core.tracking import FaceTracker  # noqa: E402
from reenact_core.types import DrivingMotion, Faces, References  # noqa: E402
from reenact_core.warping import warp_per_reference  # noqa: E402

CALM = "4_parted_lips.png"  # comes first, so that its face is the one that is changed
COLUMNS = 4
WORKFLOWS, SIDE = ROOT / "workflows", 400  # px of a thumbnail
THUMBNAIL = ("as it is", "smile 0.8", "blink_left 1", "yaw 15")
CONTROLS = {
    "as it is": Expression(),
    "smile 0.8": Expression(smile=0.8),
    "frown 1": Expression(frown=1),
    "jaw_open 0.5": Expression(jaw_open=0.5),
    "pucker 1": Expression(pucker=1),
    "mouth_x 0.8": Expression(mouth_x=0.8),
    "cheek_puff 1": Expression(cheek_puff=1),
    "brows 1": Expression(brows=1),
    "brows -1": Expression(brows=-1),
    "blink_left 1": Expression(blink_left=1),
    "gaze_x 1": Expression(gaze_x=1),
    "gaze_y -1": Expression(gaze_y=-1),
}
PRESETS = {
    "laugh": Expression(preset="laugh"),
    "sad": Expression(preset="sad"),
    "angry": Expression(preset="angry"),
    "surprised": Expression(preset="surprised"),
    "eyes closed": Expression(preset="eyes closed"),
    "yaw 15": Expression(yaw=15),
    "pitch 10": Expression(pitch=10),
    "roll -15": Expression(roll=-15),
}


def rendered(references: References, expressions: Sequence[Expression]) -> list[Tensor]:
    """The first reference [3,H,W] with each of the expressions."""
    image = references.images[0]
    still = resting_motion(references.faces.at([0]), (image.shape[-2], image.shape[-1]), 1, RATE)
    frames = [express(still, expression).faces for expression in expressions]
    motion = DrivingMotion(
        Faces(*(torch.cat(fields) for fields in zip(*frames))), still.canvas, still.frame_rate, still.neutral
    )
    model = load_model("face_mesh")
    warped = warp_per_reference(references, motion, model, Transfer.ABSOLUTE)
    fused = fuse_references(warped, strategy_class(model.default_strategy)(), None)
    rows, columns = _around(references.faces.landmarks[0])
    return [picture[:, rows, columns] for chunk in decode(fused) for picture in chunk.images]


def _around(landmarks: Tensor) -> tuple[slice, slice]:
    """Rows and columns of a square around a face [478,3]."""
    x, y, _ = landmarks.mean(0).tolist()
    half = 0.62 * float((landmarks[10] - landmarks[152]).norm())
    return slice(max(0, round(y - half)), round(y + half)), slice(max(0, round(x - half)), round(x + half))


def sheet(pictures: list[Tensor], expressions: dict[str, Expression]) -> Tensor:
    rows = [pictures[i : i + COLUMNS] for i in range(0, len(pictures), COLUMNS)]
    names = list(expressions)
    parts = [
        contact_sheet([row], names[i * COLUMNS : (i + 1) * COLUMNS], cell_height=300) for i, row in enumerate(rows)
    ]
    return torch.cat(parts, 1)


@torch.inference_mode()
def main() -> None:
    paths = sorted(list_images(ROOT / "samples" / "references"), key=lambda path: path.name != CALM)
    references = encode_references([read_image(path) for path in paths], FaceTracker.load())
    pictures: dict[str, Tensor] = {}
    for name, expressions in (("expressions", CONTROLS), ("presets", PRESETS)):
        made = rendered(references, list(expressions.values()))
        save(sheet(made, expressions), IMAGES / f"{name}.jpg")
        pictures |= dict(zip(expressions, made))
    small = F.interpolate(torch.stack([pictures[name] for name in THUMBNAIL]), (SIDE // 2, SIDE // 2), mode="area")
    save(torch.cat([torch.cat([*small[:2]], 2), torch.cat([*small[2:]], 2)], 1), WORKFLOWS / "edit_expression.jpg")


if __name__ == "__main__":
    main()
