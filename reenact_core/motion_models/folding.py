"""Layers merged once at loading, so that every frame costs less; the networks compute the same as before.

A module takes part by the class attribute `folds`, pairs of names (layer, BatchNorm behind it), or by a
method `fold()` of its own, which is called after its norms are folded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .fast_convolution import FastConvolution, is_worthwhile

KERNEL = 3  # of the convolutions that are merged with others
LANES = 8  # channel counts that are multiples of this run faster on CPU and GPU


@torch.no_grad()
def fold(model: nn.Module) -> None:
    """Folds, in place, everything in the model that can be. It can no longer be trained as it was."""
    modules = list(model.modules())
    for module in modules:
        for layer_name, norm_name in getattr(module, "folds", ()):
            norm = getattr(module, norm_name)
            if isinstance(norm, _BatchNorm):
                fold_batch_norm(getattr(module, layer_name), norm)
                setattr(module, norm_name, nn.Identity())
    for module in modules:
        merge = getattr(module, "fold", None)
        if callable(merge):
            merge()
    for module in list(model.modules()):
        for name, layer in module.named_children():
            plain = layer.folded() if isinstance(layer, SpectralConv2d) else layer
            setattr(module, name, FastConvolution(plain) if is_worthwhile(plain) else plain)
    use_channels_last(model)


def fold_batch_norm(layer: nn.Conv2d | nn.Conv3d | nn.Linear, norm: _BatchNorm) -> None:
    """Gives a convolution or linear layer, in place, the scale and offset of the BatchNorm behind it."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight = layer.weight
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    offset = norm.bias.double() - norm.running_mean.double() * scale
    if layer.bias is not None:
        offset += layer.bias.double() * scale
    per_output = scale.reshape(-1, *[1] * (weight.ndim - 1))
    layer.weight = _frozen((weight.double() * per_output).to(weight.dtype))
    layer.bias = _frozen(offset.to(weight.dtype))


def upsampling_convolution(conv: nn.Conv2d, scale: int) -> nn.ConvTranspose2d:
    """Nearest upsampling by `scale` and a 3x3 convolution with padding 1, as one transposed convolution.

    The repeated pixels meet few distinct sums of kernel taps, so this needs 4/9 (scale 2) or 1/4 (scale 4) of
    the multiplications.
    """
    merged = nn.ConvTranspose2d(conv.in_channels, conv.out_channels, scale + KERNEL - 1, scale, padding=1)
    merged.weight = _frozen(upsampling_kernel(conv.weight.double(), scale).to(conv.weight.dtype))
    merged.bias = conv.bias
    return merged


def upsampling_kernel(weight: Tensor, scale: int) -> Tensor:
    """The transposed convolution's kernel [inputs,outputs,scale+2,scale+2] for `upsampling_convolution`, of a 3x3
    convolution's weight [outputs,inputs,3,3]: the kernels at one input pixel's scale x scale copies, summed."""
    taps = F.avg_pool2d(F.pad(weight, (scale - 1,) * 4), scale, stride=1) * scale**2
    return taps.flip(2, 3).transpose(0, 1).contiguous()


def widen(conv: nn.Conv2d | nn.Conv3d, *, inputs: int = 0, outputs: int = 0) -> None:
    """Adds channels to a convolution, in place: new inputs are ignored, new outputs are zero."""
    assert conv.bias is not None
    padding = (0, 0) * (conv.weight.ndim - 2)
    conv.weight = _frozen(F.pad(conv.weight, (*padding, 0, inputs, 0, outputs)))
    conv.bias = _frozen(F.pad(conv.bias, (0, outputs)))
    conv.in_channels += inputs
    conv.out_channels += outputs


def stack(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    """One 3x3 convolution with the outputs of two that have the same inputs, one behind the other."""
    assert first.bias is not None
    assert second.bias is not None
    outputs = first.out_channels + second.out_channels
    both = nn.Conv2d(first.in_channels, outputs, KERNEL, padding=1)
    both.weight = _frozen(torch.cat([first.weight, second.weight]))
    both.bias = _frozen(torch.cat([first.bias, second.bias]))
    return both


def project(conv: nn.Conv2d, weight: Tensor) -> nn.Conv2d:
    """A 3x3 convolution followed by one of 1x1 without bias, `weight` [outputs,channels,1,1], as one of 3x3."""
    assert conv.bias is not None
    matrix = weight.flatten(1).double()
    merged = nn.Conv2d(conv.in_channels, len(matrix), KERNEL, padding=1)
    merged.weight = _frozen(torch.einsum("oc,cihw->oihw", matrix, conv.weight.double()).to(conv.weight.dtype))
    merged.bias = _frozen((matrix @ conv.bias.double()).to(conv.bias.dtype))
    return merged


def spare_lanes(channels: int) -> int:
    """How many channels are missing to a multiple of LANES."""
    return -channels % LANES


def use_channels_last(model: nn.Module) -> None:
    """Stores the weights of 2-D convolutions channels last, in place, so that they compute in this order.

    Tensor cores want it, and transposed convolutions on a CPU take half the time.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)


class SpectralConv2d(nn.Module):
    """A convolution whose weight is stored as `weight_orig` and divided by sigma = u^T W v.

    https://arxiv.org/abs/1802.05957. The stored u and v are used as they are, as in evaluation; there is no
    power iteration.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        self.weight_orig = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.register_buffer("weight_u", torch.empty(outputs))
        self.register_buffer("weight_v", torch.empty(inputs * kernel * kernel))

    def weight(self) -> Tensor:
        """[outputs,inputs,kernel,kernel]."""
        sigma = self.weight_u @ (self.weight_orig.flatten(1) @ self.weight_v)
        return self.weight_orig / sigma

    def folded(self) -> nn.Conv2d:
        """The convolution with its weight worked out."""
        outputs, inputs, kernel, _ = self.weight_orig.shape
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        conv.weight, conv.bias = _frozen(self.weight()), self.bias
        return conv

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight(), self.bias, padding=self.weight_orig.shape[-1] // 2)


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach(), requires_grad=False)
