"""A frame alone looks as it does in the whole run."""

from __future__ import annotations

import pytest
import torch

from reenact_core.errors import ReenactError
from reenact_core.frame_view import LEAD, OVERLAYS, draw_view, view_frame
from reenact_core.fusing import Smoothing, combine, settled_weights
from reenact_core.fusion import strategy_class, strategy_names
from reenact_core.fusion_space import FusionSpace
from reenact_core.previews import PALETTE
from reenact_core.types import Evidence

from .faces import random_evidence

FRAMES, SIZE, GRID, RATE = 14, 64, 16, 25.0
BOXES = torch.tensor([[10 + 3 * t, 10 - 2 * t, 128] for t in range(FRAMES)])


@pytest.fixture(scope="module")
def evidence():
    return random_evidence(FRAMES, 3, SIZE, GRID)


def whole_run(evidence: Evidence, name: str, smoothing: Smoothing) -> torch.Tensor:
    """Fused pictures [T,3,H,W] of all frames at once."""
    strategy = strategy_class(name)()
    walk = torch.cat([BOXES[:1], BOXES])
    weights = settled_weights(evidence, strategy, smoothing, RATE, walk, None)
    return combine(evidence, weights, strategy, 0).features.clamp(0, 1)


def view(evidence: Evidence, frame: int, name: str = "confidence", memory: float = 0.6, side: int = SIZE):
    asked: list[int] = []

    def evidence_of(number: int) -> Evidence:
        asked.append(number)
        return evidence.at(slice(number, number + 1))

    seen = view_frame(evidence_of, frame, BOXES, RATE, strategy_class(name)(), Smoothing(memory), side)
    return seen, asked


@pytest.mark.parametrize("name", strategy_names())
@pytest.mark.parametrize("frame", [0, 1, LEAD])
def test_frames_near_the_start_are_those_of_the_run(evidence, name, frame):
    expected = whole_run(evidence, name, Smoothing(0.6))[frame]
    assert torch.allclose(view(evidence, frame, name)[0].fused, expected, atol=1e-5)


def test_later_frames_forget_their_start_and_ask_for_few_others(evidence):
    seen, asked = view(evidence, FRAMES - 1)
    assert asked == list(range(FRAMES - 1 - LEAD, FRAMES))
    assert (seen.fused - whole_run(evidence, "confidence", Smoothing(0.6))[-1]).abs().max() < 0.02
    seen, asked = view(evidence, FRAMES - 1, memory=0.0)
    assert asked == [FRAMES - 1]
    assert torch.allclose(seen.fused, whole_run(evidence, "confidence", Smoothing(0.0))[-1], atol=1e-5)


def test_smoothing_ends_at_a_cut(evidence):
    def evidence_of(number: int) -> Evidence:
        assert number >= 5, "beyond the cut"
        return evidence.at(slice(number, number + 1))

    strategy, smoothing = strategy_class("confidence")(), Smoothing(0.6)
    first = view_frame(evidence_of, 5, BOXES, RATE, strategy, smoothing, SIZE, start=5)
    assert torch.allclose(first.fused, whole_run(evidence, "confidence", Smoothing(0.0))[5], atol=1e-5)
    view_frame(evidence_of, 7, BOXES, RATE, strategy, smoothing, SIZE, start=5)


def test_shares_are_a_partition_and_follow_the_weights(evidence):
    seen, _ = view(evidence, 3, "nearest", memory=0.0)
    assert seen.shares == [float(r == evidence.distance[3].argmin()) for r in range(3)]
    assert sum(view(evidence, 3, "max")[0].shares) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", strategy_names())
def test_large_evidence_is_shrunk_before_it_is_fused(name):
    large = random_evidence(2, 3, 96, GRID)
    seen, _ = view(large, 1, name, side=64)
    assert seen.fused.shape == (3, 64, 64)
    assert seen.references.shape == (3, 3, 64, 64)
    assert torch.allclose(seen.weights.sum(0), torch.ones_like(seen.weights[0]), atol=1e-4)


