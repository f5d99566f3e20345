"""Times the public models with several references against the plain way, in one run and with the same weights.

    OMP_WAIT_POLICY=passive python scripts/bench_models.py --models first_order --references 1 4 --json out/models.json

The plain way is the published procedure once per reference, pair by pair, with the layers as published, and the mean of
the pictures: First Order and Thin-Plate encode the reference for every frame, as the published generators do;
LivePortrait once. Ours is the pipeline from driving crops to pictures. Encoding the references once and finding faces
are in neither. With one thread (OMP_NUM_THREADS=1) the processor's time is measured, which other programs hardly
disturb, else the clock. Weights come from the formula of `tests/golden/golden.py`, so no checkpoint is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reenact_core.checkpoint import assemble, recognise  # noqa: E402
from reenact_core.decoding import decode  # noqa: E402
from reenact_core.fusing import Smoothing, fuse_references  # noqa: E402
from reenact_core.fusion import strategy_class  # noqa: E402
from reenact_core.motion_models.checkpoint_model import CheckpointModel  # noqa: E402
from reenact_core.motion_models.crops import Framing  # noqa: E402
from reenact_core.motion_models.first_order import AffineKeypoints  # noqa: E402
from reenact_core.motion_models.first_order_model import FirstOrderModel  # noqa: E402
from reenact_core.motion_models.folding import fold  # noqa: E402
from reenact_core.motion_models.head_motion import Region, compose_absolute, keypoints  # noqa: E402
from reenact_core.motion_models.live_portrait_model import LivePortraitModel  # noqa: E402
from reenact_core.motion_models.thin_plate_model import ThinPlateModel  # noqa: E402
from reenact_core.retargeting import Transfer  # noqa: E402
from reenact_core.tracking import BLENDSHAPE_NAMES  # noqa: E402
from reenact_core.types import DrivingMotion, Faces, References  # noqa: E402
from reenact_core.warping import warp_per_reference  # noqa: E402
from tests.golden.golden import fill_state_dict, golden_image, read_manifest  # noqa: E402

KINDS: dict[str, type[CheckpointModel]] = {
    "first_order": FirstOrderModel,
    "thin_plate": ThinPlateModel,
    "live_portrait": LivePortraitModel,
}
BOX = torch.tensor([0, 0, 256])


class WholeImage(Framing):
    """Takes 256 px images as they are."""

    def box(self, landmarks: Tensor) -> Tensor:
        return BOX


def networks(name: str) -> tuple[Any, Any]:
    """The network twice: with its layers as published, and folded."""
    weights = {
        f"{part}.{key}": torch.from_numpy(value)
        for part, shapes in read_manifest(ROOT / "tests" / "golden" / f"keys_{name}.tsv").items()
        for key, value in fill_state_dict(shapes, 0, part).items()
    }
    recognised = recognise(weights, name)
    plain, folded = assemble(recognised), assemble(recognised)
    fold(folded)
    return plain, folded


def plainly(name: str, network: Any, references: Tensor, driving: Tensor) -> Callable[[], Tensor]:
    """The published procedure once per frame and reference."""
    reference = network.encode_motion(references)
    once = network.encode_references(references) if name == "live_portrait" else None

    def one(motion: Any, r: int) -> Tensor:
        at = slice(r, r + 1)
        if name == "live_portrait":
            own = type(reference)(*(field[at] for field in reference))
            points = keypoints(own)
            moved = network.stitch(points, compose_absolute(own, motion, Region.ALL))
            encoded = type(once)(*(field[at] for field in once))
            return network.decode(network.warp(encoded, points, moved).features[:, 0])
        encoded = network.encode_references(references[at])
        if name == "first_order":
            own = AffineKeypoints(*(field[at] for field in reference))
            moved = AffineKeypoints(*(field[:, None] for field in motion))
            return network.decode(network.warp(encoded, own, moved).features[:, 0])
        levels = network.warp(encoded, reference[at], motion[:, None]).levels
        return network.decode([level[:, 0] for level in levels])

    def run() -> Tensor:
        pictures = []
        for frame in driving:
            motion = network.encode_motion(frame[None])
            pictures.append(torch.stack([one(motion, r) for r in range(len(references))]).mean(0))
        return torch.cat(pictures)

    return run


def ours(model: CheckpointModel, references: Tensor, driving: Tensor, strategy: str) -> Callable[[], Tensor]:
    """The pipeline behind face tracking."""
    value = References(
        tuple(references), tuple(torch.ones_like(image[:1]) for image in references), unposed(len(references)),
        torch.ones(len(references)), tuple(map(str, range(len(references)))),
    )  # fmt: skip
    faces = unposed(len(driving))

    def motion() -> DrivingMotion:
        code = model.encode_driving(driving, BOX)
        return DrivingMotion(faces, (256, 256), Fraction(25), faces.at([0]), code, code[:1], BOX)

    prepared = warp_per_reference(value, motion(), model, Transfer.ABSOLUTE)

    def run() -> Tensor:
        warped = prepared._replace(motion=motion())
        chunks = decode(fuse_references(warped, strategy_class(strategy)(), Smoothing(0)))
        return torch.cat([chunk.crops for chunk in chunks])

    return run


def unposed(count: int) -> Faces:
    """Faces that differ in nothing."""
    return Faces(
        torch.zeros(count, 478, 3), torch.zeros(count, len(BLENDSHAPE_NAMES)), torch.eye(3).expand(count, 3, 3),
        torch.ones(count), torch.ones(count, dtype=torch.bool),
    )  # fmt: skip


def seconds(run: Callable[[], Tensor]) -> tuple[float, Tensor]:
    now = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = now()
    result = run()
    return now() - start, result


def resident(field: str) -> int:
    """A size of this process in bytes: VmRSS now, VmHWM at most since the last reset."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) << 10


