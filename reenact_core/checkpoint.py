"""Safe loading of public checkpoints: which model a file belongs to, and the model itself.

A file is data, never code: safetensors, or torch files read with `weights_only=True`. The model and all of
its hyper-parameters follow from the names and shapes of the tensors, see `motion_models/architectures.py`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .errors import CheckpointError
from .motion_models.architectures import ARCHITECTURES, Architecture
from .motion_models.folding import fold
from .motion_models.shapes import Shapes

logger = logging.getLogger(__name__)

FORMAT_VERSION = "1"  # of the files `convert_checkpoint` writes
TORCH_SUFFIXES = (".pth", ".tar", ".pt", ".ckpt", ".bin")
SUFFIXES = (".safetensors", *TORCH_SUFFIXES)
NAMES_IN_MESSAGE = 4


# A model published as several files lies in one folder, or in these below it as its authors arranged them.
SUBFOLDERS = ("", "base_models", "retargeting_models")


class Weights(NamedTuple):
    """The tensors of one recognised checkpoint."""

    architecture: Architecture
    tensors: dict[str, Tensor]  # {"part.key": tensor}
    source_keys: dict[str, str]  # {"part.key": name in the file}


def load_model(
    source: str | Path,
    *,
    name: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    adjust: Callable[[Any], Any] | None = None,
) -> nn.Module:
    """The model in a file or folder, ready to run: evaluation mode, layers folded, no gradients.

    `name` is the architecture the caller needs, None for whichever it is. `adjust` may change the
    configuration that was read from the shapes, for what shapes cannot tell. Raises CheckpointError when
    the source is missing, damaged, unsafe, or belongs to another model.
    """
    weights = read_weights(source)
    if name is not None and weights.architecture.name != name:
        wanted = next(entry.title for entry in ARCHITECTURES if entry.name == name)
        raise CheckpointError(
            f"{source} is a checkpoint of {weights.architecture.title}, but {wanted} was asked for. "
            "Choose the other model or another file."
        )
    model = assemble(weights, adjust)
    fold(model)
    return model.to(device=device, dtype=dtype)


def read_weights(source: str | Path) -> Weights:
    """Reads and recognises a file, or the folder of a model published as several files."""
    source = Path(source)
    files = _files_of(source)
    raw: dict[str, Tensor] = {}
    for prefix, path in files:
        raw.update((prefix + key, tensor) for key, tensor in _read_file(path).items())
    return recognise(raw, str(source))


def recognise(raw: Mapping[str, Tensor], source: str) -> Weights:
    """Finds the architecture of tensors by their names; `source` is for messages."""
    for architecture in ARCHITECTURES:
        named = {_our_key(key, architecture): key for key in raw}
        if all(key in named and raw[named[key]].ndim == axes for key, axes in architecture.marks.items()):
            kept = {key: named[key] for key in sorted(named) if key.partition(".")[0] in architecture.parts}
            return Weights(architecture, {key: raw[name] for key, name in kept.items()}, kept)
    known = ", ".join(architecture.title for architecture in ARCHITECTURES)
    raise CheckpointError(
        f"{source} is not a checkpoint of a known model ({known}). "
        f"It has {len(raw)} tensors: {_some(raw)}. Choose another file."
    )


def assemble(weights: Weights, adjust: Callable[[Any], Any] | None = None) -> nn.Module:
    """The model with these weights, strictly, in float32 and evaluation mode, not folded.

    `adjust` may change the configuration first. Raises CheckpointError for tensors that are missing, left
    over, of a wrong shape or not finite.
    """
    architecture = weights.architecture
    config = architecture.config(Shapes.of(weights.tensors))
    if adjust is not None:
        config = adjust(config)
    with torch.device("meta"):  # a file with absurd shapes must not make us allocate them
        try:
            model = architecture.build(config)
        except (IndexError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"The shapes of the {architecture.title} checkpoint do not fit together: {_first_line(error)}. "
                "The file is damaged or of a variant that is not supported."
            ) from error
    expected = model.state_dict()
    tensors = dict(weights.tensors)
    for key in expected:
        if key.endswith(".num_batches_tracked"):  # counts training steps; some conversions leave it out
            tensors.setdefault(key, torch.zeros((), dtype=torch.int64))
    _check(architecture, expected, tensors)
    floats = {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}
    model.load_state_dict(floats, assign=True)
    return model.eval().requires_grad_(False)


def convert_checkpoint(source: str | Path, destination: str | Path) -> str:
    """Writes a checkpoint as one safetensors file and returns the model's name.

    Optimiser state and networks needed only for training are left out. The metadata holds the model's name,
    the version of this format and the name of every tensor in the source. An existing destination is
    replaced. Raises CheckpointError when the source cannot be used or the destination not be written.
    """
    destination = Path(destination)
    if destination.suffix != ".safetensors":
        raise CheckpointError(f"The destination {destination} must end in .safetensors. Choose such a name.")
    weights = read_weights(source)
    assemble(weights)  # a file that does not load is not worth converting
    metadata = {
        "format": "pt",
        "reenact.model": weights.architecture.name,
        "reenact.version": FORMAT_VERSION,
        "reenact.source_keys": json.dumps(weights.source_keys),
    }
    # Tensors that share memory in the source cannot be written as they are.
    tensors = {key: tensor.detach().contiguous().clone() for key, tensor in weights.tensors.items()}
    unfinished = destination.with_name(destination.name + ".part")
    try:
        save_file(tensors, unfinished, metadata)
        os.replace(unfinished, destination)
    except (OSError, SafetensorError) as error:
        unfinished.unlink(missing_ok=True)
        raise CheckpointError(
            f"Cannot write {destination}: {error}. Check the folder, its permissions and the free space."
        ) from error
    return weights.architecture.name


def _files_of(source: Path) -> list[tuple[str, Path]]:
    """[(prefix of its keys, file)] of everything that belongs to one checkpoint."""
    if not source.exists():
        raise CheckpointError(f"There is no file or folder {source}. Check the path.")
    split = next((entry for entry in ARCHITECTURES if source.stem in entry.files), None)
    if source.is_file() and split is None:
        return [("", source)]
    folder = source if source.is_dir() else source.parent
    if source.is_file() and folder.name in SUBFOLDERS:
        folder = folder.parent
    found = {stem: _find(folder, stem) for entry in ARCHITECTURES for stem in entry.files}
    candidates = [entry for entry in ARCHITECTURES if any(found.get(stem) for stem in entry.files)]
    if not candidates:
        raise CheckpointError(
            f"The folder {folder} holds no checkpoint published as a folder "
            f"({', '.join(entry.title for entry in ARCHITECTURES if entry.files)}). Choose a file in it."
        )
    entry = candidates[0]
    missing = [stem for stem in entry.files if found[stem] is None]
    if missing:
        raise CheckpointError(
            f"{entry.title} is a folder of {len(entry.files)} files, and {folder} lacks {', '.join(missing)} "
            f"(.safetensors or .pth). Download them into that folder."
        )
    # The last file holds several parts, which name themselves.
    return [("" if stem not in entry.parts else stem + ".", path) for stem, path in found.items() if path]


def _find(folder: Path, stem: str) -> Path | None:
    places = (folder / sub / (stem + suffix) for suffix in SUFFIXES for sub in SUBFOLDERS)
    return next((path for path in places if path.is_file()), None)


def _read_file(path: Path) -> dict[str, Tensor]:
    """Every named tensor of a file, nested names joined by dots."""
    if path.suffix not in SUFFIXES:
        raise CheckpointError(f"{path} is not a weights file; expected one of {', '.join(SUFFIXES)}.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a reader of untrusted bytes stumbles over means the same
        if type(error).__name__ == "UnpicklingError":  # its text advises to run what the file holds
            raise CheckpointError(
                f"{path} is damaged or holds something other than tensors, perhaps code. Nothing in it was run. "
                "Download it again from a source you trust."
            ) from error
        raise CheckpointError(
            f"{path} cannot be read: it is incomplete or not a weights file. Download it again. ({_first_line(error)})"
        ) from error
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise CheckpointError(f"{path} holds a {kind}, expected tensors by name. Choose another file.")
    return dict(_named_tensors(content, ""))


def _named_tensors(content: Mapping, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors two levels deep: file or part, then key. Optimiser states lie deeper and are not visited."""
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Tensor):
            yield prefix + key, value
        elif isinstance(key, str) and isinstance(value, Mapping) and not prefix:
            yield from _named_tensors(value, key + ".")


