"""Networks that several test files share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest


@pytest.fixture(scope="session")
def filled() -> Callable:
    """A function: a public model's name -> its golden arrays and its network with their weights, filled once."""
    from scripts.check_golden import TABLES, fill_model

    @cache
    def fill(name: str):
        golden = np.load(TABLES / f"{name}.npz")
        return golden, fill_model(name, golden)

    return fill
