"""A real browser on the host's editor page."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host_server import REPOSITORY, HostServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright

CHROMIUM = Path(os.environ.get("REENACT_CHROMIUM", "/usr/bin/chromium"))
SCREENSHOTS = REPOSITORY / "out" / "screenshots"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE = 60.0  # seconds for whatever the page is to do: other work may hold both cores
# What an unmodified host without templates and user files makes every page print.
EXPECTED_NOISE = re.compile(
    r"user\.css|/templates/|workflow_templates|userdata|thumbnail|favicon|fonts\.g|/api/jobs|/api/(sub)?graphs?"
    r"|Failed to load resource|net::ERR_|JobsApiError|Loading media from .blob:|huggingface\.co|github\.com|comfy\.org"
    r"|primevue/autocomplete",  # the search box, when it closes before it has heard of what was typed
)


def launch(playwright: Playwright) -> Browser:
    """Start the system's Chromium, headless."""
    return playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=list(FLAGS))


class Chromium:
    """A browser that is started when a page is wanted, and anew where it has died."""

    def __init__(self, playwright: Playwright):
        self._playwright = playwright
        self.running: Browser | None = None

    def new_page(self) -> Page:
        """An empty page."""
        if self.running is None or not self.running.is_connected():
            self.running = launch(self._playwright)
        return self.running.new_page(viewport={"width": 1400, "height": 900})

    def close(self) -> None:
        """End the browser."""
        if self.running is not None:
            self.running.close()


class Editor:
    """The editor of one host in one page; `vue_nodes` selects how nodes are drawn (Nodes 2.0)."""

    def __init__(self, browser: Chromium, host: HostServer, vue_nodes: bool = False):
        self.browser = browser
        self.host = host
        self.vue_nodes = vue_nodes
        self.errors: list[str] = []  # console errors and uncaught exceptions apart from the expected noise
        self.seconds: dict[str, float] = {}  # duration of each step, for reports
        self.open()

    def open(self) -> None:
        """Open the page, at first or after it has died."""
        self._choose_drawing()
        self.page: Page = self.browser.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        started = time.monotonic()
        self.page.goto(self.host.url, wait_until="domcontentloaded", timeout=240_000)
        self._wait_until_usable()
        self.seconds["open"] = time.monotonic() - started

    def alive(self) -> bool:
        """Whether the page answers; it does not once it, or the whole browser, has crashed."""
        from playwright.sync_api import Error  # only in the host's environment

        try:
            return self.page.evaluate("() => true")
        except Error:
            return False

    def reload(self) -> None:
        """Load the page anew."""
        self._choose_drawing()
        self.page.reload(wait_until="domcontentloaded", timeout=240_000)
        self._wait_until_usable()

    def _choose_drawing(self) -> None:
        self.host.client.request("/api/settings", {"Comfy.VueNodes.Enabled": self.vue_nodes})

    def _wait_until_usable(self) -> None:
        self.page.wait_for_function("window.app?.graph && window.app?.extensionManager", timeout=240_000)
        self.page.wait_for_selector('[data-testid="queue-button"]', timeout=240_000)
        # While it starts, the front end trips over its own settings; a pack's files name themselves.
        self.errors = [error for error in self.errors if "/extensions/" in error]

    def settle(self) -> None:
        """Wait until what has changed is drawn."""
        self.page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")

    def _on_console(self, message: ConsoleMessage) -> None:
        text = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and not EXPECTED_NOISE.search(text):
            self.errors.append(text)

    def load_graph(self, workflow: dict[str, Any]) -> None:
        """Show a workflow (the front end's own JSON) in place of the current one."""
        started = time.monotonic()
        self.page.evaluate("workflow => window.app.loadGraphData(workflow)", workflow)
        count = len(workflow["nodes"])
        self.page.wait_for_function("count => window.app.graph._nodes.length === count", arg=count)
        self.settle()
        self.seconds["load_graph"] = time.monotonic() - started

    def prompt(self) -> dict[str, Any]:
        """The graph in API format, as the front end would queue it."""
        return self.page.evaluate("async () => (await window.app.graphToPrompt()).output")

    def unknown_nodes(self) -> list[str]:
        """Types of the nodes the front end has no definition of."""
        return self.page.evaluate(
            "() => window.app.graph._nodes.map(n => n.type).filter(t => !LiteGraph.registered_node_types[t])"
        )

    def queue(self, timeout: float = 600.0) -> dict[str, Any]:
        """Press the Run button and wait for the end of that prompt; the host's record of it."""
        before = set(self.host.client.json("/history"))
        started = time.monotonic()
        self.page.click('[data-testid="queue-button"]')
        while time.monotonic() - started < timeout:
            history = self.host.client.json("/history")
            fresh = [record for key, record in history.items() if key not in before]
            if fresh:
                self.settle()
                self.seconds["queue"] = time.monotonic() - started
                return fresh[0]
            self.page.wait_for_timeout(100)
        raise TimeoutError(f"no prompt ended within {timeout} s of pressing Run; page errors: {self.errors}")

    def screenshot(self, name: str) -> Path:
        """Save what the page shows as out/screenshots/<name>.png."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        started = time.monotonic()
        self.page.screenshot(path=str(path))
        self.seconds["screenshot"] = time.monotonic() - started
        return path

    def close(self) -> None:
        """Close the page."""
        self.page.close()
