"""The panel in the browser: it comes with the first run, follows and sets widgets, never queues the graph."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from test_editor import SET_WIDGET, WORKFLOW

pytestmark = [pytest.mark.host, pytest.mark.browser]

RUNS = itertools.count()
PANEL = ".reenact-panel >> visible=true"
CLOSE_UP = """(zoom) => {
    const node = window.app.graph._nodes.find((n) => n.type === 'ReenactFuseReferences')
    const view = window.app.canvas.ds
    view.scale = zoom
    view.offset = [700 / zoom - node.pos[0] - node.size[0] / 2, 420 / zoom - node.pos[1] - node.size[1] / 2]
    window.app.canvas.setDirty(true, true)
}"""
NAMES = """() => window.app.graph._nodes.find((n) => n.type === 'ReenactFuseReferences').widgets.map((w) => w.name)"""
WIDGET = """(name) => window.app.graph._nodes.find((n) => n.type === 'ReenactFuseReferences')
    .widgets.find((w) => w.name === name)?.value"""


def make_dynamic(route, choices: dict) -> None:
    """The host's description of its nodes with the strategy as a DynamicCombo, as newer hosts have it."""
    answer = route.fetch()
    info = answer.json()
    inputs = info["ReenactFuseReferences"]["input"]
    inputs["optional"] = {name: spec for name, spec in inputs["optional"].items() if not name.startswith("strategy.")}
    options = []
    for strategy in choices["strategies"]:
        settings = {}
        for setting in strategy["settings"]:
            about = {key: setting[key] for key in ("default", "min", "max", "step", "tooltip") if key in setting}
            settings[setting["name"]] = [setting["kind"].upper(), about]
        options.append({"key": strategy["name"], "inputs": {"optional": settings}})
    inputs["required"]["strategy"] = ["COMFY_DYNAMICCOMBO_V3", {"options": options}]
    route.fulfill(response=answer, json=info)


@pytest.fixture
def dynamic_editor(editor, lane):
    """The editor on a host whose strategies are a DynamicCombo."""
    info = editor.host.client.object_info("ReenactFuseReferences")["ReenactFuseReferences"]["input"]
    if info["required"]["strategy"][0] == "COMFY_DYNAMICCOMBO_V3":
        yield editor
        return
    if lane[0] == "pinned":
        pytest.skip("this front end does not know dynamic choices")
    choices = editor.host.client.json("/api/reenact/panel/choices")
    editor.page.route("**/object_info", lambda route: make_dynamic(route, choices))
    editor.reload()
    yield editor
    editor.page.unroute("**/object_info")
    editor.reload()


def set_theme(editor, name: str) -> None:
    editor.page.evaluate("(name) => window.app.extensionManager.setting.set('Comfy.ColorPalette', name)", name)


def run_five_stages(editor) -> None:
    """With another smoothing each time the fusion runs anew, on warps the host may have kept."""
    editor.load_graph(json.loads(WORKFLOW.read_text(encoding="utf-8")))
    editor.page.wait_for_selector(".reenact-panel", state="detached")  # there is none before the first run
    editor.page.evaluate(SET_WIDGET, ["ReenactWarpPerReference", "size", 128])
    editor.page.evaluate(SET_WIDGET, ["ReenactFuseReferences", "smoothing", 0.5 + next(RUNS) / 100])
    record = editor.queue()
    assert record["status"]["status_str"] == "success", record["status"]


def picture(editor) -> str:
    """The address of the picture shown; it changes with every answer."""
    return editor.page.get_attribute(f"{PANEL} >> .reenact-stage img", "src") or ""


def changed(editor, before: str) -> str:
    """The picture after `before`, waited for."""
    editor.page.wait_for_function(
        "(before) => { const now = document.querySelector('.reenact-stage img')?.src; return now && now !== before }",
        arg=before,
    )
    return picture(editor)


