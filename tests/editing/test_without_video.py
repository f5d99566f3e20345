"""Idle and sweep motion, resting faces, and rest for a person who does not."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from reenact_core.editing import Expression, Idle, canonical_face, express, idle_motion, loop, neutralise, relaxed
from reenact_core.editing.basis import EYES
from reenact_core.editing.procedural import SWEEPS, sweep_motion
from reenact_core.editing.resting import CANVAS
from reenact_core.errors import ReenactError
from reenact_core.motion_models.mesh_flows import face_height
from reenact_core.pose import euler_degrees
from reenact_core.retargeting import Transfer, retarget
from reenact_core.tracking import BLENDSHAPE_NAMES
from reenact_core.tracking.pose import head_rotation

from ..faces import moving, still, texture
from .motions import same, talking

RATE = Fraction(25)


def test_the_canonical_face_looks_into_the_camera():
    face = canonical_face((300, 400))
    assert float(euler_degrees(head_rotation(face.landmarks)).abs().max()) < 3
    assert float(face_height(face.landmarks)) == pytest.approx(0.45 * 300, abs=0.1)
    assert torch.allclose(face.landmarks[0, :, :2].mean(0), torch.tensor([200.0, 150.0]), atol=1)
    for eye in EYES:
        x = face.landmarks[0, [*eye.corners, eye.irises[0]], 0]
        assert x[:2].min() < x[2] < x[:2].max(), "irises lie between the corners"


def test_idling_is_deterministic_and_begins_and_ends_at_rest():
    face = canonical_face()
    motion = idle_motion(face, CANVAS, 8, RATE)
    assert same(motion, idle_motion(face, CANVAS, 8, RATE))
    assert not same(motion, idle_motion(face, CANVAS, 8, RATE, Idle(seed=1)), 0.1)
    assert torch.equal(motion.faces.landmarks[0], face.landmarks[0])
    assert torch.allclose(motion.faces.landmarks[-1], face.landmarks[0], atol=0.01)
    looped = loop(motion, 2).faces.landmarks.diff(dim=0).norm(dim=-1).mean(1)
    assert looped[199] < looped.max()


def test_idling_does_what_it_says():
    face = canonical_face()
    motion = idle_motion(face, CANVAS, 20, RATE, Idle(sway=4, blinks=30))
    closed = motion.faces.blendshapes[:, BLENDSHAPE_NAMES.index("eyeBlinkLeft")]
    blinks = int((closed.ge(0.99).int().diff() == 1).sum())
    assert 6 <= blinks <= 14
    assert 1 < float(euler_degrees(motion.faces.rotation)[:, 0].abs().max()) < 12
    eye = EYES[0]
    gap = (motion.faces.landmarks[:, list(eye.lower), 1] - motion.faces.landmarks[:, list(eye.upper), 1]).mean(1)
    assert gap.min() < 0.05 * gap[0]
    calm = idle_motion(face, CANVAS, 4, RATE, Idle(sway=0, breathing=0, blinks=0, gaze=0, smile=0))
    assert torch.equal(calm.faces.landmarks, face.landmarks.expand(100, -1, -1))


@pytest.mark.parametrize("kind", [*SWEEPS, "all"])
def test_sweeps_go_both_ways_and_come_back(kind):
    face = canonical_face()
    motion = sweep_motion(face, CANVAS, 4, RATE, kind)
    angles = euler_degrees(motion.faces.rotation)
    for number, name in enumerate(("yaw", "pitch", "roll")):
        reach = SWEEPS[name][1] if kind in (name, "all") else 0
        assert float(angles[:, number].max()) == pytest.approx(reach, abs=1.5)
        assert float(angles[:, number].min()) == pytest.approx(-reach, abs=1.5)
    moves = (motion.faces.landmarks - face.landmarks).norm(dim=-1).amax(1)
    assert moves.max() > 3
    assert moves[[0, -1]].max() < 0.5
    jaw = motion.faces.blendshapes[:, BLENDSHAPE_NAMES.index("jawOpen")]
    assert float(jaw.max()) == pytest.approx(0.8 if kind in ("mouth", "all") else 0, abs=0.02)


def test_impossible_lengths_are_refused():
    for seconds in (0, -1, float("nan"), 1e9):
        with pytest.raises(ReenactError):
            idle_motion(canonical_face(), CANVAS, seconds, RATE)
    with pytest.raises(ReenactError, match="no sweep 'shake'"):
        sweep_motion(canonical_face(), CANVAS, 1, RATE, "shake")


def smiling():
    face = canonical_face()
    return express(moving(face, CANVAS), Expression(smile=0.8, jaw_open=0.3)).faces


def test_relaxing_takes_most_of_an_expression_away():
    rest, face = canonical_face(), smiling()
    before = (face.landmarks - rest.landmarks).norm(dim=-1).mean()
    after = (relaxed(face).landmarks - rest.landmarks).norm(dim=-1).mean()
    assert after < 0.4 * before
    assert torch.equal(relaxed(face, 0).landmarks, face.landmarks)
    assert torch.equal(relaxed(rest).landmarks, rest.landmarks)


def test_a_relaxed_face_can_be_turned_to_the_camera():
    motion = express(talking(1), Expression(yaw=25, roll=10))
    frontal = relaxed(motion.faces, frontal=True)
    assert float(euler_degrees(head_rotation(frontal.landmarks)).abs().max()) < 3
    assert torch.allclose(face_height(frontal.landmarks), face_height(motion.faces.landmarks), atol=0.1)


def test_neutralised_motion_starts_a_smiling_reference_at_rest():
    """Where the driving face rests, the result is the reference without its smile."""
    reference = still([texture(*CANVAS)], smiling())
    motion = talking()
    plain = retarget(motion, reference, Transfer.RELATIVE).faces
    rested = retarget(neutralise(motion, reference.faces), reference, Transfer.RELATIVE).faces
    rest = canonical_face().landmarks
    before = (plain.landmarks[0] - rest[0]).norm(dim=-1).mean()
    after = (rested.landmarks[0] - rest[0]).norm(dim=-1).mean()
    assert after < 0.5 * before
    assert neutralise(motion, reference.faces, 0) is motion
    assert neutralise(motion, canonical_face()) is motion
