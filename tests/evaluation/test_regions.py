import pytest
import torch
import torch.nn.functional as F

from reenact_core.evaluation import regions


def face(x0: float, y0: float, x1: float, y1: float) -> torch.Tensor:
    """Landmarks [1,478,3] that fill a rectangle, corners included."""
    share = torch.rand(478, 3, generator=torch.Generator().manual_seed(0))
    share[:4, :2] = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    low, high = torch.tensor([x0, y0, -5.0]), torch.tensor([x1, y1, 5.0])
    return (low + share * (high - low))[None]


def test_head_box_by_its_definition():
    boxes = regions.head_boxes(face(100, 50, 180, 150))
    side = 1.7 * 100
    assert boxes.side.item() == pytest.approx(side)
    assert boxes.corner[0].tolist() == pytest.approx([140 - side / 2, 100 - 0.06 * side - side / 2], abs=1e-4)


def test_crop_of_whole_pixels_equals_antialiased_resizing():
    images = torch.rand(2, 3, 90, 120, generator=torch.Generator().manual_seed(0))
    for side, size in ((60, 20), (60, 90), (60, 60)):
        boxes = regions.Boxes(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([float(side)] * 2))
        whole = F.pad(images[:, :, :side, :side], (0, 0, 0, 0))
        # Pixels beyond the box reach into the crop's last columns; compare away from them.
        expected = F.interpolate(whole, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        inner = slice(0, size - 3)
        got = regions.crop(images, boxes, size)[..., inner, inner]
        assert got.shape == (2, 3, size - 3, size - 3)
        # At the frame's border we repeat pixels where the library renormalises: leave two rows out too.
        assert torch.allclose(got[..., 2:, 2:], expected[..., inner, inner][..., 2:, 2:], atol=1e-5)


def test_identity_crop_returns_the_pixels():
    image = torch.rand(1, 3, 40, 40)
    boxes = regions.Boxes(torch.tensor([[5.0, 7.0]]), torch.tensor([20.0]))
    assert torch.allclose(regions.crop(image, boxes, 20), image[:, :, 7:27, 5:25], atol=1e-6)


def test_fractional_corner_shifts_a_ramp():
    ramp = ((torch.arange(64) + 0.5) / 64).expand(1, 3, 64, 64)
    boxes = regions.Boxes(torch.tensor([[10.25, 3.0]]), torch.tensor([30.0]))
    row = regions.crop(ramp, boxes, 15)[0, 0, 5]
    expected = (10.25 + (torch.arange(15) + 0.5) * 2) / 64
    assert torch.allclose(row, expected, atol=1e-5)


def test_border_is_repeated_beyond_the_frame():
    image = torch.rand(1, 3, 10, 10)
    boxes = regions.Boxes(torch.tensor([[-10.0, 0.0]]), torch.tensor([10.0]))
    left = regions.crop(image, boxes, 10)
    assert torch.allclose(left, image[..., :1].expand_as(left), atol=1e-6)
    far = regions.crop(image, regions.Boxes(torch.tensor([[500.0, 700.0]]), torch.tensor([8.0])), 8)
    assert torch.allclose(far, image[..., -1:, -1:].expand_as(far), atol=1e-6)


def test_landmarks_follow_the_crop():
    image = torch.zeros(1, 3, 100, 100)
    image[..., 40, 60] = 1  # centre at (60.5, 40.5)
    boxes = regions.Boxes(torch.tensor([[50.2, 30.7]]), torch.tensor([20.0]))
    cut = regions.crop(image, boxes, 200)[0, 0]
    rows, columns = torch.meshgrid(torch.arange(200) + 0.5, torch.arange(200) + 0.5, indexing="ij")
    centre = torch.stack([(cut * columns).sum(), (cut * rows).sum()]) / cut.sum()
    point = regions.to_crop(torch.tensor([[[60.5, 40.5, 2.0]]]), boxes, 200)[0, 0]
    assert point[:2].tolist() == pytest.approx(centre.tolist(), abs=0.05)
    assert point[2].item() == pytest.approx(20)


def test_hull_mask_covers_the_rectangle():
    mask = regions.hull_masks(face(64, 32, 192, 160))
    assert mask.shape == (1, 1, 256, 256)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert mask.sum().item() == pytest.approx(128 * 128, rel=0.02)
    assert mask[0, 0, 34:158, 66:190].min() == 1
    assert mask[0, 0, :30].max() == 0


def test_shrink_keeps_shape_and_small_pictures():
    image = torch.rand(1, 3, 300, 600)
    assert regions.shrink(image, 200).shape == (1, 3, 100, 200)
    assert regions.shrink(image, 600) is image
    assert regions.shrink(image, 0) is image
