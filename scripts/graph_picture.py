"""Photograph the example graph of the five stages in a real host, after a run, for the README.

    .venv-host/bin/python scripts/graph_picture.py

Starts the test host with its newest front end and a browser, opens the graph, runs it, writes docs/images/graph.jpg.
REENACT_HOST_TREE names another host's source folder (CONTRIBUTING.md, "Tests").
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "host"))

from host_browser import Chromium, Editor  # noqa: E402
from host_server import HostServer  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

WINDOW = {"width": 2100, "height": 1500}
WIDTH = 1600  # px of the picture
PLACE = """([left, top]) => {
    const nodes = window.app.graph._nodes.filter((n) => n.type !== 'MarkdownNote')
    const boxes = [...nodes.map((n) => n.getBounding()), ...window.app.graph._groups.map((g) => g._bounding)]
    const x = Math.min(...boxes.map((b) => b[0])), y = Math.min(...boxes.map((b) => b[1]))
    const width = Math.max(...boxes.map((b) => b[0] + b[2])) - x
    const height = Math.max(...boxes.map((b) => b[1] + b[3])) - y
    const view = window.app.canvas.ds
    view.scale = 1
    view.offset = [left - x, top - y]
    window.app.canvas.deselectAll()
    window.app.canvas.setDirty(true, true)
    return [width, height]
}"""
MARGIN = 12


def main() -> None:
    """Start, run, write."""
    graph = json.loads((ROOT / "workflows" / "five_stages.json").read_text(encoding="utf-8"))
    with (
        tempfile.TemporaryDirectory() as base,
        HostServer(Path(base), {"reenact": ROOT}, "newest") as host,
        sync_playwright() as playwright,
    ):
        host.client.request("/api/settings", {"Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasInfo": False})
        browser = Chromium(playwright)
        editor = Editor(browser, host, vue_nodes=True)
        editor.page.set_viewport_size(WINDOW)
        editor.load_graph(graph)
        record = editor.queue(timeout=900)
        if record["status"]["status_str"] != "success":
            raise SystemExit(f"the graph did not run: {record['status']}")
        left, top = 100, 120  # clear of the host's own bars
        width, height = editor.page.evaluate(PLACE, [left, top])
        editor.page.wait_for_selector(".reenact-panel img[src]", timeout=120_000)
        editor.page.wait_for_timeout(4000)
        clip = {"x": left - MARGIN, "y": top - MARGIN, "width": width + 2 * MARGIN, "height": height + 2 * MARGIN}
        taken = Image.open(io.BytesIO(editor.page.screenshot(clip=clip))).convert("RGB")
        browser.close()
    taken.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
    taken.save(ROOT / "docs" / "images" / "graph.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
