"""What the nodes need of the core beyond the five calls: streams to pick from, joined references, short spans."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from reenact_core.decoding import decode
from reenact_core.errors import FaceError, ReenactError
from reenact_core.fusing import Smoothing, fuse_references
from reenact_core.fusion import strategy_class
from reenact_core.images import list_images, read_image_and_mask
from reenact_core.motion import motion_of_faces
from reenact_core.motion_models import load_model
from reenact_core.references import encode_references, join_references, pick_from_stream
from reenact_core.retargeting import Transfer
from reenact_core.tracking import FaceTracker
from reenact_core.warping import warp_per_reference

from .faces import ROOT, GivenEvidence, moving, posed_faces, random_evidence, still, texture, turned


@pytest.fixture(scope="module")
def tracker():
    return FaceTracker.load()


@pytest.fixture(scope="module")
def photos():
    return [read_image_and_mask(path)[0] for path in list_images(ROOT / "samples" / "references")[:2]]


def prepared(chunk: int):
    evidence = random_evidence(5, 2, 64, 16)
    boxes = torch.tensor([[10, 10, 64]]).repeat(5, 1)
    faces = posed_faces([turned(0)] * 5)._replace(score=torch.arange(5).float())
    references = still([texture(64, 64)] * 2, posed_faces([turned(0)] * 2))
    return warp_per_reference(references, moving(faces), GivenEvidence(evidence, boxes), chunk=chunk)


def test_chunk_size_changes_spans_and_not_the_result():
    short, long = prepared(2), prepared(8)
    assert list(short.spans()) == [(0, 2), (2, 4), (4, 5)]
    results = [
        torch.cat([part.images for part in decode(fuse_references(w, strategy_class("confidence")(), Smoothing(0.6)))])
        for w in (short, long)
    ]
    assert torch.allclose(*results, atol=1e-6)


def test_joined_references_keep_their_order(tracker, photos):
    first = encode_references(photos[:1], tracker, strengths=[0.5], labels=["one"])
    more = encode_references(photos[1:], tracker, labels=["two"])
    joined = join_references(first, more)
    assert joined.labels == ("one", "two")
    assert joined.strengths.tolist() == [0.5, 1.0]
    assert torch.equal(joined.faces.landmarks[1], more.faces.landmarks[0])
    assert torch.equal(joined.images[0], photos[0])


def test_frames_are_picked_from_a_stream(tracker, photos):
    blank = torch.zeros_like(photos[0])
    chosen = pick_from_stream(iter([torch.stack([blank, photos[0]]), photos[1][None]]), 5, tracker)
    assert sorted(chosen) == [1, 2]


def test_stream_without_faces_is_named(tracker):
    with pytest.raises(FaceError, match="clip 7"):
        pick_from_stream([torch.zeros(2, 3, 64, 64)], 3, tracker, "clip 7")
    with pytest.raises(FaceError, match="no frames"):
        pick_from_stream([], 3, tracker)
    with pytest.raises(ReenactError, match="at least 1"):
        pick_from_stream([], 0, tracker)


def test_places_say_where_the_pixels_come_from(tracker, photos):
    """Reading the references at the places gives the warped pictures, padding between sizes or not."""
    small = torch.nn.functional.interpolate(photos[1][None], size=(260, 300), mode="area")[0]
    references = encode_references([photos[0], small], tracker)
    motion = motion_of_faces(references.faces.at([0]), (350, 350), Fraction(25), 0, smooth=False)
    warped = warp_per_reference(references, motion, load_model("face_mesh"), Transfer.ABSOLUTE, 256)
    evidence = warped.evidence(0, 1)
    assert evidence.places is not None
    for r, image in enumerate(references.images):
        grid = evidence.places[:, r].movedim(1, -1) * 2 - 1
        inside = (grid.abs() < 0.95).all(-1)[:, None]
        read = torch.nn.functional.grid_sample(image[None], grid, align_corners=False)
        look = torch.nn.functional.adaptive_avg_pool2d(evidence.features[:, r], grid.shape[1:3])
        apart = ((read - look).abs() * inside).sum() / inside.sum() / 3
        assert inside.float().mean() > 0.3
        assert apart < 0.08, (r, float(apart))
