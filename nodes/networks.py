"""Networks under the host's memory management: on its device while they work, off it when others need the room.

Interrupting: a network looks at the host's Cancel button every time it is called, so that no stage has to wait
for the end of its chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import comfy.model_management as management
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..reenact_core.motion_models import MotionModel
from ..reenact_core.tracking import FaceTracker

Module = TypeVar("Module", bound=nn.Module)


class _Holder(nn.Module):
    """Gives a network the attributes the host's patcher writes, `device` among them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


class Network(NamedTuple, Generic[Module]):
    """A network and the host's handle on it."""

    module: Module
    patcher: ModelPatcher

    def ready(self, extra_bytes: int = 0) -> Module:
        """The network on the device it computes on, with `extra_bytes` free beside it."""
        device = self.patcher.load_device
        management.load_models_gpu([self.patcher], memory_required=extra_bytes)
        return self.module.to(device)


def managed(module: Module) -> Network[Module]:
    """Put a network under the host's management."""
    for part in module.modules():
        part.register_forward_pre_hook(heed_cancel)
    offload = management.unet_offload_device()
    patcher = ModelPatcher(_Holder(module.to(offload)), management.get_torch_device(), offload)
    return Network(module, patcher)


@lru_cache(maxsize=1)
def face_tracker() -> Network[FaceTracker]:
    """The one face tracker that all nodes share."""
    return managed(FaceTracker.load())


def heed_cancel(*_: Any) -> None:
    """End the run with the host's own exception if the user has pressed Cancel.

    The host's own check forgets the press as soon as one thread has heard of it; here all threads that compute chunks
    hear of it. The host forgets it itself before the next run.
    """
    if management.processing_interrupted():
        raise management.InterruptProcessingException


class Parked(NamedTuple):
    """A tensor in main memory, and whether it belongs on the device of the model."""

    tensor: Tensor
    returns: bool


def park(value: Any) -> Any:
    """`value` with every tensor in nested tuples as Parked, so that the host's cache holds no device memory."""
    return mapped(lambda tensor: Parked(tensor.cpu(), tensor.device.type != "cpu"), value)


def unpark(value: Any, device: torch.device) -> Any:
    """What was parked, back where it was, `device` being the model's."""
    if isinstance(value, Parked):
        return value.tensor.to(device) if value.returns else value.tensor
    return _over_tuples(lambda part: unpark(part, device), value)


def mapped(change: Callable[[Tensor], Any], value: Any) -> Any:
    """`value` with every tensor in nested tuples changed."""
    if isinstance(value, Tensor):
        return change(value)
    return _over_tuples(lambda part: mapped(change, part), value)


def total_bytes(value: Any) -> int:
    """Memory of all tensors in nested tuples."""
    sizes: list[int] = []
    mapped(lambda tensor: sizes.append(tensor.nbytes), value)
    return sum(sizes)


def _over_tuples(change: Callable[[Any], Any], value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    parts = [change(part) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)


MotionNetwork = Network[MotionModel]
