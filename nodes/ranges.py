"""Numbers that arrive through links: the host lets any pass, whatever the input's own widget could hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, TypeVar

from comfy_api.latest import io

from ..reenact_core.errors import ReenactError

Result = TypeVar("Result")


def within_ranges(execute: Callable[..., Result]) -> Callable[..., Result]:
    """A node's `execute` that refuses numbers which the node's schema does not allow, before it does anything.

    Raises:
        ReenactError: of `check_number`.
    """

    names = list(signature(execute).parameters)[1:]

    @wraps(execute)
    def checked(cls: type[io.ComfyNode], *values: Any, **arguments: Any) -> Result:
        by_name = dict(zip(names, values)) | arguments
        for given in cls.define_schema().inputs:
            if isinstance(given, (io.Int.Input, io.Float.Input)):
                value = by_name.get(given.id)
                whole = isinstance(given, io.Int.Input)
                for number in value if isinstance(value, list) else [value]:
                    check_number(given.id, number, given.min, given.max, whole, given.tooltip)
        return execute(cls, *values, **arguments)

    return checked


def check_number(
    name: str, value: Any, low: float | None, high: float | None, whole: bool = False, about: str | None = None
) -> None:
    """Refuses a `value` of the input `name` that is no number from `low` to `high`; None stands for its default.

    Raises:
        ReenactError: it names the input, the value and the range, and says what it is `about`.
    """
    if value is None:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
    fits = number and (low is None or value >= low) and (high is None or value <= high)
    if fits and not (whole and value != int(value)):
        return
    shown = repr(value)[:80]
    kind = "a whole number" if whole else "a number"
    raise ReenactError(f"`{name}` is {shown}, but must be {kind} from {low} to {high}. {about or ''}".strip())
