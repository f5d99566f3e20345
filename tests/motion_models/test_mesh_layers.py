"""What is computed before it is repeated, against the plain order."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reenact_core.motion_models.mesh_layers import BesideConv, DoubledConv, merge


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_doubled_map_beside_another(kernel):
    torch.manual_seed(0)
    conv = DoubledConv(5, 4, kernel)
    coarse, fine = torch.randn(2, 3, 6, 8), torch.randn(2, 2, 12, 16)
    both = torch.cat([F.interpolate(coarse, scale_factor=2.0), fine], 1)
    plain = F.conv2d(both, conv.weight, conv.bias, padding=kernel // 2)
    torch.testing.assert_close(conv(coarse, fine), plain, atol=1e-5, rtol=1e-5)


def test_maps_of_pairs_beside_shared_ones():
    torch.manual_seed(0)
    conv = BesideConv(5, 4)
    each, shared = torch.randn(6, 3, 8, 8), torch.randn(2, 2, 8, 8)
    plain = F.conv2d(torch.cat([each, shared.repeat_interleave(3, 0)], 1), conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(conv(each, shared), plain, atol=1e-5, rtol=1e-5)


def test_gradients_reach_weights_and_both_maps():
    torch.manual_seed(0)
    layers = merge(16, 8)
    coarse, fine = torch.randn(1, 8, 4, 4, requires_grad=True), torch.randn(1, 8, 8, 8, requires_grad=True)
    layers(coarse, fine).square().sum().backward()
    assert isinstance(layers[0], nn.Conv2d)
    for tensor in (coarse, fine, layers[0].weight):
        assert tensor.grad is not None
        assert float(tensor.grad.abs().min()) > 0
