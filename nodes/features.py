"""What this host can do. Every difference between hosts is found out here and nowhere else."""

from __future__ import annotations

import inspect
from typing import Any

from comfy_api.latest import io

DYNAMIC_COMBO = hasattr(io, "DynamicCombo")  # a choice that shows only the settings of what is chosen
AUTOGROW = hasattr(io, "Autogrow")  # sockets that appear as they are needed
ADVANCED = "advanced" in inspect.signature(io.Float.Input).parameters  # inputs folded away at first
_SCHEMA = frozenset(inspect.signature(io.Schema).parameters)


def schema(search_aliases: list[str], **about: Any) -> io.Schema:
    """A node's description; older hosts do without the words it can be searched by."""
    if "search_aliases" in _SCHEMA:
        about["search_aliases"] = search_aliases
    return io.Schema(**about)
