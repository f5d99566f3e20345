"""Makes the README's pictures from the results of `make demo`.

    make demo && python scripts/readme_pictures.py

Writes sheet.jpg and other_person.jpg, and for the model card hard_frames.jpg, to docs/images, each below 400 kB.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reenact_core.decoding import decode  # noqa: E402
from reenact_core.fusing import fuse_references  # noqa: E402
from reenact_core.fusion.learned import Learned  # noqa: E402
from reenact_core.images import read_image_and_mask  # noqa: E402
from reenact_core.motion import encode_motion  # noqa: E402
from reenact_core.motion_models.loading import load_model  # noqa: E402
from reenact_core.pose import pose_distance  # noqa: E402
from reenact_core.references import encode_references  # noqa: E402
from reenact_core.tracking import BLENDSHAPE_NAMES, FaceTracker  # noqa: E402
from reenact_core.types import Transfer  # noqa: E402
from reenact_core.video import VideoReader  # noqa: E402
from reenact_core.warping import warp_per_reference  # noqa: E402

OUT, IMAGES = ROOT / "out", ROOT / "docs" / "images"
MOST_BYTES = 400_000
WIDTH = 1200  # px
COLUMNS = 6


def strip(path: Path, side: int = WIDTH // COLUMNS) -> Tensor:
    """Frames spread over a video, side by side: [3,side,COLUMNS*side]."""
    with VideoReader(path) as reader:
        count = sum(len(chunk) for chunk in reader.chunks(16))
        numbers = [round(i * (count - 1) / (COLUMNS - 1)) for i in range(COLUMNS)]
        frames = torch.stack(list(reader.frames(numbers)))
    small = torch.nn.functional.interpolate(frames, size=(side, side), mode="bilinear", antialias=True)
    return torch.cat(list(small), -1)


def save(image: Tensor, path: Path) -> None:
    """Write [3,H,W] in [0,1] as JPEG, as good as the limit allows."""
    array = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(array)
    picture.thumbnail((WIDTH, 10_000), Image.Resampling.LANCZOS)
    for quality in range(92, 40, -4):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= MOST_BYTES:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def hard_frames() -> Tensor:
    """What goes wrong, and what more references mend: the frames of the sample clip with the widest mouth, the most
    closed eyes and the largest turn, each true, from one reference, from four, and four times the error left.
    """
    tracker, model = FaceTracker.load(), load_model("face_mesh")
    with VideoReader(ROOT / "samples" / "driving.mp4") as reader:
        frames = torch.cat(list(reader.chunks(16)))
        motion = encode_motion([frames], reader.info.frame_rate, tracker, model)
    blendshapes = motion.faces.blendshapes
    blinks = blendshapes[:, [BLENDSHAPE_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]].mean(1)
    turn = pose_distance(motion.faces, motion.faces.at([0]))[:, 0]
    wanted = [int(v.argmax()) for v in (blendshapes[:, BLENDSHAPE_NAMES.index("jawOpen")], blinks, turn)]
    files = sorted((ROOT / "samples" / "references").glob("*.png"))
    pictures = [read_image_and_mask(file)[0] for file in files]
    columns = [frames[wanted]]
    for count in (1, len(pictures)):
        references = encode_references(pictures[:count], tracker)
        warped = warp_per_reference(references, motion, model, Transfer.ABSOLUTE)
        result = torch.cat([chunk.images for chunk in decode(fuse_references(warped, Learned()))])
        columns.append(result[wanted])
    columns.append(((columns[-1] - columns[0]).abs() * 4).clamp(0, 1))
    return torch.cat([torch.cat(list(row), -1) for row in zip(*columns)], -2)


def main() -> None:
    """All pictures."""
    save(read_image_and_mask(OUT / "demo_sheet.png")[0], IMAGES / "sheet.jpg")
    rows = [strip(ROOT / "samples" / "other_person.mp4"), strip(OUT / "demo_other_person.mp4")]
    save(torch.cat(rows, -2), IMAGES / "other_person.jpg")
    save(hard_frames(), IMAGES / "hard_frames.jpg")


if __name__ == "__main__":
    main()
