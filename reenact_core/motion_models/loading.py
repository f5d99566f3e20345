"""Motion models by name, where their weights ship in the package, or from a user's checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .. import checkpoint  # as a module: it imports this package in turn
from ..errors import ReenactError
from .base import MotionModel, model_names, registered_models
from .first_order import FirstOrder
from .first_order_model import FirstOrderModel
from .live_portrait import LivePortrait
from .live_portrait_model import LivePortraitModel, LivePortraitSettings
from .thin_plate import ThinPlate
from .thin_plate_model import ThinPlateModel


def load_model(
    source: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    live_portrait: LivePortraitSettings | None = None,
    compiled: bool = False,
) -> MotionModel:
    """The motion model called `source`, or the one whose checkpoint is the file or folder `source`.

    Args:
        dtype: of the weights of a checkpoint; models that ship in the package choose theirs.
        live_portrait: options for a checkpoint of LivePortrait; others have none.
        compiled: whether a checkpoint's networks are compiled by torch at their first use, which takes a minute or
            more and a C++ compiler, and is meant for GPUs.
    Raises:
        ReenactError: there is neither such a model nor such a file. CheckpointError: the model needs a checkpoint, or
        the file is none of a known model.
    """
    kind = registered_models().get(str(source))
    if kind is not None:
        return kind.load().to(device).eval()
    if not Path(source).exists():
        raise ReenactError(
            f"There is no motion model and no file {str(source)!r}. Choose one of: {', '.join(model_names())}; "
            "or give the path of a checkpoint, see docs/models.md."
        )
    network = checkpoint.load_model(source, dtype=dtype, device=device)
    if compiled:
        compile_network(network)
    if isinstance(network, LivePortrait):
        return LivePortraitModel(network, live_portrait).eval()
    if isinstance(network, ThinPlate):
        return ThinPlateModel(network).eval()
    assert isinstance(network, FirstOrder)
    return FirstOrderModel(network).eval()


def compile_network(network: Any, backend: str = "inductor") -> None:
    """Replaces, in place, what a public model's network does per frame by compiled functions."""
    network.warp = torch.compile(network.warp, backend=backend)
    network.decode = torch.compile(network.decode, backend=backend)