def test_panel_drags_swaps_and_writes_back(editor, request):
    tag = request.node.callspec.id
    page = editor.page
    run_five_stages(editor)
    page.wait_for_selector(PANEL)
    shown = changed(editor, "")
    page.evaluate(CLOSE_UP, 0.9)
    editor.settle()
    editor.screenshot(f"panel_{tag}")
    ended = len(editor.host.client.json("/history"))

    # Frames: with the keyboard, because the slider has the focus.
    slider = page.locator(f"{PANEL} >> input[aria-label=frame]")
    slider.focus()
    number = slider.input_value()
    page.keyboard.press("ArrowRight")
    assert int(slider.input_value()) == int(number) + 1
    shown = changed(editor, shown)

    # The strategy and its parameters end up in the node's widgets, and so in the next prompt.
    page.select_option(f"{PANEL} >> select[aria-label=strategy]", "confidence")
    shown = changed(editor, shown)
    assert page.evaluate(WIDGET, "strategy") == "confidence"
    page.fill(f"{PANEL} >> input[aria-label=temperature]", "2")
    shown = changed(editor, shown)
    assert page.evaluate(WIDGET, "strategy.temperature") == 2
    page.fill(f"{PANEL} >> input[aria-label=smoothing]", "0.3")
    shown = changed(editor, shown)
    inputs = next(n["inputs"] for n in editor.prompt().values() if n["class_type"] == "ReenactFuseReferences")
    assert (inputs["strategy"], inputs["strategy.temperature"], inputs["smoothing"]) == ("confidence", 2, 0.3)
    assert not [name for name in inputs if "panel" in name]

    # Single references, overlays.
    page.click(f"{PANEL} >> .reenact-chips button:nth-child(3)")
    shown = changed(editor, shown)
    page.click(f"{PANEL} >> .reenact-chips button:nth-child(1)")
    shown = changed(editor, shown)
    page.select_option(f"{PANEL} >> select[aria-label=overlay]", "attribution")
    shown = changed(editor, shown)
    editor.settle()
    editor.screenshot(f"panel_attribution_{tag}")
    page.wait_for_selector(f"{PANEL} >> .reenact-status >> text=/\\d+ ms/")

    # The other way round: what is typed into the node moves the panel.
    page.keyboard.press("Escape")
    page.evaluate("() => document.activeElement?.blur()")
    page.evaluate(SET_WIDGET, ["ReenactFuseReferences", "strategy", "nearest"])
    shown = changed(editor, shown)
    assert page.locator(f"{PANEL} >> select[aria-label=strategy]").input_value() == "nearest"
    assert page.locator(f"{PANEL} >> input[aria-label=temperature]").count() == 0
    assert len(editor.host.client.json("/history")) == ended, "nothing was queued"

    # The next run uses the settings; the panel stays one.
    record = editor.queue()
    assert record["status"]["status_str"] == "success", record["status"]
    assert page.locator(".reenact-panel").count() == 1
    assert editor.errors == [], "\n".join(editor.errors)


def test_panel_writes_the_widgets_of_a_dynamic_choice(dynamic_editor, request):
    """Only the chosen strategy has widgets, which come and go with the choice."""
    editor, page = dynamic_editor, dynamic_editor.page
    run_five_stages(editor)
    page.wait_for_selector(PANEL)
    shown = changed(editor, "")
    names = page.evaluate(NAMES)
    assert not [name for name in names if name.startswith("strategy.")], names
    page.select_option(f"{PANEL} >> select[aria-label=strategy]", "regional")
    shown = changed(editor, shown)
    page.fill(f"{PANEL} >> input[aria-label=eyes]", "2")
    shown = changed(editor, shown)
    page.evaluate(CLOSE_UP, 0.8)
    editor.settle()
    editor.screenshot(f"panel_dynamic_{request.node.callspec.id}")
    inputs = next(n["inputs"] for n in editor.prompt().values() if n["class_type"] == "ReenactFuseReferences")
    assert (inputs["strategy"], inputs["strategy.eyes"]) == ("regional", 2)
    page.select_option(f"{PANEL} >> select[aria-label=strategy]", "confidence")
    changed(editor, shown)
    names = page.evaluate(NAMES)
    assert "strategy.temperature" in names
    assert "strategy.eyes" not in names
    assert editor.errors == [], "\n".join(editor.errors)


def test_panel_in_a_light_theme_a_small_node_and_without_its_run(editor, request):
    tag = request.node.callspec.id
    page = editor.page
    set_theme(editor, "light")
    run_five_stages(editor)
    page.wait_for_selector(PANEL)
    shown = changed(editor, "")
    page.evaluate(
        """() => {
        const node = window.app.graph._nodes.find((n) => n.type === 'ReenactFuseReferences')
        node.setSize([240, 100])
    }"""
    )
    page.evaluate(CLOSE_UP, 0.9)
    editor.settle()
    editor.screenshot(f"panel_light_small_{tag}")
    stage = page.locator(f"{PANEL} >> .reenact-stage").bounding_box()
    assert stage is not None
    assert min(stage["width"], stage["height"]) > 60

    editor.host.client.free()
    other = {"1": {"class_type": "ReenactSample", "inputs": {"driving": "same person"}}}
    other["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    assert editor.host.client.run(other).status == "success"
    page.select_option(f"{PANEL} >> select[aria-label=strategy]", "mean")
    page.wait_for_selector("text=The warps of this run are not in memory any more. Run the graph again.")
    assert picture(editor) == shown
    set_theme(editor, "dark")
    noise = re.compile(r"\b410\b")
    assert [error for error in editor.errors if not noise.search(error)] == []
