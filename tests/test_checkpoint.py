"""Checkpoints in every form users have them, and files that are none."""

from __future__ import annotations

import json
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from reenact_core import checkpoint
from reenact_core.checkpoint import convert_checkpoint, load_model, read_weights
from reenact_core.errors import CheckpointError, ReenactError
from reenact_core.motion_models.architectures import ARCHITECTURES

from .motion_models.small_models import SMALL_MODELS, SmallModel, images

CASES = [pytest.param(model, id=model.name) for model in SMALL_MODELS]
FIRST_ORDER, THIN_PLATE, LIVE_PORTRAIT = SMALL_MODELS


def parts_of(state: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in state.items():
        part, _, rest = key.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    return parts


def write(small: SmallModel, folder: Path, state: dict[str, torch.Tensor] | None = None) -> Path:
    """The model in the form its authors publish it: a file, or a folder of five files."""
    parts = parts_of(small.make().state_dict() if state is None else state)
    if small.name != "live_portrait":
        training = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
        extra = {"epoch": 99, "optimizer_generator": training, "discriminator": {"conv.weight": torch.ones(2)}}
        torch.save({**parts, **extra}, folder / "vox.pth.tar")
        return folder / "vox.pth.tar"
    for part in ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator"):
        torch.save(parts.pop(part), folder / f"{part}.pth")
    stitching = {part: {f"module.{key}": t for key, t in tensors.items()} for part, tensors in parts.items()}
    torch.save(stitching, folder / "stitching_retargeting_module.pth")
    return folder


def same(model: torch.nn.Module, small: SmallModel) -> None:
    """The loaded model computes what the one it was saved from does."""
    pictures, original = images(2), small.make()
    results = []
    for one in (model, original):
        motion = small.motion(one, pictures)
        maps = small.fusable(one.warp(one.encode_references(pictures), motion, small.pairs(motion, 2)))
        results.append(small.decode(one, [level[:, 0] for level in maps]))
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("small", CASES)
def test_published_files_load(small, tmp_path):
    model = load_model(write(small, tmp_path), name=small.name)
    assert model.config == small.config
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    same(model, small)


@pytest.mark.parametrize("small", CASES)
def test_converted_file_loads_and_says_what_it_is(small, tmp_path):
    source, target = write(small, tmp_path), tmp_path / "converted.safetensors"
    assert convert_checkpoint(source, target) == small.name
    same(load_model(target), small)
    with safe_open(target, "pt") as file:
        metadata = file.metadata()
        keys = set(file.keys())
    assert metadata["reenact.model"] == small.name
    assert metadata["reenact.version"] == checkpoint.FORMAT_VERSION
    source_keys = json.loads(metadata["reenact.source_keys"])
    assert set(source_keys) == keys == set(small.make().state_dict())
    assert not [key for key in keys if "optim" in key or "discriminator" in key]
    if small.name == "live_portrait":
        assert source_keys["retarget_eye.mlp.0.weight"] == "retarget_eye.module.mlp.0.weight"
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_old_torch_format_loads(tmp_path):
    """The files of 2019 are not zip archives."""
    path = tmp_path / "vox-cpk.pth.tar"
    torch.save(parts_of(FIRST_ORDER.make().state_dict()), path, _use_new_zipfile_serialization=False)
    same(load_model(path), FIRST_ORDER)


def test_live_portrait_as_comfyui_users_have_it(tmp_path):
    """Safetensors, one of five files chosen, the fifth with flat names."""
    parts = parts_of(LIVE_PORTRAIT.make().state_dict())
    stitching = {}
    for part, tensors in parts.items():
        if part.startswith("retarget"):
            stitching.update((f"{part}_module.{key}", tensor) for key, tensor in tensors.items())
        else:
            save_file(tensors, tmp_path / f"{part}.safetensors")
    save_file(stitching, tmp_path / "stitching_retargeting_module.safetensors")
    (tmp_path / "landmark.onnx").write_bytes(b"not ours")
    same(load_model(tmp_path / "warping_module.safetensors"), LIVE_PORTRAIT)
    same(load_model(tmp_path), LIVE_PORTRAIT)


def test_live_portrait_in_the_authors_folders(tmp_path):
    folder = write(LIVE_PORTRAIT, tmp_path)
    for sub, stems in (("base_models", ("a*", "m*", "w*", "sp*")), ("retargeting_models", ("st*",))):
        (tmp_path / sub).mkdir()
        for path in [path for stem in stems for path in tmp_path.glob(stem + ".pth")]:
            path.rename(tmp_path / sub / path.name)
    same(load_model(folder), LIVE_PORTRAIT)
    same(load_model(folder / "base_models" / "motion_extractor.pth"), LIVE_PORTRAIT)


def test_weights_saved_from_parallel_training(tmp_path):
    parts = parts_of(FIRST_ORDER.make().state_dict())
    wrapped = {part: {f"module.{key}": t for key, t in tensors.items()} for part, tensors in parts.items()}
    torch.save(wrapped, tmp_path / "vox.pth")
    same(load_model(tmp_path / "vox.pth"), FIRST_ORDER)


def test_optional_networks_may_be_missing(tmp_path):
    state = THIN_PLATE.make().state_dict()
    state = {key: t for key, t in state.items() if not key.startswith(("bg_predictor", "avd_network"))}
    model = load_model(write(THIN_PLATE, tmp_path, state))
    assert model.config == replace(THIN_PLATE.config, background=None, disentangler=None)


def test_step_counters_may_be_missing(tmp_path):
    state = {k: t for k, t in FIRST_ORDER.make().state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "vox.safetensors")
    same(load_model(tmp_path / "vox.safetensors"), FIRST_ORDER)


def test_half_precision_files_load_into_any_dtype(tmp_path):
    state = {k: t.half() if t.is_floating_point() else t for k, t in FIRST_ORDER.make().state_dict().items()}
    save_file(state, tmp_path / "vox.safetensors")
    for dtype in (torch.float32, torch.bfloat16):
        model = load_model(tmp_path / "vox.safetensors", dtype=dtype)
        assert {p.dtype for p in model.parameters()} == {dtype}


def test_configuration_can_be_adjusted(tmp_path):
    path = write(FIRST_ORDER, tmp_path)
    model = load_model(path, adjust=lambda config: replace(config, align_corners=False))
    assert model.config == replace(FIRST_ORDER.config, align_corners=False)


def test_every_architecture_is_covered():
    assert [small.name for small in SMALL_MODELS] == [entry.name for entry in ARCHITECTURES]


class Bomb:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_a_pickle_bomb_does_not_go_off(tmp_path, zipped, nested):
    crater, path = tmp_path / "crater", tmp_path / "vox.pth"
    parts = parts_of(FIRST_ORDER.make().state_dict())
    content = {**parts, "epoch": Bomb(crater)} if nested else Bomb(crater)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="Nothing in it was run"):
        load_model(path)
    assert not crater.exists()
    pickle.loads(pickle.dumps(Bomb(crater)))
    assert crater.exists()  # it was a live one


