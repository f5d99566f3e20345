"""Registration of backgrounds seen by a camera that moved."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from reenact_core import geometry
from reenact_core.images import read_image
from reenact_core.motion import encode_motion
from reenact_core.motion_models import load_model
from reenact_core.motion_models.background import background_features
from reenact_core.references import encode_references
from reenact_core.retargeting import Transfer
from reenact_core.scene_features import register_features
from reenact_core.tracking import PersonMatte
from reenact_core.video import VideoReader
from reenact_core.warping import warp_per_reference

PHOTO = Path(__file__).parents[2] / "samples" / "references" / "3_smile_turned_left.png"


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    return read_image(PHOTO)


@pytest.fixture(scope="module")
def person(photo) -> torch.Tensor:
    return PersonMatte.load().matte(photo[None])[0]


def register(first, first_person, other, other_person) -> torch.Tensor | None:
    return register_features(background_features(first, first_person), background_features(other, other_person))


def moved_by(affine: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """The picture [C,H,W] as a camera sees it that maps old pixels to new ones by `affine`."""
    size = (image.shape[-2], image.shape[-1])
    look = geometry.apply_affine(geometry.invert_affine(affine), geometry.pixel_grid(*size).flatten(0, 1))
    return geometry.sample(image[None], geometry.normalise(look, size).unflatten(0, size)[None])[0]


@pytest.mark.parametrize(
    "affine",
    [
        torch.tensor([[1.0, 0, 0], [0, 1, 0]]),
        torch.tensor([[1.15, 0, -20], [0, 1.15, -30]]),
        torch.tensor([[0.99, -0.07, 12], [0.07, 0.99, 4]]),
    ],
    ids=["still", "zoom", "turn"],
)
def test_the_camera_is_found(photo, person, affine):
    found = register(photo, person, moved_by(affine, photo), moved_by(affine, person))
    assert found is not None
    height, width = photo.shape[-2:]
    corners = torch.tensor([[0.0, 0], [width, 0], [0, height], [width, height]])
    off = geometry.apply_affine(found, corners) - geometry.apply_affine(affine, corners)
    assert off.norm(dim=1).max() < 1.5


def test_a_moving_person_is_no_moving_camera(photo, person):
    """Only the person shifts: what is found stays still."""
    shift = torch.tensor([[1.0, 0, 25], [0, 1, 10]])
    there = moved_by(shift, person)
    composed = photo * (1 - there) + moved_by(shift, photo) * there
    found = register(photo, person, composed, torch.maximum(there, person))
    assert found is None or (found[:, 2].norm() < 2 and (found[:, :2] - torch.eye(2)).norm() < 0.02)


def test_no_features_no_registration(photo, person):
    assert register(photo, person, torch.full_like(photo, 0.5), person) is None
    assert register(photo, torch.ones_like(person), photo, torch.ones_like(person)) is None


def test_another_scene_is_not_registered(photo, person):
    noise = torch.rand(photo.shape, generator=torch.Generator().manual_seed(0))
    assert register(photo, person, noise, torch.zeros_like(person)) is None


def test_the_result_is_repeatable(photo, person):
    affine = torch.tensor([[1.15, 0, -20], [0, 1.15, -30]])
    once, again = (register(photo, person, moved_by(affine, photo), moved_by(affine, person)) for _ in range(2))
    assert torch.equal(once, again)


def test_references_of_another_scene_do_not_share_the_first_ones(photo, tracker):
    """The same scene from a camera that moved is shared, somebody else's picture of another size is not."""
    zoomed = moved_by(torch.tensor([[1.15, 0, -20], [0, 1.15, -30]]), photo)
    elsewhere = next(VideoReader(PHOTO.parents[1] / "other_person.mp4").chunks(1))[0][:, :, 20:]
    references = encode_references([photo, zoomed, elsewhere], tracker)
    motion = encode_motion([photo[None]], Fraction(25), tracker)
    encoded = warp_per_reference(references, motion, load_model("face_mesh"), Transfer.ABSOLUTE, weigh=False).encoded
    assert encoded.shared.tolist() == [True, True, False]
