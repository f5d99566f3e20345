"""The example graphs as drawings: nothing overlaps, and all of a graph can be read when the host shows all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

GRAPHS = sorted((Path(__file__).resolve().parents[2] / "workflows").glob("*.json"))
TITLE = 30  # pixels above a node's position
SCREEN, SHARE = (1920, 1080), 0.75  # newest front ends open an example so that it fills this share of the window
FONT, LEAST = 14, 8  # pixels of a node's text, and below which it is not drawn


@pytest.fixture(params=GRAPHS, ids=lambda path: path.stem)
def graph(request) -> dict:
    return json.loads(request.param.read_text(encoding="utf-8"))


def box(node: dict) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a node with its title."""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


def test_nodes_do_not_overlap(graph):
    boxes = [(node["id"], box(node)) for node in graph["nodes"]]
    for i, (one, a) in enumerate(boxes):
        for other, b in boxes[i + 1 :]:
            apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
            assert apart, f"{one} and {other}"


def test_every_node_lies_in_a_frame(graph):
    frames = [(x, y, x + width, y + height) for x, y, width, height in (g["bounding"] for g in graph["groups"])]
    for node in graph["nodes"]:
        left, top, right, bottom = box(node)
        assert any(f[0] <= left and f[1] <= top and right <= f[2] and bottom <= f[3] for f in frames), node["type"]


def test_text_is_large_enough_when_all_of_the_graph_is_shown(graph):
    x, y, width, height = zip(*(group["bounding"] for group in graph["groups"]))
    wide = max(map(sum, zip(x, width))) - min(x)
    high = max(map(sum, zip(y, height))) - min(y)
    assert SHARE * min(SCREEN[0] / wide, SCREEN[1] / high) * FONT >= LEAST


def test_no_two_graphs_share_the_number_of_a_node():
    """Older hosts take results of the same number for the same, and then send no pictures to the second graph."""
    seen: dict[int, str] = {}
    for path in GRAPHS:
        for node in json.loads(path.read_text(encoding="utf-8"))["nodes"]:
            assert seen.setdefault(node["id"], path.stem) == path.stem, node["id"]


def test_notes_have_no_code_spans(graph):
    """Front ends draw them in blue on grey, which cannot be read on the colour of a note."""
    for node in graph["nodes"]:
        assert node["type"] != "MarkdownNote" or "`" not in node["widgets_values"][0]