# What became of a good file: (torch file, safetensors file) -> bytes.
DAMAGES = {
    "empty.pth": lambda torch_file, _: b"",
    "text.pth": lambda torch_file, _: b"<!doctype html><title>Not found</title>",
    "start.pth": lambda torch_file, _: torch_file[:100],
    "half.pth": lambda torch_file, _: torch_file[: len(torch_file) // 2],
    "without_end.pth": lambda torch_file, _: torch_file[:-30],
    "safetensors.pth": lambda _, safetensors_file: safetensors_file,
    "pickle.pth": lambda *_: pickle.dumps({"a": 1}, protocol=2)[:-3],
    "empty.safetensors": lambda *_: b"",
    "pointer.safetensors": lambda *_: b"version https://git-lfs.github.com/spec/v1",
    "short.safetensors": lambda _, safetensors_file: safetensors_file[:-1],
    "huge_header.safetensors": lambda _, file: struct.pack("<Q", 2**62) + file[8:],
    "torch.safetensors": lambda torch_file, _: torch_file,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_are_refused(tmp_path, name):
    state = FIRST_ORDER.make().state_dict()
    torch.save(parts_of(state), tmp_path / "good.pth")
    save_file(state, tmp_path / "good.safetensors")
    good = (tmp_path / "good.pth").read_bytes(), (tmp_path / "good.safetensors").read_bytes()
    (tmp_path / name).write_bytes(DAMAGES[name](*good))
    with pytest.raises(CheckpointError, match=name):
        load_model(tmp_path / name)


@pytest.mark.parametrize("content", [[1, 2], "text", torch.ones(3), {}, {"a": 1}, {"a": torch.ones(2)}])
def test_other_contents_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "vox.pth")
    with pytest.raises(CheckpointError, match="Choose another file"):
        load_model(tmp_path / "vox.pth")


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no file or folder"):
        load_model(tmp_path / "vox.pth")
    (tmp_path / "vox.onnx").write_bytes(b"onnx")
    with pytest.raises(CheckpointError, match="not a weights file"):
        load_model(tmp_path / "vox.onnx")
    with pytest.raises(CheckpointError, match="holds no checkpoint published as a folder"):
        load_model(tmp_path)


def test_incomplete_folder_names_what_is_missing(tmp_path):
    (write(LIVE_PORTRAIT, tmp_path) / "spade_generator.pth").unlink()
    with pytest.raises(CheckpointError, match="lacks spade_generator"):
        load_model(tmp_path)


@pytest.mark.parametrize("small", CASES)
def test_another_models_file_is_refused(small, tmp_path):
    path = write(small, tmp_path)
    wanted = next(other for other in SMALL_MODELS if other is not small)
    with pytest.raises(CheckpointError, match="Choose the other model or another file"):
        load_model(path, name=wanted.name)


def test_a_file_of_the_folder_that_holds_another_part(tmp_path):
    folder = write(LIVE_PORTRAIT, tmp_path)
    (folder / "motion_extractor.pth").write_bytes((folder / "warping_module.pth").read_bytes())
    with pytest.raises(CheckpointError, match="not a checkpoint of a known model"):
        load_model(folder)


def without_a_bias(state):
    del state["generator.first.conv.bias"]


def with_a_stranger(state):
    state["generator.second.conv.bias"] = torch.ones(3)


def with_another_width(state):
    state["generator.bottleneck.r1.conv1.weight"] = torch.ones(7, 8, 3, 3)


def with_few_axes(state):
    state["kp_detector.jacobian.weight"] = torch.ones(12)


def with_nothing_inside(state):
    state["generator.first.conv.weight"] = torch.ones(0, 3, 7, 7)


def with_a_nan(state):
    state["generator.final.bias"] = torch.tensor([0, float("nan"), 0])


def with_integers(state):
    state["generator.final.bias"] = torch.zeros(3, dtype=torch.int8)


def with_one_up_block(state):
    for key in [key for key in state if key.startswith("generator.dense_motion_network.hourglass.decoder")]:
        if ".up_blocks.0." not in key:
            del state[key]


def with_absurd_size(state):
    """A tensor that takes no space in the file but would take 4 TB in the model."""
    state["generator.first.conv.weight"] = torch.zeros(1).expand(10**6, 10**6, 1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_a_bias, "1 tensors are missing"),
        (with_a_stranger, "generator.second.conv.bias"),
        (with_another_width, r"\[7, 8, 3, 3\], expected \[7, 7, 3, 3\]"),
        (with_few_axes, "jacobian"),
        (with_nothing_inside, "none empty"),
        (with_a_nan, "infinite or undefined"),
        (with_integers, "Quantised"),
        (with_one_up_block, "expected"),
        (with_absurd_size, "shape"),
    ],
)
def test_wrong_tensors_are_refused(tmp_path, change, message):
    state = dict(FIRST_ORDER.make().state_dict())
    change(state)
    torch.save(parts_of(state), tmp_path / "vox.pth")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(tmp_path / "vox.pth")
    assert isinstance(caught.value, ReenactError)


