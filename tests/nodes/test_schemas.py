"""What every node's description must hold for all hosts."""

from __future__ import annotations

import inspect

import pytest

from .listing import all_nodes

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def nodes(pack):
    return all_nodes(pack)


def test_checks_of_a_node_take_its_dynamic_inputs(nodes, host_modules):
    """Newer hosts hand a dynamic choice, whose widgets are named `choice.field`, to these methods unasked."""
    looked_at = []
    for node in nodes:
        dynamic = {part.id.partition(".")[0] for part in node.define_schema().inputs if "." in part.id}
        dynamic |= {part.id for part in node.define_schema().inputs if part.io_type.startswith("COMFY_")}
        for name in ("validate_inputs", "fingerprint_inputs"):
            if dynamic and name in vars(node):
                parameters = inspect.signature(getattr(node, name)).parameters
                anything = any(taken.kind is inspect.Parameter.VAR_KEYWORD for taken in parameters.values())
                assert anything or dynamic <= set(parameters), (node.__name__, name)
                looked_at.append(node.__name__)
    assert "MakeMotion" in looked_at
