"""Reading pickled trees of numpy arrays without running what a pickle may ask for.

Some metric weights are published as a pickle of nested dicts of arrays. Here the few names such a file needs
are answered by inert stand-ins that only collect shape, type and bytes; every other name is refused.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np

from ..errors import CheckpointError

_LARGEST_FILE = 256 * 2**20  # bytes; far above any metric network, far below exhausting memory
_RECONSTRUCT = {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}
_PLAIN_TYPES = {"f2", "f4", "f8", "i4", "i8", "u1"}


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a pickled tree of dicts, keyed by their path in the tree joined with "/".

    Raises CheckpointError when the file is missing, damaged, or holds anything but dicts and plain arrays.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise CheckpointError(f"{path} has {size} bytes; at most {_LARGEST_FILE} are expected here.")
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror}. Give an existing file.") from error
    try:
        tree = _ArraysOnly(io.BytesIO(data)).load()
        return dict(_leaves(tree, ""))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise CheckpointError(f"{path} is damaged or no pickle of arrays: {error}. Get it again.") from error


class _Type:
    """Stands in for numpy.dtype."""

    def __init__(self, name: str, *_: object) -> None:
        if name not in _PLAIN_TYPES:
            raise CheckpointError(f"holds an array of type {name!r}; only {sorted(_PLAIN_TYPES)} are read.")
        self.name, self.order = name, "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = "<" if state[1] == "|" else state[1]
        if self.order not in ("<", ">"):
            raise CheckpointError(f"holds an array of byte order {self.order!r}; only < and > are read.")


class _Array:
    """Stands in for the empty array that a pickle then fills."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _version, shape, kind, column_major, data = state
        if not isinstance(kind, _Type) or not isinstance(data, bytes):
            raise CheckpointError("holds an array that is not plain numbers.")
        flat = np.frombuffer(data, kind.order + kind.name)
        self.value = flat.reshape(shape, order="F" if column_major else "C")


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> object:
        if module_name == "numpy" and global_name == "dtype":
            return _Type
        if module_name == "numpy" and global_name == "ndarray":
            return _Array
        if (module_name, global_name) in _RECONSTRUCT:
            return _empty_array
        if (module_name, global_name) == ("_codecs", "encode"):
            return _encode  # how pickle protocols below 3 write bytes
        raise CheckpointError(f"asks for {module_name}.{global_name}, which no arrays need; refused.")


def _empty_array(*_: object) -> _Array:
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise CheckpointError(f"holds text encoded as {encoding!r}; only latin1 is read.")
    return text.encode("latin1")


def _leaves(tree: object, path: str):
    if isinstance(tree, dict):
        for key, branch in tree.items():
            yield from _leaves(branch, f"{path}/{key}" if path else str(key))
    elif isinstance(tree, _Array) and tree.value is not None:
        yield path, tree.value
    else:
        raise CheckpointError(f"holds {type(tree).__name__} at {path!r}; only dicts of arrays are read.")
