"""The harness itself: a real host runs a throw-away pack and everything it says is seen."""

from __future__ import annotations

import contextlib
import io

import probe_pack
import pytest
from host_client import PromptRejectedError
from PIL import Image

pytestmark = pytest.mark.host


def test_host_loads_the_probe_pack(host):
    info = host.client.object_info("HarnessProbe")["HarnessProbe"]
    assert list(info["input"]["required"]) == ["steps", "grey", "fail"]
    assert info["output"] == ["IMAGE"]


def test_the_pack_that_is_broken_on_purpose_is_the_only_import_failure(host):
    failures = host.import_failures()
    assert any("broken on purpose" in line for line in failures), host.log()[-3000:]
    assert [line for line in failures if "broken" not in line] == []


def test_unknown_node_has_no_info(host):
    assert host.client.object_info("NoSuchNode") == {}


def test_prompt_runs_with_progress_and_output(host):
    run = host.client.run(probe_pack.prompt(steps=4, grey=0.25))
    assert run.status == "success", run.error
    values = [value for node, value, total in run.progress if node == "1" and total == 4]
    assert values == sorted(set(values))
    assert {1, 4} <= set(values), "newer hosts drop messages that follow each other closely, never the ends"
    assert run.executed == ["1", "2"]
    (file,) = run.outputs["2"]["images"]
    picture = Image.open(io.BytesIO(host.client.fetch(file)))
    assert picture.size == (64, 48)
    assert picture.getpixel((0, 0)) == (63, 63, 63)


def test_second_run_comes_from_the_cache(host):
    host.client.run(probe_pack.prompt(grey=0.75))
    again = host.client.run(probe_pack.prompt(grey=0.75))
    assert again.status == "success"
    assert "1" in again.cached
    assert "1" not in again.executed


def test_error_of_a_node_is_reported(host):
    run = host.client.run(probe_pack.prompt(fail=True))
    assert run.status == "error"
    assert run.error["node_id"] == "1"
    assert "told to fail" in run.error["exception_message"]


def test_interrupt_stops_a_run(host):
    def stop_at_first_progress(kind: str, data: dict) -> None:
        if kind == "progress" and data["value"] == 1:
            host.client.interrupt()

    run = host.client.run(probe_pack.prompt(steps=600), on_message=stop_at_first_progress)
    assert run.status == "interrupted"
    assert len(run.progress) < 300, "long before its end"


def test_invalid_prompt_is_rejected(host):
    with pytest.raises(PromptRejectedError) as caught:
        host.client.run(probe_pack.prompt(steps=0))
    assert "1" in caught.value.node_errors


@pytest.mark.browser
def test_browser_shows_and_runs_a_graph(editor, lane, request):
    editor.load_graph(probe_pack.workflow(grey=0.9 if lane[1] else 0.8))
    assert editor.unknown_nodes() == []
    prompt = editor.prompt()
    assert prompt["1"]["inputs"]["steps"] == 3
    assert prompt["2"]["inputs"]["image"] == ["1", 0]
    record = editor.queue()
    assert record["status"]["status_str"] == "success"
    assert record["outputs"]["2"]["images"]
    picture = editor.screenshot(f"harness_{request.node.callspec.id}")
    assert len(Image.open(picture).convert("L").resize((140, 90)).getcolors(14000)) > 8
    assert editor.errors == [], "\n".join(editor.errors)


@pytest.mark.browser
def test_a_browser_that_died_is_started_anew(playwright, host):
    from host_browser import Chromium, Editor
    from playwright.sync_api import Error

    browser = Chromium(playwright)
    editor = Editor(browser, host)
    assert editor.alive()
    with contextlib.suppress(Error):  # it ends before it answers
        browser.running.new_browser_cdp_session().send("Browser.crash")
    assert not editor.alive()
    editor.open()
    editor.load_graph(probe_pack.workflow())
    assert editor.alive()
    browser.close()
