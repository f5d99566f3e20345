"""Compares a public motion model with golden arrays: the values its published code computes.

    python scripts/check_golden.py --model first_order --golden tests/golden/first_order.npz

The networks are filled by the formula of `tests/golden/golden.py`, so no checkpoint is needed; seeds of
weights and images come from the golden file. Tolerances are those of `tests/golden/arrays.tsv`. The exit
status is 1 when an array is further off than its tolerance, in its largest or in its mean difference.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reenact_core.checkpoint import assemble, recognise  # noqa: E402
from reenact_core.motion_models import first_order, head_motion, live_portrait, thin_plate  # noqa: E402
from reenact_core.motion_models.folding import fold  # noqa: E402
from reenact_core.motion_models.movement import movement_scale  # noqa: E402
from tests.golden.golden import (  # noqa: E402
    fill_state_dict,
    golden_image,
    read_manifest,
    read_table,
    sample,
)

TABLES = ROOT / "tests" / "golden"
WEIGHTS_TOLERANCE = 1e-6
IMAGE_SIZE = 256

Golden = Mapping[str, np.ndarray]
Arrays = Iterator[tuple[str, Tensor]]


class Comparison(NamedTuple):
    array: str
    largest: float  # absolute difference
    mean: float
    relative: float  # largest difference / largest golden value
    allowed_largest: float
    allowed_mean: float

    @property
    def ok(self) -> bool:
        return self.largest <= self.allowed_largest and self.mean <= self.allowed_mean


class Case(NamedTuple):
    """What the model is run on."""

    golden: Golden
    references: Tensor  # [R,3,256,256]
    driving: Tensor  # [T,3,256,256]


def fill_model(name: str, golden: Golden, skip: Sequence[str] = ()) -> torch.nn.Module:
    """The model with the golden file's weights, layers folded. Filling takes seconds; parts to skip are ones."""
    weights = {}
    seed = int(golden["seed"])
    for part, shapes in read_manifest(TABLES / f"keys_{name}.tsv").items():
        if part in skip:
            ones = {key: torch.ones(shape) for key, shape in shapes.items() if shape}  # no step counters
            weights.update((f"{part}.{key}", value) for key, value in ones.items())
            continue
        values = fill_state_dict(shapes, seed, part)
        if f"weights_mean_abs/{part}" in golden:
            mean = float(np.mean(np.concatenate([np.abs(value).ravel() for value in values.values()])))
            expected = float(golden[f"weights_mean_abs/{part}"])
            if abs(mean - expected) > WEIGHTS_TOLERANCE:
                raise SystemExit(f"The weights of {part} have a mean of {mean}, the golden file's {expected}.")
        weights.update((f"{part}.{key}", torch.from_numpy(value)) for key, value in values.items())
    recognised = recognise(weights, f"the golden weights of {name}")
    if recognised.architecture.name != name:
        raise SystemExit(f"The golden weights of {name} were taken for {recognised.architecture.name}.")
    model = assemble(recognised)
    fold(model)
    return model


def images_of(golden: Golden, role: str, count: int | None) -> Tensor:
    """The first `count` images [N,3,256,256] of a role, "reference" or "driving"."""
    seeds = golden[f"{role}_seeds"][:count]
    images = [golden_image(int(seed), IMAGE_SIZE) for seed in seeds]
    for seed, image, check in zip(seeds, images, golden.get(f"{role}_crc32", ())):
        if zlib.crc32(np.round(image * 255).astype(np.uint8).tobytes()) != check:
            raise SystemExit(f"Image {seed} differs from the one the golden file was made with.")
    return torch.from_numpy(np.stack(images))


def compare(
    name: str, golden: Golden, model: torch.nn.Module, *, first_pair_only: bool = False, stop: str = ""
) -> Iterator[Comparison]:
    """Runs the model and compares every golden array, or those of reference 0 and driving image 0.

    `stop` names the array in front of which to end early. Raises SystemExit for an array of another shape,
    and at the end for golden arrays that were not computed, unless it ended early.
    """
    rows = {row["array"]: row for row in read_table(TABLES / "arrays.tsv") if row["model"] == name}
    count = 1 if first_pair_only else None
    case = Case(golden, images_of(golden, "reference", count), images_of(golden, "driving", count))
    pending = set(rows) & set(golden)
    for array, value in ARRAYS[name](model, case):
        if array == stop or not pending:
            return
        if array not in pending:
            continue
        pending.remove(array)
        ours = sample(value.numpy(), rows[array]["steps"]).astype(np.float64)
        theirs = golden[array].astype(np.float64)
        if first_pair_only:
            theirs = theirs[tuple(slice(n) for n in ours.shape)]
        if ours.shape != theirs.shape:
            raise SystemExit(f"{array} has shape {ours.shape}, the golden one {theirs.shape}.")
        difference = np.abs(ours - theirs)
        scale = max(float(np.abs(theirs).max()), np.finfo(np.float32).tiny)
        yield Comparison(
            array,
            float(difference.max()),
            float(difference.mean()),
            float(difference.max()) / scale,
            float(rows[array]["tolerance_max"]),
            float(rows[array]["tolerance_mean"]),
        )
    if pending and not first_pair_only:
        raise SystemExit(f"Not computed: {', '.join(sorted(pending))}.")


