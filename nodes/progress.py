"""Progress bar, preview and the Cancel button, once per chunk of frames."""

from __future__ import annotations

import comfy.utils
from torch import Tensor

from ..reenact_core import geometry
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
        preview = None if picture is None else ("JPEG", to_pil(_smaller(picture)), PREVIEW_SIDE)
        if self._known or preview is not None:
            self._bar.update_absolute(self._done if self._known else 0, preview=preview)


def _smaller(picture: Tensor) -> Tensor:
    """A picture [3,H,W] reduced by a whole factor to not much more than the host shows, which does the rest slowly."""
    factor = max(picture.shape[-2:]) // PREVIEW_SIDE
    if factor < 2:
        return picture
    height, width = (length // factor for length in picture.shape[-2:])
    whole = picture[None, :, : height * factor, : width * factor]
    return geometry.shrink(whole.detach().float().cpu(), (height, width))[0]
