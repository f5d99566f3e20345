"""Fusing features, pictures, or both."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from reenact_core.decoding import decode
from reenact_core.errors import ReenactError
from reenact_core.fusing import Smoothing, fuse_references
from reenact_core.fusion import strategy_class, strategy_names
from reenact_core.fusion_space import FusionSpace
from reenact_core.motion import encode_motion
from reenact_core.motion_models.checkpoint_model import CheckpointModel
from reenact_core.motion_models.first_order import FirstOrder
from reenact_core.motion_models.first_order_model import FirstOrderModel
from reenact_core.references import encode_references
from reenact_core.types import Evidence, Transfer
from reenact_core.warping import Memo, WarpedReferences, warp_per_reference
from scripts.check_golden import TABLES, fill_model

from .faces import GivenEvidence, moving, posed_faces, random_evidence, still, texture, turned

FRAMES, SIZE = 5, 80
AUTO, FEATURES, IMAGES, BOTH = FusionSpace.AUTO, FusionSpace.FEATURES, FusionSpace.IMAGES, FusionSpace.BOTH


class Painter(GivenEvidence):
    """Its features have seven channels; it paints their mean."""

    fuses_images = False

    def decode(self, encoded, features, motion, boxes):
        painted = features.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        return torch.nn.functional.interpolate(painted, (SIZE, SIZE), mode="bilinear").clamp(0, 1)


def painter(evidence: Evidence | None = None) -> WarpedReferences:
    evidence = random_evidence(FRAMES, 3, 48, 16, scores=False) if evidence is None else evidence
    generator = torch.Generator().manual_seed(5)
    features = torch.rand(FRAMES, 3, 7, 32, 32, generator=generator)
    evidence = evidence._replace(pictures=evidence.features, features=features)
    boxes = torch.tensor([[10, 10, 128]]).repeat(FRAMES, 1)
    faces = posed_faces([turned(0)] * FRAMES)._replace(score=torch.arange(FRAMES).float())
    references = still([texture(64, 64)] * 3, posed_faces([turned(0)] * 3))
    return WarpedReferences(Painter(evidence, boxes), references, moving(faces), references, boxes, SIZE, Memo(0), 2)


def crops(warped: WarpedReferences, space: FusionSpace, name: str = "confidence") -> torch.Tensor:
    fused = fuse_references(warped, strategy_class(name)(), Smoothing(0), space)
    return torch.cat([chunk.crops for chunk in decode(fused)])


@pytest.mark.parametrize("space", list(FusionSpace))
@pytest.mark.parametrize("name", strategy_names())
def test_every_strategy_works_in_every_space(name, space):
    result = crops(painter(), space, name)
    assert result.shape == (FRAMES, 3, SIZE, SIZE)
    assert result.isfinite().all()
    assert 0 <= result.min() < result.max() <= 1


def test_the_models_own_space_is_the_default():
    warped = painter()
    assert torch.equal(crops(warped, AUTO), crops(warped, FEATURES))
    assert not torch.allclose(crops(warped, AUTO), crops(warped, IMAGES), atol=0.05)


def test_images_are_fused_as_by_a_model_of_images():
    warped = painter()
    evidence = warped.evidence(0, FRAMES)
    strategy = strategy_class("median")()
    images = evidence._replace(features=evidence.pictures)
    expected = strategy.fuse(images, strategy.weights(images))
    chunks = list(fuse_references(warped, strategy, Smoothing(0), IMAGES).chunks())
    assert torch.allclose(torch.cat([chunk.pictures for chunk in chunks]), expected)


def test_both_is_the_blend_of_the_two_by_confidence():
    evidence = random_evidence(FRAMES, 3, 48, 16, scores=False)
    for confidence in (0.0, 0.25, 1.0):
        warped = painter(evidence._replace(confidence=torch.full_like(evidence.confidence, confidence)))
        painted, pictures, both = (crops(warped, space, "mean") for space in (FEATURES, IMAGES, BOTH))
        assert torch.allclose(both, confidence * pictures + (1 - confidence) * painted, atol=1e-5)


def test_what_no_reference_shows_is_painted():
    evidence = random_evidence(FRAMES, 3, 48, 16, scores=False)
    evidence = evidence._replace(confidence=torch.ones_like(evidence.confidence))
    evidence.prior[..., :8] = 0
    warped = painter(evidence)
    painted, pictures, both = (crops(warped, space) for space in (FEATURES, IMAGES, BOTH))
    assert torch.allclose(both[..., :30], painted[..., :30])
    assert torch.allclose(both[..., 50:], pictures[..., 50:], atol=1e-5)


@pytest.mark.parametrize("space", [FEATURES, BOTH])
def test_a_model_of_images_has_no_features(space):
    warped = painter()
    warped.model.fuses_images, warped.model.name = True, "album"
    with pytest.raises(ReenactError, match="album fuses images and has no feature maps"):
        fuse_references(warped, strategy_class("mean")(), None, space)


def test_a_model_of_images_is_the_same_in_its_own_space():
    warped = painter()
    model = GivenEvidence(random_evidence(FRAMES, 3, SIZE, 16), warped.boxes)
    warped = warped._replace(model=model)
    assert torch.equal(crops(warped, IMAGES), crops(warped, AUTO))


def test_both_lays_pictures_over_what_a_real_network_painted(person, tracker, monkeypatch):
    """FOMM's own network, filled as for its golden values, from photos to finished crops."""
    monkeypatch.setattr(CheckpointModel, "resolution", 128)
    network = fill_model("first_order", np.load(TABLES / "first_order.npz"))
    assert isinstance(network, FirstOrder)
    model = FirstOrderModel(network).eval()
    right = torch.ones_like(person[0, :1])
    right[..., : person.shape[-1] // 2] = 0
    references = encode_references([person[0], person[6]], tracker, [right, right])
    motion = encode_motion(person[2:4].split(2), Fraction(25), tracker, model)
    warped = warp_per_reference(references, motion, model, Transfer.ABSOLUTE, memo_bytes=1 << 30, chunk=2)
    painted, pictures, both = (crops(warped, space, "mean") for space in (FEATURES, IMAGES, BOTH))
    (chunk,) = fuse_references(warped, strategy_class("mean")(), Smoothing(0), BOTH).chunks()
    assert chunk.trusted is not None
    trusted = torch.nn.functional.interpolate(chunk.trusted, (128, 128), mode="bilinear", align_corners=False)
    assert trusted[..., :32].max() < 0.05 < 0.2 < trusted[..., 72:120].mean(), "the masks hide the left half"
    assert (painted - pictures).abs().mean() > 0.02
    assert torch.allclose(both, trusted * pictures + (1 - trusted) * painted, atol=1e-5)