def _by_frame(count: int, run: Callable[[slice], Arrays]) -> Arrays:
    """Arrays computed frame by frame, put together along T."""
    pieces: dict[str, list[Tensor]] = defaultdict(list)
    for t in range(count):
        for name, value in run(slice(t, t + 1)):
            pieces[name].append(value)
    for name, values in pieces.items():
        yield name, torch.cat(values)


def _decode_pairs(decode: Callable[[Any], Tensor], features: Any) -> Tensor:
    """Every reference of [T,R,...] decoded for itself: [T,R,3,H,W]."""
    levels = [features] if isinstance(features, Tensor) else list(features)
    pairs = levels[0].shape[:2]
    outputs = []
    for i in range(pairs.numel()):
        one = [level.flatten(0, 1)[i : i + 1] for level in levels]
        outputs.append(decode(one[0] if isinstance(features, Tensor) else one))
    return torch.cat(outputs).unflatten(0, pairs)


def first_order_arrays(model: first_order.FirstOrder, case: Case) -> Arrays:
    reference, driving = model.encode_motion(case.references), model.encode_motion(case.driving)
    yield "reference_keypoints", reference.points
    yield "reference_jacobians", reference.jacobians
    yield "driving_keypoints", driving.points
    yield "driving_jacobians", driving.jacobians
    initial = first_order.AffineKeypoints(*(field[:1] for field in driving))
    scale = movement_scale(reference.points, initial.points)
    relative = first_order.relative_motion(reference, driving, initial, scale)
    yield "movement_scale", scale
    yield "relative_keypoints", relative.points
    yield "relative_jacobians", relative.jacobians

    references = model.encode_references(case.references)
    yield "reference_features", references.features
    t, r = len(case.driving), len(case.references)
    pairs = first_order.AffineKeypoints(*(f[:, None].expand(t, r, *f.shape[1:]) for f in driving))
    sparse = first_order.sparse_motions(reference, pairs, references.thumbnails.shape[2:])
    yield "sparse_motions", sparse
    network = model.generator.dense_motion_network
    for prefix, align_corners in (("aligned/", True), ("unaligned/", False)):
        network.align_corners = align_corners
        yield prefix + "dense_motion_input", network.inputs(references.thumbnails, reference, pairs, sparse)
        warp = model.warp(references, reference, pairs)
        yield prefix + "contributions", warp.motion.contributions
        yield prefix + "deformation", warp.motion.deformation
        yield prefix + "visibility", warp.motion.visibility
        yield prefix + "warped_features", warp.features
        yield prefix + "warped_image", model.sample(case.references, warp.motion.deformation)
        output = _decode_pairs(model.decode, warp.features)
        yield prefix + "output", output
        yield prefix + "output_full", output[0, 0]
        if t > 1:
            second = first_order.AffineKeypoints(*(field[1:2] for field in relative))
            features = model.warp(references, reference, second).features
            yield prefix + "relative_output", _decode_pairs(model.decode, features)[0]


def thin_plate_arrays(model: thin_plate.ThinPlate, case: Case) -> Arrays:
    reference, driving = model.encode_motion(case.references), model.encode_motion(case.driving)
    yield "reference_keypoints", reference
    yield "driving_keypoints", driving
    scale = movement_scale(reference, driving[:1])
    yield "movement_scale", scale
    relative = thin_plate.relative_keypoints(reference, driving, driving[:1], scale)
    yield "relative_keypoints", relative
    disentangled = model.disentangle(reference, driving)
    yield "avd_keypoints", disentangled
    background = model.background(case.references, case.driving)
    yield "background_affine", background

    references = model.encode_references(case.references)
    for maps in references.maps:
        yield f"reference_features_{maps.shape[-1]}", maps
    t, r = len(case.driving), len(case.references)
    pairs = driving[:, None].expand(t, r, -1, -1)
    network = model.dense_motion_network
    size = references.thumbnails.shape[2:]

    def frame(at: slice) -> Arrays:
        sparse = thin_plate.sparse_motions(reference, pairs[at], size, None)
        yield "sparse_motions", sparse
        yield "dense_motion_input", network.inputs(references.thumbnails, reference, pairs[at], sparse)
        warp = model.warp(references, reference, pairs[at])
        yield "contributions", warp.motion.contributions
        yield "deformation", warp.motion.deformation
        for visibility in warp.motion.visibility:
            yield f"visibility_{visibility.shape[-1]}", visibility
        for maps in warp.levels[:-1]:
            yield f"warped_features_{maps.shape[-1]}", maps
        yield "warped_image", model.sample(case.references, warp.motion.deformation)
        yield "output", _decode_pairs(model.decode, warp.levels)
        moved = network(references.thumbnails, reference, pairs[at], background[at])
        yield "background_deformation", moved.deformation

    for name, value in _by_frame(t, frame):
        yield name, value
        if name == "output":
            yield "output_full", value[0, 0]
    if t > 1:
        for name, points, affine in (
            ("relative_output", relative, None),
            ("avd_output", disentangled, None),
            ("background_output", pairs, background[1:2]),
        ):
            warp = model.warp(references, reference, points[1:2], affine)
            yield name, _decode_pairs(model.decode, warp.levels)[0]


