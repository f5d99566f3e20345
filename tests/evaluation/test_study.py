"""The study on made-up clips: what it keeps, what it computes again, what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
import torch

from reenact_core.errors import ReenactError
from reenact_core.evaluation.added_reference import (
    BLURRED,
    GOOD,
    KINDS,
    OTHER_PERSON,
    WRONG_LIGHT,
    blurred,
    lit_from_one_side,
)
from reenact_core.evaluation.settings import Settings
from reenact_core.evaluation.study import Share, StudiedModel, first_face, read_part, study, weights_signature
from reenact_core.evaluation.study_report import to_html, to_json, write_report
from reenact_core.evaluation.verdict import added_intervals, verdict_lines

from ..faces import texture
from .made_up import SIDE, FakeClip, Recorder, encode_motion, stages, track

SETTINGS = Settings((4,), ("shifted", "perfect"), most_frames=1, flicker_runs=0, full_side=None)


class StudyClip(FakeClip):
    """A made-up clip that can be told from others."""

    def __init__(self, name: str, count: int = 40) -> None:
        super().__init__(name, count)
        self.signature = f"{name} of {count}"


@dataclass
class Bench:
    """A fake model whose calls are counted, by clip length."""

    clips: list[StudyClip]
    asked: int = 0
    fails_on: str = ""

    def stages(self):
        self.asked += 1
        by_count = {clip.count: clip for clip in self.clips}

        def encode(chunks, frame_rate: Fraction):
            frames = torch.cat(list(chunks))
            clip = by_count[len(frames)]
            if clip.name == self.fails_on:
                raise ReenactError("it is broken.")
            self.current = clip
            return encode_motion(clip)([frames], frame_rate)

        def reconstruct(references, motion, indices, strategy):
            yield from Recorder(self.current)(references, motion, indices, strategy)

        return stages(self.clips[0], reconstruct, encode_motion=encode)

    def model(self, name: str = "fake", default: str = "perfect", signature: str = "w1") -> StudiedModel:
        return StudiedModel(name, default, signature, self.stages)


def clips() -> list[StudyClip]:
    return [StudyClip("a", 40), StudyClip("b", 48), StudyClip("c", 56)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    bench = Bench(clips())
    steps = []
    found = study(bench.clips, [bench.model()], SETTINGS, folder, progress=lambda *step: steps.append(step))
    return folder, bench, found, steps


def test_every_clip_and_method_is_measured(kept):
    _, _, (found,), _ = kept
    methods = {(row.clip, row.method.name, row.method.references) for row in found.result.rows}
    for clip in "abc":
        assert {(clip, "shifted", 4), (clip, "perfect", 4), (clip, "one reference", 1)} <= methods
    assert {row.region for row in found.result.rows} == {"head", "face"}


def test_progress_reaches_the_total(kept):
    _, _, _, steps = kept
    done = [step[0] for step in steps]
    assert done == sorted(done)
    assert done[-1] == steps[-1][1]


def test_one_more_reference_is_measured_for_every_strategy_and_kind(kept):
    _, _, (found,), _ = kept
    assert {(line.clip, line.strategy, line.kind) for line in found.added} == {
        (clip, strategy, kind) for clip in "abc" for strategy in SETTINGS.strategies for kind in KINDS
    }
    # The fake's error is 0.08 / R whatever the pictures are: 20 log10(4 / 3) dB better with one more.
    for kind in KINDS:
        change, lpips = added_intervals(found.added, "shifted", kind)
        assert change.mean == pytest.approx(2.5, abs=0.1)
        assert lpips is None
        assert added_intervals(found.added, "perfect", kind)[0].mean == pytest.approx(0, abs=0.01)


def test_nothing_is_measured_twice(kept, monkeypatch):
    folder, _, (found,), _ = kept
    again = Bench(clips())
    (same,) = study(again.clips, [again.model()], SETTINGS, folder)
    assert again.asked == 0
    assert same.result == found.result
    assert same.added == found.added


def test_only_the_lost_clip_is_measured_again(kept):
    folder, _, (found,), _ = kept
    (folder / "parts" / "fake" / "b.json").write_text(
        '{"schema": "reenact-st'
    )  # as a crash would leave no file of ours
    again = Bench(clips())
    (same,) = study(again.clips, [again.model()], SETTINGS, folder)
    assert again.asked == 1
    assert again.current.name == "b"
    assert same.result.rows == found.result.rows


@pytest.mark.parametrize("change", ["weights", "settings", "about", "clip"])
def test_other_circumstances_make_old_figures_void(tmp_path, change):
    bench = Bench(clips()[:1])
    study(bench.clips, [bench.model()], SETTINGS, tmp_path)
    if change == "clip":
        bench.clips[0].signature = "a, but longer"
    study(
        bench.clips,
        [bench.model(signature="w2" if change == "weights" else "w1")],
        replace(SETTINGS, step=9) if change == "settings" else SETTINGS,
        tmp_path,
        about={"size": "64"} if change == "about" else None,
    )
    assert bench.asked == 2


def test_a_clip_that_fails_is_a_note_and_the_others_stay(tmp_path):
    bench = Bench(clips(), fails_on="b")
    (found,) = study(bench.clips, [bench.model()], SETTINGS, tmp_path)
    assert [clip.name for clip in found.result.clips] == ["a", "c"]
    assert any("b was left out: it is broken" in note for note in found.result.notes)
    assert not (tmp_path / "parts" / "fake" / "b.json").exists()
    with pytest.raises(ReenactError, match="none of the 1 clips"):
        study(bench.clips[1:2], [bench.model()], SETTINGS, tmp_path)


def test_equal_names_are_refused(tmp_path):
    bench = Bench(clips())
    with pytest.raises(ReenactError, match="Two clips are called a"):
        study([bench.clips[0], bench.clips[0]], [bench.model()], SETTINGS, tmp_path)
    with pytest.raises(ReenactError, match="Two models are called fake"):
        study(bench.clips, [bench.model(), bench.model()], SETTINGS, tmp_path)


def test_one_clip_has_no_stranger_and_no_interval(tmp_path):
    bench = Bench(clips()[:1])
    (found,) = study(bench.clips, [bench.model()], SETTINGS, tmp_path)
    assert {line.kind for line in found.added} == {GOOD, BLURRED, WRONG_LIGHT}
    assert any("one clip" in note for note in found.result.notes)
    assert all(line.low is None for summary in found.result.summary for line in summary.values.values())
    to_html([found], {}, tmp_path)


def test_the_verdict_names_what_is_ahead(kept, tmp_path):
    _, _, (found,), _ = kept
    assert ("best", "PSNR, head, R=4: the default, perfect, is the best of 2 strategies") in verdict_lines(found)
    bench = Bench(clips()[:2])
    (worse,) = study(bench.clips, [bench.model(default="shifted")], SETTINGS, tmp_path)
    texts = [text for _, text in verdict_lines(worse)]
    assert any("within noise of the best, perfect (+" in text for text in texts)  # two clips are few
    assert any(text.startswith("4 references against one: +") for text in texts)


def test_report_is_whole_and_names_are_escaped(tmp_path):
    bench = Bench([StudyClip("<i>x", 40), StudyClip("y", 48)])
    found = study(
        bench.clips, [bench.model("one"), bench.model("two", "shifted")], replace(SETTINGS, flicker_runs=1), tmp_path
    )
    write_report(found, {"working size": "64"}, tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "<i>x" not in page
    for text in ("&lt;i&gt;x", "<h2>Models</h2>", "A bad reference", "Flicker over time", "is the best of 2"):
        assert text in page
    tree = json.loads((tmp_path / "study.json").read_text())
    assert tree == json.loads(to_json(found, {"working size": "64"}))
    assert set(tree["models"]) == {"one", "two"}
    assert {line["kind"] for line in tree["models"]["one"]["added"]} == set(KINDS)
    for name in ("one", "two"):
        assert len(list((tmp_path / "pictures" / name).iterdir())) == 2
    assert not list(tmp_path.rglob("*.part"))


def test_a_part_of_another_kind_is_not_read(tmp_path):
    path = tmp_path / "x.json"
    assert read_part(path, {}) is None
    for text in ("", "[]", "{}", '{"schema": "reenact-study-part/1", "fingerprint": {}}'):
        path.write_text(text)
        assert read_part(path, {}) is None


def test_first_face_skips_frames_without_one():
    clip = FakeClip()
    clip.images[:3] = 0
    assert torch.equal(first_face(clip, track), clip.images[3])
    clip.images[:] = 0
    assert first_face(clip, track) is None


def test_signature_follows_the_weights():
    one, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    other.load_state_dict(one.state_dict())
    assert weights_signature(one) == weights_signature(other)
    with torch.no_grad():
        other.bias[0] += 1e-3
    assert weights_signature(one) != weights_signature(other)


def test_spoiled_pictures_are_spoiled_as_named():
    image = texture(SIDE, SIDE)
    image = 0.5 * image + 0.5 * torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    landmarks = torch.rand(478, 3, generator=torch.Generator().manual_seed(0)) * 60 + 18
    soft, lit = blurred(image, landmarks), lit_from_one_side(image, landmarks)
    assert soft.diff(dim=2).abs().mean() < 0.5 * image.diff(dim=2).abs().mean()
    assert float(soft.mean()) == pytest.approx(float(image.mean()), abs=0.01)
    gain = (lit / image).mean(dim=(0, 1))
    assert float(gain[:10].mean()) < 0.5
    assert float(gain[-10:].mean()) > 1
    assert lit[0].mean() / image[0].mean() > lit[2].mean() / image[2].mean()


def test_kinds_begin_with_the_good_one():
    assert KINDS[0] == GOOD
    assert set(KINDS[1:]) == {OTHER_PERSON, BLURRED, WRONG_LIGHT}


def test_shares_make_the_same_study(kept, tmp_path):
    """Each share measures its clips only; the last run measures nothing."""
    _, _, (found,), _ = kept
    for number, names in ((1, {"a", "c"}), (2, {"b"})):
        bench = Bench(clips())
        (part,) = study(bench.clips, [bench.model()], SETTINGS, tmp_path, share=Share.parse(f"{number}/2"))
        assert {clip.name for clip in part.result.clips} == names
    last = Bench(clips())
    (merged,) = study(last.clips, [last.model()], SETTINGS, tmp_path)
    assert last.asked == 0
    assert merged.result.rows == found.result.rows
    assert merged.added == found.added


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/2/3"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ReenactError, match="must be like 1/2"):
        Share.parse(text)


def test_an_empty_share_is_refused(tmp_path):
    bench = Bench(clips()[:1])
    with pytest.raises(ReenactError, match="Share 2/2 of 1 clips is empty"):
        study(bench.clips, [bench.model()], SETTINGS, tmp_path, share=Share(2, 2))
