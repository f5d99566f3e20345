import pytest
import torch

from reenact_core.errors import ImageError
from reenact_core.sheets import contact_sheet

RED = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
PAPER = 24 / 255


def test_pictures_are_placed_in_rows_at_equal_height():
    wide, tall = RED.expand(3, 50, 100), (1 - RED).expand(3, 200, 100)
    sheet = contact_sheet([[wide, tall], [None, wide]], cell_height=100)
    gap = 4
    assert sheet.shape == (3, 2 * 100 + 3 * gap, 200 + 200 + 3 * gap)  # columns as wide as their widest
    assert torch.allclose(sheet[:, gap : gap + 100, gap : gap + 200], RED.expand(3, 100, 200))
    assert torch.allclose(sheet[:, 50, gap + 200 + gap + 20], 1 - RED[:, 0, 0])
    assert torch.allclose(sheet[:, 150, 100], torch.full((3,), PAPER))
    assert torch.allclose(sheet[:, 150, 300], RED[:, 0, 0])


def test_labels_leave_ink_in_their_places_only():
    grey = torch.full((3, 64, 64), 0.5)
    bare = contact_sheet([[grey], [grey]], cell_height=64)
    labelled = contact_sheet([[grey], [grey]], ["column"], ["first", "second"], cell_height=64)
    assert labelled.shape[1] > bare.shape[1]
    assert labelled.shape[2] > bare.shape[2]
    top, left = labelled.shape[1] - bare.shape[1], labelled.shape[2] - bare.shape[2]
    assert torch.equal(labelled[:, top:, left:], bare)
    assert labelled[:, :top].max() > 0.8
    halves = labelled[:, top:, :left].chunk(2, dim=1)
    assert all(half.max() > 0.8 for half in halves)


def test_long_and_foreign_labels_are_cut_not_fatal():
    grey = torch.full((3, 64, 64), 0.5)
    short = contact_sheet([[grey, grey]], ["x" * 200, "Äüß 顔"], cell_height=64)
    assert short.shape == contact_sheet([[grey, grey]], ["a", "b"], cell_height=64).shape


def test_grey_and_out_of_range_pictures():
    sheet = contact_sheet([[torch.full((1, 20, 20), 7.0), torch.full((3, 20, 20), torch.nan)]], cell_height=20)
    assert torch.allclose(sheet[:, 10, 10], torch.ones(3))
    assert torch.allclose(sheet[:, 10, 40], torch.zeros(3))


@pytest.mark.parametrize("rows", [[], [[]], [[None]], [[torch.zeros(2, 4, 4)]], [[torch.zeros(4, 4)]]])
def test_nothing_to_show_is_an_error(rows):
    with pytest.raises(ImageError):
        contact_sheet(rows)
