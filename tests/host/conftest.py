"""Fixtures around a real, running host. Run with `.venv-host/bin/python -m pytest -m "host or browser"`.

REENACT_HOST_TREE   another host's source tree to test against (its extra packages on PYTHONPATH)
REENACT_HOST_LANES  "all" for every combination of front end and node drawing in browser tests
REENACT_CHROMIUM    the browser, /usr/bin/chromium unless told
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

LANES = (("pinned", False), ("newest", True))
ALL_LANES = (("pinned", False), ("pinned", True), ("newest", False), ("newest", True))
OTHER_HOST_LANES = (("newest", False), ("newest", True))  # the pinned front end is not made for another host


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each browser test once per front end lane."""
    if "lane" in metafunc.fixturenames:
        lanes = ALL_LANES if os.environ.get("REENACT_HOST_LANES") == "all" else LANES
        if os.environ.get("REENACT_HOST_TREE"):
            lanes = OTHER_HOST_LANES
        ids = [f"{front_end}-{'vue' if vue else 'canvas'}" for front_end, vue in lanes]
        metafunc.parametrize("lane", lanes, ids=ids, scope="session")


@pytest.fixture(scope="session")
def host_with(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable]:
    """A function: front end name -> its running host, started on first use and kept for the session."""
    import probe_pack
    import widget_probe
    from host_server import REPOSITORY, HostServer, host_tree

    if host_tree() is None:
        pytest.skip("no host in this environment; run scripts/setup_host.py and use .venv-host/bin/python")
    running: dict[str, HostServer] = {}

    def start(front_end: str) -> HostServer:
        if front_end not in running:
            base = tmp_path_factory.mktemp(f"host_{front_end}")
            packs = {"harness_probe": probe_pack.write(base / "probe_source")}
            packs["broken"] = probe_pack.write_broken(base / "broken_source")
            if (REPOSITORY / "__init__.py").is_file():
                packs["reenact"] = REPOSITORY
            if front_end == "pinned":
                packs["widget_probe"] = widget_probe.write(base / "widget_source", REPOSITORY)
            server = HostServer(base, packs, front_end)
            server.start()
            running[front_end] = server
        return running[front_end]

    yield start
    for server in running.values():
        server.stop()


@pytest.fixture(scope="session")
def host(host_with: Callable):
    """The running host with its pinned front end and the pack linked in as `reenact`."""
    return host_with("pinned")


@pytest.fixture(scope="session")
def playwright() -> Iterator:
    """What drives browsers, where there is one."""
    from host_browser import CHROMIUM

    if not CHROMIUM.is_file():
        pytest.skip(f"no browser at {CHROMIUM}; apt-get install chromium, or set REENACT_CHROMIUM")
    playwright_api = pytest.importorskip("playwright.sync_api", reason="no playwright in this environment")
    with playwright_api.sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright) -> Iterator:
    """Chromium, driven by playwright."""
    from host_browser import Chromium

    chromium = Chromium(playwright)
    yield chromium
    chromium.close()


@pytest.fixture(scope="session")
def page(browser, host_with: Callable, lane: tuple[str, bool]) -> Iterator:
    """One page per front end lane for all tests: opening it takes longer than most of them."""
    from host_browser import Editor

    front_end, vue_nodes = lane
    editor = Editor(browser, host_with(front_end), vue_nodes)
    yield editor
    editor.close()


@pytest.fixture
def editor(page, request: pytest.FixtureRequest) -> Iterator:
    """The editor page of a host, once per front end lane; each test shows a graph of its own."""
    failed = request.session.testsfailed
    if not page.alive():
        page.open()
    page.errors.clear()
    yield page
    if request.session.testsfailed > failed and page.alive():
        page.screenshot(re.sub(r"\W+", "_", f"failed_{request.node.name}"))
        page.reload()  # nothing it left open is to stand in the way of others
