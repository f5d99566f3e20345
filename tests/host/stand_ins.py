"""Small checkpoints with random weights, where the example graphs of public models look for theirs."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from ..motion_models.small_models import SMALL_MODELS

# By graph: a file, or a folder of five files, in the host's folder of models.
STAND_INS = {
    "first_order": "reenact/vox-adv-cpk.pth.tar",
    "thin_plate": "reenact/vox.pth.tar",
    "live_portrait": "liveportrait",
}
STITCHING = "stitching_retargeting_module"


def place_checkpoint(name: str, models_folder: Path) -> None:
    """Write the stand-in of a model, laid out and named as users have the real one."""
    small = next(model for model in SMALL_MODELS if model.name == name)
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in small.make().state_dict().items():
        part, _, rest = key.partition(".")
        parts.setdefault(part, {})[rest] = tensor.clone()
    place = models_folder / STAND_INS[name]
    if name != "live_portrait":
        place.parent.mkdir(exist_ok=True)
        torch.save(parts, place)
        return
    place.mkdir(exist_ok=True)
    retargeting = {part for part in parts if part.startswith("retarget_")}
    for part in parts.keys() - retargeting:
        save_file(parts[part], place / f"{part}.safetensors")
    flat = {f"{part}_module.{key}": tensor for part in retargeting for key, tensor in parts[part].items()}
    save_file(flat, place / f"{STITCHING}.safetensors")
