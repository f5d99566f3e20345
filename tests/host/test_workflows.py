"""Every example graph opens in the editor as it was written, and runs through the API to a picture worth looking at."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path

import av
import numpy as np
import pytest

from .stand_ins import STAND_INS, place_checkpoint

pytestmark = [pytest.mark.host, pytest.mark.browser]

FOLDER = Path(__file__).resolve().parents[2] / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
SHORTENED = ("compare_strategies", "composite_and_upscale", *STAND_INS)  # what takes long per frame
FRAMES = {"references_from_video": 45, "one_node_video": 45, **dict.fromkeys(SHORTENED, 10)}
SIZES = {"compare_strategies": (776, 700), "composite_and_upscale": (700, 700)}
COUNT = "() => window.app.graph._nodes.length"
HANGS = "() => window.app.graph._nodes.some((n) => n.flags?.ghost)"
WRITTEN: dict[str, dict] = {
    "ReenactLoadReferences": {"strengths": "1", "labels": "", "show_landmarks": True},
    "ReenactEncodeMotion": {"frame_rate": 25, "face_index": 0, "smooth": True, "neutral_frame": -1},
    "ReenactWarpPerReference": {"size": 0, "all_pictures": False},
    "ReenactFuseReferences": {"all_pictures": True, "smoothing": 0.6},
    "ReenactDecode": {"paste_back": True, "feather": 0.08},
    "ReenactVideo": {"transfer": "relative", "size": 0, "neutral_frame": -1, "feather": 0.08, "format": "mp4",
                     "smoothing": 0.6, "strategy": "auto"},
    "ReenactCompare": {"layout": "grid", "gain": 4, "edge": 0.5, "every": 5, "metrics_folder": ""},
    "ReenactFusionPreview": {"reference": 1},
    "ImageScaleBy": {"upscale_method": "lanczos", "scale_by": 2},
    "SaveVideo": {"format": "auto", "codec": "auto"},
}  # fmt: skip


def workflow(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(browser, host_with, lane):
    """A page on which nothing was opened beside the graph, per front end."""
    from host_browser import Editor

    front_end, vue_nodes = lane
    editor = Editor(browser, host_with(front_end), vue_nodes)
    yield editor
    editor.close()


@pytest.fixture(scope="session")  # front ends take turns per session: a module's would begin anew with each
def tried() -> dict[str, dict]:
    """The prompts that were run, by graph. The host under all front ends is the same one: one run each is enough."""
    return {}


@pytest.mark.parametrize("name", NAMES)
def test_graph_opens_as_it_was_written(editor, name, tried):
    graph = workflow(name)
    if name in STAND_INS:
        place_checkpoint(name, editor.host.models_folder)
    editor.load_graph(graph)
    assert editor.unknown_nodes() == []
    prompt = editor.prompt()
    for node in prompt.values():
        if node["class_type"] == "PreviewAny":  # some front ends send what it shows along
            node["inputs"] = {"source": node["inputs"]["source"]}
    links = {(str(target), str(origin), output) for _, origin, output, target, _, _ in graph["links"]}
    found = {
        (number, value[0], value[1])
        for number, node in prompt.items()
        for value in node["inputs"].values()
        if isinstance(value, list)
    }
    assert found == links
    for number in prompt.keys() - {origin for _, origin, _ in found}:
        kind = prompt[number]["class_type"]
        assert editor.host.client.object_info(kind)[kind]["output_node"], f"{kind} at the end of the graph never runs"
    for number, node in prompt.items():
        for key, value in WRITTEN.get(node["class_type"], {}).items():
            assert node["inputs"][key] == value, (number, key)
    strategies = [node["inputs"]["strategy"] for node in prompt.values() if "strategy" in node["inputs"]]
    expected = ["auto", "nearest"] if name == "compare_strategies" else ["auto"]
    assert strategies == expected
    assert editor.errors == [], "\n".join(editor.errors)
    if name in tried:
        assert prompt == tried[name], "every front end queues the same"
        return
    tried[name] = copy.deepcopy(prompt)
    run_through_api(editor, name, prompt)


def shorten(prompt: dict, frames: int) -> None:
    """Let everything see the first frames of the driving sample only."""
    (sample,) = (number for number, node in prompt.items() if node["class_type"] == "ReenactSample")
    for node in prompt.values():
        node["inputs"] |= {name: ["short", 0] for name, value in node["inputs"].items() if value == [sample, 1]}
    prompt["parts"] = {"class_type": "GetVideoComponents", "inputs": {"video": [sample, 1]}}
    prompt["first"] = {
        "class_type": "ImageFromBatch",
        "inputs": {"image": ["parts", 0], "batch_index": 0, "length": frames},
    }
    prompt["short"] = {"class_type": "CreateVideo", "inputs": {"images": ["first", 0], "fps": 15.0}}


def run_through_api(editor, name: str, prompt: dict) -> None:
    for node in prompt.values():
        if "size" in node["inputs"]:
            node["inputs"]["size"] = 128
    if name in SHORTENED:
        shorten(prompt, FRAMES[name])
    run = editor.host.client.run(prompt)
    assert run.status == "success", run.error
    videos = [file for output in run.outputs.values() for file in output.get("images", []) if "mp4" in file["filename"]]
    assert len(videos) == 1
    with av.open(io.BytesIO(editor.host.client.fetch(videos[0]))) as made:
        assert made.streams.video[0].average_rate == 15
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in made.decode(video=0)]).astype(np.float32)
    assert frames.shape[:3] == (FRAMES.get(name, 30), *SIZES.get(name, (350, 350)))
    assert frames.std(axis=(1, 2, 3)).min() > 25, "no blank frame"
    if name not in STAND_INS:  # random weights see no motion
        assert np.abs(np.diff(frames, axis=0)).mean() > 0.3, "it moves"


def test_templates_are_offered_with_pictures(host):
    listed = host.client.json("/api/workflow_templates")
    assert sorted(listed["reenact"]) == NAMES
    for name in NAMES:
        assert host.client.request(f"/api/workflow_templates/reenact/{name}.jpg")[:2] == b"\xff\xd8"


def place_blueprint(page, place: tuple[int, int], tries: int = 6) -> None:
    """Add it from the search box at `place`; once more where a busy page took no notice of the mouse."""
    from playwright.sync_api import TimeoutError as NotInTimeError  # only in the host's environment

    before = page.evaluate(COUNT)
    for left in reversed(range(tries)):
        try:
            page.mouse.dblclick(*place)
            page.locator("[role=search] [role=combobox]").fill("Reenact five stages", timeout=20_000)
            page.locator("[role=search] [role=option]", has_text="Reenact five stages").first.click(timeout=20_000)
            page.wait_for_function(f"(before) => ({COUNT})() > before", arg=before)
            break
        except NotInTimeError:
            if not left:
                raise
            page.keyboard.press("Escape")
    for _ in range(60):  # newer front ends let it hang on the pointer until the canvas gets a click
        if not page.evaluate(HANGS):
            break
        page.mouse.move(place[0] + 5, place[1] + 5)
        page.mouse.click(*place)
        page.wait_for_timeout(500)
    assert not page.evaluate(HANGS)


def test_blueprint_can_be_placed_twice(editor):
    """As a user does it, from the search box: two independent sets of the stages."""
    editor.reload()  # a side bar or a message that another test left open would take the mouse
    editor.load_graph({"nodes": [], "links": [], "version": 0.4, "last_node_id": 0, "last_link_id": 0})
    editor.page.evaluate("() => window.app.canvas.ds.reset()")  # or one might lie where the other is to be
    place_blueprint(editor.page, (500, 250))
    place_blueprint(editor.page, (250, 650))  # beside the first, which is large
    assert editor.page.evaluate(COUNT) == 2
    editor.page.evaluate(
        """() => {
        const [, second] = window.app.graph._nodes
        const set = (name, value) => {
            const widget = second.widgets.find((w) => w.name.endsWith(name))
            widget.value = value
            widget.callback?.(value)
        }
        set('size', 128)
        set('strategy', 'nearest')
    }"""
    )
    inputs = [node["inputs"] for node in editor.prompt().values()]
    assert sorted(given["size"] for given in inputs if "size" in given) == [0, 128]
    fusions = [given for given in inputs if "strategy" in given]
    assert {given["strategy"] for given in fusions} == {"auto", "nearest"}
    assert [(given["all_pictures"], given["smoothing"]) for given in fusions] == [(True, 0.6)] * 2
    assert editor.errors == [], "\n".join(editor.errors)


def test_blueprint_holds_the_five_stages(editor, tried):
    file = FOLDER.parent / "subgraphs" / "Reenact five stages.json"
    blueprint = json.loads(file.read_text(encoding="utf-8"))
    listed = editor.host.client.json("/global_subgraphs")
    assert "Reenact five stages" in [entry["name"] for entry in listed.values() if "reenact" in str(entry["info"])]
    sample = {
        "id": 2, "type": "ReenactSample", "pos": [-400, 0], "size": [270, 110], "flags": {}, "order": 0, "mode": 0,
        "inputs": [], "properties": {}, "widgets_values": ["same person"],
        "outputs": [
            {"name": "references", "type": "IMAGE", "links": [1]},
            {"name": "driving", "type": "VIDEO", "links": [2]},
        ],
    }  # fmt: skip
    shown = {
        "id": 3, "type": "PreviewImage", "pos": [500, 0], "size": [270, 270], "flags": {}, "order": 2, "mode": 0,
        "inputs": [{"name": "images", "type": "IMAGE", "link": 3}],
        "outputs": [], "properties": {}, "widgets_values": [],
    }  # fmt: skip
    (node,) = blueprint["nodes"]
    node["inputs"][0]["link"], node["inputs"][1]["link"], node["outputs"][0]["links"] = 1, 2, [3]
    blueprint["nodes"] += [sample, shown]
    blueprint["links"] = [[1, 2, 0, 1, 0, "IMAGE"], [2, 2, 1, 1, 1, "VIDEO"], [3, 1, 0, 3, 0, "IMAGE"]]
    blueprint |= {"last_node_id": 3, "last_link_id": 3}
    editor.load_graph(blueprint)
    shown = editor.page.evaluate("() => window.app.graph._nodes.find((n) => n.subgraph).widgets.map((w) => w.name)")
    assert [name.rpartition(": ")[2] for name in shown] == ["transfer", "size", "smoothing", "strategy"]
    prompt = editor.prompt()
    kinds = {node["class_type"]: node["inputs"] for node in prompt.values()}
    assert kinds["ReenactLoadReferences"]["images.image0"] == ["2", 0]
    assert kinds["ReenactEncodeMotion"]["video"] == ["2", 1]
    assert kinds["ReenactWarpPerReference"]["transfer"] == "relative"
    assert kinds["ReenactFuseReferences"]["strategy"] == "auto"
    assert editor.errors == [], "\n".join(editor.errors)
    if "blueprint" in tried:
        return
    tried["blueprint"] = prompt
    for inputs in kinds.values():
        if "size" in inputs:
            inputs["size"] = 128
    run = editor.host.client.run(prompt)
    assert run.status == "success", run.error
    assert len(run.outputs["3"]["images"]) == 30
