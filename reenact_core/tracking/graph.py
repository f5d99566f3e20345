"""A convolutional network whose layers are listed in the metadata of its weights file.

The four image networks of the tracker (two detectors, landmarks, matte) are chains of the same few layers.
Their files hold, beside the weights, a JSON list of layers in order of execution, written by
`scripts/convert_tracker.py`; `GraphNet` builds and runs that list. Values are NCHW, channels last in memory.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
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


class Layer(nn.Module):
    """Keeps a layer's weights. On a CPU, calling a small layer as a module takes as long as its work: `GraphNet` calls
    the plain function instead."""

    def function(self) -> Callable[..., Tensor]:
        """The layer as a function of its operands, with the weights as they are now."""
        raise NotImplementedError

    def forward(self, *values: Tensor) -> Tensor:
        return self.function()(*values)


class Activation(Layer):
    """relu, hard_swish, sigmoid, prelu (one slope per channel) or none."""

    slope: Tensor | None

    def __init__(self, kind: str, slope: Tensor | None = None):
        super().__init__()
        self.kind = kind
        self.register_buffer("slope", slope)

    def function(self) -> Callable[..., Tensor]:
        if (slope := self.slope) is not None:
            return lambda x: torch.prelu(x, slope)
        return {"relu": F.relu, "hard_swish": F.hardswish, "sigmoid": torch.sigmoid}.get(self.kind, lambda x: x)

    def after(self, layer: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """A function with this activation behind it."""
        if self.kind == "none":
            return layer
        activate = self.function()
        return lambda *values: activate(layer(*values))


class Conv(Layer):
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

    def function(self) -> Callable[..., Tensor]:
        options = self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        return self.act.after(lambda x: F.conv2d(x, *options))


class Deconv(Layer):
    """Transposed convolution whose stride equals its kernel size, then an activation."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, act: Activation):
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.stride, self.act = stride, act

    def function(self) -> Callable[..., Tensor]:
        options = self.weight, self.bias, self.stride
        return self.act.after(lambda x: F.conv_transpose2d(x, *options))


class Add(Layer):
    """Sum, then an activation; a second operand with fewer channels counts as padded with zeros.

    `reuse` says which operands nobody needs afterwards; the sum is written over one of them.
    """

    def __init__(self, act: Activation, reuse: tuple[bool, bool]):
        super().__init__()
        self.act, self.reuse = act, reuse

    def function(self) -> Callable[..., Tensor]:
        first, second = self.reuse

        def add(x: Tensor, y: Tensor) -> Tensor:
            if x.shape[1] == y.shape[1]:
                if second:
                    return y.add_(x)
                return x.add_(y) if first else x + y
            total = x if first else x.clone()
            total[:, : y.shape[1]] += y
            return total

        return self.act.after(add)


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
        self._functions: list[Callable[..., Tensor]] = []  # of the layers, made when first needed

    @classmethod
    def load(cls, name: str) -> GraphNet:
        """The network of `weights/<name>.safetensors`. Raises CheckpointError."""
        weights, metadata = read_weights(name)
        graph = json.loads(metadata["graph"])
        return cls(graph["nodes"], graph["outputs"], graph["size"], weights)

    def for_gradients(self) -> GraphNet:
        """A copy that overwrites no value that gradients of its input need."""
        own = copy.deepcopy(self)
        own._functions = []
        for layer in own.layers:
            if isinstance(layer, Add):
                layer.reuse = (False, False)
        return own

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GraphNet:
        self._functions = []  # they hold the weights from before they are moved or converted
        return super()._apply(fn, recurse)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        if not self._functions:
            self._functions = [layer.function() if isinstance(layer, Layer) else layer for layer in self.layers]
        values = {0: images.contiguous(memory_format=torch.channels_last)}
        for layer, inputs, result, release in zip(self._functions, self.inputs, self.results, self.release):
            values[result] = layer(*(values[i] for i in inputs))
            for value in release:
                del values[value]
        return tuple(values[i] for i in self.outputs)
