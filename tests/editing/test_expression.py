"""The expression editor: nothing at zero, meeting lids, sides, stretches of frames, names."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from reenact_core.editing.basis import EYES, SHAPES, expression_basis
from reenact_core.editing.deform import LIPS, deform
from reenact_core.editing.expression import (
    CONTROLS,
    PRESETS,
    Expression,
    amounts_of,
    envelope,
    express,
    shape_amounts,
    with_values,
)
from reenact_core.editing.resting import canonical_face
from reenact_core.errors import ReenactError
from reenact_core.motion_models.mesh_flows import RIGID, face_height
from reenact_core.pose import euler_degrees
from reenact_core.tracking import BLENDSHAPE_NAMES, canonical_mesh

from ..faces import turned
from .motions import talking


def lone(name: str, amount: float = 1.0) -> torch.Tensor:
    amounts = torch.zeros(1, len(SHAPES))
    amounts[0, SHAPES.index(name)] = amount
    return amounts


def moved(name: str, amount: float = 1.0) -> torch.Tensor:
    """What a blendshape does to the canonical face: [478,3] in face heights."""
    face = canonical_face()
    change = deform(face, lone(name, amount), torch.zeros(1, 3), face).landmarks - face.landmarks
    return change[0] / face_height(face.landmarks)


def mirrored() -> torch.Tensor:
    vertices = canonical_mesh()[0]
    return torch.cdist(vertices * torch.tensor([-1.0, 1, 1]), vertices).argmin(1)


def test_zero_changes_nothing():
    motion = talking(coded=True)
    assert express(motion, Expression()) is motion
    assert express(motion, Expression(preset="smile", preset_strength=0)) is motion
    assert deform(motion.faces, torch.zeros(12, 51), torch.zeros(12, 3), motion.neutral) is motion.faces


def test_frames_outside_the_stretch_stay_bit_by_bit():
    motion = talking()
    changed = express(motion, Expression(smile=1, blink_left=1, yaw=10, start=4, stop=8, fade=0))
    for before, after in zip(motion.faces, changed.faces):
        assert torch.equal(before[:4], after[:4])
        assert torch.equal(before[8:], after[8:])
    assert (changed.faces.landmarks[4:8] - motion.faces.landmarks[4:8]).abs().amax((1, 2)).min() > 1


def test_the_neutral_frame_stays_and_holds():
    motion = talking()._replace(floating=True)
    changed = express(motion, Expression(jaw_open=0.5))
    assert torch.equal(changed.neutral.landmarks, motion.neutral.landmarks)
    assert not changed.floating


@pytest.mark.parametrize("rotation", [turned(0, 0, 0), turned(30, 10, -20)])
@pytest.mark.parametrize("amount", [0.5, 1.0])
def test_a_blink_closes_the_eye_by_as_much(rotation, amount):
    motion = talking(1)
    face = motion.faces._replace(landmarks=(motion.faces.landmarks - 240) @ rotation.T + 240, rotation=rotation[None])
    changed = deform(face, lone("eyeBlinkLeft", amount), torch.zeros(1, 3), face)
    right, left = EYES

    def opening(faces, eye) -> torch.Tensor:
        return (faces.landmarks[0, list(eye.upper)] - faces.landmarks[0, list(eye.lower)]).norm(dim=1)

    along = (changed.landmarks[0, list(left.lower)] - changed.landmarks[0, list(left.upper)]) @ rotation[:, 1]
    before = (face.landmarks[0, list(left.lower)] - face.landmarks[0, list(left.upper)]) @ rotation[:, 1]
    assert torch.allclose(along, before * (1 - amount), atol=0.02 * float(before.max()))
    assert torch.allclose(opening(changed, right), opening(face, right), atol=1e-3)


def test_negative_blink_opens_wide():
    face = canonical_face()
    left = EYES[1]
    wide = deform(face, amounts_of(Expression(blink_left=-1))[0][None], torch.zeros(1, 3), face)
    gap = (wide.landmarks - face.landmarks)[0, list(left.upper), 1].mean()
    assert gap < -1, "the upper lid rises"


def test_lips_do_not_cross():
    face = canonical_face()
    upper, lower = map(list, LIPS)
    for expression in (Expression(jaw_open=-1), Expression(pucker=1.5, press=1.5), Expression(shapes="mouthClose=1")):
        changed = deform(face, amounts_of(expression)[0][None], torch.zeros(1, 3), face).landmarks[0]
        assert (changed[lower, 1] - changed[upper, 1]).min() > -0.2, expression


def test_left_and_right_are_mirror_images():
    mirror = mirrored()
    for name in SHAPES:
        if name.endswith("Left"):
            left, right = moved(name), moved(name.replace("Left", "Right"))
            flipped = right[:468][mirror] * torch.tensor([-1.0, 1, 1])
            assert torch.allclose(left[:468], flipped, atol=4e-3), name


def test_directions():
    """x to the right of the picture, which is the person's left; y down."""
    assert moved("jawOpen")[152, 1] > 0.05, "chin down"
    assert moved("jawOpen")[[10, 9, 33, 263]].abs().max() < 0.01, "the brow rests"
    assert moved("mouthSmileLeft")[291, 1] < -0.01
    assert moved("mouthSmileLeft")[291, 0] > 0.005
    assert moved("mouthSmileLeft")[61].norm() < 0.3 * moved("mouthSmileLeft")[291].norm()
    assert moved("mouthFrownLeft")[291, 1] > 0.005
    assert moved("browInnerUp")[[55, 285], 1].max() < -0.005
    assert moved("browDownLeft")[285, 1] > 0.005
    assert moved("mouthLeft")[[13, 14, 61, 291], 0].min() > 0.01
    assert moved("jawLeft")[152, 0] > 0.01
    assert moved("cheekPuff")[[205, 425], 2].max() < -0.01, "cheeks towards the camera"
    assert moved("mouthPucker")[291, 0] < -0.01
    assert moved("eyeLookOutLeft")[473, 0] > 0.01
    assert moved("eyeLookUpLeft")[473, 1] < -0.005
    assert moved("eyeLookDownLeft")[473, 1] > 0.005