def megabytes(run: Callable[[], Tensor]) -> int:
    """The most memory a run holds at once, beyond what was held before; Linux only, 0 elsewhere."""
    if not Path("/proc/self/clear_refs").exists():
        return 0
    Path("/proc/self/clear_refs").write_text("5")  # resets the highest size
    before = resident("VmRSS")
    run()
    return (resident("VmHWM") - before) // 10**6


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--references", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2, help="of both, taking turns; the fastest of each counts")
    parser.add_argument("--memory", action="store_true", help="measure memory too, in one more run of both")
    parser.add_argument("--strategy", default="mean")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    print("| model | R | plain s/frame | ours s/frame | ratio | plain MB | ours MB | mean difference |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    driving = torch.stack([torch.from_numpy(golden_image(100 + i)) for i in range(options.frames)])
    for name in options.models:
        plain, folded = networks(name)
        model = KINDS[name](folded).eval()
        model.reference_framing = WholeImage(1, 0, True)
        for count in options.references:
            images = torch.stack([torch.from_numpy(golden_image(1 + i)) for i in range(count)])
            runs = plainly(name, plain, images, driving), ours(model, images, driving, options.strategy)
            times, results = ([], []), []
            for _ in range(options.repeats):
                results = []
                for kept, run in zip(times, runs):
                    taken, result = seconds(run)
                    kept.append(taken / options.frames)
                    results.append(result)
            before, after = min(times[0]), min(times[1])
            memory = [megabytes(run) for run in runs] if options.memory else [0, 0]
            # With one reference both paint the same picture; with several they average at different places.
            apart = float((results[0] - results[1]).abs().mean())
            rows.append(
                {"model": name, "references": count, "plain": before, "ours": after, "ratio": before / after,
                 "plain_megabytes": memory[0], "ours_megabytes": memory[1],
                 "mean_difference": apart, "threads": torch.get_num_threads()}
            )  # fmt: skip
            held = f"{memory[0]} | {memory[1]} | {apart:.1e}"
            print(f"| {name} | {count} | {before:.2f} | {after:.2f} | {before / after:.2f} | {held} |", flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
