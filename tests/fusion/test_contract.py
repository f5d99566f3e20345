"""What every fusion strategy must keep, run over the registry: a new strategy file is tested on arrival."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields

import pytest
import torch
from PIL import Image

from reenact_core.commands.options import add_strategy, chosen_strategy
from reenact_core.errors import ReenactError
from reenact_core.fusion import FusionStrategy, strategy_class, strategy_names
from reenact_core.fusion import base as fusion_base
from reenact_core.fusion.base import apply_prior, match_size, parameter
from reenact_core.fusion.regional import Regional
from reenact_core.fusion.strengths import settle
from reenact_core.types import Evidence
from reenact_core.video import VideoReader

from ..faces import ROOT, random_evidence

SEEDS = (0, 1)
symmetric_names = [name for name in strategy_names() if strategy_class(name).symmetric]
every_strategy = pytest.mark.parametrize("name", strategy_names())


def fused(name: str, evidence: Evidence) -> tuple[torch.Tensor, torch.Tensor]:
    strategy = strategy_class(name)()
    weights = settle(strategy, evidence)
    return strategy.fuse(evidence, weights), weights


def pick(evidence: Evidence, references: list[int]) -> Evidence:
    return evidence.of(references)


def test_the_promised_strategies_are_there():
    assert {"mean", "max", "nearest", "confidence", "median", "multiband", "learned"} <= set(strategy_names())


@every_strategy
@pytest.mark.parametrize("scores", [True, False], ids=["scores", "no_scores"])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_weights_are_a_partition_of_unity(name, count, scores):
    evidence = random_evidence(count=count, scores=scores)
    weights = strategy_class(name)().weights(evidence)
    frames, references, bands = weights.shape[:3]
    assert (frames, references) == (2, count)
    assert bands in (1, 3)
    assert weights.shape[-2:] in ((1, 1), evidence.confidence.shape[-2:], evidence.features.shape[-2:])
    assert weights.isfinite().all()
    assert (weights >= 0).all()
    assert torch.allclose(weights.sum(1), torch.ones_like(weights[:, 0]), atol=1e-5)


@every_strategy
@pytest.mark.parametrize("size", [64, 100, 128, 200, 256], ids=str)
def test_one_reference_is_returned_as_it_is(name, size):
    evidence = random_evidence(frames=1, count=1, size=size)
    result, weights = fused(name, evidence)
    assert result.shape == evidence.features[:, 0].shape
    assert torch.allclose(weights, torch.ones_like(weights))
    assert torch.allclose(result, evidence.features[:, 0], atol=1e-5)


@every_strategy
def test_equal_references_give_that_picture_back(name):
    evidence = random_evidence(count=4)
    same = evidence._replace(features=evidence.features[:, :1].expand(-1, 4, -1, -1, -1).contiguous())
    result, _ = fused(name, same)
    # The bands' own weights differ, so what is left is the resampling of the band split.
    assert (result - same.features[:, 0]).abs().mean() < 0.02


@every_strategy
def test_bounds_of_constant_references(name):
    """Between black, grey and white no strategy leaves the range, but for a band's small overshoot at seams."""
    evidence = random_evidence(count=3)
    levels = torch.tensor([0.0, 0.5, 1.0])[None, :, None, None, None]
    result, _ = fused(name, evidence._replace(features=levels.expand_as(evidence.features).contiguous()))
    slack = 0.1 if name in ("multiband", "learned") else 1e-4
    assert result.min() >= -slack
    assert result.max() <= 1 + slack


@pytest.mark.parametrize("name", symmetric_names)
@pytest.mark.parametrize("seed", SEEDS)
def test_order_of_references_does_not_matter(name, seed):
    evidence = random_evidence(count=4, seed=seed)
    order = [2, 0, 3, 1]
    result, weights = fused(name, evidence)
    other, permuted = fused(name, pick(evidence, order))
    assert torch.allclose(weights[:, order].expand_as(permuted), permuted, atol=1e-5)
    assert torch.allclose(result, other, atol=1e-5)


