"""Fusion weights of a real clip flicker less with smoothing, and less still with hysteresis."""

from __future__ import annotations

import pytest

from reenact_core.motion_models import load_model
from reenact_core.steadiness import Smoothing
from scripts.measure_flicker import flicker, warped_samples

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def warped(tracker):
    return warped_samples(tracker, load_model("face_mesh"))


@pytest.mark.parametrize("name", ["learned", "confidence", "nearest"])
def test_the_defaults_calm_the_weights(warped, name):
    plain, smooth, usual = (
        flicker(warped, name, settings) for settings in (Smoothing(0.0), Smoothing(0.6, 0.0), Smoothing())
    )
    assert smooth < 0.6 * plain
    assert usual < 0.95 * smooth
