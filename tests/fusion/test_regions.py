"""Strategies that read regions of the face, and the confidence mean."""

from __future__ import annotations

import math

import pytest
import torch

from reenact_core.errors import ReenactError
from reenact_core.face_regions import REGIONS
from reenact_core.fusing import fuse_references
from reenact_core.fusion import strategy_class
from reenact_core.types import Evidence

from ..faces import random_evidence
from ..test_fusing import prepared

Attention, Regional = strategy_class("attention"), strategy_class("regional")
ConfidenceMean = strategy_class("confidence_mean")
EYES, MOUTH = REGIONS.index("eyes"), REGIONS.index("mouth")


def evidence_with_regions(count: int = 3) -> Evidence:
    """The left half of the frame is eyes, the right half mouth; every reference is unlike the frame in both."""
    evidence = random_evidence(count=count)
    regions = torch.zeros(2, len(REGIONS), 16, 16)
    regions[:, EYES, :, :8] = 1
    regions[:, MOUTH, :, 8:] = 1
    return evidence._replace(
        confidence=torch.full_like(evidence.confidence, 0.5),
        regions=regions,
        differences=torch.full((2, count, len(REGIONS)), 4.0),
    )


@pytest.mark.parametrize("kind", [Attention, Regional])
def test_each_region_takes_the_reference_most_like_it(kind):
    evidence = evidence_with_regions()
    evidence.differences[:, 1, EYES] = 0.2
    evidence.differences[:, 2, MOUTH] = 0.1
    weights = kind().weights(evidence)
    assert torch.allclose(weights.sum(1), torch.ones(2, 1, 16, 16), atol=1e-5)
    assert weights[:, 1, :, :, :8].min() > 0.95
    assert weights[:, 2, :, :, 8:].min() > 0.95


@pytest.mark.parametrize("kind", [Attention, Regional])
@pytest.mark.parametrize("half", [False, True])
def test_order_and_precision(kind, half):
    evidence = evidence_with_regions()._replace(
        differences=3 * torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(3))
    )
    order = [2, 0, 1]
    permuted = evidence._replace(
        features=evidence.features[:, order],
        confidence=evidence.confidence[:, order],
        distance=evidence.distance[:, order],
        differences=evidence.differences[:, order],
    )
    if half:
        evidence, permuted = (Evidence(*(None if f is None else f.half() for f in e)) for e in (evidence, permuted))
    weights, other = kind().weights(evidence), kind().weights(permuted)
    assert weights.dtype == evidence.confidence.dtype
    assert torch.allclose(weights[:, order], other, atol=2e-3 if half else 1e-6)


@pytest.mark.parametrize("kind", [Attention, Regional])
def test_without_regions_the_whole_frame_decides(kind):
    evidence = random_evidence(count=3)
    evidence = evidence._replace(
        confidence=torch.full_like(evidence.confidence, 0.5), distance=torch.tensor([[3.0, 0.1, 3.0]] * 2)
    )
    assert kind().weights(evidence)[:, 1].min() > 0.95


def test_a_pinned_region_comes_from_its_reference_alone():
    evidence = evidence_with_regions()
    evidence.differences[:, 1, MOUTH] = 0.0
    weights = Regional(mouth=3).weights(evidence)
    assert torch.equal(weights[:, 2, :, :, 8:], torch.ones(2, 1, 16, 8))
    assert weights[:, 2, :, :, :8].max() < 0.5, "the eyes stay free"


def test_a_pin_to_a_missing_reference_is_refused_before_the_work():
    warped = prepared(random_evidence(10, 3, 64, 16))
    with pytest.raises(ReenactError, match=r"mouth.*reference 4.*only 3"):
        fuse_references(warped, Regional(mouth=4))
    fuse_references(warped, Regional(mouth=3))
    assert torch.equal(Regional(mouth=9).weights(evidence_with_regions()), Regional().weights(evidence_with_regions()))


def test_visibility_lets_the_confident_through():
    evidence = evidence_with_regions(2)
    evidence.confidence[:, 0, :, :4] = 0.9
    evidence.confidence[:, 0, :, 4:] = 0.1
    for weights in (Attention().weights(evidence), Regional(visibility=3.0).weights(evidence)):
        assert weights[:, 0, :, :4].min() > weights[:, 0, :, 4:].max()
    assert torch.allclose(Attention(visibility=0.0).weights(evidence), torch.full((2, 2, 1, 16, 16), 0.5))


def test_confidence_mean_is_the_formula():
    evidence = evidence_with_regions(2)
    evidence.confidence[:, 0], evidence.confidence[:, 1] = 1.0, 0.0
    share = (math.e + 0.1) / (math.e + 0.1 + 1.1)
    assert ConfidenceMean().weights(evidence)[:, 0].mean() == pytest.approx(share, abs=1e-5)
    equal = ConfidenceMean(gain=0.0).weights(evidence)
    assert torch.allclose(equal, torch.full_like(equal, 0.5))
