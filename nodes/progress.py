"""Progress bar and the Cancel button, once per chunk of frames."""

from __future__ import annotations

import comfy.model_management
import comfy.utils


class Progress:
    """The bar of one running node; `total` counts frames, 0 = not known beforehand."""

    def __init__(self, total: int, node_id: str | None) -> None:
        self._bar = comfy.utils.ProgressBar(max(total, 1), node_id=node_id)
        self._known = total > 0
        self._done = 0

    def advance(self, frames: int) -> None:
        """Count `frames` more as done; a run that the user cancelled ends with the host's own exception."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._done += frames
        if self._known:
            self._bar.update_absolute(self._done)