def test_features_that_are_no_pictures_are_shown_by_their_pictures(evidence):
    """Half precision too, as models on a graphics card have it."""
    pictures = torch.rand(FRAMES, 3, 3, 32, 32)
    deep = evidence._replace(
        features=(torch.randn(FRAMES, 3, 20, 16, 16) * 9).half(), pictures=pictures, levels=(evidence.features,)
    )
    seen, _ = view(deep, 2, "nearest", memory=0.0, side=32)
    best = int(evidence.distance[2].argmin())
    assert torch.allclose(seen.fused, pictures[2, best], atol=1e-5)
    assert torch.allclose(seen.references, pictures[2], atol=1e-6)


def test_one_reference_and_its_overlays(evidence):
    seen, _ = view(evidence, 0, "nearest", memory=0.0)
    best = int(evidence.distance[0].argmin())
    other = (best + 1) % 3
    assert torch.equal(draw_view(seen, best), evidence.features[0, best])
    assert torch.equal(draw_view(seen), evidence.features[0, best])
    assert torch.allclose(draw_view(seen, best, "attribution"), evidence.features[0, best])
    assert draw_view(seen, other, "attribution").mean() < 0.3 * evidence.features[0, other].mean()
    tinted = draw_view(seen, None, "attribution")
    colour = torch.tensor(PALETTE[best])
    apart = tinted.mean((1, 2)) - tinted.mean()
    assert torch.allclose(apart, 0.6 * (colour - colour.mean()), atol=1e-3)
    darker = draw_view(seen, None, "confidence")
    assert (darker <= draw_view(seen) + 1e-6).all()
    for name in OVERLAYS:
        picture = draw_view(seen, None, name)
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_disagreement_and_seams_light_up_where_they_are(evidence):
    """References that agree leave the picture as it is, darkened; one that differs shows where it does."""
    same = evidence._replace(features=evidence.features[:, :1].expand(-1, 3, -1, -1, -1))
    seen, _ = view(same, 0, memory=0.0)
    grey = 0.4 * seen.fused.mean(0, keepdim=True).expand(3, -1, -1)
    for name in ("disagreement", "seams"):
        assert torch.allclose(draw_view(seen, None, name), grey, atol=1e-3), name
    features = same.features.clone()
    features[:, 1, :, :, : SIZE // 2] += 0.5
    seen, _ = view(evidence._replace(features=features), 0, memory=0.0)
    lit = draw_view(seen, None, "disagreement") - 0.4 * seen.fused.mean(0, keepdim=True)
    assert lit[..., : SIZE // 2].mean() > 0.2
    assert lit[..., SIZE // 2 :].abs().max() < 1e-3


def test_what_is_not_there_is_refused(evidence):
    seen, _ = view(evidence, 0)
    with pytest.raises(ReenactError, match="no reference 9, there are 3"):
        draw_view(seen, 8)
    with pytest.raises(ReenactError, match="Choose one of: attribution"):
        draw_view(seen, None, "heat")


def test_evidence_of_some_frames_keeps_every_field(evidence):
    more = evidence._replace(levels=(evidence.features, evidence.confidence))
    part = more.at(slice(3, 5))
    assert part.levels is not None
    assert [len(field) for field in (part.features, part.prior, part.distance, *part.levels)] == [2] * 5
    assert part.pictures is None
    assert part.features.data_ptr() == evidence.features[3].data_ptr()


def test_a_painter_decodes_what_was_fused(evidence):
    """It gets the fused features and levels, and is left out where pictures are fused in place of features."""
    context = torch.rand(FRAMES, 3, 2, GRID, GRID)
    given: list[torch.Tensor] = []

    def painter(features: torch.Tensor, levels: tuple[torch.Tensor, ...]) -> torch.Tensor:
        given.extend(levels)
        return 1 - features

    def seen(evidence: Evidence, space: FusionSpace = FusionSpace.AUTO) -> torch.Tensor:
        strategy, at = strategy_class("mean")(), slice(4, 5)
        return view_frame(
            lambda _: evidence.at(at), 4, BOXES, RATE, strategy, Smoothing(0), SIZE, space=space, painter=painter
        ).fused

    assert torch.allclose(seen(evidence._replace(levels=(context,))), 1 - evidence.features[4].mean(0), atol=1e-5)
    assert torch.allclose(given[0][0], context[4].mean(0), atol=1e-5)
    pictures = torch.rand(FRAMES, 3, 3, SIZE, SIZE)
    images = seen(evidence._replace(pictures=pictures), FusionSpace.IMAGES)
    assert torch.allclose(images, pictures[4].mean(0), atol=1e-5)
