"""Progress bar, preview and the Cancel button, once per chunk of frames."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import comfy.utils
from torch import Tensor

from .. import reenact_core
from .convert import to_pil
from .networks import heed_cancel

PREVIEW_SIDE = 512  # pixels


class Progress:
    """The bar of one running node; `total` counts frames, 0 = not known beforehand."""

    def __init__(self, total: int, node_id: str | None) -> None:
        self._bar = comfy.utils.ProgressBar(max(total, 1), node_id=node_id)
        self._known = total > 0
        self._done = 0

    def advance(self, frames: int, picture: Tensor | None = None) -> None:
        """Count `frames` more as done and show `picture` [3,H,W] in [0,1] on the node.

        The last picture stays on the node after the run, before or above the node's own: nodes with pictures of their
        own give none.
        A run that the user cancelled ends with the host's own exception.
        """
        heed_cancel()
        self._done += frames
        preview = None if picture is None else ("JPEG", to_pil(picture), PREVIEW_SIDE)
        if self._known or preview is not None:
            self._bar.update_absolute(self._done if self._known else 0, preview=preview)


class _Collector(logging.Handler):
    """Keeps the warnings of the core, each once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.lines[record.getMessage()] = None


@contextmanager
def spoken(node_id: str | None) -> Iterator[None]:
    """What the core warns of meanwhile is shown on a running node as well as logged."""
    logger, heard = logging.getLogger(reenact_core.__name__), _Collector()
    logger.addHandler(heard)
    try:
        yield
    finally:
        logger.removeHandler(heard)
    say("\n".join(heard.lines), node_id)


def say(text: str, node_id: str | None) -> None:
    """Show a text on a running node until its next run; nothing for an empty text, or where no server runs."""
    server = sys.modules.get("server")
    instance = getattr(getattr(server, "PromptServer", None), "instance", None)
    if text and node_id is not None and instance is not None:
        instance.send_progress_text(text, node_id)
