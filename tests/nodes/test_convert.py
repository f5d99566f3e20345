"""Layout, range, devices and masks: nothing of the host's oddities gets into the core."""

from __future__ import annotations

import pytest
import torch

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def convert(pack):
    return pack("nodes.convert")


@pytest.fixture(scope="module")
def image_error(pack):
    return pack("reenact_core.errors").ImageError


def ramp(batch: int = 2, height: int = 4, width: int = 6, channels: int = 3) -> torch.Tensor:
    """[B,H,W,C] whose every value is different."""
    count = batch * height * width * channels
    return (torch.arange(count) / count).reshape(batch, height, width, channels)


@pytest.mark.parametrize("channels", [3, 4])
def test_layout(convert, channels):
    image = ramp(channels=channels)
    core = convert.to_core(image)
    assert core.shape == (2, 3, 4, 6)
    assert core[1, 2, 3, 5] == image[1, 3, 5, 2]


def test_round_trip_is_exact(convert):
    image = ramp()
    assert torch.equal(convert.to_host(convert.to_core(image)), image)


def test_half_precision_becomes_single(convert):
    core = convert.to_core(ramp().half())
    assert core.dtype == torch.float32
    assert (core - convert.to_core(ramp())).abs().max() < 1e-3


def test_one_picture_and_grey(convert):
    assert convert.to_core(ramp()[0]).shape == (1, 3, 4, 6)
    grey = convert.to_core(ramp(channels=1))
    assert torch.equal(grey[:, 0], grey[:, 2])


def test_overshoot_is_clipped_without_touching_the_input(convert):
    image = ramp() * 3 - 1
    before = image.clone()
    core = convert.to_core(image)
    assert (float(core.min()), float(core.max())) == (0.0, 1.0)
    assert torch.equal(image, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_not_a_number_is_refused(convert, image_error, value):
    image = ramp()
    image[1, 2, 3, 0] = value
    with pytest.raises(image_error, match="`portrait` holds NaN"):
        convert.to_core(image, "portrait")


def test_an_empty_batch_is_refused(convert, image_error):
    with pytest.raises(image_error, match="`frames` holds no picture"):
        convert.to_core(torch.zeros(0, 4, 6, 3), "frames")


@pytest.mark.parametrize("shape", [(2, 4, 6, 2), (4, 6), (1, 0, 6, 3), (1, 2, 4, 6, 3)])
def test_other_shapes_are_refused(convert, image_error, shape):
    with pytest.raises(image_error, match=r"must be \[B,H,W,C\]"):
        convert.to_core(torch.zeros(shape))


def test_alpha(convert):
    image = ramp(channels=4)
    assert torch.equal(convert.alpha_of(image)[1, 0], image[1, :, :, 3])
    assert convert.alpha_of(ramp()) is None


def test_separate_keeps_order_and_sizes(convert):
    pictures = convert.separate([ramp(2), ramp(1, 8, 8), ramp(1)[0]])
    assert [tuple(picture.shape) for picture in pictures] == [(1, 4, 6, 3)] * 2 + [(1, 8, 8, 3), (1, 4, 6, 3)]
    assert torch.equal(pictures[1][0], ramp(2)[1])


def test_chunks_cover_the_batch(convert):
    image = ramp(7)
    chunks = list(convert.chunks_of(image, 3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    assert torch.equal(torch.cat(chunks), convert.to_core(image))


def test_collector_equals_conversion_at_once(convert):
    frames = convert.to_core(ramp(5))
    collector = convert.FrameCollector(8)
    collector.add(frames[:3])
    collector.add(frames[3:])
    assert torch.equal(collector.result(), convert.to_host(frames))
    masks = convert.FrameCollector(5)
    masks.add(frames[:, :1])
    assert torch.equal(masks.mask(), frames[:, 0].clamp(0, 1))


def test_crops_are_collected_on_black(convert):
    collector = convert.FrameCollector(2)
    crops = torch.rand(2, 3, 4, 4)
    collector.add_on_black(crops, torch.tensor([[1, 2, 4], [-2, 0, 4]]), (6, 8))
    frames = collector.result()
    assert torch.equal(frames[0, 2:6, 1:5], crops[0].movedim(0, -1))
    assert torch.equal(frames[1, :4, :2], crops[1, :, :, 2:].movedim(0, -1))
    assert frames.count_nonzero() <= 3 * (16 + 8)


def test_masks_are_resized_to_each_picture(convert):
    mask = torch.zeros(64, 64)
    mask[:, 32:] = 1
    small, large = convert.resized_masks(mask, [(8, 8), (128, 100)])
    assert small.shape == (1, 8, 8)
    assert large.shape == (1, 128, 100)
    assert small[0, :, :3].max() == 0
    assert small[0, :, 5:].min() == 1
    assert large[0, :, :45].max() == 0
    assert large[0, :, 55:].min() == 1


def test_one_mask_per_picture_keeps_its_place(convert):
    masks = torch.stack([torch.zeros(4, 6), torch.ones(4, 6)])
    first, second = convert.resized_masks(masks[:, None], [(4, 6), (8, 12)])
    assert first.max() == 0
    assert second.min() == 1


def test_wrong_number_of_masks_is_refused(convert, image_error):
    with pytest.raises(image_error, match="3 masks for 2 pictures"):
        convert.resized_masks(torch.zeros(3, 4, 4), [(4, 4), (4, 4)])


@pytest.mark.parametrize(
    ("shape", "words"),
    [((), "must be .B,H,W."), ((4,), "must be .B,H,W."), ((1, 0, 4), "must be .B,H,W."), ((0, 4, 4), "no mask")],
    ids=str,
)
def test_what_is_no_mask_is_refused(convert, image_error, shape, words):
    with pytest.raises(image_error, match=words):
        convert.resized_masks(torch.zeros(shape), [(4, 4)])


def test_the_hosts_default_mask_leaves_nothing_out(convert):
    assert convert.usable_masks(torch.zeros(1, 64, 64), [(300, 200)]) == [None]
    assert convert.usable_masks(None, [(3, 2), (4, 4)]) == [None, None]


def test_usable_is_what_is_not_left_out(convert):
    left_out = torch.zeros(1, 4, 6)
    left_out[0, 1, 2] = 0.75
    (usable,) = convert.usable_masks(left_out, [(4, 6)])
    assert usable[0, 1, 2] == 0.25
    assert usable.sum() == 24 - 0.75
