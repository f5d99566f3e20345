"""Settings that describe themselves: fields of frozen dataclasses with a range and a sentence for users.

Command-line flags, node widgets and docs are made from them.
"""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any

from .errors import ReenactError


def parameter(default: float, low: float, high: float, tooltip: str, step: float = 0.01) -> Any:
    """A numeric field with its range and the sentence users read about it."""
    return field(default=default, metadata={"min": low, "max": high, "step": step, "tooltip": tooltip})


def check_ranges(settings: Any, name: str) -> None:
    """Refuses values outside their fields' ranges; `name` is what messages call the settings.

    Raises:
        ReenactError: a value is out of range or no number.
    """
    for item in fields(settings):
        if "min" not in item.metadata:
            continue
        value, low, high = getattr(settings, item.name), item.metadata["min"], item.metadata["max"]
        if not low <= value <= high:
            raise ReenactError(
                f"{name}: {item.name} is {value}, but must lie between {low} and {high}. {item.metadata['tooltip']}"
            )
