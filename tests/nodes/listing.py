"""The nodes of the pack, as the host asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType


def all_nodes(pack: Callable[[str], ModuleType]) -> list[type]:
    """Every node's class; `pack` is the fixture of this name."""
    pack("nodes.folders").register()
    listed = pack("nodes").ReenactExtension().get_node_list()
    with ThreadPoolExecutor(1) as thread:  # browser tests leave a running event loop in this one
        return thread.submit(asyncio.run, listed).result()
