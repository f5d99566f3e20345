"""The public models compute what their published code computes, see `tests/golden/` and the script."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scripts.check_golden import ARRAYS, TABLES, Case, compare, fill_model, images_of, read_table, sample

# Without what takes longest: the second sampler of first_order, the large networks of LivePortrait.
FAST = {
    "first_order": ("unaligned/dense_motion_input", ()),
    "thin_plate": ("", ()),
    "live_portrait": ("dense_motion_input", ("warping_module", "spade_generator")),
}


@pytest.mark.parametrize("name", FAST)
@torch.inference_mode()
def test_first_pair(name):
    golden = np.load(TABLES / f"{name}.npz")
    stop, skip = FAST[name]
    model = fill_model(name, golden, skip)
    rows = list(compare(name, golden, model, first_pair_only=True, stop=stop))
    assert len(rows) >= 15
    assert [row for row in rows if not row.ok] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ARRAYS)
@torch.inference_mode()
def test_every_array(name, filled):
    rows = list(compare(name, *filled(name)))
    assert [row for row in rows if not row.ok] == []


@torch.inference_mode()
def test_a_small_bias_is_noticed():
    """The mean of an array may be off by less than the largest difference allowed."""
    golden = dict(np.load(TABLES / "live_portrait.npz"))
    golden["reference_translation"] = golden["reference_translation"] + np.float32(5e-6)
    model = fill_model("live_portrait", golden, (*FAST["live_portrait"][1], "appearance_feature_extractor"))
    rows = compare("live_portrait", golden, model, first_pair_only=True, stop="driving_pose_bins")
    assert [row.array for row in rows if not row.ok] == ["reference_translation"]


@torch.inference_mode()
def test_files_with_other_seeds_other_images_and_fewer_arrays(tmp_path):
    """Written with our own network, so that only the handling of the file is tested."""
    name, last = "live_portrait", "relative_stitched"
    made: dict[str, np.ndarray] = {
        "seed": np.array(7),
        "reference_seeds": np.array([21]),
        "driving_seeds": np.array([22, 23, 24]),
    }
    model = fill_model(name, made, (*FAST[name][1], "appearance_feature_extractor"))
    steps = {row["array"]: row["steps"] for row in read_table(TABLES / "arrays.tsv") if row["model"] == name}
    case = Case(made, images_of(made, "reference", None), images_of(made, "driving", None))
    for array, value in ARRAYS[name](model, case):
        made[array] = sample(value.numpy(), steps[array])
        if array == last:
            break
    assert made[last].shape == (3, 1, 21, 3)
    np.savez(tmp_path / "other.npz", **made)
    rows = list(compare(name, np.load(tmp_path / "other.npz"), model))
    assert {row.array for row in rows} == made.keys() & steps.keys()
    assert all(row.largest < 1e-5 and row.ok for row in rows)
    made["driving_scale"] = made["driving_scale"] + np.float32(1e-3)
    assert [row.array for row in compare(name, made, model) if not row.ok] == ["driving_scale"]
