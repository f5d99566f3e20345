"""Transfer with known truth: made-up people, and one pair of rendered ones."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from reenact_core.errors import ReenactError
from reenact_core.evaluation.exact import FrameClip, Performance, prepare_performance
from reenact_core.evaluation.networks import MetricNetworks
from reenact_core.evaluation.protocol import evaluate_prepared
from reenact_core.evaluation.result import Method
from reenact_core.evaluation.settings import Settings

from .made_up import FakeClip, Recorder, encode_motion, stages

DATA = Path(os.environ.get("REENACT_DATA", Path(__file__).parents[3] / "shared" / "data"))
SETTINGS = Settings((2,), ("shifted", "perfect"), step=8, flicker_runs=0, full_side=None)


def performance(count: int = 40) -> tuple[Performance, FakeClip]:
    """A driver and a person of other pictures, whose motion is told by the number of frames."""
    driver, person = FakeClip("driver"), FakeClip("person")
    person.images = person.images.flip(2)[:count]
    truth = FrameClip("truth", person.images, Fraction(25))
    return Performance("pair", driver, truth, tuple(person.images[[0, 9]])), person


def test_the_truth_is_the_person_and_the_motion_the_drivers():
    pair, person = performance()
    seen = []

    def reconstruct(references, motion, indices, strategy):
        seen.append((motion.floating, len(references)))
        assert torch.equal(motion.neutral.rotation, motion.faces.rotation[:1])
        yield from Recorder(person)(references, motion, indices, strategy)

    given = stages(FakeClip("driver"), reconstruct)
    result = evaluate_prepared([pair], prepare_performance, given, SETTINGS)
    found = {line.method: line.values["psnr"].mean for line in result.select("head") if line.method.kind == "strategy"}
    assert found[Method("perfect", "strategy", 2)] > 50
    assert found[Method("shifted", "strategy", 2)] == pytest.approx(28, abs=0.3)  # 20 log10(1 / 0.04)
    assert set(seen) == {(False, 1), (False, 2)}
    assert min(result.clips[0].sampled) < 20  # the whole performance, not its second half


def test_performances_of_different_length_are_refused():
    pair, _ = performance(30)
    lengths = iter([FakeClip(), FakeClip(count=30)])
    given = stages(FakeClip(), encode_motion=lambda chunks, rate: encode_motion(next(lengths))(chunks, rate))
    with pytest.raises(ReenactError, match="40 and 30 frames"):
        prepare_performance(pair, given, SETTINGS, MetricNetworks(), 2, lambda text: None)


@pytest.mark.slow
def test_the_true_frames_of_rendered_people_score_perfectly(tracker):
    pytest.importorskip("moderngl")
    if not (DATA / "avatars" / "mh_heads.npz").is_file():
        pytest.skip("avatars absent from REENACT_DATA")
    from reenact_core.evaluation.avatar_pairs import avatar_pairs
    from reenact_core.evaluation.stages import Stages
    from reenact_core.motion import encode_motion as follow

    (pair,) = avatar_pairs(DATA / "avatars", 1, 2, size=256)
    assert pair.driver.images.shape == pair.truth.images.shape == (60, 3, 256, 256)
    assert not torch.equal(pair.driver.images, pair.truth.images)
    assert float((pair.references[0] - pair.truth.images[0]).abs().mean()) < 0.01  # both at rest

    def perfect(references, motion, indices, strategy):
        yield from (frame[None] for frame in pair.truth.frames(indices))

    given = Stages(lambda chunks, rate: follow(chunks, rate, tracker), None, perfect, tracker.track_images)
    settings = replace(SETTINGS, strategies=("perfect",), most_frames=3)
    result = evaluate_prepared([pair], prepare_performance, given, settings)
    found = {line.method.name: line.values for line in result.select("head") if line.method.references == 2}
    assert found["perfect"]["psnr"].mean > 50
    assert found["perfect"]["akd"].mean < 0.5
    assert found["nearest copy"]["psnr"].mean < 40
