"""The command line: every bad input ends in one line and exit code 2 and leaves nothing; every good one works."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reenact_core import cli
from reenact_core.commands import run as run_command
from reenact_core.fusing import Smoothing, fuse_references
from reenact_core.images import read_image, write_image
from reenact_core.tracking import FaceTracker
from reenact_core.video import VideoReader, VideoWriter

from .faces import psnr, texture


@pytest.fixture(autouse=True)
def one_tracker(tracker, monkeypatch):
    """Loading the tracker once is enough for all runs of this file."""
    monkeypatch.setattr(FaceTracker, "load", classmethod(lambda cls, device="cpu": tracker))


@pytest.fixture
def call(capfd):
    """A function: arguments -> (exit code, standard output, lines of standard error)."""

    def invoke(*arguments: object) -> tuple[int, str, list[str]]:
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        out, err = capfd.readouterr()
        return code, out, err.replace("\r", "\n").splitlines()

    return invoke


@pytest.fixture(scope="session")
def short(person_files, tmp_path_factory) -> Path:
    """Three frames of the driving clip: enough where only the outcome counts."""
    path = tmp_path_factory.mktemp("short") / "short.mp4"
    with VideoReader(person_files / "driving.mp4") as reader, VideoWriter(path, 25, (256, 256)) as writer:
        writer.write(next(iter(reader.chunks(3))))
    return path


def refused(result: tuple[int, str, list[str]], *words: str) -> None:
    """Exit code 2, exactly one line of ours, no traceback, and the words that help."""
    code, _, lines = result
    ours = [line for line in lines if line.startswith("reenact:")]
    assert code == 2, lines
    assert len(ours) == 1, lines
    assert not any("Traceback" in line for line in lines)
    assert lines[-1] == ours[0]
    for word in words:
        assert word in ours[0], ours[0]


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def make_bad_references(folder: Path) -> dict[str, Path]:
    (folder / "empty").mkdir()
    (folder / "text.png").write_text("this is no picture\n" * 50)
    write_image(folder / "landscape.png", texture(200, 300))
    write_image(folder / "one.png", torch.full((3, 1, 1), 0.5))
    (folder / "nothing.png").write_bytes(b"")
    whole = folder / "landscape.png"
    (folder / "cut.png").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    Image.fromarray(np.full((200, 200), np.nan, np.float32)).save(folder / "nan.tif")
    names = ("empty", "text.png", "landscape.png", "one.png", "nothing.png", "cut.png", "nan.tif")
    return {name: folder / name for name in names}


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("empty", "no image"),
        ("text.png", "text.png"),
        ("landscape.png", "No face"),
        ("one.png", "No face"),
        ("nothing.png", "empty"),
        ("cut.png", "cut"),
        ("nan.tif", "NaN"),
        ("absent.png", "does not exist"),
    ],
)
def test_bad_references(call, short, tmp_path, name, word):
    bad = tmp_path / "bad"
    bad.mkdir()
    paths = make_bad_references(bad)
    output = tmp_path / "out" / "result.mp4"
    result = call("run", "--references", paths.get(name, bad / name), "--driving", short, "--output", output)
    refused(result, word)
    assert not output.parent.exists()


def make_bad_driving(folder: Path, good: Path) -> dict[str, Path]:
    (folder / "text.mp4").write_text("this is no video\n" * 50)
    (folder / "cut.mp4").write_bytes(good.read_bytes()[:600])
    (folder / "nothing.mp4").write_bytes(b"")
    (folder / "empty").mkdir()
    with VideoWriter(folder / "landscape.mp4", 25, (128, 128)) as writer:
        writer.write(texture(128, 128).expand(3, -1, -1, -1))
    names = ("text.mp4", "cut.mp4", "nothing.mp4", "empty", "landscape.mp4")
    return {name: folder / name for name in names}


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("text.mp4", "text.mp4"),
        ("cut.mp4", "cut.mp4"),
        ("nothing.mp4", "nothing.mp4"),
        ("empty", "no image"),
        ("landscape.mp4", "No face"),
        ("absent.mp4", "does not exist"),
    ],
)
def test_bad_driving(call, person_files, tmp_path, name, word):
    bad = tmp_path / "bad"
    bad.mkdir()
    paths = make_bad_driving(bad, person_files / "driving.mp4")
    output = tmp_path / "out" / "result.mp4"
    result = call(
        "run", "--references", person_files / "a.png", "--driving", paths.get(name, bad / name), "--output", output
    )
    refused(result, word)
    assert not output.parent.exists()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--size", "8"], "at least 64"),
        (["--size", "large"], "large"),
        (["--strategy", "nonsense"], "confidence"),
        (["--model", "nonsense"], "face_mesh"),
        (["--device", "nonsense"], "cpu"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--device", "meta"], "meta"),
        (["--strategy", "confidence", "--confidence-temperature", "99"], "temperature"),
        (["--strategy", "confidence", "--confidence-temperature", "nan"], "temperature"),
        (["--strategy", "confidence", "--confidence-temperature", "warm"], "warm"),
        (["--smoothing", "nan"], "memory"),
        (["--smoothing", "1.5"], "memory"),
        (["--neutral", "100"], "100"),
        (["--neutral", "-1"], "-1"),
        (["--face", "3"], "4 faces"),
        (["--face", "-1"], "-1"),
        (["--strengths", "nan"], "strengths"),
        (["--strengths", "inf"], "strengths"),
        (["--strengths", "0"], "strengths"),
        (["--strengths", "1", "2"], "strengths"),
        (["--motion", "sideways"], "sideways"),
        (["--no-such-flag"], "no-such-flag"),
        (["--sheet", "sheet.txt"], ".png"),
    ],
    ids=" ".join,
)
def test_bad_flags(call, person_files, short, tmp_path, flags, word):
    output = tmp_path / "result.mp4"
    refused(call("run", "--references", person_files / "a.png", "--driving", short, "--output", output, *flags), word)
    assert not contents(tmp_path)


def test_commands_and_required_flags(call):
    refused(call("run"), "--references")
    refused(call(), "command")
    refused(call("fly"), "fly")
    assert call("--help")[0] == 0


@pytest.mark.parametrize("flag", ["--output", "--sheet"])
def test_unwritable_places_are_known_before_the_work(call, person_files, short, tmp_path, monkeypatch, flag):
    def too_late(*_):
        raise AssertionError("the work had begun")

    monkeypatch.setattr(run_command, "load_references", too_late)
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    targets = {"--output": tmp_path / "result.mp4", "--sheet": tmp_path / "sheet.png"}
    targets[flag] = blocker / "below" / targets[flag].name
    given = [part for name, path in targets.items() for part in (name, path)]
    refused(call("run", "--references", person_files / "a.png", "--driving", short, *given), str(blocker))
    assert contents(tmp_path) == {"file"}


def test_unsupported_video_type(call, person_files, short, tmp_path):
    output = tmp_path / "result.avi"
    refused(call("run", "--references", person_files / "a.png", "--driving", short, "--output", output), ".mp4")
    assert not contents(tmp_path)


def test_a_folder_of_other_things_is_not_replaced(call, person_files, short, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    refused(call("run", "--references", person_files / "a.png", "--driving", short, "--output", tmp_path), "notes.txt")
    assert contents(tmp_path) == {"notes.txt"}


def test_a_failure_while_writing_keeps_the_old_result(call, person_files, short, tmp_path, monkeypatch):
    output = tmp_path / "result.mp4"
    output.write_text("the previous result")

    def failing(fused):
        yield from ()
        raise OSError("no space left on device")

    monkeypatch.setattr(run_command, "decode", failing)
    refused(call("run", "--references", person_files / "a.png", "--driving", short, "--output", output), "no space")
    assert output.read_text() == "the previous result"
    assert contents(tmp_path) == {"result.mp4"}


def test_too_little_memory_is_said(call, person_files, short, tmp_path, monkeypatch):
    def hungry(fused):
        yield from ()
        raise torch.OutOfMemoryError("tried to allocate\nfar too much")

    monkeypatch.setattr(run_command, "decode", hungry)
    output = tmp_path / "result.mp4"
    refused(call("run", "--references", person_files / "a.png", "--driving", short, "--output", output), "--size")
    assert not contents(tmp_path)


def test_an_interrupt_leaves_nothing(call, person_files, short, tmp_path, monkeypatch):
    def interrupted(fused):
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(run_command, "decode", interrupted)
    code, _, lines = call(
        "run", "--references", person_files / "a.png", "--driving", short, "--output", tmp_path / "frames"
    )
    assert code == 130
    assert lines[-1].startswith("reenact: interrupted")
    assert not contents(tmp_path)


def test_video_with_sheet(call, person_files, tmp_path):
    output, sheet = tmp_path / "deep" / "result.mp4", tmp_path / "sheet.png"
    code, _, lines = call(
        "run", "--references", person_files / "a.png", person_files / "b.png", "--driving",
        person_files / "driving.mp4", "--output", output, "--sheet", sheet,
    )  # fmt: skip
    assert code == 0, lines
    with VideoReader(output) as reader:
        frames = torch.cat(list(reader.chunks(8)))
    assert frames.shape == (11, 3, 256, 256)  # a driving clip of one chunk and a bit
    assert frames.flatten(1).std(0).max() > 0.02  # it moves
    picture = read_image(sheet)
    assert picture.shape[-1] > 192 * 5  # driving, two references, attribution, result
    assert picture.shape[-2] > 192 * 6  # the references and six frames
    assert contents(tmp_path) == {"deep", "deep/result.mp4", "sheet.png"}


@pytest.mark.parametrize("name", ["result.gif", "result.webm", "frames"])
def test_other_kinds_of_output(call, person_files, short, tmp_path, name):
    output = tmp_path / name
    code, _, lines = call("run", "--references", person_files / "a.png", "--driving", short, "--output", output)
    assert code == 0, lines
    with VideoReader(output) as reader:
        assert torch.cat(list(reader.chunks(8))).shape == (3, 3, 256, 256)


def test_canvas_of_absolute_and_relative_motion(call, person_files, short, tmp_path):
    odd = tmp_path / "odd.png"
    write_image(odd, read_image(person_files / "a.png")[:, 1:, 4:-3])
    for motion, size in (("absolute", (256, 256)), ("relative", (255, 249))):
        output = tmp_path / motion
        code, _, lines = call("run", "--references", odd, "--driving", short, "--output", output, "--motion", motion)
        assert code == 0, lines
        assert read_image(output / "000000.png").shape[-2:] == size


def as_kind(source: Path, kind: str, folder: Path) -> Path:
    """The reference as another kind of file that shows the same."""
    image = Image.open(source).convert("RGB")
    path = folder / f"{kind}.png"
    if kind == "grey":
        image.convert("L").save(path)
    elif kind == "sixteen":
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path)
    elif kind == "rgba":
        image.putalpha(Image.fromarray(np.pad(np.full((256, 200), 255, np.uint8), ((0, 0), (0, 56)))))
        image.save(path)
    elif kind == "cmyk":
        path = path.with_suffix(".jpg")
        image.convert("CMYK").save(path, quality=95)
    elif kind == "sideways":
        path = path.with_suffix(".jpg")
        exif = Image.Exif()
        exif[0x0112] = 6  # shown turned by 90 degrees clockwise
        image.transpose(Image.Transpose.ROTATE_90).save(path, quality=97, exif=exif)
    elif kind == "palette":
        image.quantize(256).save(path)
    elif kind == "odd":
        image.crop((3, 2, 252, 255)).save(path)
    return path


@pytest.mark.parametrize("kind", ["grey", "sixteen", "rgba", "cmyk", "sideways", "palette", "odd"])
def test_kinds_of_reference_files(call, person_files, short, tmp_path, kind):
    reference = as_kind(person_files / "a.png", kind, tmp_path)
    code, _, lines = call("run", "--references", reference, "--driving", short, "--output", tmp_path / "frames")
    assert code == 0, lines
    result, shown = read_image(tmp_path / "frames" / "000000.png"), read_image(reference)
    assert result.shape == shown.shape
    # Frame 0 is near the reference's own pose, so it looks like the reference as it is meant to be seen.
    assert psnr(result, shown) > 20
    if kind in ("grey", "sixteen"):
        assert (result - result.mean(0)).abs().max() < 0.02
    if kind == "sideways":
        assert psnr(shown, read_image(person_files / "a.png")) > 25


def test_one_driving_frame(call, person_files, tmp_path):
    (tmp_path / "driving").mkdir()
    shutil.copy(person_files / "b.png", tmp_path / "driving" / "1.png")
    for driving in (tmp_path / "driving", person_files / "b.png"):  # a folder of one frame, and a single picture
        output = tmp_path / f"out_{driving.stem}"
        code, _, lines = call("run", "--references", person_files / "a.png", "--driving", driving, "--output", output)
        assert code == 0, lines
        assert contents(output) == {"000000.png"}


def test_a_folder_of_frames_drives_and_a_video_gives_references(call, person_files, short, tmp_path, monkeypatch):
    frames = tmp_path / "driving"
    with VideoReader(short) as reader:
        for number, frame in enumerate(torch.cat(list(reader.chunks(8)))):
            write_image(frames / f"{number}.png", frame)
    seen = []
    monkeypatch.setattr(run_command, "fuse_references", lambda w, *rest: seen.append(w) or fuse_references(w, *rest))
    code, _, lines = call(
        "run", "--references", person_files / "driving.mp4", "--reference-count", "3", "--driving", frames,
        "--output", tmp_path / "frames",
    )  # fmt: skip
    assert code == 0, lines
    assert contents(tmp_path / "frames") == {"000000.png", "000001.png", "000002.png"}
    labels = seen[0].references.labels
    assert len(labels) == 3
    assert all(label.startswith("driving.mp4#") for label in labels)


def test_reference_folders_come_in_natural_order(call, person_files, short, tmp_path, monkeypatch):
    folder = tmp_path / "references"
    folder.mkdir()
    for name in ("10.png", "2.png"):
        shutil.copy(person_files / "a.png", folder / name)
    seen = []
    monkeypatch.setattr(run_command, "fuse_references", lambda w, *rest: seen.append(w) or fuse_references(w, *rest))
    code, _, _ = call("run", "--references", folder, "--driving", short, "--output", tmp_path / "frames")
    assert code == 0
    assert seen[0].references.labels == ("2.png", "10.png")


def test_a_reference_without_a_face_among_good_ones_is_left_out(call, person_files, short, tmp_path, caplog):
    write_image(tmp_path / "landscape.png", texture(200, 300))
    code, _, lines = call(
        "run", "--references", person_files / "a.png", tmp_path / "landscape.png", "--driving", short,
        "--output", tmp_path / "frames",
    )  # fmt: skip
    assert code == 0, lines
    assert "landscape.png" in caplog.text


def test_strategy_flags_reach_the_strategy(call, person_files, short, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        run_command,
        "fuse_references",
        lambda w, strategy, s, space: seen.append((strategy, s)) or fuse_references(w, strategy, s, space),
    )
    code, _, _ = call(
        "run", "--references", person_files / "a.png", "--driving", short, "--output", tmp_path / "frames",
        "--strategy", "confidence", "--confidence-temperature", "0.1", "--smoothing", "0.25", "--hysteresis", "0.3",
    )  # fmt: skip
    assert code == 0
    strategy, smoothing = seen[0]
    assert (strategy.name, strategy.temperature) == ("confidence", 0.1)
    assert smoothing == Smoothing(0.25, 0.3)


def test_a_model_that_fuses_images_has_no_feature_space(call, person_files, short, tmp_path):
    for space in ("features", "both"):
        common = ("--references", person_files / "a.png", "--driving", short, "--output", tmp_path / "frames")
        refused(call("run", *common, "--space", space), "face_mesh fuses images")
        clips = ("--clips", person_files / "driving.mp4", "--space", space)
        refused(call("evaluate", *clips, "--json", tmp_path / "x.json"), "face_mesh fuses images")
        refused(call("study", *clips, "--output", tmp_path / "study"), "face_mesh fuses images")
    assert contents(tmp_path) == set()


def test_bench_and_evaluate_refuse_before_they_work(call, person_files, tmp_path):
    clip, json_file = person_files / "driving.mp4", tmp_path / "figures.json"
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    refused(call("bench", "--json", blocker / "x.json", "--clip", clip), str(blocker))
    refused(call("bench", "--json", json_file, "--clip", tmp_path / "absent.mp4"), "does not exist")
    refused(call("bench", "--json", json_file, "--clip", clip, "--references", "0"), "at least 1")
    refused(call("bench", "--json", json_file, "--clip", clip, "--sizes", "8"), "at least 64")
    refused(call("evaluate", "--json", blocker / "x.json", "--clips", clip), str(blocker))
    refused(call("evaluate", "--json", json_file, "--clips", tmp_path / "absent.mp4"), "absent.mp4")
    refused(call("evaluate", "--json", json_file, "--clips", clip, "--references", "0"), "1 or more")
    refused(call("evaluate", "--json", json_file, "--clips", clip, "--strategies", "nonsense"), "nonsense")
    refused(call("evaluate", "--json", json_file, "--clips", clip, "--metrics-folder", tmp_path / "no"), "no")
    assert contents(tmp_path) == {"file"}


def test_bench_measures(call, person_files, tmp_path):
    code, out, lines = call(
        "bench", "--json", tmp_path / "figures.json", "--clip", person_files / "driving.mp4", "--references", "1", "2",
        "--sizes", "128", "--frames", "9",
    )  # fmt: skip
    assert code == 0, lines
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [row["references"] for row in figures["rows"]] == [1, 2]
    assert all(row["frames_per_second"] > 0 and min(row["ms"].values()) >= 0 for row in figures["rows"])
    assert figures["memory_over_length"][0]["frames"] == 9
    assert "| 128 | 2 |" in out


def test_train_refuses(call, person_files, tmp_path):
    clip, weights = person_files / "driving.mp4", tmp_path / "metrics"
    given = ["train", "--clips", clip, "--metrics-folder", weights, "--output", tmp_path / "out"]
    refused(call(*given), "lpips")
    config = tmp_path / "config.json"
    wrong = {
        "{": "config.json", "[1]": "config.json", '{"speed": 3}': "speed", '{"losses": {"beauty": 1}}': "beauty",
        '{"references": []}': "references", '{"width": 12}': "multiple of 8",
    }  # fmt: skip
    for text, word in wrong.items():
        config.write_text(text)
        refused(call(*given, "--config", config), word)
    config.write_bytes(b"\xff\xfe\x00")
    refused(call(*given, "--config", config), "config.json")
    refused(call(*given, "--config", tmp_path / "absent.json"), "absent.json")
    refused(call(*given, "--steps", "0"), "steps")
    assert contents(tmp_path) == {"config.json"}
    weights.mkdir()
    (weights / "lpips_alexnet.ckpt").write_bytes(b"nothing")
    refused(call("train", "--clips", tmp_path / "absent.mp4", *given[3:]), "absent.mp4")


def test_previews_are_written_beside_the_result(call, person_files, short, tmp_path):
    code, _, lines = call(
        "run", "--references", person_files / "a.png", person_files / "b.png", "--driving", short, "--size", "128",
        "--output", tmp_path / "frames", "--previews", tmp_path / "previews",
    )  # fmt: skip
    assert code == 0, lines
    kinds = {path.name for path in (tmp_path / "previews").iterdir()}
    assert kinds == {"attribution", "weights", "disagreement", "seams"}
    for kind in kinds:
        assert contents(tmp_path / "previews" / kind) == contents(tmp_path / "frames")
    weights = read_image(tmp_path / "previews" / "weights" / "000000.png")
    assert weights.shape[-1] == 2 * weights.shape[-2], "both references side by side"


def test_compare_prints_a_table_and_writes_the_picture(call, person_files, short, tmp_path):
    code, out, lines = call(
        "compare", "--references", person_files / "a.png", person_files / "b.png", "--driving", short,
        "--size", "128", "--motion", "absolute", "--truth", "--strategies", "mean", "nearest",
        "--layout", "difference", "--output", tmp_path / "both.png",
    )  # fmt: skip
    assert code == 0, lines
    table = [line for line in out.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table[2:]] == ["mean", "nearest"]
    assert read_image(tmp_path / "both.png").shape[-1] >= 512


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--strategies", "mean"], "at least two"),
        (["--strategies", "mean", "max", "nearest", "--layout", "wipe"], "wipe shows two"),
        (["--strategies", "mean", "max", "--truth"], "--motion absolute"),
        (["--strategies", "mean", "nonsense"], "nonsense"),
        (["--strategies", "mean", "max", "--gain", "0"], "gain"),
        (["--strategies", "mean", "max", "--every", "0"], "--every"),
    ],
)
def test_compare_refuses_what_makes_no_sense(call, person_files, short, tmp_path, flags, message):
    common = ("--references", person_files / "a.png", "--driving", short, "--output", tmp_path / "x.png")
    refused(call("compare", *common, *flags), message)
