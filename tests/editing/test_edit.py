"""Settings of Edit Motion, and gains on whole motions."""

from __future__ import annotations

import logging

import pytest
import torch

from reenact_core.editing import Edit, apply_gains, edit, retime, reverse, trim
from reenact_core.errors import ReenactError
from reenact_core.head_channels import Gains
from reenact_core.pose import euler_degrees
from reenact_core.tracking import BLENDSHAPE_NAMES

from .motions import same, talking


def test_defaults_change_nothing():
    motion = talking(coded=True)
    assert edit(motion, Edit()) is motion
    assert apply_gains(motion, Gains()) is motion


def test_settings_are_the_functions_in_their_order():
    motion = talking(coded=True)
    assert same(edit(motion, Edit(start=2, stop=9)), trim(motion, 2, 9))
    assert same(edit(motion, Edit(reverse=True)), reverse(motion))
    both = edit(motion, Edit(start=2, stop=9, reverse=True, speed=0.5))
    assert same(both, retime(reverse(trim(motion, 2, 9)), 0.5))
    assert edit(motion, Edit(frame_rate=50)).frame_rate == 50
    assert len(edit(motion, Edit(loop=3, crossfade=2)).faces.score) == 32
    assert len(edit(motion, Edit(length=1.0)).faces.score) == 25
    assert len(edit(motion, Edit(calm=True, low_pass=5)).faces.score) == 12


def test_gain_zero_of_everything_is_the_neutral_frame():
    motion = talking()
    still = apply_gains(motion, Gains(yaw=0, pitch=0, roll=0, translation=0, scale=0, expression=0))
    for after, neutral in zip(still.faces[:3], motion.neutral[:3]):
        assert torch.allclose(after, neutral.expand_as(after), atol=2e-3)


@pytest.mark.parametrize("name", ["yaw", "pitch", "roll"])
def test_one_angle_can_be_stilled(name):
    motion = talking()
    column = ("yaw", "pitch", "roll").index(name)
    stilled = euler_degrees(apply_gains(motion, Gains(**{name: 0})).faces.rotation)
    assert stilled[:, column].std() < 0.15 * euler_degrees(motion.faces.rotation)[:, column].std()


def test_untouched_channels_stay():
    motion = talking()
    less = apply_gains(motion, Gains(mouth=0.5))
    assert torch.equal(less.faces.rotation, motion.faces.rotation)
    assert torch.allclose(less.faces.landmarks[:, [10, 33, 263]], motion.faces.landmarks[:, [10, 33, 263]], atol=0.5)
    jaw = BLENDSHAPE_NAMES.index("jawOpen")
    assert torch.allclose(less.faces.blendshapes[:, jaw], motion.faces.blendshapes[:, jaw] / 2)


def test_gains_in_a_row_multiply():
    motion = talking()
    twice = apply_gains(apply_gains(motion, Gains(yaw=0.5, expression=0.5)), Gains(yaw=0.5, expression=0.5))
    once = apply_gains(motion, Gains(yaw=0.25, expression=0.25))
    assert torch.allclose(twice.faces.landmarks, once.faces.landmarks, atol=0.1)


def test_a_doubled_gain_can_be_taken_back():
    motion = talking()
    there = apply_gains(motion, Gains(translation=2, scale=2, yaw=1.5))
    back = apply_gains(there, Gains(translation=0.5, scale=0.5, yaw=1 / 1.5))
    assert torch.allclose(back.faces.landmarks, motion.faces.landmarks, atol=0.1)


def test_codes_are_left_out_with_a_warning(caplog):
    caplog.set_level(logging.WARNING)
    assert apply_gains(talking(coded=True), Gains(yaw=0.5)).code is None
    assert "face_mesh" in caplog.text


@pytest.mark.parametrize("settings", [{"speed": 0.0}, {"loop": 0}, {"low_pass": -1.0}, {"crossfade": -2}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ReenactError):
        Edit(**settings)
