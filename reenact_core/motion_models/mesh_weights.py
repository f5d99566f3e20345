"""The file that holds the two networks of the face-mesh model."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import CheckpointError
from .mesh_network import MeshNetwork
from .mesh_refiner import MeshRefiner


class Networks(NamedTuple):
    """What is learned."""

    motion: MeshNetwork
    refiner: MeshRefiner

    def as_module(self) -> nn.ModuleDict:
        """Both as one module; its state dict is what the file holds."""
        return nn.ModuleDict(self._asdict())


def new_networks(motion_width: int, refiner_width: int) -> Networks:
    """Untrained networks."""
    networks = Networks(MeshNetwork(motion_width), MeshRefiner(refiner_width))
    for network in networks:
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return networks


def load_networks(file: Path) -> Networks:
    """The networks stored by training; their widths follow from the tensors' shapes.

    Raises:
        CheckpointError: the file is missing, damaged, or holds something else.
    """
    try:
        tensors: dict[str, Tensor] = load_file(file)
        widths = (tensors[f"{part}.enter.0.weight"].shape[0] for part in Networks._fields)
        networks = new_networks(*widths)
        networks.as_module().load_state_dict({key: value.float() for key, value in tensors.items()})
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{file} holds no weights of the face_mesh networks ({error}).") from error
    for network in networks:
        network.eval()
    return networks
