"""Tables and curves of means over clips, for every report."""

from __future__ import annotations

import html
from collections.abc import Sequence

from .charts import line_chart
from .result import NEAREST_COPY, ONE_REFERENCE, Column, Interval, Summary

STYLE = """
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


def markdown_table(columns: Sequence[Column], lines: Sequence[Summary], intervals: bool = False) -> str:
    """Means over clips as a Markdown table; `intervals` adds the 95 % intervals."""
    columns = columns_with_values(columns, lines)
    header = ["method", "R", *(column.label for column in columns)]
    table = [header, ["---", "---:", *("---:" for _ in columns)]]
    for line in lines:
        cells = [_markdown_cell(line.values.get(column.key), column, intervals) for column in columns]
        table.append([line.method.name, str(line.method.references or "-"), *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in table)


def html_table(columns: Sequence[Column], lines: Sequence[Summary], counted: str = "Clips") -> str:
    """Methods down, metrics across; the best of each column bold, baselines shaded. `counted`: what means run over."""
    columns = columns_with_values(columns, lines)
    best = {column.key: _best(lines, column) for column in columns}
    head = "".join(f"<th>{html.escape(column.label)}{_unit(column)}" for column in columns)
    rows = [f"<tr><th>Method<th>R<th>{counted}{head}"]
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


def curves_over_references(columns: Sequence[Column], lines: Sequence[Summary], charted: Sequence[str]) -> str:
    """One chart per metric of `charted` (column keys): a curve per method over the number of references."""
    charts = []
    for column in columns_with_values(columns, lines):
        if column.key not in charted:
            continue
        curves: dict[str, list[tuple[int, Interval]]] = {}
        for line in lines:
            interval = line.values.get(column.key)
            if interval is not None:
                curves.setdefault(line.method.name, []).append((line.method.references, interval))
        start = curves.pop(ONE_REFERENCE, [])
        fused = {name: points if name == NEAREST_COPY else start + points for name, points in curves.items()}
        better = {"higher": "higher is better", "lower": "lower is better", "one": "1 is the aim"}[column.better]
        charts.append(line_chart(f"{column.label} ({better})", "references", fused or {ONE_REFERENCE: start}))
    return f"<div class=charts>{''.join(charts)}</div>"


def columns_with_values(columns: Sequence[Column], lines: Sequence[Summary]) -> list[Column]:
    """Those columns that any of the lines has a value for."""
    known = {key for line in lines for key in line.values}
    return [column for column in columns if column.key in known]


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