def test_gaze_moves_both_irises_together():
    face = canonical_face()
    for control, axis in (("gaze_x", 0), ("gaze_y", 1)):
        for amount in (0.8, -0.8):
            amounts = amounts_of(replace(Expression(), **{control: amount}))[0][None]
            change = (deform(face, amounts, torch.zeros(1, 3), face).landmarks - face.landmarks)[0]
            assert (change[[468, 473], axis] * amount > 0.5).all()
            assert float(change[468, axis]) == pytest.approx(float(change[473, axis]), rel=0.4)


def test_the_measured_mouth_opening_rises():
    """As evaluation and fusion read it: the distance of the inner lips, and the coefficient."""
    motion = talking(1)
    heights = [0.0, 0.3, 0.6, 1.0]
    openings, read = [], []
    for height in heights:
        changed = express(motion, Expression(jaw_open=height)).faces
        openings.append(float((changed.landmarks[0, 14] - changed.landmarks[0, 13]).norm()))
        read.append(float(changed.blendshapes[0, BLENDSHAPE_NAMES.index("jawOpen")]))
    assert openings == sorted(openings)
    assert openings[-1] - openings[0] > 0.08 * float(face_height(motion.faces.landmarks))
    assert read == pytest.approx(heights)


def test_turning_the_head():
    motion = talking(1)
    changed = express(motion, Expression(yaw=20, pitch=-5))
    assert torch.allclose(euler_degrees(changed.faces.rotation), torch.tensor([[20.0, -5, 0]]), atol=0.5)
    before, after = motion.faces.landmarks, changed.faces.landmarks
    assert torch.allclose(torch.pdist(before[0].double()), torch.pdist(after[0].double()), atol=0.05), "rigid"
    assert after[0, 4, 0] - before[0, 4, 0] > after[0, 168, 0] - before[0, 168, 0] > 0
    back = express(changed, Expression(yaw=-20, pitch=5)).faces
    assert torch.allclose(back.rotation, motion.faces.rotation, atol=1e-3)
    assert torch.allclose(back.landmarks[:, list(RIGID)], before[:, list(RIGID)], atol=2.0)