def test_shapes_that_make_no_network_are_refused(tmp_path):
    """A hourglass of one block has no second to last map."""
    state = dict(THIN_PLATE.make().state_dict())
    for key in [key for key in state if ".hourglass." in key and "blocks.0." not in key]:
        del state[key]
    with pytest.raises(CheckpointError, match="do not fit together"):
        load_model(write(THIN_PLATE, tmp_path, state))


def test_conversion_refuses_bad_sources_and_names(tmp_path):
    source = write(FIRST_ORDER, tmp_path)
    with pytest.raises(CheckpointError, match=r"must end in \.safetensors"):
        convert_checkpoint(source, tmp_path / "out.pth")
    with pytest.raises(CheckpointError, match="Cannot write"):
        convert_checkpoint(source, tmp_path / "nowhere" / "out.safetensors")
    state = dict(FIRST_ORDER.make().state_dict())
    without_a_bias(state)
    torch.save(parts_of(state), source)
    with pytest.raises(CheckpointError, match="missing"):
        convert_checkpoint(source, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_conversion_keeps_every_value(tmp_path):
    source, target = write(THIN_PLATE, tmp_path), tmp_path / "out.safetensors"
    convert_checkpoint(source, target)
    converted = load_file(target)
    for key, tensor in read_weights(source).tensors.items():
        assert torch.equal(converted[key], tensor)
