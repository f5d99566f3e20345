"""What the panel says when a graph fails before it, and what it shows of settings that come through links."""

from __future__ import annotations

import pytest
from test_editor import SET_WIDGET
from test_panel_browser import CLOSE_UP, PANEL, changed, picture, run_five_stages

pytestmark = [pytest.mark.host, pytest.mark.browser]

FEED = """([name, value]) => {
    const graph = window.app.graph
    const fuse = graph._nodes.find((n) => n.type === 'ReenactFuseReferences')
    let source = graph._nodes.find((n) => n.type === 'PrimitiveFloat')
    if (!source) {
        source = LiteGraph.createNode('PrimitiveFloat')
        source.pos = [fuse.pos[0], fuse.pos[1] - 200]
        graph.add(source)
        source.connect(0, fuse, fuse.inputs.findIndex((input) => input.name === name))
    }
    source.widgets[0].value = value
    source.widgets[0].callback?.(value)
}"""
STATUS = f"{PANEL} >> .reenact-status"
WRONG = f"{STATUS}.reenact-wrong"
DRAWN = f"{STATUS} >> text=/^\\d+ ms/"


@pytest.fixture
def panel(editor):
    """The page with the panel of a run that went well."""
    run_five_stages(editor)
    editor.page.wait_for_selector(PANEL)
    changed(editor, "")
    editor.page.wait_for_selector(DRAWN)
    return editor


def failed(editor) -> None:
    """Run the graph, which fails, wait until the panel tells of it, and close what the host shows."""
    record = editor.queue()
    assert record["status"]["status_str"] == "error", record["status"]
    editor.page.wait_for_selector(WRONG)
    editor.settle()
    editor.page.keyboard.press("Escape")
    editor.page.wait_for_selector(".p-dialog-mask", state="hidden")


def test_a_run_that_failed_before_the_panel_is_told_in_it(panel, request):
    page = panel.page
    page.evaluate(SET_WIDGET, ["ReenactLoadReferences", "strengths", "many"])
    failed(panel)
    said = page.inner_text(STATUS)
    assert said.startswith("Load References: `strengths` is 'many'; it must be numbers"), said
    assert said.endswith("Shown is the run before.")
    page.evaluate(CLOSE_UP, 0.8)
    panel.settle()
    panel.screenshot(f"panel_failed_{request.node.callspec.id}")

    # What is still in memory can be looked at, and what went wrong stays in sight.
    before = picture(panel)
    page.select_option(f"{PANEL} >> select[aria-label=strategy]", "nearest")
    page.wait_for_function(
        """(before) => document.querySelector('.reenact-stage img').src !== before
            || document.querySelector('.reenact-status').textContent.startsWith('The warps of this run')""",
        arg=before,
    )
    assert page.locator(WRONG).count() == 1

    page.evaluate(SET_WIDGET, ["ReenactLoadReferences", "strengths", "1"])
    assert panel.queue()["status"]["status_str"] == "success"
    page.wait_for_selector(DRAWN)


def test_linked_settings_are_shown_as_they_were_used(panel, request):
    page = panel.page
    page.evaluate(FEED, ["smoothing", 2.0])
    failed(panel)
    said = page.inner_text(STATUS)
    assert said.startswith("Fuse References: `smoothing` is 2.0, but must be a number from 0.0 to 0.95."), said
    page.evaluate(FEED, ["smoothing", 0.3])
    assert panel.queue()["status"]["status_str"] == "success"
    slider = page.locator(f"{PANEL} >> input[aria-label=smoothing]")
    page.wait_for_function("() => document.querySelector('.reenact-panel input[aria-label=smoothing]').value === '0.3'")
    assert slider.is_disabled()
    page.evaluate(CLOSE_UP, 0.8)
    panel.settle()
    panel.screenshot(f"panel_linked_{request.node.callspec.id}")