@every_strategy
def test_frames_do_not_influence_each_other(name):
    evidence = random_evidence(frames=3)
    result, weights = fused(name, evidence)
    for t in range(3):
        alone, own = fused(name, Evidence(*(None if f is None else f[t : t + 1] for f in evidence)))
        assert torch.allclose(alone[0], result[t], atol=1e-6)
        assert torch.allclose(own[0], weights[t], atol=1e-6)


@pytest.mark.parametrize("name", [n for n in symmetric_names if n != "multiband"])
def test_every_reference_twice_changes_nothing(name):
    evidence = random_evidence(count=3)
    result, weights = fused(name, evidence)
    doubled, shares = fused(name, pick(evidence, [0, 1, 2, 0, 1, 2]))
    assert torch.allclose(result, doubled, atol=1e-5)
    if name in ("mean", "confidence", "learned", "max"):
        assert torch.allclose(shares[:, :3], weights / 2, atol=1e-6)


def with_strengths(evidence: Evidence, *strengths: float) -> Evidence:
    """As motion models hand it over: what has no strength is ruled out."""
    given = torch.tensor(strengths).expand(len(evidence.features), -1)
    return evidence._replace(strengths=given, prior=evidence.prior * (given > 0)[:, :, None, None, None])


@every_strategy
def test_a_reference_that_is_masked_out_contributes_nothing(name):
    evidence = random_evidence(count=3)
    prior = evidence.prior.clone()
    prior[:, 1] = 0
    _, weights = fused(name, evidence._replace(prior=prior))
    assert not weights[:, 1].any()
    assert torch.allclose(weights.sum(1), torch.ones_like(weights[:, 0]), atol=1e-5)
    poisoned = evidence.features.clone()
    poisoned[:, 1] = 1e3
    result, _ = fused(name, evidence._replace(prior=prior, features=poisoned))
    assert result.max() < 2


@every_strategy
def test_a_reference_of_strength_zero_is_as_if_it_were_not_there(name):
    evidence = random_evidence(count=3)
    poisoned = evidence.features.clone()
    poisoned[:, 1] = 1e3
    result, weights = fused(name, with_strengths(evidence._replace(features=poisoned), 1, 0, 1))
    alone, own = fused(name, pick(evidence, [0, 2]))
    assert not weights[:, 1].any()
    assert torch.allclose(weights[:, [0, 2]], own, atol=1e-5)
    assert torch.allclose(result, alone, atol=1e-4)


@every_strategy
def test_equal_strengths_change_nothing(name):
    evidence = random_evidence(count=3)
    plain, weights = fused(name, evidence)
    for strength in (1.0, 0.3, 5.0):
        result, own = fused(name, with_strengths(evidence, *3 * [strength]))
        assert torch.equal(result, plain)
        assert torch.equal(own, weights)


@every_strategy
@pytest.mark.parametrize("strength", [0.001, 0.5])
def test_a_strength_multiplies_the_weight_at_any_temperature(name, strength):
    """Also where the strategy gives a pixel to this reference alone; the others share the rest as they would alone."""
    evidence = random_evidence(count=3)
    shown = torch.tensor([0.5, 0.9, 0.4]).view(1, 3, 1, 1, 1).expand_as(evidence.confidence)
    evidence = evidence._replace(confidence=shown, prior=torch.ones_like(shown))
    kind = strategy_class(name)
    lowest = kind(**{item.name: item.metadata["min"] for item in fields(kind)})
    for strategy in (kind(), lowest):
        free, rest = strategy.weights(evidence), strategy.weights(pick(evidence, [0, 2]))
        held = settle(strategy, with_strengths(evidence, 1, strength, 1))
        expected = strength * free
        expected[:, [0, 2]] += (1 - strength) * rest
        assert torch.allclose(held, expected.expand_as(held), atol=1e-5)


