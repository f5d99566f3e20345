"""Numbers that a link brings past the widget: what it could not hold is refused, and the input named."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from .listing import all_nodes

pytestmark = pytest.mark.host


def numbers(pack) -> Iterator[tuple[type, object, bool]]:
    """Every node's inputs for numbers, and whether they are whole."""
    io = pack("nodes.features").io
    for node in all_nodes(pack):
        for given in node.define_schema().inputs:
            if isinstance(given, (io.Int.Input, io.Float.Input)):
                yield node, given, isinstance(given, io.Int.Input)


def test_every_number_has_a_range(either_pack):
    found = [(node, given) for node, given, _ in numbers(either_pack)]
    assert len(found) > 40
    for node, given in found:
        assert given.min < given.max, f"{node.__name__}.{given.id}"


def test_numbers_beyond_their_range_are_refused_by_name(either_pack):
    """Before anything else: no other input is needed."""
    error = either_pack("reenact_core.errors").ReenactError
    for node, given, whole in numbers(either_pack):
        wrong = [given.min - 1, given.max + 1, math.nan, math.inf, 1e9, "soft", True]
        for value in [*wrong, given.min + 0.5] if whole else wrong:
            with pytest.raises(error) as caught:
                node.execute(**{given.id: value})
            assert str(caught.value).startswith(f"`{given.id}` is {value!r}, but must be "), node.__name__


def test_numbers_at_the_ends_of_their_range_pass(either_pack):
    check = either_pack("nodes.ranges").check_number
    for _, given, whole in numbers(either_pack):
        for value in (given.min, given.max, None):
            check(given.id, value, given.min, given.max, whole)


def test_settings_of_a_choice_are_checked_too(either_pack):
    """Hosts with dynamic choices hand them over inside the choice."""
    error = either_pack("reenact_core.errors").ReenactError
    strategies = either_pack("nodes.strategies")
    nested = {"strategy": {"strategy": "confidence", "temperature": 99.0}}
    with pytest.raises(error, match=r"`temperature` is 99\.0, but must be a number from "):
        strategies.named_strategy(nested, "mean")
    make = either_pack("nodes.make_motion")
    with pytest.raises(error, match=r"`seconds` is 1000000000\.0, but must be a number from "):
        either_pack("nodes.widgets").chosen("source", make.OPTIONS, {"source": {"source": "sweep", "seconds": 1e9}})


def test_one_wrong_number_of_a_list_is_enough(either_pack):
    error = either_pack("reenact_core.errors").ReenactError
    with pytest.raises(error, match="`pick` is 0, but must be a whole number from 1 to 64"):
        either_pack("nodes.load_references").LoadReferences.execute(pick=[4, 0])
