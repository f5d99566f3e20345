"""Edits in time: identities, inverses, compositions."""

from __future__ import annotations

import logging
from fractions import Fraction

import pytest
import torch

from reenact_core.editing.mixing import mix_faces, power
from reenact_core.editing.timeline import (
    blend,
    calm,
    concatenate,
    frame_count,
    loop,
    low_pass,
    retime,
    reverse,
    sample_motion,
    trim,
)
from reenact_core.errors import ReenactError
from reenact_core.head_channels import split
from reenact_core.motion_models.mesh_flows import face_height
from reenact_core.types import DrivingMotion

from ..faces import posed_faces, turned
from .motions import same, talking


def test_trim_takes_what_a_slice_takes():
    motion = talking(coded=True)
    assert same(trim(motion), motion)
    assert same(trim(motion, 3, 7), motion.at(slice(3, 7)))
    assert same(trim(trim(motion, 2), 1, -1), trim(motion, 3, -1))
    assert torch.equal(trim(motion, 5).neutral.landmarks, motion.neutral.landmarks)


@pytest.mark.parametrize(("start", "stop"), [(12, None), (5, 5), (7, 3), (-1, 0)])
def test_trim_leaves_something(start, stop):
    with pytest.raises(ReenactError, match="leaves nothing"):
        trim(talking(), start, stop)


def test_reverse_twice_is_nothing():
    motion = talking(coded=True)._replace(shots=torch.tensor([0] * 5 + [1] * 7))
    backwards = reverse(motion)
    assert torch.equal(backwards.faces.landmarks[0], motion.faces.landmarks[-1])
    assert torch.equal(backwards.code[0], motion.code[-1])
    assert torch.equal(backwards.scene.camera[0], motion.scene.camera[-1])
    assert torch.equal(reverse(backwards).shots, motion.shots)
    assert same(reverse(backwards), motion)


def test_retime_by_one_is_nothing():
    motion = talking(coded=True)
    assert same(retime(motion), motion)
    assert same(retime(motion, 1.0, motion.frame_rate), motion)
    assert same(retime(motion, length=12 / 25), motion)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_slower_and_faster_again_is_nothing(factor):
    motion = talking(coded=True)
    slow = retime(motion, 1 / factor)
    assert frame_count(slow) == factor * 11 + 1
    assert torch.allclose(slow.scene.camera[1, 0, 2], torch.tensor(3 / factor))
    assert same(retime(slow, factor), motion)
    dense = retime(motion, frame_rate=motion.frame_rate * factor)
    assert dense.frame_rate == 25 * factor
    assert torch.equal(dense.faces.landmarks, slow.faces.landmarks)
    assert same(retime(dense, frame_rate=motion.frame_rate), motion)


def test_length_in_seconds():
    assert frame_count(retime(talking(), length=2.0)) == 50
    assert frame_count(retime(talking(), length=2.0, frame_rate=Fraction(10))) == 20
    ends = retime(talking(), length=2.0)
    assert torch.equal(ends.faces.landmarks[[0, -1]], talking().faces.landmarks[[0, -1]])
    assert frame_count(retime(trim(talking(), 0, 1), length=1.0)) == 25


def test_between_frames_heads_keep_their_size_and_shape():
    """Half-way in a turn of 40 degrees a plain average would be a face 6 % too narrow."""
    faces = posed_faces([turned(0, 0, 0), turned(40, 0, 0)])
    middle = mix_faces(faces.at([0]), faces.at([1]), torch.tensor([0.5]))
    assert torch.allclose(middle.landmarks, posed_faces([turned(20, 0, 0)]).landmarks, atol=2.0)
    assert torch.allclose(middle.rotation, turned(20, 0, 0)[None], atol=1e-4)
    channels = split(middle, faces.at([0]))
    assert channels.expression.abs().max() < 0.05
    assert torch.allclose(face_height(middle.landmarks), face_height(faces.landmarks[:1]), atol=0.05)


