"""The command line with public models: small networks in checkpoints of the published layout, written by the test."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from reenact_core import cli
from reenact_core.images import read_image
from reenact_core.motion import encode_motion
from reenact_core.motion_models import load_model
from reenact_core.motion_models.checkpoint_model import CheckpointModel
from reenact_core.motion_models.live_portrait_model import LivePortraitModel, LivePortraitSettings
from reenact_core.tracking import FaceTracker
from reenact_core.video import VideoReader, VideoWriter

from .motion_models.small_models import SIZE, SMALL_MODELS, SmallModel

LIVE_PORTRAIT_FILES = {
    "appearance_feature_extractor": ("appearance_feature_extractor",),
    "motion_extractor": ("motion_extractor",),
    "warping_module": ("warping_module",),
    "spade_generator": ("spade_generator",),
    "stitching_retargeting_module": ("retarget_shoulder", "retarget_mouth", "retarget_eye"),
}


@pytest.fixture(autouse=True)
def little_work(tracker, monkeypatch):
    """The tracker is loaded once for all runs of this file, and the networks see small crops."""
    monkeypatch.setattr(FaceTracker, "load", classmethod(lambda cls, device="cpu": tracker))
    monkeypatch.setattr(CheckpointModel, "resolution", SIZE)


@pytest.fixture(scope="module")
def short(person_files, tmp_path_factory) -> Path:
    """Two frames of the driving clip."""
    path = tmp_path_factory.mktemp("short") / "short.mp4"
    with VideoReader(person_files / "driving.mp4") as reader, VideoWriter(path, 25, (256, 256)) as writer:
        writer.write(next(iter(reader.chunks(2))))
    return path


def parts_of(small: SmallModel) -> dict[str, dict[str, torch.Tensor]]:
    """The tensors of each network, as published."""
    result: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in small.make().state_dict().items():
        part, _, rest = key.partition(".")
        result.setdefault(part, {})[rest] = tensor.clone()
    return result


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """A file, a file, and a folder."""
    root = tmp_path_factory.mktemp("checkpoints")
    paths = {"first_order": root / "vox-cpk.pth.tar", "thin_plate": root / "vox.pth.tar", "live_portrait": root / "lp"}
    for small in SMALL_MODELS:
        parts = parts_of(small)
        if small.name != "live_portrait":
            torch.save({**parts, "epoch": 7, "optimizer_generator": {"state": {}}}, paths[small.name])
            continue
        paths[small.name].mkdir()
        for stem, names in LIVE_PORTRAIT_FILES.items():
            content = parts[names[0]] if len(names) == 1 else {name: parts[name] for name in names}
            torch.save(content, paths[small.name] / f"{stem}.pth")
    return paths


@pytest.fixture
def call(capfd):
    """A function: arguments -> (exit code, standard output, standard error)."""

    def invoke(*arguments: object) -> tuple[int, str, str]:
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capfd.readouterr()

    return invoke


@pytest.mark.parametrize("motion", ["relative", "absolute"])
@pytest.mark.parametrize("name", [small.name for small in SMALL_MODELS])
def test_run(name, motion, checkpoints, short, person_files, tmp_path, call):
    references = (person_files / "a.png", person_files / "b.png")
    code, _, errors = call(
        "run", "--model", checkpoints[name], "--references", *references, "--driving", short,
        "--output", tmp_path / "frames", "--motion", motion, "--sheet", tmp_path / "sheet.png",
    )  # fmt: skip
    assert code == 0, errors
    frames = [read_image(path) for path in sorted((tmp_path / "frames").iterdir())]
    assert [frame.shape for frame in frames] == [(3, 256, 256)] * 2
    original = read_image(references[0])
    assert (frames[0] - original).abs().amax() > 0.05, "nothing was painted"
    assert read_image(tmp_path / "sheet.png").shape[0] == 3


def test_live_portrait_flags_reach_the_model(checkpoints, short, person_files, tmp_path, call):
    common = ("run", "--model", checkpoints["live_portrait"], "--references", person_files / "a.png")
    pictures = {}
    for flags in ((), ("--no-live-portrait-stitching",), ("--live-portrait-eyes",), ("--live-portrait-region", "lips")):
        code, _, errors = call(*common, "--driving", short, "--output", tmp_path / "frames", "--neutral", 0, *flags)
        assert code == 0, errors
        last = sorted((tmp_path / "frames").iterdir())[-1]
        pictures[flags] = read_image(last)
    assert all((picture - pictures[()]).abs().max() > 0.003 for flags, picture in pictures.items() if flags)


def test_settings_of_load_model(checkpoints):
    settings = LivePortraitSettings(lips=True, fuse_volumes=True)
    model = load_model(checkpoints["live_portrait"], dtype=torch.bfloat16, live_portrait=settings)
    assert isinstance(model, LivePortraitModel)
    assert model.settings is settings
    assert next(model.parameters()).dtype == torch.bfloat16
    assert not model.training
    load_model(checkpoints["first_order"], live_portrait=settings)


def test_convert(checkpoints, short, person_files, tmp_path, call):
    for name, path in checkpoints.items():
        target = tmp_path / "converted" / f"{name}.safetensors"
        code, out, errors = call("convert", path, target)
        assert code == 0, errors
        assert name in out
        assert load_model(target).name == name
    code, _, errors = call(
        "run", "--model", tmp_path / "converted" / "thin_plate.safetensors", "--references", person_files / "a.png",
        "--driving", short, "--output", tmp_path / "frames",
    )  # fmt: skip
    assert code == 0, errors


def test_convert_refuses(checkpoints, tmp_path, call):
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "folder").mkdir()
    cases = [
        (tmp_path / "absent.pth", tmp_path / "a.safetensors", "There is no file"),
        (tmp_path / "text.pth", tmp_path / "a.safetensors", "is damaged"),
        (tmp_path / "folder", tmp_path / "a.safetensors", "no checkpoint"),
        (checkpoints["first_order"], tmp_path / "a.pth", "must end in .safetensors"),
        (checkpoints["first_order"], tmp_path / "folder", "must end in .safetensors"),
        (checkpoints["first_order"], tmp_path / "text.pth" / "a.safetensors", "can't be written"),
    ]
    before = {path.name for path in tmp_path.iterdir()}
    for source, target, words in cases:
        code, _, errors = call("convert", source, target)
        assert code == 2
        assert words in errors
        assert "Traceback" not in errors
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nobody", "no motion model and no file"),
        ("first_order", "does not ship with weights"),
        ("text.pth", "is damaged"),
        ("other.pth", "not a checkpoint of a known model"),
        ("empty", "no checkpoint"),
    ],
)
def test_models_that_cannot_be_used(given, words, short, person_files, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.pth").write_text("no weights")
    torch.save({"fc.weight": torch.zeros(3)}, "other.pth")
    Path("empty").mkdir()
    code, _, errors = call(
        "run", "--model", given, "--references", person_files / "a.png", "--driving", short, "--output", "out.mp4"
    )
    ours = [line for line in errors.replace("\r", "\n").splitlines() if line.startswith("reenact:")]
    assert code == 2
    assert len(ours) == 1
    assert words in ours[0]
    assert not Path("out.mp4").exists()


def test_a_driving_clip_that_begins_without_a_face(checkpoints, tracker, person):
    """Frames before the first face take its motion; the square is chosen by that face."""
    model = load_model(checkpoints["first_order"])
    late = person[:4].clone()
    late[:2] = 0.5
    motion = encode_motion(late.split(1), Fraction(25), tracker, model)
    assert motion.faces.found.tolist() == [False, False, True, True]
    assert motion.code is not None
    assert torch.equal(motion.code[0], motion.code[2])
    assert torch.equal(motion.code[1], motion.code[2])
    assert not torch.equal(motion.code[3], motion.code[2])
    alone = encode_motion(person[2:4].split(1), Fraction(25), tracker, model)
    torch.testing.assert_close(motion.code[2:], alone.code)
    assert torch.equal(motion.code_box, alone.code_box)
