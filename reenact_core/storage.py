"""Motion and references in files: safetensors with a kind and a version, so that old files stay readable.

A file holds the tensors of one value under their field names ("faces.landmarks") and everything else as text.
Pictures and masks are stored with 8 bits per channel. Fields added later are optional; what cannot be read any more
gets a new version and a clear message.
"""

from __future__ import annotations

import json
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .errors import ReenactError
from .scene_features import SceneFeatures
from .types import DrivingMotion, Faces, References, Scene, Transfer

VERSION = 1
MOTION, REFERENCES = "reenact motion", "reenact references"
EACH_FACE = {"landmarks": (478, 3), "blendshapes": (52,), "rotation": (3, 3), "score": (), "found": ()}  # shapes


def save_motion(motion: DrivingMotion, path: Path) -> None:
    """Write driving motion. An existing file is replaced.

    Raises:
        ReenactError: the place cannot be written.
    """
    tensors = _faces_out("faces", motion.faces) | _faces_out("neutral", motion.neutral)
    if motion.scene is not None:
        tensors |= {f"scene.{name}": value for name, value in motion.scene.features._asdict().items()}
        if motion.scene.camera is not None:
            tensors["scene.camera"] = motion.scene.camera
    facts: dict[str, Any] = {"canvas": list(motion.canvas), "frame_rate": str(motion.frame_rate)}
    facts["transfer"] = motion.transfer.value
    for name, value in motion._asdict().items():
        if isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(value, bool):
            facts[name] = value
    _write(path, MOTION, tensors, facts)


def load_motion(path: Path) -> DrivingMotion:
    """Driving motion from a file.

    Raises:
        ReenactError: the file is missing, damaged, of another kind or of a newer version.
    """
    tensors, facts = _read(path, MOTION)
    try:
        known = DrivingMotion._fields
        extra: dict[str, Any] = {name: tensors[name] for name in known if name in tensors}
        extra |= {name: value for name, value in facts.items() if name in known and isinstance(value, bool)}
        height, width = facts["canvas"]
        if "scene.points" in tensors:
            features = SceneFeatures(tensors["scene.points"], tensors["scene.descriptors"])
            extra["scene"] = Scene(tensors.get("scene.camera"), features)
        return DrivingMotion(
            faces=_faces_in("faces", tensors),
            canvas=(int(height), int(width)),
            frame_rate=Fraction(facts["frame_rate"]),
            neutral=_faces_in("neutral", tensors),
            transfer=Transfer(facts.get("transfer", Transfer.ABSOLUTE.value)),
            **extra,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise _incomplete(path, error) from error


def save_references(references: References, path: Path) -> None:
    """Write references, pictures included. An existing file is replaced.

    Raises:
        ReenactError: the place cannot be written.
    """
    tensors = _faces_out("faces", references.faces) | {"strengths": references.strengths}
    for number, (image, mask) in enumerate(zip(references.images, references.masks)):
        tensors[f"image.{number}"] = _to_bytes(image)
        tensors[f"mask.{number}"] = _to_bytes(mask)
    _write(path, REFERENCES, tensors, {"labels": list(references.labels)})


def load_references(path: Path) -> References:
    """References from a file.

    Raises:
        ReenactError: the file is missing, damaged, of another kind or of a newer version.
    """
    tensors, facts = _read(path, REFERENCES)
    try:
        count = len(facts["labels"])
        return References(
            images=tuple(tensors[f"image.{number}"].float() / 255 for number in range(count)),
            masks=tuple(tensors[f"mask.{number}"].float() / 255 for number in range(count)),
            faces=_faces_in("faces", tensors),
            strengths=tensors["strengths"],
            labels=tuple(str(label) for label in facts["labels"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise _incomplete(path, error) from error


def _write(path: Path, kind: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Beside the final name first, so that a full disk leaves no half of a file."""
    partial = path.with_name(path.name + ".partial")
    metadata = {"kind": kind, "version": str(VERSION), "facts": json.dumps(facts)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written by ourselves: `save_file` lets nobody but the user read what it makes.
        partial.write_bytes(save({name: _own(tensor) for name, tensor in tensors.items()}, metadata))
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):  # it may not be there, or have no possible name
            partial.unlink()
        raise ReenactError(f"{path}: can't be written ({error}). Choose another place, or make room.") from error


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    except (OSError, SafetensorError) as error:
        raise ReenactError(f"{path}: can't be read ({error}). Choose a file that was saved by Reenact.") from error
    if about.get("kind") != kind:
        raise ReenactError(f"{path}: holds {about.get('kind', 'something else')}, but {kind} was expected.")
    try:
        version, facts = int(about["version"]), about["facts"]
        if version <= VERSION:
            return tensors, json.loads(facts)
    except (KeyError, ValueError) as error:
        raise _incomplete(path, error) from error
    raise ReenactError(f"{path}: is of version {version}, this Reenact reads up to {VERSION}. Update Reenact.")


def _own(tensor: Tensor) -> Tensor:
    """A copy: one frame may be the neutral one too, and the format takes no tensors that share memory."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _faces_out(prefix: str, faces: Faces) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in faces._asdict().items()}


def _faces_in(prefix: str, tensors: dict[str, Tensor]) -> Faces:
    faces = Faces(**{name: tensors[f"{prefix}.{name}"] for name in Faces._fields})
    for name, values in faces._asdict().items():
        if values.shape != (len(faces.score), *EACH_FACE[name]) or not values.isfinite().all():
            raise ValueError(f"{prefix}.{name}: NaN, infinity or another shape than faces have")
    return faces


def _to_bytes(image: Tensor) -> Tensor:
    return image.float().clamp(0, 1).mul(255).round().to(torch.uint8)


def _incomplete(path: Path, error: Exception) -> ReenactError:
    return ReenactError(f"{path}: is incomplete or damaged ({error}). Save it again.")