def test_interpolation_comes_near_the_true_frames_between():
    dense = talking(24)
    coarse = dense._replace(faces=dense.faces.at(slice(0, None, 2)))
    guessed = retime(coarse, 0.5)
    error = (guessed.faces.landmarks[2:-2] - dense.faces.landmarks[2:21]).norm(dim=-1)
    held = (coarse.faces.landmarks[1:-2] - dense.faces.landmarks[3:21:2]).norm(dim=-1)
    assert error.mean() < 0.1 * held.mean()
    angle = guessed.faces.rotation.transpose(1, 2) @ guessed.faces.rotation
    assert torch.allclose(angle, torch.eye(3).expand_as(angle), atol=1e-5)


def test_nothing_is_interpolated_across_a_cut():
    motion = talking()._replace(shots=torch.tensor([0] * 6 + [1] * 6))
    slow = retime(motion, 0.5)
    assert torch.equal(slow.faces.landmarks[11], motion.faces.landmarks[5])
    assert slow.shots.tolist() == [0] * 12 + [1] * 11


@pytest.mark.parametrize(
    "settings", [{"speed": 0}, {"speed": float("nan")}, {"frame_rate": Fraction(0)}, {"length": -1}, {"speed": 1e-6}]
)
def test_impossible_times_are_refused(settings):
    with pytest.raises(ReenactError):
        retime(talking(), **settings)


def test_concatenated_motion_can_be_cut_apart():
    one = talking(coded=True)
    two = reverse(one)
    joined = concatenate(one, two)
    assert same(trim(joined, 0, 12), one)
    assert same(trim(joined, 12), two)
    assert joined.shots is None


def test_crossfade_overlaps_and_keeps_the_rest():
    one = talking(coded=True)
    two = reverse(one)
    joined = concatenate(one, two, 4)
    assert frame_count(joined) == 20
    assert same(trim(joined, 0, 8), trim(one, 0, 8))
    assert same(trim(joined, 12), trim(two, 4))
    steps = joined.faces.landmarks.diff(dim=0).norm(dim=-1).mean(1)
    assert steps.max() < 1.5 * one.faces.landmarks.diff(dim=0).norm(dim=-1).mean(1).max()


def test_a_motion_faded_into_itself_is_itself():
    motion = talking()
    assert same(concatenate(motion, motion, 12), motion, 2e-3)


def test_motion_of_another_face_is_brought_to_the_first():
    """The same performance by a larger head elsewhere joins on without a jump."""
    one = talking()
    grown = one.faces.landmarks * 1.5 + torch.tensor([100.0, -20, 5])
    still = one.neutral.landmarks * 1.5 + torch.tensor([100.0, -20, 5])
    other = one._replace(
        faces=one.faces._replace(landmarks=grown),
        neutral=one.neutral._replace(landmarks=still),
        canvas=(900, 900),
        frame_rate=Fraction(50),
    )
    joined = concatenate(one, retime(other, 0.5)._replace(frame_rate=Fraction(50)))
    assert joined.canvas == one.canvas
    assert joined.frame_rate == 25
    assert torch.allclose(joined.faces.landmarks[12:], one.faces.landmarks, atol=5e-3)


def test_cuts_are_carried_along():
    cut = talking()._replace(shots=torch.tensor([0] * 6 + [1] * 6))
    assert [span.start for span in concatenate(cut, talking()).shot_spans()] == [0, 6, 12]
    assert [span.start for span in concatenate(talking(), cut, 3).shot_spans()] == [0, 15]
    assert [span.start for span in blend(talking(), cut, 0.5).shot_spans()] == [0, 6]
    assert torch.allclose(low_pass(cut, 3).faces.landmarks[6:], low_pass(trim(cut, 6), 3).faces.landmarks)