def test_a_weak_reference_shows_what_no_other_does():
    evidence = random_evidence(count=2, grid=16)
    confidence = torch.full_like(evidence.confidence, 0.8)
    confidence[:, 0, :, :, 8:] = 0.001
    evidence = evidence._replace(confidence=confidence, prior=torch.ones_like(confidence))
    weights = settle(strategy_class("confidence")(), with_strengths(evidence, 1, 1e-3))[:, 1, 0]
    assert weights[:, :, :8].max() < 0.002
    assert weights[:, :, 8:].min() > 0.9


def test_strengths_of_several_levels_and_pins_to_a_reference():
    evidence = with_strengths(random_evidence(count=4), 2, 0.5, 1, 0)
    for name in strategy_names():
        weights = settle(strategy_class(name)(), evidence)
        assert (weights >= 0).all()
        assert torch.allclose(weights.sum(1), torch.ones_like(weights[:, 0]), atol=1e-5)
        assert not weights[:, 3].any()
    pinned = Regional(mouth=3, eyes=2)
    assert pinned.among([0, 2]) == Regional(mouth=2)
    assert pinned.among([0, 1, 2, 3]) == pinned


@every_strategy
def test_half_precision(name):
    exact = random_evidence(count=3)
    half = Evidence(*(None if field is None else field.half() for field in exact))
    result, weights = fused(name, half)
    assert result.dtype == torch.float16
    assert result.isfinite().all()
    assert torch.allclose(weights.float().sum(1), torch.ones_like(weights[:, 0]).float(), atol=5e-3)
    if name in ("mean", "nearest", "confidence", "learned", "multiband"):
        reference, _ = fused(name, exact)
        assert (result.float() - reference).abs().mean() < 5e-3


@every_strategy
def test_lowest_and_highest_parameters_stay_finite(name):
    evidence = random_evidence(count=3)
    evidence = evidence._replace(confidence=evidence.confidence.round(), scores=40 * evidence.scores)
    kind = strategy_class(name)
    for bound in ("min", "max"):
        strategy = kind(**{item.name: item.metadata[bound] for item in fields(kind)})
        for given in (evidence, Evidence(*(None if f is None else f.half() for f in evidence))):
            weights = strategy.weights(given)
            assert weights.isfinite().all()
            assert strategy.fuse(given, weights).isfinite().all()


@pytest.mark.parametrize(
    ("name", "item"), [(name, item) for name in strategy_names() for item in fields(strategy_class(name))]
)
def test_parameters_are_described_and_checked(name, item):
    low, high = item.metadata["min"], item.metadata["max"]
    assert low <= item.default <= high
    assert item.metadata["tooltip"].endswith(".")
    for wrong in (low - 0.001, high + 0.001, float("nan"), float("inf")):
        with pytest.raises(ReenactError, match=item.name):
            strategy_class(name)(**{item.name: wrong})


@every_strategy
def test_strategies_are_described_and_immutable(name):
    strategy = strategy_class(name)()
    assert strategy.name == name == name.lower()
    assert strategy.summary.endswith(".")
    with pytest.raises(AttributeError):
        strategy.name = "other"


def test_unknown_strategy_names_the_known_ones():
    with pytest.raises(ReenactError, match=r"nonsense.*confidence"):
        strategy_class("nonsense")


def test_confidence_prefers_the_confident_and_nearest_the_near():
    evidence = random_evidence(count=3)
    confidence = torch.tensor([0.2, 0.9, 0.3])[None, :, None, None, None].expand_as(evidence.confidence)
    distance = torch.tensor([[3.0, 1.0, 2.0], [0.5, 1.0, 2.0]])
    evidence = evidence._replace(confidence=confidence, distance=distance)
    assert strategy_class("confidence")().weights(evidence)[:, 1].min() > 0.9
    sharp = strategy_class("confidence")(temperature=0.05).weights(evidence)
    soft = strategy_class("confidence")(temperature=1.0).weights(evidence)
    assert sharp[:, 1].min() > soft[:, 1].max()
    nearest, _ = fused("nearest", evidence)
    assert torch.equal(nearest[0], evidence.features[0, 1])
    assert torch.equal(nearest[1], evidence.features[1, 0])


