"""A strategy file that is dropped in is offered by the nodes and by the panel, with its own settings."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

pytestmark = pytest.mark.host

FILE = """
from dataclasses import dataclass

from .base import parameter
from .mean import Mean


@dataclass(frozen=True)
class DroppedIn(Mean):
    name = "dropped_in"
    summary = "The mean by another name."

    share: float = parameter(0.25, 0.0, 1.0, "Changes nothing.")
"""


@pytest.fixture
def dropped_in(pack, monkeypatch: pytest.MonkeyPatch) -> type:
    """The file's strategy, registered for this test alone."""
    base = pack("reenact_core.fusion.base")
    monkeypatch.setattr(base, "_registry", dict(base._registry))
    package = base.__name__.rpartition(".")[0]
    module = ModuleType(f"{package}.dropped_in")
    module.__package__ = package
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(FILE, "dropped_in.py", "exec"), module.__dict__)
    return module.DroppedIn


@pytest.mark.parametrize("node", ["nodes.fuse_references.FuseReferences", "nodes.video.ReenactVideo"])
def test_nodes_offer_it(pack, dropped_in, node):
    module, _, name = node.rpartition(".")
    described = str([part.as_dict() for part in getattr(pack(module), name).define_schema().inputs])
    assert "dropped_in" in described
    assert "Changes nothing." in described


def test_nodes_and_the_panel_run_it_with_its_settings(pack, dropped_in):
    strategies, panel = pack("nodes.strategies"), pack("nodes.panel")
    assert strategies.named_strategy({"strategy": {"strategy": "dropped_in", "share": 0.5}}, "mean") == dropped_in(0.5)
    (offered,) = [option for option in panel.choices()["strategies"] if option["name"] == "dropped_in"]
    assert [(one["name"], one["default"]) for one in offered["settings"]] == [("share", 0.25)]
    wish = {"node": "1", "token": "t", "frame": 0, "side": 64, "strategy": "dropped_in", "settings": {"share": 0.5}}
    assert panel.read_wish(wish).strategy == "dropped_in"
