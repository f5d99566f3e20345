"""Comparing fusions: the same warps, layouts, and scores against the truth."""

from __future__ import annotations

import pytest
import torch

from reenact_core.comparing import Display, Layout, Scorer, frames_side_by_side, fuse_each, score_table
from reenact_core.decoding import decode
from reenact_core.errors import ReenactError
from reenact_core.fusing import Smoothing, fuse_references
from reenact_core.fusion import strategy_class

from .faces import psnr, random_evidence, texture
from .test_fusing import FRAMES, prepared

NAMES = ["mean", "confidence", "nearest"]


def strategies():
    return [strategy_class(name)() for name in NAMES]


def test_every_fusion_is_what_it_is_alone_and_warps_are_computed_once():
    warped = prepared(random_evidence(FRAMES, 3, 64, 16))
    fusions = fuse_each(warped, strategies(), Smoothing(0.6))
    compared = list(frames_side_by_side(dict(zip(NAMES, fusions))))
    assert sum(warped.model.calls) == FRAMES
    assert len(compared) == FRAMES
    for name in NAMES:
        alone = torch.cat(
            [chunk.images for chunk in decode(fuse_references(warped, strategy_class(name)(), Smoothing(0.6)))]
        )
        assert torch.equal(torch.stack([pictures[name] for pictures in compared]), alone)


def test_only_the_same_frames_can_be_compared():
    first = fuse_each(prepared(random_evidence(FRAMES, 3, 64, 16)), strategies()[:1])[0]
    other = fuse_each(prepared(random_evidence(FRAMES - 1, 3, 64, 16)), strategies()[:1])[0]
    with pytest.raises(ReenactError, match="same frames"):
        next(frames_side_by_side({"a": first, "b": other}))


def pictures(count: int) -> dict[str, torch.Tensor]:
    return {name: texture(60, 80, seed) for seed, name in enumerate("abcde"[:count])}


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_grid_shows_all_under_their_names(count):
    given = pictures(count)
    grid = Display().render(given)
    for picture in given.values():
        places = grid.unfold(1, 60, 1).unfold(2, 80, 1)  # [3,y,x,60,80]
        off = (places - picture[:, None, None]).abs().amax((0, 3, 4))
        assert off.min() < 0.003, "8 bits"
    with_truth = Display().render(given, texture(60, 80, 9))
    assert with_truth.numel() > grid.numel() or count in (3, 5)


def test_wipe_joins_two_at_the_edge():
    given = pictures(2)
    wipe = Display(Layout.WIPE, edge=0.25).render(given)[:, -60:]
    assert (wipe[..., :18] - given["a"][..., :18]).abs().max() < 0.003
    assert (wipe[..., 22:] - given["b"][..., 22:]).abs().max() < 0.003
    assert wipe[..., 19:21].min() > 0.99


def test_differences_are_amplified_and_from_the_truth_where_it_is_known():
    base = torch.full((3, 60, 80), 0.5)
    given = {"a": base, "b": base + 0.01}
    grid = Display(Layout.DIFFERENCE, gain=10).render(given)
    assert grid.shape[-1] == 160
    assert grid[:, -60:, 80:].mean() == pytest.approx(0.1, abs=0.01)
    told = Display(Layout.DIFFERENCE, gain=10).render(given, base + 0.02)
    cells = told[:, :, :80], told[:, :, 80:160]
    assert told.shape[-1] >= 160
    assert cells[0][:, 40:60].mean() == pytest.approx(0.52, abs=0.01)
    assert cells[1][:, 40:60].mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("layout", "count", "message"),
    [(Layout.GRID, 1, "at least two"), (Layout.WIPE, 3, "wipe shows two"), (Layout.DIFFERENCE, 1, "at least two")],
)
def test_wrong_numbers_are_refused(layout, count, message):
    with pytest.raises(ReenactError, match=message):
        Display(layout).render(pictures(count))


def test_scores_rank_by_closeness_in_the_box():
    truth = texture(120, 160, 1)
    near, far = truth.clone(), truth.clone()
    near[:, 30:90, 30:90] += 0.01
    far[:, 30:90, 30:90] += 0.1
    far[:, :, 120:] = 0  # outside of the box: does not count
    scorer = Scorer(["near", "far"])
    box = torch.tensor([20, -10, 100])
    for _ in range(2):
        scorer.add({"near": near, "far": far}, truth, box)
    scores = scorer.scores()
    assert scores["near"].psnr == pytest.approx(psnr(near[:, :90, 20:120].clamp(0, 1), truth[:, :90, 20:120]), abs=1e-3)
    assert scores["near"].l1 < scores["far"].l1
    assert scores["near"].ssim > scores["far"].ssim
    assert scores["near"].lpips is None
    table = score_table(scores).splitlines()
    assert len(table) == 4
    assert table[2].startswith("| near |")


def test_a_box_beside_the_canvas_is_not_measured():
    scorer = Scorer(["a"])
    scorer.add({"a": texture(50, 50)}, texture(50, 50), torch.tensor([60, 0, 20]))
    assert scorer.scores() == {}
