"""What nodes showed when they ran last, for hosts that send nothing for a node that need not run.

There web/js/earlier.js asks for it, so that a page that was loaded anew shows the pictures of a graph, too.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from comfy_api.latest import io

from .features import RESENDS

MOST = 256  # nodes

_shown: OrderedDict[str, dict[str, Any]] = OrderedDict()


def kept(output: dict[str, Any], node: type[io.ComfyNode]) -> dict[str, Any]:
    """`output`, which the running `node` shows in the browser, remembered where the host does not send it again."""
    number = None if RESENDS else node.hidden.unique_id
    if number is not None:
        _shown[str(number)] = output
        _shown.move_to_end(str(number))
        if len(_shown) > MOST:
            _shown.popitem(last=False)
    return output


def shown(number: str) -> dict[str, Any] | None:
    """What the node of this number showed last, or None."""
    return _shown.get(number)
