"""Looking up pictures by OpenCV: the same as torch's sampler, and nothing else where torch is needed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from reenact_core import geometry
from reenact_core.motion_models.mesh_lookup import look_up, pixel_by_pixel, places_at

SIZE = (40, 56)  # of the pictures, H x W


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def deformation(reach: float, cells: int = 16) -> torch.Tensor:
    """[2,3,cells,cells,2], up to `reach` of the picture from its middle."""
    return torch.empty(2, 3, cells, cells, 2).uniform_(-reach, reach, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [16, 50, 64, 9])
def test_places_are_the_deformation_at_another_size(size):
    given = deformation(1)
    flat = given.flatten(0, 1).permute(0, 3, 1, 2)
    wanted = F.interpolate(flat, size=(size, size), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    wanted = (wanted.unflatten(0, (2, 3)) + 1) * torch.tensor([SIZE[1], SIZE[0]]) / 2
    torch.testing.assert_close(places_at(given, SIZE, size), wanted, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("reach", [0.9, 1.3, 40])
def test_opencv_and_torch_see_the_same(images, reach):
    places = places_at(deformation(reach), SIZE, 64)
    wanted = look_up(images, None, places)
    assert wanted.shape == (2, 3, 3, 64, 64)
    torch.testing.assert_close(look_up(images, pixel_by_pixel(images), places), wanted, atol=1e-4, rtol=0)


def test_every_picture_is_itself_at_its_own_pixels(images):
    places = geometry.pixel_grid(*SIZE).expand(2, 3, -1, -1, -1).contiguous()
    seen = look_up(images, pixel_by_pixel(images), places)
    torch.testing.assert_close(seen, images.expand(2, -1, -1, -1, -1), atol=1e-6, rtol=0)


def test_gradients_reach_the_deformation(images):
    given = deformation(0.9).requires_grad_()
    look_up(images, pixel_by_pixel(images), places_at(given, SIZE, 32)).sum().backward()
    assert given.grad is not None
    assert given.grad.abs().sum() > 0


def test_half_precision_is_left_to_torch(images):
    assert pixel_by_pixel(images.half()) is None