def test_max_and_median_are_what_they_say():
    evidence = random_evidence(count=5)
    assert torch.allclose(fused("max", evidence)[0], evidence.features.amax(1))
    assert torch.allclose(fused("median", evidence)[0], evidence.features.median(1).values)
    even = pick(evidence, [0, 1, 2, 3])
    assert torch.allclose(fused("median", even)[0], even.features.quantile(0.5, dim=1), atol=1e-5)


@pytest.mark.parametrize("name", ["max", "median"])
def test_where_a_mask_forbids_a_reference_the_others_are_ranked(name):
    evidence = random_evidence(count=3)
    prior = evidence.prior.clone()
    prior[:, 1, :, :8] = 0
    prior[..., 8:] = 0  # here all are forbidden, so all count
    result, _ = fused(name, evidence._replace(prior=prior))
    half = evidence.features.shape[-1] // 2
    two, _ = fused(name, pick(evidence, [0, 2]))
    three, _ = fused(name, evidence)
    assert torch.allclose(result[..., :half, :half], two[..., :half, :half], atol=1e-5)
    assert torch.allclose(result[..., half:], three[..., half:])
    assert torch.allclose(result[..., half:, :half], three[..., half:, :half])


def test_multiband_is_sharper_than_the_mean():
    """Two references that disagree by half a period: the mean cancels fine detail, bands keep one reference's."""
    evidence = random_evidence(frames=1, count=2, size=256, grid=64)
    fine = (torch.arange(256) % 2).float().expand(1, 1, 3, 256, 256)
    features = torch.cat([fine, 1 - fine], 1)
    confidence = torch.cat([torch.full((1, 1, 1, 64, 64), 0.8), torch.full((1, 1, 1, 64, 64), 0.5)], 1)
    evidence = evidence._replace(features=features, confidence=confidence)
    assert fused("mean", evidence)[0].std() < 1e-4
    assert fused("multiband", evidence)[0].std() > 0.45


def test_a_prior_of_nothing_leaves_the_strategys_choice():
    evidence = random_evidence(count=3)
    weights = strategy_class("confidence")().weights(evidence)
    assert torch.allclose(apply_prior(weights, torch.zeros_like(evidence.prior)), weights)


def test_where_the_chosen_reference_is_ruled_out_the_prior_decides():
    weights = torch.zeros(1, 3, 1, 1, 1)
    weights[:, 0] = 1
    prior = torch.tensor([0.0, 1.0, 3.0])[None, :, None, None, None].expand(1, 3, 1, 4, 4)
    combined = apply_prior(weights, prior)
    assert torch.allclose(combined[0, :, 0, 2, 2], torch.tensor([0.0, 0.25, 0.75]))


def test_priors_shift_the_balance():
    weights = torch.full((1, 2, 1, 4, 4), 0.5)
    prior = torch.tensor([3.0, 1.0])[None, :, None, None, None].expand(1, 2, 1, 4, 4)
    assert torch.allclose(apply_prior(weights, prior)[0, :, 0, 0, 0], torch.tensor([0.75, 0.25]))


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (32, 32)], ids=["frame", "grid", "pixels"])
def test_prior_and_weights_of_other_sizes_meet(shape):
    weights = torch.rand(2, 3, 1, *shape).softmax(1)
    combined = apply_prior(weights, torch.rand(2, 3, 1, 8, 8))
    assert combined.shape[-2:] == (shape if shape != (1, 1) else (8, 8))
    assert torch.allclose(combined.sum(1), torch.ones_like(combined[:, 0]), atol=1e-5)


def test_resized_weights_still_sum_to_one():
    weights = torch.rand(2, 3, 3, 7, 7).softmax(1)
    resized = match_size(weights, torch.zeros(2, 3, 3, 50, 50))
    assert torch.allclose(resized.sum(1), torch.ones_like(resized[:, 0]), atol=1e-5)


@pytest.fixture
def own_registry(monkeypatch):
    """Strategies defined in the test are forgotten after it."""
    monkeypatch.setattr(fusion_base, "_registry", dict(fusion_base._registry))


