"""`reenact motion`, and `reenact run` with motion that is no video."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reenact_core.cli import main
from reenact_core.commands.run import sheet_frames
from reenact_core.editing import retime, trim
from reenact_core.storage import load_motion
from reenact_core.tracking import BLENDSHAPE_NAMES

from .faces import ROOT

SAVED = ROOT / "samples" / "driving.motion.safetensors"
PICTURE = ROOT / "samples" / "references" / "2_open_mouth.png"
HEADER = "Timecode,BlendShapeCount,EyeBlinkLeft,EyeBlinkRight,JawOpen,HeadYaw,HeadPitch,HeadRoll\n"


def motion(*arguments: object) -> int:
    return main(["motion", *map(str, arguments)])


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "take.csv"
    path.write_text(HEADER + "00:00:00:00,61,0,0,0,0,0,0\n00:00:00:01,61,1,1,0.5,0.1,0,0\n")
    return path


def test_a_file_without_edits_comes_back_as_it_was(tmp_path, capsys):
    out = tmp_path / "same.safetensors"
    assert motion(SAVED, "--output", out) == 0
    before, after = load_motion(SAVED), load_motion(out)
    for one, other in zip(before.faces, after.faces):
        assert torch.equal(one, other)
    assert after.floating == before.floating
    printed = capsys.readouterr().out
    assert "30 frames, 2.00 s at 15 per second, canvas 350 x 350" in printed
    assert "yaw" in printed


def test_flags_are_the_functions(tmp_path):
    out = tmp_path / "a.safetensors"
    assert motion(SAVED, "--trim", "0.2s:20", "--speed", 0.5, "--output", out) == 0
    wanted = retime(trim(load_motion(SAVED), 3, 20), 0.5)
    assert torch.equal(load_motion(out).faces.landmarks, wanted.faces.landmarks)


def test_inputs_are_joined_gained_and_smiled_at(tmp_path):
    out, plot = tmp_path / "b.safetensors", tmp_path / "b.png"
    arguments = ["--crossfade", 5, "--gain", "yaw=0", "mouth=0.5", "--set", "smile=0.7", "jawOpen=0.1"]
    assert motion(SAVED, SAVED, *arguments, "--frames", "10:", "--output", out, "--plot", plot) == 0
    made = load_motion(out)
    assert len(made.faces.score) == 55
    smile = BLENDSHAPE_NAMES.index("mouthSmileLeft")
    assert made.faces.blendshapes[15:, smile].min() > 0.65
    assert plot.stat().st_size > 1000


def test_motion_is_made_of_nothing_and_of_a_table(tmp_path, table):
    for arguments, count in ((["--idle", "2s"], 50), (["--sweep", "yaw", "--seconds", 1], 25), ([table], 2)):
        out = tmp_path / "made.safetensors"
        assert motion(*arguments, "--output", out) == 0
        made = load_motion(out)
        assert len(made.faces.score) == count
        assert made.canvas == (512, 512)
        assert not made.floating


def test_one_picture_plays_and_drives(tmp_path):
    out = tmp_path / "still.safetensors"
    assert motion(PICTURE, "--length", 1, "--output", out) == 0
    made = load_motion(out)
    assert len(made.faces.score) == 25
    jaw = BLENDSHAPE_NAMES.index("jawOpen")
    assert made.faces.blendshapes[0, jaw] - made.neutral.blendshapes[0, jaw] > 0.1, "the open mouth counts as such"
    assert motion("--idle", "1s", "--reference", PICTURE, "--output", out) == 0
    assert load_motion(out).canvas == (350, 350)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Give motion to work on"),
        ([SAVED, "--idle", "1s"], "Give motion to work on"),
        ([SAVED, "--gain", "nose=2"], "there is no 'nose'"),
        ([SAVED, "--gain", "yaw"], "a name and a number"),
        ([SAVED, "--set", "grin=1"], "no control or blendshape 'grin'"),
        ([SAVED, "--set", "smile=9"], "smile is 9"),
        ([SAVED, "--trim", "40:"], "leaves nothing"),
        ([SAVED, "--trim", "5:5"], "leaves nothing"),
        ([SAVED, "--trim", "now"], "must be like 10:40"),
        ([SAVED, "--frames", "30:"], "frames 30:30 are none"),
        ([SAVED, "--blend", "0.5"], "mixes two inputs, 1 were given"),
        ([SAVED, "--output", "a.mp4"], "must end in .safetensors"),
        ([SAVED, "--neutral", "30"], "neutral frame 30 does not exist"),
        (["absent.safetensors"], "can't be read"),
        (["absent.csv"], "does not exist"),
        (["--idle", "long"], "invalid"),
    ],
)
def test_mistakes_end_with_one_line(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [*arguments, "--set", "smile=0.5"] if "--frames" in arguments else arguments
    try:
        code = motion(*given)
    except SystemExit as stopped:  # what argparse itself refuses
        code = stopped.code
    assert code == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_sheets_draw_a_mesh_where_there_are_no_pictures():
    frames = sheet_frames(SAVED, load_motion(SAVED), rows=3)
    assert list(frames) == [0, 14, 29]
    for frame in frames.values():
        assert frame.shape == (3, 350, 350)
        assert 0.01 < frame.gt(0.2).any(0).float().mean() < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("source", ["file", "picture", "table"])
def test_run_takes_them_as_driving(source, tmp_path, table):
    short = tmp_path / "short.safetensors"
    assert motion(SAVED, "--trim", "0:2", "--output", short) == 0
    driving = {"file": short, "picture": PICTURE, "table": table}[source]
    out = tmp_path / "frames"
    arguments = ["--references", ROOT / "samples" / "references", "--driving", driving, "--output", out, "--size", 96]
    arguments += ["--neutralise", 0.5, "--sheet", tmp_path / "sheet.png"]
    assert main(["run", *map(str, arguments)]) == 0
    assert len(list(out.glob("*.png"))) == (1 if source == "picture" else 2)
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