def test_expression_goes_with_the_head():
    """The same addition on a turned, larger head is the same in its own axes."""
    motion = talking(1)
    grown = motion.faces._replace(
        landmarks=motion.faces.landmarks @ turned(25, 0, 10).T * 1.5, rotation=turned(25, 0, 10)[None]
    )
    amounts, still = amounts_of(Expression(preset="laugh"))[0][None], torch.zeros(1, 3)
    one = deform(motion.faces, amounts, still, motion.faces).landmarks @ turned(25, 0, 10).T * 1.5
    assert torch.allclose(deform(grown, amounts, still, grown).landmarks, one, atol=0.05)


def test_controls_cover_every_field_and_name_real_shapes():
    named = {item.name for item in fields(Expression) if "min" in item.metadata}
    others = {"preset_strength", "start", "stop", "fade", "yaw", "pitch", "roll"}
    assert named == set(CONTROLS) | others
    for positive, negative in CONTROLS.values():
        assert set(positive) | set(negative or {}) <= set(SHAPES)
    for name, values in PRESETS.items():
        with_values(Expression(), values)
        assert name == "none" or amounts_of(Expression(preset=name))[0].any()


def test_amounts_add_up():
    smile = amounts_of(Expression(smile=0.5))[0]
    assert torch.allclose(amounts_of(Expression(smile=1.0))[0], 2 * smile)
    both = amounts_of(Expression(smile=0.5, shapes="mouthSmileLeft=0.25, jawOpen=0.1"))[0]
    assert float(both[SHAPES.index("mouthSmileLeft")]) == pytest.approx(0.75)
    assert float(both[SHAPES.index("jawOpen")]) == pytest.approx(0.1)
    assert not amounts_of(Expression(preset="smile", smile=-0.7, squint=-0.2))[0].any()
    down = amounts_of(Expression(brows=-0.5))[0]
    assert float(down[SHAPES.index("browDownLeft")]) == pytest.approx(0.5)
    assert down.min() == 0


def test_envelope_comes_and_goes():
    height = envelope(50, 10, Expression(start=10, stop=30, fade=0.4))
    assert height[:10].max() == 0
    assert height[30:].max() == 0
    assert height[14:26].min() == 1
    assert (height[10:15].diff() > 0).all()
    assert (envelope(50, 10, Expression(fade=2)) == 1).all(), "a change of all frames needs no fade"
    assert envelope(50, 10, Expression(start=49))[-1] > 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Expression(smile=3), "smile is 3"),
        (lambda: Expression(smile=float("nan")), "smile is nan"),
        (lambda: Expression(preset="grin"), "no expression 'grin'"),
        (lambda: shape_amounts("mouthSmile=1"), "no control or blendshape 'mouthSmile'"),
        (lambda: shape_amounts("jawOpen=wide"), "must be a number"),
        (lambda: shape_amounts("jawOpen=4"), "between -1.5 and 1.5"),
        (lambda: with_values(Expression(), {"yaw": 90}), "yaw is 90"),
        (lambda: express(talking(), Expression(smile=1, start=12)), "frames 12:12 are none"),
    ],
)
def test_mistakes_are_named(make, says):
    with pytest.raises(ReenactError, match=says):
        make()


def test_the_code_of_a_checkpoint_is_left_out_with_a_warning(caplog):
    changed = express(talking(coded=True), Expression(smile=0.5))
    assert changed.code is None
    assert "face_mesh" in caplog.text


def test_the_table_is_small_and_says_what_it_holds():
    basis = expression_basis()
    assert basis.displacements.shape == (51, 478, 3)
    assert basis.displacements.isfinite().all()
    assert (basis.displacements.norm(dim=-1).amax(1) > 0.005).all(), "every shape moves something"
    assert basis.displacements.norm(dim=-1).max() < 0.4
