"""Dataclass fields become the host's inputs and come back as the dataclass, on every kind of host."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import pytest

pytestmark = pytest.mark.host


class Mode(Enum):
    NEAR = "near"
    FAR = "far"


@dataclass(frozen=True)
class Soft:
    temperature: float = field(
        default=0.25, metadata={"min": 0.01, "max": 2.0, "step": 0.01, "tooltip": "Lower is sharper."}
    )
    rounds: int = field(default=3, metadata={"min": 1, "max": 9, "tooltip": "How often.", "advanced": True})
    mirror: bool = field(default=True, metadata={"tooltip": "Flip."})
    mode: Mode = field(default=Mode.FAR, metadata={"tooltip": "Which."})
    kind: str = field(default="b", metadata={"choices": ("a", "b"), "tooltip": "Kind."})
    note: str = field(default="x", metadata={"tooltip": "Any text."})


@dataclass(frozen=True)
class Hard:
    temperature: float = field(default=0.5, metadata={"min": 0.1, "max": 1.0, "tooltip": "Of its own."})
    mirror: bool = field(default=True, metadata={"tooltip": "Turned."})


@dataclass(frozen=True)
class Plain:
    pass


OPTIONS = {"plain": Plain, "soft": Soft, "hard": Hard}


@pytest.fixture
def widgets(either_pack):
    return either_pack("nodes.widgets")


def schema_of(host_modules, inputs):
    """The host's own description of a node with these inputs, or its complaint."""
    io = host_modules.io

    class Node(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(node_id="ReenactProbe", inputs=inputs, outputs=[])

        @classmethod
        def execute(cls, **arguments):
            return io.NodeOutput()

    return Node.GET_NODE_INFO_V1()["input"]


def test_fields_become_widgets_with_their_ranges(widgets, host_modules):
    shown = schema_of(host_modules, widgets.inputs_of(Soft))["optional"]
    assert list(shown) == ["temperature", "rounds", "mirror", "mode", "kind", "note"]
    kind, about = shown["temperature"]
    assert kind == "FLOAT"
    assert (about["default"], about["min"], about["max"], about["step"]) == (0.25, 0.01, 2.0, 0.01)
    assert about["tooltip"] == "Lower is sharper."
    assert shown["rounds"][0] == "INT"
    assert shown["mirror"][0] == "BOOLEAN"
    assert shown["mode"][1]["options"] == ["near", "far"]
    assert shown["mode"][1]["default"] == "far"
    assert shown["kind"][1]["options"] == ["a", "b"]
    assert shown["note"][0] == "STRING"


def test_advanced_is_passed_on_only_where_the_host_knows_it(pack, host_modules):
    features, widgets = pack("nodes.features"), pack("nodes.widgets")
    shown = schema_of(host_modules, widgets.inputs_of(Soft))["optional"]
    assert shown["rounds"][1].get("advanced") is (True if features.ADVANCED else None)
    assert "advanced" not in shown["temperature"][1]


def test_arguments_become_the_dataclass(widgets):
    given = {"temperature": 0.5, "rounds": 4, "mirror": False, "mode": "near", "kind": "a", "note": "n"}
    assert widgets.settings_of(Soft, given) == Soft(0.5, 4, False, Mode.NEAR, "a", "n")


def test_missing_arguments_keep_their_defaults(widgets):
    assert widgets.settings_of(Soft, {"rounds": 7, "unrelated": 1}) == Soft(rounds=7)
    assert widgets.settings_of(Soft, {"rounds": 7, "temperature": None}) == Soft(rounds=7)


def test_prefix_keeps_two_groups_apart(widgets):
    assert [item.id for item in widgets.inputs_of(Hard, "face_")] == ["face_temperature", "face_mirror"]
    assert widgets.settings_of(Hard, {"face_temperature": 0.9, "temperature": 0.1}, "face_") == Hard(0.9)


@pytest.mark.parametrize("wrong", [{"mode": "sideways"}, {"kind": "c"}])
def test_value_outside_a_choice_is_refused_with_the_choices(widgets, pack, wrong):
    with pytest.raises(pack("reenact_core.errors").ReenactError, match=r"Choose one of: (near, far|a, b)"):
        widgets.settings_of(Soft, wrong)


def test_field_without_widget_is_our_mistake(widgets):
    @dataclass(frozen=True)
    class Odd:
        many: tuple = ()

    with pytest.raises(TypeError, match="many"):
        widgets.inputs_of(Odd)


def test_choice_lists_the_default_first(widgets, host_modules):
    shown = schema_of(host_modules, widgets.choice_inputs("strategy", OPTIONS, "soft", "How."))
    about = shown["required"]["strategy"][1]
    keys = [option["key"] if isinstance(option, dict) else option for option in about["options"]]
    assert keys == ["soft", "plain", "hard"]
    assert about["tooltip"] == "How."


def test_choice_with_nested_arguments(widgets):
    arguments = {"strategy": {"strategy": "hard", "temperature": 0.75}}
    assert widgets.chosen("strategy", OPTIONS, arguments) == Hard(temperature=0.75)
    assert widgets.chosen("strategy", OPTIONS, {"strategy": {"strategy": "plain"}}) == Plain()


def test_choice_with_flat_arguments(widgets):
    arguments = {
        "strategy": "soft",
        "strategy.temperature": 0.3,
        "strategy.rounds": 8,
        "strategy.mirror": False,
    }
    assert widgets.chosen("strategy", OPTIONS, arguments) == Soft(temperature=0.3, rounds=8, mirror=False)
    assert widgets.chosen("strategy", OPTIONS, arguments | {"strategy": "hard"}) == Hard(0.3, False)


def test_unknown_option_is_refused(widgets, pack):
    with pytest.raises(pack("reenact_core.errors").ReenactError, match="no strategy 'best'"):
        widgets.chosen("strategy", OPTIONS, {"strategy": "best"})


def test_flat_choice_shares_disputed_numbers(pack, host_modules, monkeypatch):
    """One widget under the key that hosts with dynamic choices have, left alone unless the user sets it."""
    monkeypatch.setattr(pack("nodes.features"), "DYNAMIC_COMBO", False)
    widgets = pack("nodes.widgets")
    shown = schema_of(host_modules, widgets.choice_inputs("strategy", OPTIONS, "soft", "How."))["optional"]
    about = shown["strategy.temperature"][1]
    assert about["default"] == about["min"] == widgets.OWN
    assert "soft (0.25): Lower is sharper." in about["tooltip"]
    assert "hard (0.5): Of its own." in about["tooltip"]
    assert shown["strategy.mirror"][1]["tooltip"].startswith("soft, hard: ")
    users = {name: about[1].get("shown_for") for name, about in shown.items() if name != "strategy"}
    assert users["strategy.temperature"] == users["strategy.mirror"] == ["soft", "hard"]
    assert users["strategy.rounds"] == ["soft"]
    assert len(shown) == 6
    left = {"strategy": "hard", "strategy.temperature": widgets.OWN, "strategy.mirror": False}
    assert widgets.chosen("strategy", OPTIONS, left) == Hard(mirror=False)
    assert widgets.chosen("strategy", OPTIONS, left | {"strategy.temperature": 0.75}) == Hard(0.75, False)


def test_browser_is_told_how_to_read_and_write_settings(pack, monkeypatch):
    for dynamic in (True, False):
        monkeypatch.setattr(pack("nodes.features"), "DYNAMIC_COMBO", dynamic)
        widgets = pack("nodes.widgets")
        told = {option["name"]: option["settings"] for option in widgets.described("strategy", OPTIONS)}
        assert list(told) == list(OPTIONS)
        heat = told["hard"][0]
        assert (heat["name"], heat["widget"], heat["kind"], heat["default"]) == (
            "temperature",
            "strategy.temperature",
            "float",
            0.5,
        )
        assert heat["own"] == (None if dynamic else widgets.OWN)
        soft = {setting["name"]: setting for setting in told["soft"]}
        assert (soft["temperature"]["min"], soft["temperature"]["max"]) == (0.01, 2.0)
        assert soft["mode"]["choices"] == ["near", "far"]
        assert soft["mode"]["default"] == "far"
        assert soft["rounds"]["kind"] == "int"
        assert soft["mirror"]["kind"] == "bool"
        assert told["plain"] == []


def test_growing_sockets_come_back_in_order(widgets, host_modules):
    template = host_modules.io.Image.Input("picture", tooltip="A photo.")
    shown = schema_of(host_modules, widgets.growing_inputs(template, "references", "reference", 1, 32))
    assert shown["required"]
    nested = {"references": {"reference2": "c", "reference10": "k", "reference0": "a"}, "other": 1}
    flat = {"references.reference2": "c", "references.reference10": "k", "references.reference0": "a"}
    expected = {"reference0": "a", "reference2": "c", "reference10": "k"}
    for given in (nested, flat | {"references.reference1": None}):
        assert list(widgets.grown("references", "reference", given).items()) == list(expected.items())
    assert widgets.grown("references", "reference", {"references": {}}) == {}


def test_real_strategies_make_widgets(widgets, pack, host_modules):
    fusion = pack("reenact_core.fusion")
    options = {name: fusion.strategy_class(name) for name in fusion.strategy_names()}
    inputs = widgets.choice_inputs("strategy", options, "confidence", "How.")
    assert "strategy" in schema_of(host_modules, inputs)["required"]
    picked = widgets.chosen("strategy", options, {"strategy": "confidence", "strategy.temperature": 0.5})
    assert picked == options["confidence"](temperature=0.5)
