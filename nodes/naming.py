"""Errors that say through which input of the node the trouble came."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..reenact_core.errors import ReenactError


def name_errors_shortly() -> None:
    """Have the host call an error `reenact.FaceError`: it shows the module as well, here the path of this folder."""
    for kind in (ReenactError, *ReenactError.__subclasses__()):
        kind.__module__ = "reenact"


@contextmanager
def from_input(*names: str) -> Iterator[None]:
    """The core knows nothing of sockets: put their `names` before the message of a user's error raised inside.

    A message that begins with the name of an input stays as it is.

    Raises:
        ReenactError: the same kind of error, with the names.
    """
    try:
        yield
    except ReenactError as error:
        message = str(error)
        if not names or re.match(r"`[\w.]+`", message):
            raise
        raise type(error)(f"{', '.join(f'`{name}`' for name in names)}: {message}") from error
