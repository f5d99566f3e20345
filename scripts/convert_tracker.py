"""Converts the published face landmarker, detector and matte networks to this package's safetensors.

    python scripts/convert_tracker.py --models DIR [--out reenact_core/tracking/weights]

DIR holds `face_landmarker.task`, `face_detection_full_range.tflite`, `selfie_segmentation.tflite` and
`canonical_face_model.obj` (MediaPipe, Apache-2.0; see NOTICE). Needs the packages `tflite` and `flatbuffers`.
The networks were published with float16 weights, which are kept as they are: nothing is lost.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path

import numpy as np
import tflite
from safetensors.numpy import save_file

OPERATORS = {value: key for key, value in vars(tflite.BuiltinOperator).items() if not key.startswith("_")}
ACTIVATIONS = {"RELU": "relu", "PRELU": "prelu", "HARD_SWISH": "hard_swish", "LOGISTIC": "sigmoid"}
SOURCE = "MediaPipe, Copyright The MediaPipe Authors, Apache License 2.0"


class Graph:
    """A parsed flatbuffer: operators without DEQUANTIZE, constants as arrays."""

    def __init__(self, data: bytes):
        self.model = tflite.Model.GetRootAsModel(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.constants: dict[int, np.ndarray] = {}
        self.operators = []
        for index in range(self.graph.TensorsLength()):
            self._read_constant(index)
        for index in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(index)
            inputs = [int(i) for i in operator.InputsAsNumpy()]
            outputs = [int(i) for i in operator.OutputsAsNumpy()]
            kind = self._kind(operator)
            if kind == "DEQUANTIZE":
                self.constants[outputs[0]] = self.constants[inputs[0]]
            else:
                self.operators.append((kind, inputs, outputs, operator))
        self.inputs = [int(i) for i in self.graph.InputsAsNumpy()]
        self.outputs = [int(i) for i in self.graph.OutputsAsNumpy()]

    def shape(self, tensor: int) -> list[int]:
        return [int(n) for n in self.graph.Tensors(tensor).ShapeAsNumpy()]

    def options(self, operator, kind):
        table = operator.BuiltinOptions()
        options = kind()
        options.Init(table.Bytes, table.Pos)
        return options

    def _kind(self, operator) -> str:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        name = OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        return code.CustomCode().decode() if name == "CUSTOM" else name

    def _read_constant(self, index: int) -> None:
        tensor = self.graph.Tensors(index)
        buffer = self.model.Buffers(tensor.Buffer())
        if not buffer.DataLength():
            return
        kinds = {
            tflite.TensorType.FLOAT32: "<f4",
            tflite.TensorType.FLOAT16: "<f2",
            tflite.TensorType.INT32: "<i4",
        }
        shape = [int(n) for n in tensor.ShapeAsNumpy()] if tensor.ShapeLength() else []
        self.constants[index] = np.frombuffer(buffer.DataAsNumpy().tobytes(), kinds[tensor.Type()]).reshape(shape)


class Lowering:
    """Rewrites a convolutional graph as the layer list of `reenact_core.tracking.graph`."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.nodes: list[dict] = []
        self.weights: dict[str, np.ndarray] = {}
        self.alias = {graph.inputs[0]: 0}  # tensor of the source -> value of the layer list
        self.parts: dict[int, list[int]] = {}  # reshaped or concatenated tensor -> the values it is made of
        self.uses: dict[int, int] = {}
        for _, inputs, _, _ in graph.operators:
            for tensor in inputs:
                self.uses[tensor] = self.uses.get(tensor, 0) + 1
        for kind, inputs, outputs, operator in graph.operators:
            self._lower(kind, inputs, outputs, operator)

    def result(self) -> dict:
        outputs = [value for tensor in self.graph.outputs for value in self._values(tensor)]
        return {"nodes": self.nodes, "outputs": outputs, "size": self.graph.shape(self.graph.inputs[0])[1]}

    def _values(self, tensor: int) -> list[int]:
        return self.parts.get(tensor) or [self.alias[tensor]]

    def _weight(self, tensor: int, array: np.ndarray) -> str:
        name = f"w{tensor}"
        self.weights[name] = np.ascontiguousarray(array)
        return name

    def _add(self, kind: str, inputs: list[int], output: int, **settings) -> None:
        value = len(self.nodes) + 1
        self.nodes.append({"kind": kind, "inputs": [self.alias[i] for i in inputs], "output": value, **settings})
        self.alias[output] = value

    def _lower(self, kind: str, inputs: list[int], outputs: list[int], operator) -> None:
        output = outputs[0]
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            self._convolution(kind, inputs, output, operator)
        elif kind == "Convolution2DTransposeBias":
            weight, bias = self.graph.constants[inputs[1]], self.graph.constants[inputs[2]]
            stride = int(np.frombuffer(operator.CustomOptionsAsNumpy().tobytes(), "<i4")[1])
            if weight.shape[1] != stride:
                raise SystemExit("transposed convolution: the stride must equal the kernel size")
            names = self._weight(inputs[1], weight.transpose(3, 0, 1, 2)), self._weight(inputs[2], bias)
            self._add("deconv", inputs[:1], output, weight=names[0], bias=names[1], stride=stride)
        elif kind in ACTIVATIONS:
            self._activation(kind, inputs, output)
        elif kind == "PAD":  # channels only; `add` pads its narrower operand by itself
            if self.graph.constants[inputs[1]][:3].any():
                raise SystemExit("padding of other axes than channels is not supported")
            self.alias[output] = self.alias[inputs[0]]
        elif kind == "ADD":
            wide = sorted(inputs, key=lambda tensor: self._was_padded(tensor))
            self._add("add", wide, output)
        elif kind == "MUL":
            self._add("multiply", inputs, output)
        elif kind == "MAX_POOL_2D":
            self._add("max", inputs, output)
        elif kind == "AVERAGE_POOL_2D":
            self._add("mean", inputs, output)
        elif kind == "RESIZE_BILINEAR":
            self._add("double", inputs[:1], output)
        elif kind in ("RESHAPE", "CONCATENATION"):
            tensors = inputs if kind == "CONCATENATION" else inputs[:1]
            self.parts[output] = [value for tensor in tensors for value in self._values(tensor)]
        else:
            raise SystemExit(f"operator {kind} is not supported")

    def _was_padded(self, tensor: int) -> bool:
        return any(kind == "PAD" and outputs[0] == tensor for kind, _, outputs, _ in self.graph.operators)

    def _convolution(self, kind: str, inputs: list[int], output: int, operator) -> None:
        weight, bias = self.graph.constants[inputs[1]], self.graph.constants[inputs[2]]
        depthwise = kind == "DEPTHWISE_CONV_2D"
        options = self.graph.options(operator, tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)
        stride, size, side = options.StrideH(), weight.shape[1], self.graph.shape(inputs[0])[1]
        total = 0
        if options.Padding() == tflite.Padding.SAME:
            total = max((-(-side // stride) - 1) * stride + size - side, 0)
        settings = {
            "weight": self._weight(
                inputs[1], weight.transpose(3, 0, 1, 2) if depthwise else weight.transpose(0, 3, 1, 2)
            ),
            "bias": self._weight(inputs[2], bias),
            "stride": stride,
            "pad": [total // 2, total - total // 2],
            "groups": weight.shape[3] if depthwise else 1,
        }
        self._add("conv", inputs[:1], output, **settings)

    def _activation(self, kind: str, inputs: list[int], output: int) -> None:
        value = self.alias[inputs[0]]
        settings = {"act": ACTIVATIONS[kind]}
        if kind == "PRELU":
            settings["slope"] = self._weight(inputs[1], self.graph.constants[inputs[1]].reshape(-1))
        producer = self.nodes[value - 1] if value else None
        fusible = producer is not None and producer["kind"] in ("conv", "deconv", "add") and "act" not in producer
        if fusible and self.uses[inputs[0]] == 1 and inputs[0] not in self.graph.outputs:
            producer.update(settings)
            self.alias[output] = value
        else:
            self._add("activation", inputs[:1], output, **settings)


def convert_network(data: bytes, path: Path) -> None:
    lowering = Lowering(Graph(data))
    graph = {"source": SOURCE, **lowering.result()}
    save_file(lowering.weights, path, {"graph": json.dumps(graph)})


def convert_blendshapes(data: bytes, path: Path) -> None:
    """The mixer's layers in order of execution: points, features, 4 x (tokens in/out, channels in/out), head."""
    graph = Graph(data)
    names = ["points", "features"]
    parts = ("tokens_in", "tokens_out", "channels_in", "channels_out")
    names += [f"blocks.{i}.{part}" for i in range(4) for part in parts]
    layers = iter([*names, "head"])
    norms = iter([f"blocks.{i}.{part}" for i in range(4) for part in ("tokens_norm", "channels_norm")])
    weights = {}
    for kind, inputs, _, _ in graph.operators:
        constants = [graph.constants[i] for i in inputs if i in graph.constants]
        if kind == "CONV_2D":
            name = next(layers)
            weights[f"{name}.weight"] = constants[0][:, 0, 0, :]
            weights[f"{name}.bias"] = constants[1]
        elif kind == "MUL" and constants and constants[0].size == 64:
            weights[f"{next(norms)}.weight"] = constants[0]
        elif kind == "MUL" and constants and constants[0].size == 1:
            weights["scale"] = constants[0].reshape(())
        elif kind == "ADD" and constants:
            weights["epsilon"] = constants[0].reshape(())
        elif kind == "CONCATENATION":
            weights["token"] = constants[0].reshape(1, 1, 64)
    if next(layers, None) or next(norms, None):
        raise SystemExit("the blendshape network is not the one this script knows")
    save_file({k: np.ascontiguousarray(v) for k, v in weights.items()}, path, {"source": SOURCE})


def convert_mesh(text: str, path: Path) -> None:
    lines = [line.split() for line in text.splitlines()]
    vertices = np.array([line[1:4] for line in lines if line[:1] == ["v"]], np.float32)
    faces = [[int(corner.split("/")[0]) - 1 for corner in line[1:4]] for line in lines if line[:1] == ["f"]]
    save_file({"vertices": vertices, "triangles": np.array(faces, np.int64)}, path, {"source": SOURCE})


def convert(models: Path, out: Path) -> None:
    """Writes every weights file of the tracker into the folder `out`."""
    with zipfile.ZipFile(models / "face_landmarker.task") as task:
        convert_network(task.read("face_detector.tflite"), out / "detector_short.safetensors")
        convert_network(task.read("face_landmarks_detector.tflite"), out / "landmarks.safetensors")
        convert_blendshapes(task.read("face_blendshapes.tflite"), out / "blendshapes.safetensors")
    full_range = (models / "face_detection_full_range.tflite").read_bytes()
    convert_network(full_range, out / "detector_full.safetensors")
    convert_network((models / "selfie_segmentation.tflite").read_bytes(), out / "matte.safetensors")
    convert_mesh((models / "canonical_face_model.obj").read_text(), out / "canonical_mesh.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description="Converts the tracker's published networks to safetensors.")
    parser.add_argument("--models", type=Path, required=True, help="folder with the published files")
    parser.add_argument("--out", type=Path, help="folder of the results; without it, the package itself")
    arguments = parser.parse_args()
    out = arguments.out or Path(__file__).parents[1] / "reenact_core" / "tracking" / "weights"
    out.mkdir(parents=True, exist_ok=True)
    convert(arguments.models, out)


if __name__ == "__main__":
    main()
