"""Stage 5 as a whole, on evidence that is given."""

from __future__ import annotations

import torch

from reenact_core.decoding import decode
from reenact_core.fusing import Smoothing, fuse_references
from reenact_core.fusion import strategy_class
from reenact_core.warping import Memo, WarpedReferences

from ..faces import GivenEvidence, moving, posed_faces, random_evidence, still, texture, turned

CHUNK = 4


def test_every_frame_comes_once_and_in_order():
    frames, side = CHUNK + 3, 128
    evidence = random_evidence(frames, 2, side, 32)
    boxes = torch.tensor([[4 * t, 2 * t, side] for t in range(frames)])
    faces = posed_faces([turned(0)] * frames)._replace(score=torch.arange(frames).float())
    references = still([texture(64, 64)] * 2, posed_faces([turned(0)] * 2))
    model = GivenEvidence(evidence, boxes)
    warped = WarpedReferences(model, references, moving(faces, (200, 220)), references, boxes, side, Memo(0), CHUNK)
    chunks = list(decode(fuse_references(warped, strategy_class("mean")(), Smoothing(0))))
    assert [(c.start, c.stop) for c in chunks] == [(0, CHUNK), (CHUNK, frames)]
    images, masks = (torch.cat([c[i] for c in chunks]) for i in (2, 3))
    assert images.shape == (frames, 3, 200, 220)
    assert masks.shape == (frames, 1, 200, 220)
    expected = evidence.features.mean(1)
    for t, (left, top, _) in enumerate(boxes.tolist()):
        inner = images[t, :, top + 40 : top + 88, left + 40 : left + 88]
        assert torch.allclose(inner, expected[t, :, 40:88, 40:88], atol=1e-5)
        assert not images[t, :, masks[t, 0] == 0].any()  # the plate of this model is black
