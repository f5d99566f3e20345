import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import torch

from reenact_core.evaluation.charts import line_chart
from reenact_core.evaluation.report import markdown_table, to_html, write_html
from reenact_core.evaluation.result import (
    COLUMNS,
    NEAREST_COPY,
    ONE_REFERENCE,
    ClipRecord,
    EvaluationResult,
    Interval,
    Method,
    Pictures,
    Row,
    summarise,
)

METHODS = (
    Method(NEAREST_COPY, "baseline", 1),
    Method(NEAREST_COPY, "baseline", 4),
    Method(ONE_REFERENCE, "baseline", 1),
    Method("mean", "strategy", 4),
)


@pytest.fixture
def result() -> EvaluationResult:
    rows = [
        Row(clip, method, region, 3, {"psnr": 15.0 + number + shift, "l1": 0.2 - 0.01 * number, "lpips": None})
        for shift, clip in enumerate(("a", "<b>&"))
        for number, method in enumerate(METHODS)
        for region in ("full", "head")
    ]
    clips = tuple(ClipRecord(name, 40, 96, 80, 25.0, 5, (22, 27), 6, (1, 4), 0) for name in ("a", "<b>&"))
    return EvaluationResult({}, {"model": "m<1>"}, COLUMNS[:2], clips, tuple(rows), summarise(rows), ("note & more",))


class Links(HTMLParser):
    """Collects every attribute that could fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.sources, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]


def test_page_stands_alone_and_escapes_names(result):
    pictures = Pictures(
        "a",
        22,
        torch.rand(3, 256, 256),
        ((METHODS[2], torch.rand(3, 256, 256)), (METHODS[3], torch.rand(3, 256, 256))),
    )
    page = to_html(replace(result, pictures=(pictures,)))
    links = Links()
    links.feed(page)
    assert len(links.sources) == 1
    assert links.sources[0].startswith("data:image/jpeg;base64,")
    assert "script" not in links.tags
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;" in page
    assert "m&lt;1&gt;" in page
    assert "note &amp; more" in page


def test_page_marks_the_best_and_shows_curves(result):
    page = to_html(result)
    assert re.search(r'class="best"[^>]*>18\.50<small>', page)
    assert page.count("<svg") == 2  # PSNR of two regions; L1 has no curve, LPIPS was not measured
    assert "LPIPS" not in page
    assert "+1.00 against one reference on 2 clips" in page


def test_markdown_table(result):
    lines = markdown_table(result, "head").splitlines()
    assert lines[0] == "| method | R | L1 | PSNR |"
    assert lines[2] == "| nearest copy | 1 | 0.2000 | 15.50 |"
    assert lines[-1] == "| mean | 4 | 0.1700 | 18.50 |"
    assert len({line.count("|") for line in lines}) == 1
    assert "(18.00 to 19.00)" in markdown_table(result, "head", intervals=True)


def test_page_is_written_whole(result, tmp_path):
    write_html(result, tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == to_html(result)
    assert len(list(tmp_path.iterdir())) == 1


def test_chart_is_valid_and_higher_values_are_higher():
    svg = line_chart(
        "t & t", "references", {"<x>": [(1, Interval(1.0, 0.5, 1.5, 3)), (8, Interval(2.0, None, None, 1))]}
    )
    root = ElementTree.fromstring(svg)
    circles = [element for element in root.iter() if element.tag.endswith("circle")]
    assert float(circles[0].get("cx")) < float(circles[1].get("cx"))
    assert float(circles[0].get("cy")) > float(circles[1].get("cy"))
    assert "<x>" in [element.text for element in root.iter()]


def test_chart_of_one_point():
    ElementTree.fromstring(line_chart("t", "r", {"x": [(1, Interval(0.0, None, None, 1))]}))
