"""Convolutions with fewer multiplications give what the definition gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reenact_core.motion_models import fast_convolution
from reenact_core.motion_models.fast_convolution import TRANSFORMS, FastConvolution, convolve, is_worthwhile


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("workspace", [1, 32 << 20], ids=["row by row", "at once"])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("size", "height", "width"), [(3, 12, 20), (7, 24, 16)])
def test_maps(size, height, width, order, workspace, monkeypatch):
    """Several images, every phase of a tile, borders, bias."""
    monkeypatch.setattr(fast_convolution, "WORKSPACE", workspace)
    x = torch.randn(2, 5, height, width).contiguous(memory_format=order)
    weight, bias = torch.randn(4, 5, size, size), torch.randn(4)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=size // 2).float()
    result = convolve(x, weight, bias, TRANSFORMS[size]())
    assert result.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "depth"), [(3, 1), (3, 5), (7, 2), (7, 9)])
def test_volumes(size, depth):
    """Kernels that reach beyond the volume in depth, too."""
    x, weight, bias = torch.randn(2, 3, depth, 8, 16), torch.randn(4, 3, size, size, size), torch.randn(4)
    expected = F.conv3d(x.double(), weight.double(), bias.double(), padding=size // 2).float()
    torch.testing.assert_close(convolve(x, weight, bias, TRANSFORMS[size]()), expected, rtol=1e-4, atol=1e-4)


def test_rounding_errors_stay_near_those_of_the_definition():
    """Relative to the values, on average; the definition itself is off by about 4e-7."""
    for size, allowed in ((3, 4e-6), (7, 2e-6)):
        x, weight = torch.randn(1, 128, 32, 32), torch.randn(16, 128, size, size) / (128**0.5 * size)
        expected = F.conv2d(x.double(), weight.double(), padding=size // 2)
        result = convolve(x, weight, torch.zeros(16), TRANSFORMS[size]())
        assert (result - expected).abs().mean() < allowed * expected.abs().mean()


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(256, 256, 3, padding=1), True),
        (nn.Conv3d(144, 24, 7, padding=3), True),
        (nn.Conv2d(16, 256, 3, padding=1), False),  # few inputs
        (nn.Conv2d(256, 256, 3), False),  # no padding
        (nn.Conv2d(256, 256, 3, stride=2, padding=1), False),
        (nn.Conv2d(256, 256, 3, padding=1, groups=2), False),
        (nn.Conv2d(256, 256, 1), False),
        (nn.ConvTranspose2d(256, 256, 3, padding=1), False),
    ],
)
def test_which_layers_are_replaced(layer, expected):
    assert is_worthwhile(layer) == expected


@pytest.mark.parametrize("kind", ["small map", "odd size", "bfloat16", "gradient", "fast"])
def test_layer_chooses_the_way(kind, monkeypatch):
    used = []
    monkeypatch.setattr(fast_convolution, "convolve", lambda *args: used.append(1) or convolve(*args))
    conv = nn.Conv2d(160, 160, 3, padding=1).requires_grad_(False)
    layer = FastConvolution(conv)
    x = torch.randn(1, 160, *{"small map": (16, 16), "odd size": (33, 34)}.get(kind, (32, 32)))
    if kind == "bfloat16":
        conv, layer, x = conv.bfloat16(), layer.bfloat16(), x.bfloat16()
    x.requires_grad_(kind == "gradient")
    torch.testing.assert_close(layer(x), conv(x), rtol=1e-3, atol=1e-3)
    assert bool(used) == (kind == "fast")
