"""Where the first reference ends, others continue the scene."""

from __future__ import annotations

import pytest
import torch

from reenact_core import geometry
from reenact_core.motion_models.mesh_plate import continue_scene, reach_of

HEIGHT, WIDTH = 60, 80  # of the canvas
WHOLE = torch.ones(2)


@pytest.fixture
def scene() -> torch.Tensor:
    """What there is to see [3,60,120], the canvas being its first 80 columns."""
    x, y = torch.arange(120) / 120, torch.arange(HEIGHT) / HEIGHT
    return torch.stack([x.expand(HEIGHT, -1), y[:, None].expand(-1, 120), (x * 9).sin().expand(HEIGHT, -1)])


def shifted(columns: float) -> torch.Tensor:
    """The map [1,2,3] from the canvas to a picture that begins so many columns further right."""
    return torch.tensor([[[1.0, 0, -columns], [0, 1, 0]]])


def continued(scene: torch.Tensor, shared: list[bool]) -> torch.Tensor:
    """The canvas [3,60,80]: the first reference begins 40 columns left of it, the others where it begins."""
    first = torch.cat([torch.zeros(3, HEIGHT, 40), scene[:, :, :40]], 2)
    images = torch.stack([first, scene[:, :, :80], torch.ones(3, HEIGHT, 80)])
    maps = torch.cat([shifted(-40), shifted(0), shifted(0)])[None]
    grid = geometry.affine_grid(maps[:, 0], (HEIGHT, WIDTH), (HEIGHT, WIDTH))
    laid = geometry.sample(first[None], grid)
    return continue_scene(laid, reach_of(grid, WHOLE), images, maps, torch.ones(3, 2), torch.tensor(shared))[0]


def test_another_reference_shows_what_lies_beyond_the_first(scene):
    inner = (slice(None), slice(4, -4), slice(4, -4))  # at its own edge it fades, too
    torch.testing.assert_close(continued(scene, [True, True, True])[inner], scene[:, :, :80][inner], atol=1e-4, rtol=0)


def test_a_reference_from_elsewhere_shows_nothing(scene):
    result = continued(scene, [True, False, False])
    torch.testing.assert_close(result[:, :, 40:], result[:, :, 39:40].expand(-1, -1, 40))  # edges repeated
    torch.testing.assert_close(result[:, :, :40], scene[:, :, :40])


def test_a_first_reference_that_shows_all_is_left_alone(scene):
    picture = scene[None, :, :, :80]
    grid = geometry.affine_grid(shifted(0), (HEIGHT, WIDTH), (HEIGHT, WIDTH))
    images, maps = torch.ones(2, 3, HEIGHT, 80), shifted(0)[None].expand(1, 2, 2, 3)
    reach = reach_of(grid, WHOLE)
    assert continue_scene(picture, reach, images, maps, torch.ones(2, 2), torch.tensor([True, True])) is picture


def test_padding_is_not_shown():
    grid = geometry.affine_grid(shifted(0), (HEIGHT, WIDTH), (HEIGHT, WIDTH))
    reach = reach_of(grid, torch.tensor([0.5, 1.0]))[0, 0]
    assert float(reach[30, 41:].max()) == 0
    assert float(reach[30, 10]) == 1
