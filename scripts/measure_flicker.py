"""How much fusion weights flicker on the samples, without smoothing, with it, and with hysteresis beside it.

    python scripts/measure_flicker.py

Prints the table of docs/fusion.md: `steadiness.weight_flicker` of every frame of samples/driving.mp4.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reenact_core.fusing import Smoothing, fuse_references  # noqa: E402
from reenact_core.fusion import strategy_class  # noqa: E402
from reenact_core.images import list_images, read_image  # noqa: E402
from reenact_core.motion import encode_motion  # noqa: E402
from reenact_core.motion_models import MotionModel, load_model  # noqa: E402
from reenact_core.references import encode_references  # noqa: E402
from reenact_core.steadiness import weight_flicker  # noqa: E402
from reenact_core.tracking import FaceTracker  # noqa: E402
from reenact_core.types import Transfer  # noqa: E402
from reenact_core.video import VideoReader  # noqa: E402
from reenact_core.warping import WarpedReferences, warp_per_reference  # noqa: E402

SIZE = 192
STRATEGIES = ("learned", "confidence", "attention", "regional", "nearest")
SETTINGS = (Smoothing(0.0, 0.0), Smoothing(0.6, 0.0), Smoothing(), Smoothing(0.6, 0.2))


def warped_samples(tracker: FaceTracker, model: MotionModel) -> WarpedReferences:
    """The samples' references, warped to every frame of their own clip; the warps are kept."""
    images = [read_image(path) for path in list_images(ROOT / "samples" / "references")]
    references = encode_references(images, tracker)
    with VideoReader(ROOT / "samples" / "driving.mp4") as reader:
        motion = encode_motion(reader.chunks(8), reader.info.frame_rate, tracker, model)
    return warp_per_reference(references, motion, model, Transfer.ABSOLUTE, SIZE, memo_bytes=1 << 30)


def flicker(warped: WarpedReferences, name: str, smoothing: Smoothing) -> float:
    """Flicker of one strategy's weights over the whole clip."""
    fused = fuse_references(warped, strategy_class(name)(), smoothing)
    return weight_flicker(torch.cat([chunk.weights for chunk in fused.chunks()]))


def main() -> None:
    """Print the table in Markdown."""
    warped = warped_samples(FaceTracker.load(), load_model("face_mesh"))
    heads = [f"smoothing {item.memory:g}, hysteresis {item.hysteresis:g}" for item in SETTINGS]
    print("| strategy |", " | ".join(heads), "|")
    print("|---|" + "---:|" * len(heads))
    for name in STRATEGIES:
        print(f"| `{name}` |", " | ".join(f"{flicker(warped, name, item):.3f}" for item in SETTINGS), "|")


if __name__ == "__main__":
    main()
