"""Squares around faces and cutting them out."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from reenact_core.motion_models.crops import LEAST_SIDE, Framing, cut
from reenact_core.tracking import canonical_mesh

from ..faces import posed_faces, texture, turned

FRONTAL = torch.eye(3)


def test_the_square_is_as_large_and_as_high_as_said():
    faces = posed_faces([FRONTAL], centre=(300, 200), height=120)
    vertices = faces.landmarks[0, :468, :2]
    low, high = vertices.amin(0), vertices.amax(0)
    left, top, side = Framing(extent=2.0, lift=0.1, forehead=True).box(faces.landmarks).tolist()
    assert side == pytest.approx(2 * float((high - low).max()), abs=1)
    assert left + side / 2 == pytest.approx(float(low[0] + high[0]) / 2, abs=1)
    assert top + side / 2 == pytest.approx(float(low[1] + high[1]) / 2 - 0.1 * side, abs=1)


def test_without_the_forehead_the_square_lies_lower():
    landmarks = posed_faces([FRONTAL], centre=(300, 200), height=120).landmarks
    whole, lower = (Framing(2.0, 0.0, forehead).box(landmarks) for forehead in (True, False))
    assert lower[2] < whole[2]
    assert lower[1] + lower[2] / 2 > whole[1] + whole[2] / 2
    brows = canonical_mesh()[0][105, 1]
    assert (canonical_mesh()[0][:, 1] < brows).any(), "nothing lies above the brows"


def test_one_square_for_several_faces_ignores_an_outlier():
    usual = [posed_faces([turned(yaw=angle)], centre=(200, 200)).landmarks for angle in (-4, 0, 4)]
    far = posed_faces([FRONTAL], centre=(900, 900), height=500).landmarks
    framing = Framing(1.75, 0.03, True)
    off = framing.box(torch.cat([*usual, far])) - framing.box(torch.cat(usual))
    assert off.abs().max() <= 12


def test_a_tiny_face_still_has_a_square():
    assert Framing(1.75, 0.0, True).box(posed_faces([FRONTAL], height=2).landmarks)[2] == LEAST_SIDE


def test_a_square_of_the_wanted_size_is_not_resampled():
    image = texture(90, 120)[None]
    assert torch.equal(cut(image, torch.tensor([20, 10, 64]), 64, "replicate"), image[..., 10:74, 20:84])


@pytest.mark.parametrize("corner", [(-30, -40), (100, 70), (-30, 70), (500, 500), (-500, 10)])
def test_beyond_the_image(corner):
    image = texture(90, 120)[None] * 0.5 + 0.5
    box = torch.tensor([*corner, 64])
    padded = F.pad(image, (600, 600, 600, 600), mode="replicate")
    expected = padded[..., corner[1] + 600 : corner[1] + 664, corner[0] + 600 : corner[0] + 664]
    assert torch.equal(cut(image, box, 64, "replicate"), expected)
    if 500 not in corner and -500 not in corner:
        inside = F.pad(torch.ones_like(image), (600, 600, 600, 600))
        inside = inside[..., corner[1] + 600 : corner[1] + 664, corner[0] + 600 : corner[0] + 664]
        assert torch.equal(cut(image, box, 64, "constant"), expected * inside)


def test_shrinking_does_not_alias():
    stripes = torch.zeros(1, 3, 256, 256)
    stripes[..., ::2] = 1
    small = cut(stripes, torch.tensor([0, 0, 256]), 64, "replicate")
    assert (small - 0.5).abs().max() < 0.05
