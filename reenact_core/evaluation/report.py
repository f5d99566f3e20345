"""Reports of an evaluation: a self-contained HTML page and a Markdown table."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..sheets import contact_sheet
from .charts import line_chart
from .files import write_beside
from .result import (
    NEAREST_COPY,
    ONE_REFERENCE,
    REGIONS,
    Column,
    EvaluationResult,
    Interval,
    Pictures,
    Summary,
)

_REGION_TITLES = {
    "full": "Full frame",
    "head": "Head (square crop, 256 px)",
    "face": "Face (hull of the landmarks in that crop)",
}
_CHARTED = ("psnr", "lpips", "identity_sface", "akd")
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #8882 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { line-height: 1.2 }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line) }
th:first-child, td:first-child { text-align: left }
th { white-space: normal; max-width: 8rem; vertical-align: bottom }
td small { opacity: .65; display: block; font-size: 75% }
tr.baseline td { background: var(--faint) }
td.best { font-weight: 700 }
.charts { display: flex; flex-wrap: wrap; gap: 1rem }
svg text { fill: currentColor; font-size: 12px }
img { max-width: 100% }
"""


def markdown_table(result: EvaluationResult, region: str = "head", intervals: bool = False) -> str:
    """The means over clips of one region as a Markdown table; `intervals` adds the 95 % intervals."""
    lines = result.select(region)
    columns = _columns_with_values(result, lines)
    header = ["method", "R", *(column.label for column in columns)]
    table = [header, ["---", "---:", *("---:" for _ in columns)]]
    for line in lines:
        cells = [_markdown_cell(line.values.get(column.key), column, intervals) for column in columns]
        table.append([line.method.name, str(line.method.references), *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in table)


def write_html(result: EvaluationResult, path: Path) -> None:
    """Write the page beside its final name, then rename. Raises ReenactError when it cannot be written."""
    write_beside(path, to_html(result).encode())


def to_html(result: EvaluationResult) -> str:
    """One page without outside assets: notes, table and curves per region, pictures where they were kept."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width"><title>Reenactment evaluation</title>',
        f"<style>{_STYLE}</style><h1>Reenactment evaluation</h1>",
        _overview(result),
    ]
    for region in REGIONS:
        lines = result.select(region)
        if lines:
            parts += [
                f"<h2>{_REGION_TITLES[region]}</h2>",
                _html_table(result, lines),
                _charts(result, lines),
            ]
    if result.pictures:
        parts.append("<h2>One frame of each clip</h2>")
        parts += [_picture(pictures) for pictures in result.pictures]
    parts += ["<h2>Clips</h2>", _clip_table(result), "</html>"]
    return "\n".join(parts)


def _overview(result: EvaluationResult) -> str:
    facts = [f"{html.escape(key)}: {html.escape(value)}" for key, value in result.about.items()]
    count = len(result.clips)
    frames = sum(len(clip.sampled) for clip in result.clips)
    facts.append(f"{count} clip{'s' * (count != 1)}, {frames} measured frames")
    intro = (
        "References come from the first half of every clip; frames of the second half are reconstructed and "
        "compared with the truth. Means over clips; small: 95 % bootstrap interval over clips. Bold: best. "
        "Hold the pointer over a number for its difference to one reference. "
        f"Shaded: baselines. <b>{NEAREST_COPY}</b> shows the nearest reference as it is, "
        f"<b>{ONE_REFERENCE}</b> is R = 1, where all strategies agree."
    )
    notes = "".join(f"<li>{html.escape(note)}" for note in result.notes)
    return f"<p>{'<br>'.join(facts)}<p>{intro}" + (f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "")


def _html_table(result: EvaluationResult, lines: Sequence[Summary]) -> str:
    columns = _columns_with_values(result, lines)
    best = {column.key: _best(lines, column) for column in columns}
    head = "".join(f"<th>{html.escape(column.label)}{_unit(column)}" for column in columns)
    rows = [f"<tr><th>Method<th>R<th>Clips{head}"]
    for line in lines:
        cells = []
        for column in columns:
            interval = line.values.get(column.key)
            mark = ' class="best"' if interval is not None and interval.mean == best[column.key] else ""
            cells.append(f"<td{mark}{_gain(line, column)}>{_html_cell(interval, column)}")
        clips = max((interval.clips for interval in line.values.values()), default=0)
        rows.append(
            f'<tr class="{line.method.kind}"><td>{html.escape(line.method.name)}<td>{line.method.references}'
            f"<td>{clips}{''.join(cells)}"
        )
    return f"<div class=wide><table>{''.join(rows)}</table></div>"


def _charts(result: EvaluationResult, lines: Sequence[Summary]) -> str:
    charts = []
    for column in _columns_with_values(result, lines):
        if column.key not in _CHARTED:
            continue
        curves: dict[str, list[tuple[int, Interval]]] = {}
        for line in lines:
            interval = line.values.get(column.key)
            if interval is not None:
                curves.setdefault(line.method.name, []).append((line.method.references, interval))
        start = curves.pop(ONE_REFERENCE, [])
        fused = {name: points if name == NEAREST_COPY else start + points for name, points in curves.items()}
        better = {"higher": "higher is better", "lower": "lower is better"}[column.better]
        charts.append(line_chart(f"{column.label} ({better})", "references", fused or {ONE_REFERENCE: start}))
    return f"<div class=charts>{''.join(charts)}</div>"


def _clip_table(result: EvaluationResult) -> str:
    rows = ["<tr><th>Clip<th>Frames<th>Size<th>Measured<th>Every<th>Without face<th>References (frame numbers)"]
    for clip in result.clips:
        references = ", ".join(map(str, clip.references))
        rows.append(
            f"<tr><td>{html.escape(clip.name)}<td>{clip.frames}<td>{clip.width}x{clip.height}"
            f"<td>{len(clip.sampled)}<td>{clip.step}<td>{clip.without_face}<td>{references}"
        )
    return f"<div class=wide><table>{''.join(rows)}</table></div>"


def _picture(pictures: Pictures) -> str:
    """Truth and results of one frame: methods down, numbers of references across."""
    found = {(method.name, method.references): image for method, image in pictures.results}
    counts = sorted({count for _, count in found})
    names = [name for name in dict.fromkeys(name for name, _ in found) if name != ONE_REFERENCE]
    for name in names:  # with one reference all strategies agree
        if (ONE_REFERENCE, 1) in found:
            found.setdefault((name, 1), found[ONE_REFERENCE, 1])
    rows = [[pictures.truth, *(found.get((name, count)) for count in counts)] for name in names]
    sheet = contact_sheet(rows, ["truth", *(f"R = {count}" for count in counts)], names)
    pixels = np.ascontiguousarray(sheet.permute(1, 2, 0).mul(255).byte().numpy()[..., ::-1])
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    source = base64.b64encode(data.tobytes()).decode()
    title = html.escape(f"{pictures.clip}, frame {pictures.frame}")
    return f'<p>{title}<br><img alt="{title}" src="data:image/jpeg;base64,{source}">'


def _columns_with_values(result: EvaluationResult, lines: Sequence[Summary]) -> list[Column]:
    known = {key for line in lines for key in line.values}
    return [column for column in result.columns if column.key in known]


def _best(lines: Sequence[Summary], column: Column) -> float:
    means = [line.values[column.key].mean for line in lines if column.key in line.values]
    if column.better == "one":
        return min(means, key=lambda mean: abs(mean - 1))
    return max(means) if column.better == "higher" else min(means)


def _unit(column: Column) -> str:
    return f" [{html.escape(column.unit)}]" if column.unit else ""


def _gain(line: Summary, column: Column) -> str:
    """A tooltip: the difference to one reference on the same clips."""
    gain = line.gains.get(column.key)
    if gain is None:
        return ""
    text = f"{gain.mean:+.{column.digits}f} against one reference on {gain.clips} clips"
    if gain.low is not None and gain.high is not None:
        text += f" ({gain.low:+.{column.digits}f} to {gain.high:+.{column.digits}f})"
    return f' title="{text}"'


def _html_cell(interval: Interval | None, column: Column) -> str:
    if interval is None:
        return "&ndash;"
    text = f"{interval.mean:.{column.digits}f}"
    if interval.low is None or interval.high is None:
        return text
    return f"{text}<small>{interval.low:.{column.digits}f} to {interval.high:.{column.digits}f}</small>"


def _markdown_cell(interval: Interval | None, column: Column, intervals: bool) -> str:
    if interval is None:
        return "-"
    text = f"{interval.mean:.{column.digits}f}"
    if intervals and interval.low is not None and interval.high is not None:
        text += f" ({interval.low:.{column.digits}f} to {interval.high:.{column.digits}f})"
    return text
