"""A convolutional network whose layers are listed in the metadata of its weights file.

The four image networks of the tracker (two detectors, landmarks, matte) are chains of the same few layers.
Their files hold, beside the weights, a JSON list of layers in order of execution, written by
`scripts/convert_tracker.py`; `GraphNet` builds and runs that list. Values are NCHW, channels last in memory.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from ..errors import CheckpointError

WEIGHTS = Path(__file__).parent / "weights"


def read_weights(name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors (float types widened to float32) and metadata of `weights/<name>.safetensors`.

    Raises CheckpointError when the file is missing or damaged.
    """
    path = WEIGHTS / f"{name}.safetensors"
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            metadata = file.metadata() or {}
    except Exception as error:
        raise CheckpointError(
            f"The tracker's weights {path.name} cannot be read ({error}). Reinstall the pack or rebuild the "
            "file with scripts/convert_tracker.py."
        ) from error
    for key, value in tensors.items():
        tensors[key] = value.float() if value.is_floating_point() else value
    return tensors, metadata


class Activation(nn.Module):
    """relu, hard_swish, sigmoid, prelu (one slope per channel) or none."""

    slope: Tensor | None

    def __init__(self, kind: str, slope: Tensor | None = None):
        super().__init__()
        self.kind = kind
        self.register_buffer("slope", slope)

    def forward(self, x: Tensor) -> Tensor:
        if self.slope is not None:
            return torch.prelu(x, self.slope)
        if self.kind == "relu":
            return F.relu(x)
        if self.kind == "hard_swish":
            return F.hardswish(x)
        if self.kind == "sigmoid":
            return torch.sigmoid(x)
        return x


class Conv(nn.Module):
    """Convolution with the exporting framework's SAME padding folded in, then an activation.

    SAME padding of a strided layer is uneven (left, right): the kernel gets leading zeros so that an even
    padding of the larger side gives the same result without copying the input.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, pad: list[int], groups: int, act: Activation):
        super().__init__()
        before, after = pad
        size = weight.shape[-1]
        if before != after:
            weight = F.pad(weight, (after - before, 0, after - before, 0))
            size += after - before
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.stride, self.padding, self.groups, self.act = stride, after, groups, act
        # A dilation means nothing to a 1x1 kernel, but makes PyTorch choose oneDNN on the CPU, which is three
        # times as fast as its matrix product when there are few output channels.
        self.dilation = 2 if size == 1 and len(weight) < 16 else 1

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return self.act(x)


class Deconv(nn.Module):
    """Transposed convolution whose stride equals its kernel size, then an activation."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, act: Activation):
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.stride, self.act = stride, act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(F.conv_transpose2d(x, self.weight, self.bias, self.stride))


class Add(nn.Module):
    """Sum, then an activation; a second operand with fewer channels counts as padded with zeros.

    `reuse` says which operands nobody needs afterwards; the sum is written over one of them.
    """

    def __init__(self, act: Activation, reuse: tuple[bool, bool]):
        super().__init__()
        self.act, self.reuse = act, reuse

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if x.shape[1] == y.shape[1]:
            if self.reuse[1]:
                return self.act(y.add_(x))
            return self.act(x.add_(y) if self.reuse[0] else x + y)
        total = x if self.reuse[0] else x.clone()
        total[:, : y.shape[1]] += y
        return self.act(total)


class Multiply(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x * y


class GlobalMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


class Double(nn.Module):
    """Bilinear enlargement by two, half-pixel centres."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _layer(node: dict, weights: dict[str, Tensor], release: list[int]) -> nn.Module:
    kind = node["kind"]
    slope = node.get("slope")
    act = Activation(node.get("act", "none"), None if slope is None else weights[slope])
    if kind == "conv":
        weight, bias = weights[node["weight"]], weights[node["bias"]]
        return Conv(weight, bias, node["stride"], node["pad"], node["groups"], act)
    if kind == "deconv":
        return Deconv(weights[node["weight"]], weights[node["bias"]], node["stride"], act)
    if kind == "add":
        first, second = (value in release for value in node["inputs"])
        return Add(act, (first, second))
    plain = {
        "multiply": Multiply,
        "mean": GlobalMean,
        "double": Double,
        "max": lambda: nn.MaxPool2d(2, 2),
        "activation": lambda: act,
    }
    if kind not in plain:
        raise CheckpointError(
            f"The tracker's weights name an unknown layer {kind!r}. Update the pack or rebuild the file with "
            "scripts/convert_tracker.py."
        )
    return plain[kind]()


class GraphNet(nn.Module):
    """Runs the layer list of a converted network.

    forward: images [N,3,S,S] in the value range the network was trained with -> its outputs, each [N,C,h,w],
    in the order of the file's `outputs`.
    """

    def __init__(self, nodes: list[dict], outputs: list[int], size: int, weights: dict[str, Tensor]):
        super().__init__()
        self.size = size  # S, side of the square input in pixels
        self.inputs = [tuple(node["inputs"]) for node in nodes]
        self.results = [node["output"] for node in nodes]
        self.outputs = outputs
        last = {value: step for step, values in enumerate(self.inputs) for value in values}
        self.release = [
            [value for value in sorted(set(values)) if last[value] == step and value not in (0, *outputs)]
            for step, values in enumerate(self.inputs)
        ]
        self.layers = nn.ModuleList(_layer(node, weights, free) for node, free in zip(nodes, self.release))

    @classmethod
    def load(cls, name: str) -> GraphNet:
        """The network of `weights/<name>.safetensors`. Raises CheckpointError."""
        weights, metadata = read_weights(name)
        graph = json.loads(metadata["graph"])
        return cls(graph["nodes"], graph["outputs"], graph["size"], weights)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        values = {0: images.contiguous(memory_format=torch.channels_last)}
        for layer, inputs, result, release in zip(self.layers, self.inputs, self.results, self.release):
            values[result] = layer(*(values[i] for i in inputs))
            for value in release:
                del values[value]
        return tuple(values[i] for i in self.outputs)
