"""Fewer frames at once where the memory for a whole chunk is missing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import torch

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def in_halves(work: Callable[[slice], Result], count: int, start: int = 0) -> Result:
    """`work(slice(start, start + count))` of frames; where memory runs out, of both halves, one after the other.

    Its result holds frames on the first axis of tensors, in tuples where there are several of them.
    """
    try:
        return work(slice(start, start + count))
    except torch.cuda.OutOfMemoryError:  # of any device; its newer name is missing in older torch
        if count <= 1:
            raise
        log.warning("Out of memory with %d frames at once: halving.", count)
    first = in_halves(work, count // 2, start)
    return joined(first, in_halves(work, count - count // 2, start + count // 2))


def joined(first: Any, second: Any) -> Any:
    """Values of successive frames as one: tensors, tuples of them, or None."""
    if isinstance(first, tuple):
        parts = [joined(one, other) for one, other in zip(first, second)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return None if first is None else torch.cat([first, second])
