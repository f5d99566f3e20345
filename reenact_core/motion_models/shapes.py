"""Reading hyper-parameters from the shapes of a checkpoint's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

from ..errors import CheckpointError
from .layers import HourglassConfig

Network = TypeVar("Network", bound=nn.Module)


class Shapes(dict[str, tuple[int, ...]]):
    """{"part.key": shape} of every tensor of a checkpoint."""

    def dims(self, key: str, count: int) -> tuple[int, ...]:
        """The shape of a tensor that must have `count` axes; raises CheckpointError if not."""
        shape = self.get(key)
        if shape is None:
            raise CheckpointError(f"The checkpoint has no tensor {key!r}. Is it complete? Download it again.")
        if len(shape) != count or 0 in shape:
            raise CheckpointError(
                f"Tensor {key!r} of the checkpoint has shape {list(shape)}, expected {count} axes and none "
                "empty. The file is damaged or belongs to another model."
            )
        return shape

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Shapes:
        return cls({key: tuple(tensor.shape) for key, tensor in tensors.items()})


def blocks(shapes: Shapes, pattern: str, count: int) -> list[tuple[int, ...]]:
    """Shapes of the tensors `pattern` names with 0, 1, 2 and so on in place of {}, as many as there are."""
    found = []
    while pattern.format(len(found)) in shapes:
        found.append(shapes.dims(pattern.format(len(found)), count))
    if not found:
        shapes.dims(pattern.format(0), count)
    return found


def hourglass(shapes: Shapes, prefix: str, count: int) -> HourglassConfig:
    """Channel counts of the hourglass below `prefix`, whose convolution weights have `count` axes."""
    down = blocks(shapes, prefix + ".encoder.down_blocks.{}.conv.weight", count)
    up = blocks(shapes, prefix + ".decoder.up_blocks.{}.conv.weight", count)
    return HourglassConfig(down[0][1], tuple(shape[0] for shape in down), tuple(shape[0] for shape in up))


def present(network: Network | None, purpose: str) -> Network:
    """A network that not every checkpoint has; raises CheckpointError where this one lacks it."""
    if network is None:
        raise CheckpointError(
            f"The checkpoint has no network for {purpose}. Turn that off, or use the complete checkpoint."
        )
    return network
