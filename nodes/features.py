"""What this host can do. Every difference between hosts is found out here and nowhere else."""

from __future__ import annotations

import inspect
from typing import Any

from comfy_api.latest import io

DYNAMIC_COMBO = hasattr(io, "DynamicCombo")  # a choice that shows only the settings of what is chosen
AUTOGROW = hasattr(io, "Autogrow")  # sockets that appear as they are needed
ADVANCED = "advanced" in inspect.signature(io.Float.Input).parameters  # inputs folded away at first
_SCHEMA = frozenset(inspect.signature(io.Schema).parameters)
RESENDS = "has_intermediate_output" in _SCHEMA  # what a node showed, when it need not run again


def schema(search_aliases: list[str], shows_output: bool = False, **about: Any) -> io.Schema:
    """A node's description; older hosts do without what they do not know.

    `search_aliases` are words it can be searched by. `shows_output` has the host send the node's pictures and
    notes again when the node itself need not run: after the page was loaded anew, or for a second graph with the same
    beginning. Hosts that never do are told not to take the result of an equal node for this one's, and the node's
    number is asked for, by which the pack remembers what it showed (`earlier`).
    """
    wanted = {"search_aliases": search_aliases, "has_intermediate_output": shows_output}
    if shows_output and not RESENDS:
        wanted["not_idempotent"] = True
        about.setdefault("hidden", [io.Hidden.unique_id])
    return io.Schema(**about, **{name: value for name, value in wanted.items() if name in _SCHEMA})
