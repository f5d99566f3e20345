"""Conventions of the shared layers, each against a plain way of computing the same."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reenact_core.motion_models.folding import (
    SpectralConv2d,
    fold_batch_norm,
    project,
    spare_lanes,
    stack,
    upsampling_convolution,
    widen,
)
from reenact_core.motion_models.layers import AntiAliasDownsample, by_plane, normalise
from reenact_core.motion_models.live_portrait import ALIGN_CORNERS
from reenact_core.motion_models.sampling import (
    coordinate_axis,
    coordinate_grid,
    heat_maps,
    invert_2x2,
    resize_grids,
    sample_2d,
    sample_3d,
    sample_3d_by_planes,
    translated,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_grid_has_its_ends_at_the_border_centres():
    torch.testing.assert_close(coordinate_axis(5, torch.device("cpu")), torch.tensor([-1, -0.5, 0, 0.5, 1]))
    grid = coordinate_grid((2, 3, 4), torch.device("cpu"))
    assert grid.shape == (2, 3, 4, 3)
    torch.testing.assert_close(grid[1, 0, 3], torch.tensor([1.0, -1.0, 1.0]))  # x, y, z


@pytest.mark.parametrize("sizes", [(6, 7), (3, 6, 7)])
def test_heat_maps_are_gaussians(sizes):
    points = torch.rand(2, 4, len(sizes)) * 2 - 1
    grid = coordinate_grid(sizes, points.device)
    shape = (2, 4, *[1] * len(sizes), len(sizes))
    expected = torch.exp(-((grid - points.reshape(shape)) ** 2).sum(-1) / 0.02)
    torch.testing.assert_close(heat_maps(points, sizes), expected, rtol=1e-4, atol=1e-7)


def test_invert_2x2():
    matrices = torch.randn(3, 5, 2, 2)
    torch.testing.assert_close(invert_2x2(matrices) @ matrices, torch.eye(2).expand(3, 5, 2, 2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("align_corners", [True, False])
def test_sample_2d_samples_each_pair(align_corners):
    maps, grids = torch.rand(3, 4, 6, 8), torch.rand(2, 3, 5, 7, 9, 2) * 3 - 1.5
    samples = sample_2d(maps, grids, align_corners=align_corners)
    assert samples.shape == (2, 3, 5, 4, 7, 9)
    expected = F.grid_sample(maps[2:], grids[1, 2, 4:], padding_mode="zeros", align_corners=align_corners)
    torch.testing.assert_close(samples[1, 2, 4], expected[0])


@pytest.mark.parametrize("align_corners", [True, False])
def test_sampling_by_planes_agrees_with_the_3d_sampler(align_corners):
    """Inside, across the border and outside, with fewer planes out than in."""
    volumes, grids = torch.randn(2, 5, 6, 8, 10), torch.rand(3, 2, 4, 7, 9, 3) * 3 - 1.5
    expected = sample_3d(volumes, grids, align_corners=align_corners)
    assert expected.shape == (3, 2, 5, 4, 7, 9)
    planes = sample_3d_by_planes(volumes, grids, align_corners=align_corners)
    torch.testing.assert_close(planes, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sampling_by_planes_at_the_last_voxel(axis):
    volumes = torch.randn(1, 1, 4, 4, 4)
    grids = torch.zeros(1, 1, 1, 1, 9, 3)
    grids[..., axis] = torch.linspace(-1.6, 1.6, 9)
    expected = sample_3d(volumes, grids, align_corners=False)
    torch.testing.assert_close(sample_3d_by_planes(volumes, grids, align_corners=False), expected, atol=1e-5, rtol=0)


def test_translated_volumes_agree_with_the_3d_sampler():
    volumes, shifts = torch.randn(2, 3, 4, 6, 8), torch.rand(2, 2, 5, 3) * 2 - 1
    shifts[:, :, 0] = 0
    grid = coordinate_grid((4, 6, 8), volumes.device)
    for k in range(5):
        grids = grid + shifts[:, :, k, None, None, None]
        expected = sample_3d(volumes, grids, align_corners=ALIGN_CORNERS)
        torch.testing.assert_close(translated(volumes, shifts)[:, :, k], expected, rtol=1e-4, atol=1e-5)


def test_resized_grid_follows_the_picture():
    grids = coordinate_grid((8, 8), torch.device("cpu")).expand(2, 3, -1, -1, -1)
    resized = resize_grids(grids, (16, 16), align_corners=True)
    torch.testing.assert_close(resized[1, 2], coordinate_grid((16, 16), torch.device("cpu")))
    assert resize_grids(grids, (8, 8), align_corners=False) is grids


def test_downsampling_begins_with_the_first_pixel():
    down = AntiAliasDownsample(1, 13)
    down.weight.zero_()
    down.weight[0, 0, 6, 6] = 1
    image = torch.rand(1, 1, 16, 24)
    torch.testing.assert_close(down(image), image[..., ::4, ::4])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_batch_norm_folds_into_the_layer(axes, bias):
    make = {1: nn.Linear, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
    layer = make(4, 5, bias=bias) if axes == 1 else make(4, 5, 3, bias=bias)
    norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[axes](5).eval()
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.normal_()
        norm.running_var.uniform_(0.1, 2)
    x = torch.randn(2, 4, *[6] * axes) if axes > 1 else torch.randn(2, 4)
    expected = norm(layer(x))
    fold_batch_norm(layer, norm)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_spectral_norm_uses_the_stored_vectors():
    conv = SpectralConv2d(3, 4, 3)
    with torch.no_grad():
        for tensor in (conv.weight_orig, conv.weight_u, conv.weight_v, conv.bias):
            tensor.normal_()
    x = torch.randn(1, 3, 6, 6)
    sigma = conv.weight_u @ conv.weight_orig.flatten(1) @ conv.weight_v
    expected = F.conv2d(x, conv.weight_orig / sigma, conv.bias, padding=1)
    torch.testing.assert_close(conv(x), expected)
    assert set(conv.folded().state_dict()) == {"weight", "bias"}
    torch.testing.assert_close(conv.folded()(x), expected)


def test_stacked_and_projected_convolutions():
    one, other = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(3, 2, 3, padding=1)
    x, weight = torch.randn(2, 3, 6, 7), torch.randn(4, 5, 1, 1)
    torch.testing.assert_close(stack(one, other)(x), torch.cat([one(x), other(x)], dim=1))
    torch.testing.assert_close(project(one, weight)(x), F.conv2d(one(x), weight), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_normalise_is_instance_norm(weighted):
    maps = torch.randn(3, 4, 6, 7).contiguous(memory_format=torch.channels_last) * 5 + 2
    affine = (torch.randn(4), torch.randn(4)) if weighted else (None, None)
    expected = F.instance_norm(maps, weight=affine[0], bias=affine[1])
    torch.testing.assert_close(normalise(maps, *affine), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last_3d])
def test_pooling_by_plane(order):
    volumes = torch.randn(2, 3, 4, 6, 8).contiguous(memory_format=order)
    expected = F.avg_pool3d(volumes, (1, 2, 2))
    torch.testing.assert_close(by_plane(nn.AvgPool2d(2), volumes), expected)


def test_heat_maps_have_no_numbers_that_slow_a_processor_down():
    heat = heat_maps(torch.tensor([[-1.0, -1.0, -1.0]]), (16, 64, 64))
    assert heat.max() == 1
    assert not ((heat > 0) & (heat < torch.finfo(torch.float32).tiny)).any()


@pytest.mark.parametrize("scale", [2, 4])
def test_upsampling_merges_into_the_convolution(scale):
    conv = nn.Conv2d(3, 5, 3, padding=1)
    x = torch.randn(2, 3, 6, 7)
    expected = conv(F.interpolate(x, scale_factor=float(scale), mode="nearest"))
    torch.testing.assert_close(upsampling_convolution(conv, scale)(x), expected, rtol=1e-4, atol=1e-5)


def test_widened_convolution_ignores_new_inputs():
    conv, x = nn.Conv3d(3, 5, 3, padding=1), torch.randn(1, 3, 4, 4, 4)
    expected = conv(x)
    widen(conv, inputs=2, outputs=spare_lanes(5))
    y = conv(torch.cat([x, torch.randn(1, 2, 4, 4, 4)], dim=1))
    assert y.shape[1] == 8
    torch.testing.assert_close(y[:, :5], expected)
    assert not y[:, 5:].any()
