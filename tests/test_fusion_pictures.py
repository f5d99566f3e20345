"""Pictures of what fusion did follow their formulas."""

from __future__ import annotations

import pytest
import torch

from reenact_core.fusing import Smoothing, fuse_references
from reenact_core.fusion import strategy_class, strategy_names
from reenact_core.fusion_pictures import (
    WatchedFusion,
    disagreement,
    fusion_pictures,
    heat,
    on_canvas,
    seam_energy,
    tinted,
)
from reenact_core.previews import PALETTE

from .faces import random_evidence, texture
from .test_fusing import FRAMES, prepared


def test_references_that_agree_neither_disagree_nor_show_seams():
    looks = texture(40, 40)[None, None].expand(1, 3, -1, -1, -1)
    weights = torch.rand(1, 3, 1, 40, 40).softmax(1)
    assert disagreement(looks, weights).max() < 1e-3
    assert seam_energy(looks, weights).max() < 1e-6


def test_disagreement_is_the_weighted_standard_deviation():
    looks = torch.zeros(1, 2, 3, 8, 8)
    looks[:, 1] = 0.4
    assert disagreement(looks, torch.ones(1, 2, 1, 8, 8)).mean() == pytest.approx(0.2)
    confidence = torch.tensor([3.0, 1.0])[None, :, None, None, None].expand(1, 2, 1, 8, 8)
    assert disagreement(looks, confidence).mean() == pytest.approx(0.4 * (0.75 * 0.25) ** 0.5, abs=1e-5)
    nobody = confidence.clone()
    nobody[:, 1] = 0
    assert disagreement(looks, nobody).max() < 1e-6, "who does not claim to show the pixel cannot contradict"


def test_seam_is_where_weights_change_between_unlike_references():
    looks = torch.zeros(1, 2, 3, 20, 20)
    looks[:, 1] = 0.5
    weights = torch.zeros(1, 2, 1, 20, 20)
    weights[:, 0, :, :, :10] = 1
    weights[:, 1, :, :, 10:] = 1
    seam = seam_energy(looks, weights)[0, 0]
    assert seam[:, 9:11].min() > 0.1
    assert seam[:, :8].max() == 0
    assert seam[:, 12:].max() == 0


def test_seam_is_the_part_of_the_gradient_that_no_mixture_of_the_references_has():
    """grad F - sum w_r grad f_r, up to the error of finite differences, for smooth maps."""
    looks = torch.stack([texture(200, 200, seed) for seed in (1, 2, 3)])[None]
    weights = torch.stack([texture(200, 200, seed)[:1] for seed in (4, 5, 6)])[None]
    weights = (2 * weights).softmax(1)
    blended = (weights * looks).sum(1)
    whole = torch.stack(torch.gradient(blended, dim=(-2, -1)), 1)
    own = (torch.stack(torch.gradient(looks, dim=(-2, -1)), 2) * weights[:, :, None]).sum(1)
    expected = (whole - own).norm(dim=1).mean(1, keepdim=True)
    assert (seam_energy(looks, weights) - expected).abs().max() < 0.05 * expected.max()


def test_attribution_is_the_sum_of_the_tinted_weights():
    warped = prepared(random_evidence(FRAMES, 3, 64, 16))
    fused = fuse_references(warped, strategy_class("confidence")(), Smoothing(0))
    chunk = next(fused.chunks())
    pictures = fusion_pictures(warped, warped.evidence(chunk.start, chunk.stop), chunk.weights)
    assert pictures.weights.shape == (4, 3, 64, 64)
    assert torch.allclose(pictures.weights.sum(1), torch.ones(4, 64, 64), atol=1e-5)
    parts = tinted(pictures.weights).unflatten(-1, (3, 64)).sum(-2)
    assert torch.allclose(parts, pictures.attribution, atol=1e-4)


@pytest.mark.parametrize("name", strategy_names())
def test_every_strategy_has_its_pictures(name):
    warped = prepared(random_evidence(FRAMES, 3, 64, 16))
    seen = []

    def watch(chunk, evidence):
        seen.append(fusion_pictures(warped, evidence, chunk.weights).shown())

    chunks = list(WatchedFusion(fuse_references(warped, strategy_class(name)()), watch).chunks())
    assert len(seen) == len(chunks)
    assert sum(warped.model.calls) == FRAMES, "looking on costs no warp"
    for chunk, shown in zip(chunks, seen):
        assert set(shown) == {"attribution", "weights", "disagreement", "seams"}
        for pictures in shown.values():
            assert pictures.shape[:3] == (chunk.stop - chunk.start, 3, 64)
            assert pictures.min() >= 0
            assert pictures.max() <= 1


def test_heat_gets_lighter_and_canvas_holds_the_box():
    steps = heat(torch.linspace(0, 1, 9)[None, None, None])[0, :, 0].sum(0)
    assert (steps.diff() > 0).all()
    assert steps[0] == 0
    assert steps[-1] == 3
    placed = on_canvas(torch.ones(1, 3, 10, 10), torch.tensor([[5, -10, 20]]), (40, 60))
    assert placed.sum() == 3 * 20 * 10
    assert placed[0, :, :10, 5:25].min() == 1
    assert len(PALETTE) == 8
