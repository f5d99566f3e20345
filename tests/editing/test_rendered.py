"""What the editor adds is seen in the rendered picture: the tracker reads it there."""

from __future__ import annotations

import pytest
import torch

from reenact_core.decoding import decode
from reenact_core.editing import Expression, express
from reenact_core.editing.resting import RATE, resting_motion
from reenact_core.fusing import fuse_references
from reenact_core.fusion import strategy_class
from reenact_core.images import list_images, read_image
from reenact_core.motion_models import load_model
from reenact_core.pose import euler_degrees
from reenact_core.references import encode_references
from reenact_core.retargeting import Transfer
from reenact_core.tracking import BLENDSHAPE_NAMES, FaceTracker
from reenact_core.types import DrivingMotion, Faces
from reenact_core.warping import warp_per_reference

from ..faces import ROOT, psnr

pytestmark = pytest.mark.slow

EXPRESSIONS = {
    "rest": Expression(),
    "smile": Expression(smile=0.8),
    "jaw": Expression(jaw_open=0.4),
    "shut": Expression(blink_left=1, blink_right=1),
    "look": Expression(gaze_x=1),
    "turn": Expression(yaw=12),
}


@pytest.fixture(scope="module")
def seen() -> tuple[dict[str, int], Faces, list[torch.Tensor], torch.Tensor]:
    """Numbers by name, faces as the tracker reads them in the rendered pictures, the pictures, the reference."""
    tracker = FaceTracker.load()
    paths = list_images(ROOT / "samples" / "references")
    references = encode_references([read_image(path) for path in reversed(paths)], tracker)
    image = references.images[0]
    still = resting_motion(references.faces.at([0]), (image.shape[-2], image.shape[-1]), 1, RATE)
    frames = [express(still, expression).faces for expression in EXPRESSIONS.values()]
    faces = Faces(*(torch.cat(fields) for fields in zip(*frames)))
    motion = DrivingMotion(faces, still.canvas, still.frame_rate, still.neutral)
    model = load_model("face_mesh")
    with torch.inference_mode():
        warped = warp_per_reference(references, motion, model, Transfer.ABSOLUTE)
        fused = fuse_references(warped, strategy_class(model.default_strategy)(), None)
        pictures = [picture for chunk in decode(fused) for picture in chunk.images]
    numbers = {name: number for number, name in enumerate(EXPRESSIONS)}
    return numbers, tracker.track_images(pictures), pictures, image


@pytest.mark.parametrize(
    ("name", "shape", "least"),
    [("smile", "mouthSmileRight", 0.1), ("jaw", "jawOpen", 0.1), ("shut", "eyeBlinkLeft", 0.1)],
)
def test_the_tracker_reads_what_was_added(seen, name, shape, least):
    numbers, faces, _, _ = seen
    values = faces.blendshapes[:, BLENDSHAPE_NAMES.index(shape)]
    assert values[numbers[name]] - values[numbers["rest"]] > least, values


def test_the_head_turns(seen):
    numbers, faces, _, _ = seen
    yaw = euler_degrees(faces.rotation)[:, 0]
    assert float(yaw[numbers["turn"]] - yaw[numbers["rest"]]) == pytest.approx(12, abs=4)


def test_the_eyes_move(seen):
    numbers, faces, _, _ = seen

    def aside(name: str) -> torch.Tensor:
        points = faces.landmarks[numbers[name]]
        return points[[468, 473], 0].mean() - points[[33, 133, 362, 263], 0].mean()

    assert aside("look") - aside("rest") > 1.0, "pixels"


def test_without_an_addition_the_reference_stays(seen):
    numbers, _, pictures, image = seen
    assert psnr(pictures[numbers["rest"]], image) > 30
