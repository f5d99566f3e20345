"""Verdicts on made-up figures."""

from __future__ import annotations

import pytest

from reenact_core.evaluation.added_reference import BLURRED, GOOD, OTHER_PERSON, AddedReference
from reenact_core.evaluation.result import COLUMNS, Method, Row
from reenact_core.evaluation.verdict import BEATEN, BEST, NOISE, advantages, judge, worst_added

PSNR, LPIPS, FLICKER = (next(c for c in COLUMNS if c.key == key) for key in ("psnr", "lpips", "flicker"))


def rows(key: str, **values: list[float]) -> list[Row]:
    """One row per strategy and clip, R = 4, head."""
    return [
        Row(f"clip {number}", Method(name, "strategy", 4), "head", 5, {key: value})
        for name, several in values.items()
        for number, value in enumerate(several)
    ]


NAMES = ("ours", "other", "third")


def verdict(column, **values):
    return judge(rows(column.key, **values), "head", column, NAMES, "ours", 4)


def test_best_where_nobody_has_a_better_mean():
    found = verdict(PSNR, ours=[20, 25, 30], other=[19, 24.5, 30], third=[21, 22, 28])
    assert (found.outcome, found.rival) == (BEST, None)


def test_beaten_where_every_clip_says_so_however_much_clips_differ():
    found = verdict(PSNR, ours=[10, 25, 40] * 2, other=[10.2, 25.3, 40.1] * 2, third=[9] * 6)
    assert (found.outcome, found.rival) == (BEATEN, "other")
    assert found.lead.mean == pytest.approx(0.2)
    assert found.lead.low > 0


def test_noise_where_clips_disagree():
    found = verdict(PSNR, ours=[20, 20, 20], other=[21, 19.9, 19.5], third=[1, 1, 1])
    assert (found.outcome, found.rival) == (NOISE, "other")


def test_a_certain_small_lead_goes_before_a_large_uncertain_one():
    found = verdict(PSNR, ours=[20] * 6, other=[20.1] * 6, third=[26, 19, 19, 26, 19, 19])
    assert (found.outcome, found.rival) == (BEATEN, "other")


@pytest.mark.parametrize(("clips", "outcome"), [(1, NOISE), (5, NOISE), (6, BEATEN)])
def test_few_clips_are_never_certain(clips, outcome):
    assert verdict(PSNR, ours=[20] * clips, other=[25] * clips).outcome == outcome


def test_lower_is_better_for_distances_and_one_for_flicker():
    assert verdict(LPIPS, ours=[0.1, 0.2], other=[0.2, 0.3]).outcome == BEST
    assert verdict(LPIPS, ours=[0.2, 0.3] * 3, other=[0.1, 0.2] * 3).outcome == BEATEN
    assert verdict(FLICKER, ours=[0.9, 1.1], other=[0.5, 0.5], third=[1.6, 1.7]).outcome == BEST


def test_only_clips_that_both_have_count():
    found = rows("psnr", ours=[20, 30], other=[21])
    gain = advantages(found, "head", PSNR, Method("other", "strategy", 4), Method("ours", "strategy", 4))
    assert (gain.mean, gain.clips) == (1, 1)
    assert judge(found, "head", PSNR, NAMES, "absent", 4) is None
    assert judge(found, "face", PSNR, NAMES, "ours", 4) is None


def test_worst_bad_reference():
    lines = [
        AddedReference("a", "ours", GOOD, -9.0, None),
        AddedReference("a", "ours", BLURRED, -0.1, None),
        AddedReference("a", "ours", OTHER_PERSON, -0.4, None),
        AddedReference("b", "ours", OTHER_PERSON, -0.2, None),
        AddedReference("a", "other", BLURRED, -5.0, None),
    ]
    kind, change = worst_added(lines, "ours")
    assert (kind, change.mean) == (OTHER_PERSON, pytest.approx(-0.3))
    assert worst_added(lines, "absent") is None
