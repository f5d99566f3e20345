"""Sentences below a node's pictures, such as what the core warned of; web/js/notes.js shows them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from .. import reenact_core
from .earlier import kept


class _Collector(logging.Handler):
    """Keeps the warnings of the core, each once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.notes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        note = record.getMessage()
        if note not in self.notes:
            self.notes.append(note)


@contextmanager
def heard() -> Iterator[list[str]]:
    """What the core warns of meanwhile, which is logged as well."""
    logger, collector = logging.getLogger(reenact_core.__name__), _Collector()
    logger.addHandler(collector)
    try:
        yield collector.notes
    finally:
        logger.removeHandler(collector)


def noted(notes: Iterable[str]) -> dict[str, Any]:
    """The sentences as a node's output for the browser; nothing where there are none."""
    text = "\n".join(notes)
    return {"text": [text]} if text else {}


def seen(pictures: Tensor, node: type[io.ComfyNode], notes: Iterable[str] = ()) -> dict[str, Any]:
    """Pictures [B,H,W,3] and sentences as the output of `node` for the browser."""
    return kept(ui.PreviewImage(pictures, cls=node).as_dict() | noted(notes), node)