def live_portrait_arrays(model: live_portrait.LivePortrait, case: Case) -> Arrays:
    motions = {}
    for role, images in (("reference", case.references), ("driving", case.driving)):
        motion, bins = model.motion_extractor(images)
        motions[role] = motion
        yield f"{role}_pose_bins", bins
        yield f"{role}_pose_degrees", head_motion.pose_degrees(bins)
        yield f"{role}_rotation", motion.rotation
        yield f"{role}_scale", motion.scale
        yield f"{role}_translation", motion.translation
        yield f"{role}_expression", motion.expression
        yield f"{role}_canonical_keypoints", motion.canonical
        yield f"{role}_keypoints", head_motion.keypoints(motion)
    source, driving = motions["reference"], motions["driving"]
    initial = head_motion.HeadMotion(*(field[:1] for field in driving))
    regions = {"all": "ALL", "pose": "POSE", "exp": "EXPRESSION", "lip": "LIPS", "eyes": "EYES"}
    absolute, relative = {}, {}
    for name, member in regions.items():
        region = head_motion.Region[member]
        absolute[name] = head_motion.compose_absolute(source, driving, region)
        relative[name] = head_motion.compose_relative(source, driving, initial, region)
        yield f"absolute_keypoints/{name}", absolute[name]
        yield f"relative_keypoints/{name}", relative[name]
    reference = head_motion.keypoints(source)
    yield "stitching_delta", model.stitching_delta(reference, absolute["all"])
    pairs, relative_pairs = (model.stitch(reference, points["all"]) for points in (absolute, relative))
    yield "absolute_stitched", pairs
    yield "relative_stitched", relative_pairs
    r = len(reference)
    for name, offsets in (("eye", model.eye_offsets), ("lip", model.lip_offsets)):
        if f"{name}_ratios" not in case.golden:
            continue
        ratios = torch.from_numpy(case.golden[f"{name}_ratios"][:r])
        yield f"{name}_ratios", ratios
        yield f"{name}_delta", offsets(reference, ratios)

    references = model.encode_references(case.references)
    yield "reference_volume", references.volumes
    network = model.warping_module.dense_motion_network

    def frame(at: slice) -> Arrays:
        yield "dense_motion_input", network.inputs(references.compressed, reference, pairs[at])
        warp = model.warp(references, reference, pairs[at])
        yield "contributions", warp.motion.contributions
        yield "deformation", warp.motion.deformation
        yield "visibility", warp.motion.visibility
        yield "warped_volume", model.sample(references.volumes, warp.motion.deformation)
        yield "warped_features", warp.features

    features = None
    for name, value in _by_frame(len(pairs), frame):
        yield name, value
        features = value
    output = _decode_pairs(model.decode, features)
    yield "output", output
    yield "output_full", output[0, 0]
    if len(pairs) > 1:
        features = model.warp(references, reference, relative_pairs[1:2]).features
        yield "relative_output", _decode_pairs(model.decode, features)[0]


ARRAYS: dict[str, Callable[[Any, Case], Arrays]] = {
    "first_order": first_order_arrays,
    "thin_plate": thin_plate_arrays,
    "live_portrait": live_portrait_arrays,
}


@torch.inference_mode()
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, choices=sorted(ARRAYS))
    parser.add_argument("--golden", required=True, type=Path)
    arguments = parser.parse_args()
    if not arguments.golden.is_file():
        parser.error(f"there is no file {arguments.golden}")
    golden = np.load(arguments.golden)
    failed = 0
    print(f"{'array':<28} {'max':>9} {'allowed':>9} {'mean':>9} {'allowed':>9} {'relative':>9}")
    for row in compare(arguments.model, golden, fill_model(arguments.model, golden)):
        failed += not row.ok
        print(
            f"{row.array:<28} {row.largest:9.1e} {row.allowed_largest:9.1e} {row.mean:9.1e} "
            f"{row.allowed_mean:9.1e} {row.relative:9.1e}{'' if row.ok else '  TOO FAR'}",
            flush=True,
        )
    print(f"{failed} arrays above tolerance." if failed else "All arrays within tolerance.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