def test_loop_repeats():
    motion = talking(coded=True)
    assert loop(motion, 1, 5) is motion
    assert same(loop(motion, 3), concatenate(concatenate(motion, motion), motion))
    faded = loop(motion, 3, 4)
    assert frame_count(faded) == 3 * 8 + 4
    assert same(trim(faded, 8, 16), trim(faded, 16, 24)) or same(trim(faded, 8, 16), trim(faded, 16, 24), 1e-3)
    assert same(faded, concatenate(concatenate(motion, motion, 4), motion, 4), 1e-3)
    cut = motion._replace(shots=torch.tensor([0] * 6 + [1] * 6))
    assert [span.start for span in loop(cut, 3).shot_spans()] == [0, 6, 12, 18, 24, 30]
    assert [span.start for span in loop(cut, 3, 2).shot_spans()] == [0, 6, 16, 26]
    for times, crossfade in ((0, 0), (2, 7), (2, -1), (10**6, 0)):
        with pytest.raises(ReenactError):
            loop(motion, times, crossfade)


def test_blend_between_two():
    one = talking(coded=True)
    two = reverse(one)
    assert same(blend(one, two, 0), one)
    assert same(blend(one, two, 1), two)
    assert same(blend(one, one, 0.3), one, 2e-3)
    middle = blend(one, two, 0.5)
    assert same(middle, reverse(middle), 0.6), "half of each is the same backwards"
    assert frame_count(blend(one, trim(two, 0, 5), 0.5)) == 5
    with pytest.raises(ReenactError, match="share"):
        blend(one, two, 1.2)


def test_low_pass_keeps_rest_and_slow_movement():
    motion = talking(60)
    still = motion._replace(faces=motion.faces.at([0] * 60))
    assert same(low_pass(still, 2), still, 1e-3)
    assert same(low_pass(motion, 1000), motion)
    slow = (low_pass(motion, 12).faces.landmarks - motion.faces.landmarks).norm(dim=-1).mean()
    strong = (low_pass(motion, 1).faces.landmarks - motion.faces.landmarks).norm(dim=-1).mean()
    assert slow < 1
    assert strong > 5 * slow


def test_low_pass_halves_the_power_at_its_cutoff():
    wave = torch.sin(2 * torch.pi * 2 * torch.arange(200) / 50)
    motion = talking(1, 50)
    faces = motion.faces.at([0] * 200)
    faces = faces._replace(landmarks=faces.landmarks + wave[:, None, None])
    passed = low_pass(motion._replace(faces=faces), 2.0).faces.landmarks[50:150, 0, 0]
    kept = (passed - passed.mean()).square().mean() / wave[50:150].square().mean()
    assert float(kept) == pytest.approx(0.5, abs=0.02)


def test_calming_removes_jitter_and_not_the_movement():
    still = talking(1)
    noise = torch.randn(60, 478, 3, generator=torch.Generator().manual_seed(0)) * 0.2
    faces = still.faces.at([0] * 60)
    shaking = still._replace(faces=faces._replace(landmarks=faces.landmarks + noise))
    before = noise[..., :2].square().mean()
    after = (calm(shaking).faces.landmarks - faces.landmarks)[..., :2].square().mean()
    assert after < 0.3 * before
    moving = talking(60)
    change = (calm(moving).faces.landmarks - moving.faces.landmarks)[..., :2].norm(dim=-1).mean()
    assert change < 0.05 * moving.faces.landmarks[..., :2].std(0).norm(dim=-1).mean()


def test_power_of_a_rotation():
    rotation = torch.stack([turned(30, 10, -20), torch.eye(3), turned(179, 0, 0)])
    half = power(rotation, torch.full((3,), 0.5))
    assert torch.allclose(half @ half, rotation, atol=1e-4)
    assert torch.allclose(power(rotation, torch.zeros(3)), torch.eye(3).expand(3, 3, 3), atol=1e-6)
    assert torch.allclose(power(rotation, torch.ones(3)), rotation, atol=1e-4)


def test_single_frames_can_be_edited():
    single: DrivingMotion = trim(talking(), 0, 1)
    assert same(retime(single, 0.5), single)
    assert same(low_pass(single, 1), single, 1e-3)
    assert frame_count(loop(single, 5)) == 5
    assert same(sample_motion(single, torch.tensor([0.0], dtype=torch.float64)), single)


def test_tests_see_a_difference(caplog):
    """`same` is no tautology."""
    caplog.set_level(logging.WARNING)
    assert not same(talking(), reverse(talking()), 1e-3)
