"""Laying crops into the canvas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from reenact_core.decoding.paste_back import box_mask, lay_on_black, paste

from ..faces import texture

SIDE = 64


def boxes(*corners: tuple[int, int], side: int = SIDE) -> torch.Tensor:
    return torch.tensor([[x, y, side] for x, y in corners])


def test_mask_is_full_inside_and_fades_at_the_rim():
    mask = box_mask(SIDE, 0.1)
    assert mask.shape == (1, SIDE, SIDE)
    assert torch.allclose(mask, mask.transpose(1, 2))
    assert torch.allclose(mask, mask.flip(2))
    assert torch.equal(mask[0, 8:-8, 8:-8], torch.ones(48, 48))
    assert mask[0, 32, 0] < 0.05
    assert (mask[0, 32, :32].diff() >= 0).all()
    assert torch.equal(box_mask(SIDE, 0.0), torch.ones(1, SIDE, SIDE))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("size", [40, 90])
def test_a_crop_of_another_size_is_resized_as_torch_does(size, dtype):
    crops = torch.stack([texture(size, size, number) for number in (1, 2)]).to(dtype)
    images, _ = paste(torch.zeros(1, 3, SIDE, SIDE), crops, boxes((0, 0), (0, 0)), box_mask(SIDE, 0.0))
    expected = F.interpolate(crops.float(), size=(SIDE, SIDE), mode="bicubic", align_corners=False).clamp(0, 1)
    assert torch.allclose(images, expected, atol=1e-3)


def test_a_crop_lands_in_its_place_and_nowhere_else():
    plate, crop = texture(100, 140, 1), texture(SIDE, SIDE, 2)
    images, masks = paste(plate, crop[None], boxes((50, 20)), box_mask(SIDE, 0.1))
    assert torch.allclose(images[0, :, 30:74, 60:104], crop[:, 10:54, 10:54], atol=1e-6)
    untouched = masks[0, 0] == 0
    assert torch.equal(images[0][:, untouched], plate[:, untouched])
    assert not masks[0, 0, :, :50].any()
    assert not masks[0, 0, :20].any()
    rim = (masks[0, 0] > 0) & (masks[0, 0] < 1)
    assert rim.any()


def test_pasting_what_is_there_changes_nothing():
    plate = texture(100, 140)
    crop = plate[:, 20 : 20 + SIDE, 50 : 50 + SIDE]
    images, _ = paste(plate, crop[None], boxes((50, 20)), box_mask(SIDE, 0.3))
    assert torch.allclose(images[0], plate, atol=1e-6)


@pytest.mark.parametrize(
    "corner", [(-20, 30), (110, 30), (50, -20), (50, 80), (-20, -20), (110, 80)], ids=lambda c: f"{c[0]},{c[1]}"
)
def test_boxes_beyond_the_edge_are_cut_without_a_rim_there(corner):
    plate, crop = torch.zeros(3, 100, 140), torch.ones(1, 3, SIDE, SIDE)
    images, masks = paste(plate, crop, boxes(corner), box_mask(SIDE, 0.1))
    x, y = corner
    middle_row, middle_column = min(max(y + SIDE // 2, 0), 99), min(max(x + SIDE // 2, 0), 139)
    if x < 0:
        assert images[0, 0, middle_row, 0] == 1
    if x + SIDE > 140:
        assert images[0, 0, middle_row, 139] == 1
    if y < 0:
        assert images[0, 0, 0, middle_column] == 1
    if y + SIDE > 100:
        assert images[0, 0, 99, middle_column] == 1
    if x > 0:
        assert images[0, 0, middle_row, x] < 0.1  # the rim inside the picture stays soft
    if y > 0:
        assert images[0, 0, y, middle_column] < 0.1
    assert torch.allclose(images[:, :1], masks, atol=1e-6)


def test_a_box_around_the_whole_picture_replaces_it():
    images, masks = paste(torch.zeros(3, 40, 40), torch.ones(1, 3, SIDE, SIDE), boxes((-10, -12)), box_mask(SIDE, 0.4))
    assert (images == 1).all()
    assert (masks == 1).all()


def test_a_box_outside_leaves_the_plate():
    plate = texture(50, 50)
    images, masks = paste(plate, torch.ones(2, 3, SIDE, SIDE), boxes((200, 0), (0, -64)), box_mask(SIDE, 0.1))
    assert torch.equal(images, plate.expand(2, -1, -1, -1))
    assert not masks.any()


def test_crops_of_another_size_are_resized_within_range():
    plate = torch.zeros(3, 100, 100)
    checks = ((torch.arange(32)[:, None] + torch.arange(32)) // 4 % 2).float().expand(1, 3, 32, 32)
    images, _ = paste(plate, checks, boxes((18, 18)), box_mask(SIDE, 0.05))
    assert images.min() >= 0
    assert images.max() <= 1
    inner = images[0, 0, 26:74, 26:74]
    expected = checks[0, 0].repeat_interleave(2, 0).repeat_interleave(2, 1)[8:56, 8:56]
    assert (inner - expected).abs().mean() < 0.15


def test_frames_and_the_plate_are_independent():
    plate = torch.zeros(3, 80, 80)
    crops = torch.stack([torch.full((3, SIDE, SIDE), level) for level in (0.2, 0.8)])
    images, _ = paste(plate, crops, boxes((8, 8), (8, 8)), box_mask(SIDE, 0.1))
    assert images[0, 0, 40, 40] == pytest.approx(0.2)
    assert images[1, 0, 40, 40] == pytest.approx(0.8)
    assert not plate.any()


@pytest.mark.parametrize("corner", [(10, 5), (-20, 30), (120, 80), (-8, -8), (300, 0), (0, -200)], ids=str)
def test_maps_lie_where_pictures_are_pasted(corner):
    crops = torch.rand(2, 4, SIDE, SIDE)
    places = boxes(corner, (0, 0))
    laid = lay_on_black(crops, places, (100, 140))
    pasted, _ = paste(torch.zeros(1, 4, 100, 140), crops, places, torch.ones(1, SIDE, SIDE))
    assert torch.equal(laid, pasted)
