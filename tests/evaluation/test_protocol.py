from dataclasses import replace

import pytest
import torch

from reenact_core.errors import ReenactError
from reenact_core.evaluation.protocol import evaluate
from reenact_core.evaluation.result import NEAREST_COPY, ONE_REFERENCE, Method
from reenact_core.evaluation.settings import Settings, select_frames

from .made_up import SIDE, FakeClip, Recorder, encode_motion, stages

SETTINGS = Settings(references=(1, 2, 4), strategies=("shifted", "perfect"), step=5, flicker_runs=2)


SMALL = Settings(references=(2,), strategies=("perfect",), step=5, flicker_runs=1)


@pytest.fixture(scope="module")
def outcome():
    clip = FakeClip()
    recorder = Recorder(clip)
    steps = []
    result = evaluate(
        [clip],
        stages(clip, recorder),
        SETTINGS,
        about={"model": "fake"},
        progress=lambda *step: steps.append(step),
    )
    return result, recorder, steps


def values(result, name, references, region="head", kind="strategy"):
    line = [s for s in result.summary if s.method == Method(name, kind, references) and s.region == region]
    assert len(line) == 1
    return {key: interval.mean for key, interval in line[0].values.items()}


def test_every_method_is_asked_once_with_frames_of_the_second_half(outcome):
    _, recorder, _ = outcome
    asked = sorted((count, strategy) for count, _, strategy in recorder.calls)
    assert asked == [(1, "shifted"), (2, "perfect"), (2, "shifted"), (4, "perfect"), (4, "shifted")]
    assert all(min(indices) >= 20 for _, indices, _ in recorder.calls)
    assert len({indices for _, indices, _ in recorder.calls}) == 1


def test_perfect_results_score_perfectly_in_every_region(outcome):
    result, _, _ = outcome
    for region in ("full", "head", "face"):
        found = values(result, "perfect", 4, region)
        assert found["psnr"] > 50  # the truth is kept in 8 bits
        assert found["l1"] < 0.003
        assert found["ssim"] > 0.99
        assert found["flicker"] == pytest.approx(1, abs=0.1)
    head = values(result, "perfect", 4)
    assert (head["akd"], head["iris"], head["lost"]) == (0, 0, 0)


def test_error_falls_with_references(outcome):
    result, _, _ = outcome
    single = values(result, ONE_REFERENCE, 1, kind="baseline")
    assert single["l1"] == pytest.approx(0.08, abs=0.003)
    assert values(result, "shifted", 4)["l1"] == pytest.approx(0.02, abs=0.003)
    gains = [s.gains for s in result.summary if s.method == Method("shifted", "strategy", 4) and s.region == "head"]
    assert gains[0]["l1"].mean == pytest.approx(-0.06, abs=0.004)


def test_nearest_copy_shows_the_reference_of_nearest_pose(outcome):
    result, _, _ = outcome
    clip = FakeClip()
    record = result.clips[0]
    for count in (1, 2, 4):
        given = record.references[:count]
        nearest = max(given)  # the head turns on and on, so the latest frame is nearest to the second half
        expected = float(
            torch.stack([(clip.images[nearest] - clip.images[t]).abs().mean() for t in record.sampled]).mean()
        )
        assert values(result, NEAREST_COPY, count, "full", "baseline")["l1"] == pytest.approx(expected, abs=0.003)


def test_record_says_what_was_done(outcome):
    result, recorder, _ = outcome
    record = result.clips[0]
    assert (record.frames, record.width, record.height, record.frame_rate) == (40, SIDE, SIDE, 25.0)
    assert record.references == (1, 4, 7, 10)
    assert record.sampled == (22, 27, 32, 37)
    assert record.flicker_triples > 0
    assert set(record.sampled) < set(recorder.calls[0][1])
    assert result.about == {"model": "fake"}


def test_progress_counts_up_to_the_total(outcome):
    _, _, steps = outcome
    done = [step[0] for step in steps]
    assert done == sorted(done)
    assert steps[-1][0] == steps[-1][1] == 8  # 3 copies, one reference, 2 x 2 fusions


def test_columns_of_absent_networks_are_absent(outcome):
    result, _, _ = outcome
    keys = [column.key for column in result.columns]
    assert "psnr" in keys
    assert "lpips" not in keys
    assert "identity_sface" not in keys


def test_full_frames_too_small_for_ms_ssim_have_none(outcome):
    result, _, _ = outcome
    rows = {row.region: row for row in result.rows}
    assert rows["full"].values["ms_ssim"] is None
    assert rows["head"].values["ms_ssim"] is not None


