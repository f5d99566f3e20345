"""What a user does in the browser: open a template, run it, look at previews and help, swap the strategy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.host, pytest.mark.browser]

WORKFLOW = Path(__file__).resolve().parents[2] / "workflows" / "five_stages.json"
SET_WIDGET = """([type, name, value]) => {
    const node = window.app.graph._nodes.find((n) => n.type === type)
    const widget = node.widgets.find((w) => w.name === name)
    widget.value = value
    widget.callback?.(value)
    return node.widgets.map((w) => w.name)
}"""
SHOWN = """(type) => {
    const node = window.app.graph._nodes.find((n) => n.type === type)
    return (window.app.nodeOutputs?.[node.id]?.images ?? []).length
}"""
SELECT = """(type) => {
    const node = window.app.graph._nodes.find((n) => n.type === type)
    window.app.canvas.selectNode(node)
    window.app.canvas.centerOnNode(node)
    window.app.canvas.ds.scale = 0.5  // a tall node's buttons would lie under the tabs
    window.app.canvas.centerOnNode(node)
    window.app.canvas.setDirty(true, true)
}"""


OFFERED = """() => window.app.graph._nodes.find((n) => n.type === 'ReenactFuseReferences').widgets
    .filter((w) => w.name.startsWith('strategy.') && !w.hidden).map((w) => w.name)"""
FINISH = """([type, output]) => {
    window.app.graph._nodes.find((n) => n.type === type).onExecuted(output)
}"""


def ids(editor, *kinds: str) -> set[str]:
    """Numbers of the nodes of these types in the shown graph."""
    found = editor.page.evaluate("() => window.app.graph._nodes.map((n) => [String(n.id), n.type])")
    return {number for number, kind in found if kind in kinds}


def cached(record: dict) -> set[str]:
    return {node for kind, data in record["status"]["messages"] if kind == "execution_cached" for node in data["nodes"]}


def test_template_runs_shows_previews_help_and_swaps_its_strategy(editor, request):
    tag = request.node.callspec.id
    editor.host.client.free()  # what an earlier test left in the cache sends no pictures
    editor.load_graph(json.loads(WORKFLOW.read_text(encoding="utf-8")))
    editor.page.evaluate(SET_WIDGET, ["ReenactWarpPerReference", "size", 128])
    record = editor.queue()
    assert record["status"]["status_str"] == "success", record["status"]
    for kind in ("ReenactLoadReferences", "ReenactEncodeMotion", "ReenactWarpPerReference", "ReenactFuseReferences"):
        # Pictures reach the page over its websocket, some time after the server's record of the run.
        editor.page.wait_for_function(f"(kind) => ({SHOWN})(kind) >= 1", arg=kind)
    editor.screenshot(f"five_stages_{tag}")

    editor.page.evaluate(SET_WIDGET, ["ReenactFuseReferences", "strategy", "confidence"])
    editor.page.wait_for_function(f"({OFFERED})().join() === 'strategy.temperature'")
    names = editor.page.evaluate(SET_WIDGET, ["ReenactFuseReferences", "smoothing", 0.5])
    info = editor.host.client.object_info("ReenactFuseReferences")["ReenactFuseReferences"]["input"]
    if info["required"]["strategy"][0] == "COMFY_DYNAMICCOMBO_V3":
        assert "strategy.softness" not in names, "only the parameters of what is chosen"
    editor.page.evaluate(SET_WIDGET, ["ReenactFuseReferences", "strategy.temperature", 3.0])
    prompt = editor.prompt()
    (fuse,) = ids(editor, "ReenactFuseReferences")
    assert prompt[fuse]["inputs"]["strategy.temperature"] == 3.0
    again = editor.queue()
    assert again["status"]["status_str"] == "success", again["status"]
    early = ids(editor, "ReenactLoadReferences", "ReenactEncodeMotion", "ReenactWarpPerReference")
    assert early <= cached(again), "the warps are not computed again"
    assert fuse not in cached(again)
    editor.page.evaluate(FINISH, ["ReenactEncodeMotion", {"text": ["Something to know."]}])
    editor.page.wait_for_selector("text=Something to know. >> visible=true")
    editor.page.evaluate(FINISH, ["ReenactEncodeMotion", {}])
    editor.page.wait_for_selector("text=Something to know.", state="detached")
    editor.page.evaluate(SELECT, "ReenactFuseReferences")
    editor.settle()
    editor.screenshot(f"swapped_{tag}")

    editor.page.click('[data-testid="info-button"]')
    editor.page.wait_for_selector("text=Decides whose pixel is shown where. Change")
    editor.screenshot(f"help_{tag}")
    assert editor.errors == [], "\n".join(editor.errors)


def test_template_browser_offers_the_graphs(editor, request):
    editor.page.evaluate("() => window.app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    editor.page.click("[role=dialog] >> text=reenact >> visible=true")
    editor.page.wait_for_selector("[role=dialog] >> text=/five.stages/i >> visible=true")
    editor.page.wait_for_timeout(1000)  # pictures arrive after the names
    editor.screenshot(f"templates_{request.node.callspec.id}")
    editor.reload()  # closes it, and the help beside the graph


def only(graph: dict, *kinds: str) -> dict:
    """The nodes of these types, and the links between them."""
    nodes = [node for node in graph["nodes"] if node["type"] in kinds]
    numbers = {node["id"] for node in nodes}
    links = [link for link in graph["links"] if {link[1], link[3]} <= numbers]
    left = {link[0] for link in links}
    for node in nodes:
        for output in node["outputs"]:
            output["links"] = [link for link in output["links"] if link in left]
    return {**graph, "nodes": nodes, "links": links}


def test_a_page_loaded_anew_shows_the_pictures_of_a_run_that_was_kept(editor):
    """Nothing need run again. Hosts that send no pictures then are asked for them."""
    graph = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    graph = only(graph, "ReenactSample", "ReenactLoadReferences", "PreviewImage")
    seen = f"(kind) => ({SHOWN})(kind) >= 1"
    for loaded_anew in (False, True):
        if loaded_anew:
            editor.reload()
        editor.load_graph(graph)
        record = editor.queue()
        assert record["status"]["status_str"] == "success", record["status"]
        editor.page.wait_for_function(seen, arg="ReenactLoadReferences")
    assert ids(editor, "ReenactLoadReferences") <= cached(record)
