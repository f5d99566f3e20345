"""CSV files of blendshapes."""

from __future__ import annotations

import math

import pytest
import torch

from reenact_core.editing.basis import SHAPES
from reenact_core.editing.live_link import motion_of_csv, read_csv
from reenact_core.editing.resting import CANVAS, canonical_face
from reenact_core.errors import ReenactError
from reenact_core.pose import euler_degrees
from reenact_core.tracking import BLENDSHAPE_NAMES

COLUMNS = [name[0].upper() + name[1:] for name in SHAPES]
TAIL = ["TongueOut", "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw",
        "RightEyePitch", "RightEyeRoll"]  # fmt: skip


def recorded(path, frames: int = 150, rate: int = 30):
    """A file like the ones Live Link Face writes: the jaw opens, the head turns left, a few frames are lost."""
    lines = [",".join(["Timecode", "BlendShapeCount", *COLUMNS, *TAIL])]
    for frame in range(frames):
        code = f"14:05:{frame // rate:02}:{frame % rate:02}.{frame % 1000:03}"
        if frame in (70, 71):
            lines.append(f"{code},0" + "," * (len(COLUMNS) + len(TAIL)))
            continue
        values = dict.fromkeys(COLUMNS, 0.0) | {"JawOpen": frame / frames}
        tail = dict.fromkeys(TAIL, 0.0) | {"HeadYaw": 0.3 * frame / frames, "HeadRoll": 0.1, "TongueOut": 0.2}
        cells = [f"{value:.6f}" for value in (*values.values(), *tail.values())]
        lines.append(",".join([code, "61", *cells]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_recording_is_read(tmp_path, caplog):
    path = recorded(tmp_path / "take.csv")
    table = read_csv(path)
    assert table.frame_rate == 30
    assert table.found.sum() == 148
    jaw = table.amounts[:, SHAPES.index("jawOpen")]
    assert float(jaw[120]) == pytest.approx(0.8, abs=1e-4)
    assert table.turns[120].tolist() == pytest.approx([math.degrees(0.24), 0, -math.degrees(0.1)], abs=1e-3)
    motion = motion_of_csv(path, canonical_face(), CANVAS)
    assert "2 of 150 rows" in caplog.text
    assert torch.equal(motion.faces.landmarks[70], motion.faces.landmarks[69])
    assert not motion.faces.found[70]
    angles = euler_degrees(motion.faces.rotation)
    assert float(angles[120, 0]) == pytest.approx(math.degrees(0.24), abs=0.3)
    read = motion.faces.blendshapes[:, BLENDSHAPE_NAMES.index("jawOpen")]
    assert torch.allclose(read[table.found], jaw[table.found])
    opening = (motion.faces.landmarks[:, 14] - motion.faces.landmarks[:, 13]).norm(dim=-1)
    assert (opening[table.found][5:].diff() > 0).all()


def test_the_first_frame_at_rest_is_the_player(tmp_path):
    face = canonical_face()
    path = tmp_path / "rest.csv"
    path.write_text("EyeBlinkLeft,JawOpen,MouthClose\n0,0,0\n0,1,0\n")
    motion = motion_of_csv(path, face, CANVAS)
    assert torch.equal(motion.faces.landmarks[0], face.landmarks[0])
    assert motion.frame_rate == 60
    assert not motion.floating


@pytest.mark.parametrize(
    "text",
    [
        "jawopen;MOUTHCLOSE;eyeBlinkLeft;unknown\n0.5;0;1;x\n",
        "\ufeffsome title\n\n JawOpen , MouthClose,EyeBlinkLeft\n0.5 ,,1\n\n",
        "EyeBlinkLeft\tMouthClose\tJawOpen\n1\t0\t0.5\n",
    ],
)
def test_other_writers_are_understood(tmp_path, text):
    path = tmp_path / "other.csv"
    path.write_text(text, encoding="utf-8")
    table = read_csv(path)
    assert table.amounts.shape == (1, len(SHAPES))
    assert float(table.amounts[0, SHAPES.index("jawOpen")]) == 0.5
    assert float(table.amounts[0, SHAPES.index("eyeBlinkLeft")]) == 1
    assert table.frame_rate is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with nothing"),
        ("time,x,y\n1,2,3\n", "no row of column names"),
        ("JawOpen,MouthClose,EyeBlinkLeft\n", "no frames"),
        ("JawOpen,MouthClose,EyeBlinkLeft\n0.1,wide,0\n", "line 2: mouthclose is 'wide'"),
        ("JawOpen,MouthClose,EyeBlinkLeft\n0.1,nan,0\n", "line 2"),
        ("JawOpen,MouthClose,EyeBlinkLeft\n50,0,0\n", "Divide percentages"),
        ("JawOpen,MouthClose,EyeBlinkLeft\n,,\n ,,\n", "no"),
    ],
)
def test_mistakes_are_named(tmp_path, text, says):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ReenactError, match=says):
        read_csv(path)


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "picture.csv"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(ReenactError, match="can't be read"):
        read_csv(path)
    with pytest.raises(ReenactError, match="does not exist"):
        read_csv(tmp_path / "absent.csv")
