"""Convolutions of float32 maps and volumes with fewer multiplications, for CPUs.

A tile of m x m output pixels depends on n x n input pixels, n = m + k - 1 for a k x k kernel. With constant matrices
it is A [(G kernel) * (B input)]: fewer products between kernel and input than the k^2 m^2 of the definition, and one
matrix product over the channels for each of them. Two choices of matrices:

- `winograd` evaluates polynomials at n points per axis: n^2 products, a quarter for 3x3 kernels and 4x4 tiles.
  Fast Algorithms for Convolutional Neural Networks (Lavin and Gray 2015), https://arxiv.org/abs/1509.09308.
- `fourier` is the discrete Fourier transform of the tile: three real products for every two conjugate frequencies.
  It needs half as many again but loses no accuracy, which polynomials do on large tiles. For large kernels.

The depth of a kernel over volumes is summed up as in the definition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..stopping import may_stop

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and infinity; small numbers, so that rounding errors stay small
WORKSPACE = 32 << 20  # bytes of an intermediate value; beyond, the C library maps fresh pages each time
LEAST_CHANNELS = 80  # below, the transforms cost what the products save; see `is_worthwhile`
LEAST_TILES = 64


class Transform(NamedTuple):
    tile: int  # m
    window: int  # n
    output: Tensor  # A [m*m,P]
    kernel: Tensor  # G [P,k*k]
    input: Tensor  # B [P,n*n]


@cache
def winograd() -> Transform:
    """For 3x3 kernels and tiles of 4x4."""
    tile, size, window = 4, 3, 6
    points = torch.tensor(POINTS, dtype=torch.float64)

    def evaluation(count: int) -> Tensor:
        """Values of polynomials with `count` coefficients at the points; at infinity the highest coefficient."""
        infinity = torch.eye(count, dtype=torch.float64)[-1:]
        return torch.cat([points[:, None] ** torch.arange(count), infinity])

    matrices = evaluation(tile).T, evaluation(size), torch.linalg.inv(evaluation(window)).T
    return Transform(tile, window, *(torch.kron(matrix, matrix).float() for matrix in matrices))


@cache
def fourier() -> Transform:
    """For 7x7 kernels and tiles of 8x8."""
    tile, size, window = 8, 7, 14
    positions = torch.arange(window)
    wave = torch.exp(torch.outer(positions, positions) * (-2j * torch.pi / window)).to(torch.complex128)
    spectrum = torch.kron(wave, wave)  # [frequencies, pixels]
    number = torch.arange(window**2).view(window, window)
    conjugate = number[-positions][:, -positions].flatten()  # the frequency whose value is conjugate for real maps
    alone, pairs = spectrum[number.flatten() == conjugate].real, spectrum[number.flatten() < conjugate]
    # (a + bi)(c + di) = c (a + b) - b (c + d) + [c (a + b) + a (d - c)] i
    in_kernel, in_tile = number[:size, :size].flatten(), number[:tile, :tile].flatten()
    c, d = pairs[:, in_kernel].real, -pairs[:, in_kernel].imag
    real, imaginary = 2 * pairs[:, in_tile].real, -2 * pairs[:, in_tile].imag
    output = torch.cat([alone[:, in_tile], real - imaginary, -imaginary, -real]).T / window**2
    kernel = torch.cat([alone[:, in_kernel], c, d - c, c + d])
    values = torch.cat([alone, pairs.real + pairs.imag, pairs.real, pairs.imag])
    return Transform(tile, window, *(matrix.float().contiguous() for matrix in (output, kernel, values)))


TRANSFORMS: dict[int, Callable[[], Transform]] = {3: winograd, 7: fourier}  # by kernel size


def convolve(x: Tensor, weight: Tensor, bias: Tensor, transform: Transform) -> Tensor:
    """The convolution of [N,C,H,W] or [N,C,D,H,W] with stride 1 and zero padding of half the kernel.

    H and W are multiples of the tile. The result is laid out channels last.
    """
    if x.ndim == 4:
        return convolve(x[:, :, None], weight[:, :, None], bias, transform)[:, :, 0]
    depth, height, width = x.shape[2:]
    outputs, channels, taps, size, _ = weight.shape
    products, tile, window = len(transform.kernel), transform.tile, transform.window
    flat = weight.permute(2, 0, 1, 3, 4).reshape(-1, size**2)
    kernels = (transform.kernel @ flat.T).view(products, taps, outputs, channels)
    rows, columns = height // tile, width // tile
    band = max(1, min(rows, WORKSPACE // (4 * products * max(channels, outputs) * depth * columns)))
    while rows % band:
        band -= 1
    per_plane = band * columns  # tiles
    padded = x.new_zeros(depth, height + size - 1, width + size - 1, channels)
    values = x.new_zeros(products, depth + taps - 1, per_plane, channels)
    inside = values[:, taps // 2 :][:, :depth].flatten(1)
    sums = x.new_empty(products, depth * per_plane, outputs)
    result = x.new_empty(len(x), depth, rows, tile, columns, tile, outputs)
    plane, row, column, channel = padded.stride()
    for image, out in zip(x, result):
        padded[:, size // 2 :, size // 2 :][:, :height, :width] = image.permute(1, 2, 3, 0)
        for top in range(0, rows, band):
            may_stop()
            tiles = padded.as_strided(
                (window, window, depth, band, columns, channels),
                (row, column, plane, tile * row, tile * column, channel),
                top * tile * row,
            )
            torch.mm(transform.input, tiles.reshape(window**2, -1), out=inside)
            torch.bmm(values[:, :depth].flatten(1, 2), kernels[:, 0].mT, out=sums)
            for tap in range(1, taps):
                sums.baddbmm_(values[:, tap : tap + depth].flatten(1, 2), kernels[:, tap].mT)
            pixels = (transform.output @ sums.flatten(1)).view(tile, tile, depth, band, columns, outputs)
            torch.add(pixels.permute(2, 3, 0, 4, 1, 5), bias, out=out[:, top : top + band])
    return result.view(len(x), depth, height, width, outputs).permute(0, 4, 1, 2, 3)


def is_worthwhile(conv: nn.Module) -> TypeGuard[nn.Conv2d | nn.Conv3d]:
    """Whether a layer is a convolution that `FastConvolution` computes faster, large maps provided."""
    if not isinstance(conv, nn.Conv2d | nn.Conv3d) or conv.groups != 1 or conv.kernel_size[-1] not in TRANSFORMS:
        return False
    if set(conv.stride) != {1} or tuple(conv.padding) != tuple(size // 2 for size in conv.kernel_size):
        return False
    # Transforms cost per input and per output channel, products per pair of them.
    pairs = conv.in_channels * conv.out_channels * (conv.kernel_size[0] if isinstance(conv, nn.Conv3d) else 1)
    return pairs >= LEAST_CHANNELS * (conv.in_channels + conv.out_channels)


class FastConvolution(nn.Module):
    """Takes the place of a convolution that `is_worthwhile`; computes the same, fast where it can."""

    def __init__(self, conv: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor) -> Tensor:
        size = self.weight.shape[-1]
        if not torch.compiler.is_compiling() and self.bias is not None and _is_suitable(x, TRANSFORMS[size]()):
            return convolve(x, self.weight, self.bias, TRANSFORMS[size]())
        return (F.conv2d if x.ndim == 4 else F.conv3d)(x, self.weight, self.bias, padding=size // 2)


def _is_suitable(x: Tensor, transform: Transform) -> bool:
    fits = x.shape[-1] % transform.tile == x.shape[-2] % transform.tile == 0
    many = x[0, 0].numel() >= LEAST_TILES * transform.tile**2
    return fits and many and x.device.type == "cpu" and x.dtype == torch.float32 and not x.requires_grad
