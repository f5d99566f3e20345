"""Agreement of driver and result, measured on faces whose motion is known."""

from __future__ import annotations

import math

import pytest
import torch

from reenact_core.evaluation.agreement import (
    CHANNELS,
    channel_agreement,
    identity_agreement,
    jitter_ratio,
    lip_closure,
    lip_gap,
)
from reenact_core.tracking import BLENDSHAPE_NAMES
from reenact_core.types import Faces

from ..faces import posed_faces, turned

JAW = BLENDSHAPE_NAMES.index("jawOpen")


@pytest.fixture
def driver() -> Faces:
    """A head that swings to both sides while the jaw opens and closes."""
    faces = posed_faces([turned(20 * math.sin(0.4 * t)) for t in range(40)])
    faces.blendshapes[:, JAW] = 0.3 + 0.3 * torch.sin(0.7 * torch.arange(40.0))
    return faces


def by_key(driver: Faces, result: Faces):
    return {agreement.key: agreement for agreement in channel_agreement(driver, result)}


def test_a_copy_agrees_and_what_stands_still_says_nothing(driver):
    found = by_key(driver, driver)
    assert set(found) == {channel.key for channel in CHANNELS}
    assert found["yaw"].correlation == pytest.approx(1)
    assert found["jaw"].slope == pytest.approx(1)
    assert found["blink"].correlation is None


def test_half_the_movement_has_half_the_slope(driver):
    half = driver._replace(blendshapes=driver.blendshapes / 2)
    assert by_key(driver, half)["jaw"].correlation == pytest.approx(1)
    assert by_key(driver, half)["jaw"].slope == pytest.approx(0.5)
    against = driver._replace(blendshapes=1 - driver.blendshapes)
    assert by_key(driver, against)["jaw"].correlation == pytest.approx(-1)


def test_frames_without_a_face_are_left_out(driver):
    shapes = driver.blendshapes.clone()
    shapes[5] = 9
    found = driver.found.clone()
    found[5] = False
    assert by_key(driver, driver._replace(blendshapes=shapes, found=found))["jaw"].correlation == pytest.approx(1)


def test_lips_that_stay_open_are_counted(driver):
    landmarks = driver.landmarks.clone()
    for upper, lower in ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402)):
        landmarks[:10, lower] = landmarks[:10, upper]
    closed = driver._replace(landmarks=landmarks)
    assert float(lip_gap(closed)[:10].max()) < 1e-6
    assert lip_closure(closed, closed) == (10, 1.0)
    assert lip_closure(closed, driver) == (10, 0.0)
    assert lip_closure(driver, driver) == (0, None)


def test_a_trembling_result_is_restless(driver):
    noise = torch.randn(driver.landmarks.shape, generator=torch.Generator().manual_seed(0))
    assert jitter_ratio(driver, driver, range(40)) == pytest.approx(1)
    trembling = driver._replace(landmarks=driver.landmarks + noise)
    assert (jitter_ratio(driver, trembling, range(40)) or 0) > 2
    landmarks = driver.landmarks.clone()
    landmarks[::2, 152, 1] += 10.0
    talking = driver._replace(landmarks=landmarks)
    aside = driver._replace(landmarks=landmarks + 1000.0)
    assert jitter_ratio(talking, aside, range(40)) == pytest.approx(1, abs=0.01), "wherever the face is"
    assert jitter_ratio(driver.at([0, 1]), driver.at([0, 1]), [0, 1]) is None
    assert jitter_ratio(driver, trembling, range(0, 80, 2)) is None, "no frame follows another"


def test_identity_is_compared_at_like_poses():
    own, other = torch.eye(128)[:2]
    rotation = torch.stack([turned(0)] * 4 + [turned(60)] * 2)
    real = own.repeat(6, 1)
    numbers = torch.arange(6) * 20
    same = identity_agreement(own[None], turned(3)[None], real, rotation, numbers)
    assert same is not None
    assert same.ratio == pytest.approx(1)
    assert identity_agreement(other[None], turned(3)[None], real, rotation, numbers).ratio == pytest.approx(0)
    assert identity_agreement(own[None], turned(-50)[None], real, rotation, numbers) is None
    assert identity_agreement(own[None], turned(3)[None], real, rotation, torch.arange(6)) is None  # neighbours
