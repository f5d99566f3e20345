"""Writing reports so that a reader never sees half of one."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from ..errors import ReenactError


def write_beside(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, then rename; missing parent folders are made.

    Raises ReenactError when the place cannot be written.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        os.replace(beside, path)
    except OSError as error:
        if path.parent.is_dir():
            beside.unlink(missing_ok=True)
        raise ReenactError(f"{path} cannot be written: {error.strerror}. Choose another place.") from error