def _our_key(key: str, architecture: Architecture) -> str:
    """A tensor's name without the `module` of parallel training and with our name of its part."""
    part, *rest = (name for name in key.split(".") if name != "module")
    return ".".join([architecture.aliases.get(part, part), *rest])


def _check(architecture: Architecture, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing = [key for key in expected if key not in found]
    extra = [key for key in found if key not in expected]
    if missing or extra:
        raise CheckpointError(
            f"The checkpoint looks like {architecture.title}, but {len(missing)} tensors are missing "
            f"({_some(missing)}) and {len(extra)} are unknown ({_some(extra)}). "
            "It is incomplete or of a variant that is not supported."
        )
    for key, tensor in found.items():
        if tensor.shape != expected[key].shape:
            raise CheckpointError(
                f"Tensor {key} of the {architecture.title} checkpoint has shape {list(tensor.shape)}, "
                f"expected {list(expected[key].shape)}. It is damaged or of a variant that is not supported."
            )
        if tensor.is_floating_point() != expected[key].is_floating_point():
            raise CheckpointError(
                f"Tensor {key} of the {architecture.title} checkpoint has type {tensor.dtype}. "
                "Quantised checkpoints are not supported; use the original file."
            )
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(
                f"Tensor {key} of the {architecture.title} checkpoint has infinite or undefined values. "
                "The file is damaged; download it again."
            )


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - NAMES_IN_MESSAGE} more" if len(names) > NAMES_IN_MESSAGE else ""
    return (", ".join(names[:NAMES_IN_MESSAGE]) or "none") + more


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