def test_a_new_strategy_shows_up_by_itself(own_registry):
    @dataclass(frozen=True)
    class First(FusionStrategy):
        name = "first"
        summary = "Only the first."

        share: float = parameter(0.9, 0.0, 1.0, "How much the first gets.")

        def weights(self, evidence: Evidence) -> torch.Tensor:
            rest = (1 - self.share) / (evidence.confidence.shape[1] - 1)
            weights = torch.full_like(evidence.confidence, rest)
            weights[:, 0] = self.share
            return weights

    assert "first" in strategy_names()
    parser = argparse.ArgumentParser()
    add_strategy(parser)
    options = parser.parse_args(["--strategy", "first", "--first-share", "0.7"])
    strategy = chosen_strategy(options, None)
    assert strategy == First(share=0.7)
    evidence = random_evidence(count=3)
    assert torch.allclose(strategy.weights(evidence)[:, 0], torch.full((2, 1, 16, 16), 0.7))
    with pytest.raises(ReenactError, match="share is 2"):
        First(share=2.0)


def test_a_family_of_strategies_may_share_an_unnamed_base(own_registry):
    class Family(FusionStrategy):
        """Common code, not a strategy that users can choose."""

    class Cousin(Family):
        name = "cousin"
        summary = "One of a family."

        def weights(self, evidence: Evidence) -> torch.Tensor:
            return torch.full_like(evidence.confidence, 1 / evidence.confidence.shape[1])

    class Variant(strategy_class("mean")):
        """Reuses mean without taking its name away."""

    assert strategy_class("cousin") is Cousin
    assert strategy_class("mean") is not Variant


@pytest.fixture
def dropped_in(tmp_path):
    """A folder with the package and one more file in its `fusion/`."""
    package = tmp_path / "reenact_core"
    package.mkdir()
    source = ROOT / "reenact_core"
    for entry in source.iterdir():
        if entry.name not in ("fusion", "__pycache__"):
            os.symlink(entry, package / entry.name)
    shutil.copytree(source / "fusion", package / "fusion", ignore=shutil.ignore_patterns("__pycache__"))
    mean = (source / "fusion" / "mean.py").read_text()
    (package / "fusion" / "dropped_in.py").write_text(mean.replace('"mean"', '"dropped_in"').replace("Mean", "Dropped"))
    return tmp_path


def test_a_strategy_file_is_all_it_takes(dropped_in):
    code = "from reenact_core.fusion import strategy_names; print(*strategy_names())"
    known = subprocess.run([sys.executable, "-c", code], cwd=dropped_in, capture_output=True, text=True, check=True)
    assert "dropped_in" in known.stdout.split()


@pytest.mark.slow
def test_a_strategy_file_takes_part_in_a_study_and_a_comparison(dropped_in):
    with VideoReader(ROOT / "samples" / "driving.mp4") as reader:
        frames = [(frame * 255).byte().permute(1, 2, 0).numpy() for frame in reader.frames(range(10))]
    first, *more = map(Image.fromarray, frames)
    clip = str(dropped_in / "clip.webp")
    first.save(clip, save_all=True, append_images=more, duration=40)

    def reenact(*arguments: str) -> str:
        command = [sys.executable, "-m", "reenact_core.cli", *arguments, "--size", "64"]
        return subprocess.run(command, cwd=dropped_in, capture_output=True, text=True, check=True).stdout

    reenact(
        "study", "--clips", clip, "--references", "2", "--most-frames", "1", "--strategies", "mean", "dropped_in",
        "--models", "face_mesh_rules", "--output", "study",
    )  # fmt: skip
    study = json.loads((dropped_in / "study" / "study.json").read_text())["models"]["face_mesh_rules"]
    measured = {row["method"]["name"]: row["values"] for row in study["evaluation"]["rows"]}
    assert measured["dropped_in"] == measured["mean"]
    table = reenact(
        "compare", "--references", str(ROOT / "samples" / "references"), "--driving", clip, "--truth",
        "--motion", "absolute", "--strategies", "mean", "dropped_in", "--output", "compared.png",
    )  # fmt: skip
    assert "| dropped_in |" in table
    assert (dropped_in / "compared.png").is_file()