def test_lost_faces_are_counted_and_leave_no_landmark_distance():
    clip = FakeClip()
    black = lambda references, motion, indices, strategy: (torch.zeros(1, 3, SIDE, SIDE) for _ in indices)  # noqa: E731
    result = evaluate([clip], stages(clip, black), SMALL)
    found = values(result, "perfect", 2)
    assert found["lost"] == 1
    assert "akd" not in found


def test_flickering_result_has_a_larger_ratio_than_a_smooth_one():
    clip = FakeClip()

    def flickering(references, motion, indices, strategy):
        sign = 1 if strategy == "perfect" else -1
        for index in indices:
            yield clip.images[index : index + 1] + (0.05 * (-1) ** index if sign < 0 else 0.05)

    result = evaluate([clip], stages(clip, flickering), replace(SMALL, strategies=("shifted", "perfect")))
    for region in ("full", "head", "face"):
        assert values(result, "shifted", 2, region)["flicker"] > 2
        assert values(result, "perfect", 2, region)["flicker"] == pytest.approx(1, abs=0.1)


def test_frozen_truth_has_no_flicker_ratio():
    clip = FakeClip()
    clip.images = clip.images[:1].repeat(40, 1, 1, 1)
    result = evaluate([clip], stages(clip), SMALL)
    assert all(row.values["flicker"] is None for row in result.rows)


def test_fewer_references_than_asked_become_a_note():
    clip = FakeClip(count=12)
    result = evaluate([clip], stages(clip), SETTINGS)
    assert {row.method.references for row in result.rows} == {1, 2}
    assert any("only 2 references" in note and "R=4" in note for note in result.notes)


def test_a_clip_that_fails_is_a_note_and_all_failing_is_an_error():
    good, short = FakeClip("good"), FakeClip("short", count=5)
    result = evaluate([short, good], stages(good, encode_motion=lambda c, r: encode_motion(good)(c, r)), SMALL)
    assert [clip.name for clip in result.clips] == ["good"]
    assert any("short was left out: it has 5 frames" in note for note in result.notes)
    with pytest.raises(ReenactError, match="None of the 1 clips"):
        evaluate([short], stages(short), SMALL)


def test_frames_without_a_face_are_skipped_and_counted():
    clip = FakeClip(without_face=(22, 23, 24, 25, 26, 27))
    result = evaluate([clip], stages(clip), SMALL)
    assert result.clips[0].sampled == (32, 37)
    assert result.clips[0].without_face == 2
    hidden = FakeClip(without_face=tuple(range(20, 40)))
    with pytest.raises(ReenactError, match="no sampled frame"):
        evaluate([hidden], stages(hidden), SMALL)


def test_pictures_of_the_middle_frame_on_request():
    clip = FakeClip()
    result = evaluate([clip], stages(clip), Settings((2,), ("perfect",), step=5, pictures=True))
    (pictures,) = result.pictures
    assert pictures.frame in result.clips[0].sampled
    assert [str(method) for method, _ in pictures.results] == [
        "nearest copy, R=1", "nearest copy, R=2", "one reference, R=1", "perfect, R=2",
    ]  # fmt: skip
    assert torch.allclose(pictures.results[-1][1], pictures.truth, atol=0.005)


@pytest.mark.parametrize(
    ("count", "changes", "sampled"),
    [
        (100, {"step": 10}, [55, 65, 75, 85, 95]),
        (1000, {"step": 10, "most_frames": 5}, [550, 650, 750, 850, 950]),
        (9, {"step": 50}, [7]),
        (8, {"step": 1}, [4, 5, 6, 7]),
    ],
)
def test_selection_of_frames(count, changes, sampled):
    settings = Settings(strategies=("x",), flicker_runs=0, **changes)
    selection = select_frames([True] * count, settings)
    assert list(selection.indices) == sampled
    assert all(selection.sampled)


@pytest.mark.parametrize("runs", [1, 2, 4, 50])
def test_flicker_runs_are_consecutive_and_bounded(runs):
    selection = select_frames([True] * 200, Settings(strategies=("x",), step=10, flicker_runs=runs))
    extra = [i for i, sampled in zip(selection.indices, selection.sampled, strict=True) if not sampled]
    assert 0 < len(extra) <= 4 * runs
    assert max(selection.indices) < 200
    assert min(selection.indices) >= 100
    present = set(selection.indices)
    assert all({i - 1, i + 1} & present for i in extra)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ()}, "strategy"),
        ({"references": ()}, "references"),
        ({"references": (0, 2)}, "references"),
        ({"step": 0}, "step"),
        ({"most_frames": 0}, "most_frames"),
        ({"full_side": -1}, "full_side"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ReenactError, match=message):
        Settings(**{"strategies": ("x",)} | changes)
