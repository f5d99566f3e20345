"""The report of a study: one page that begins with the verdict, a JSON file, and pictures beside them."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from . import tables
from .added_reference import GIVEN, GOOD, KINDS
from .charts import line_chart
from .files import write_beside
from .result import NEAREST_COPY, ONE_REFERENCE, Interval, Method, Row, bootstrap, to_tree
from .study import ModelStudy
from .verdict import (
    BEATEN,
    JUDGED,
    added_intervals,
    advantages,
    is_certain,
    signed,
    strategies_of,
    verdict_lines,
    verdicts,
)

SCHEMA = "reenact-study/1"
_CHARTED = ("psnr", "ssim", "lpips", "identity_sface", "akd")
_GAINS = ("psnr", "lpips", "akd", "identity_sface")
_REGION_TITLES = {"head": "Head", "face": "Face", "full": "Full frame"}
_STYLE = """
nav { margin: 1rem 0 } nav a { margin-right: 1.2rem }
ul.verdict { list-style: none; padding: 0; font-size: 1.05rem }
ul.verdict li { padding: .45rem .8rem; margin: .3rem 0; border-left: 5px solid #8888; background: var(--faint) }
ul.verdict li.best { border-color: #3f8f4f } ul.verdict li.noise { border-color: #c9a227 }
ul.verdict li.beaten { border-color: #c4413b }
td.good { background: #3f8f4f33 } td.fair { background: #c9a22733 } td.bad { background: #c4413b33 }
tr.default td:first-child { font-weight: 700 }
summary { cursor: pointer; font-size: 1.1rem; margin: 1rem 0 .5rem }
figure { margin: 1rem 0 } figcaption { opacity: .75 }
p.hint { opacity: .75; max-width: 52rem }
"""


def to_json(studies: Sequence[ModelStudy], about: dict[str, str]) -> str:
    """All figures as JSON text."""
    models = {
        study.name: {
            "default": study.default,
            "evaluation": to_tree(study.result),
            "added": [asdict(line) for line in study.added],
            "verdicts": [asdict(verdict) for verdict in verdicts(study)],
        }
        for study in studies
    }
    return json.dumps({"schema": SCHEMA, "about": about, "models": models}, indent=1, allow_nan=False)


def write_report(studies: Sequence[ModelStudy], about: dict[str, str], folder: Path) -> None:
    """Write `study.json` and `index.html` into the folder that holds the pictures."""
    write_beside(folder / "study.json", to_json(studies, about).encode())
    write_beside(folder / "index.html", to_html(studies, about, folder).encode())


def to_html(studies: Sequence[ModelStudy], about: dict[str, str], folder: Path) -> str:
    """The page; pictures are linked from `folder/pictures` where they exist."""
    first = studies[0]
    clips = first.result.clips
    facts = [f"{html.escape(key)} {html.escape(value)}" for key, value in about.items()]
    facts.insert(0, f"{len(clips)} clips, {sum(len(clip.sampled) for clip in clips)} measured frames")
    links = "".join(f'<a href="#{html.escape(study.name)}">{html.escape(study.name)}</a>' for study in studies)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width"><title>Fusion study</title>',
        f"<style>{tables.STYLE}{_STYLE}</style><h1>Fusion study</h1><p>{'; '.join(facts)}.",
        "<p class=hint>References come from the first half of every clip; frames of the second half are rebuilt and "
        "compared with the truth. Brackets hold 95 % bootstrap intervals over clips. With many strategies compared, "
        "about one in twenty differences lies outside its interval by chance.",
        f"<nav>{links}</nav>" if len(studies) > 1 else "",
        _models_table(studies) if len(studies) > 1 else "",
        *(_model_section(study, folder) for study in studies),
        "</html>",
    ]
    return "\n".join(parts)


def _model_section(study: ModelStudy, folder: Path) -> str:
    result = study.result
    lines = "".join(f"<li class={kind}>{html.escape(text)}" for kind, text in verdict_lines(study))
    notes = "".join(f"<li>{html.escape(note)}" for note in result.notes)
    parts = [
        f'<h2 id="{html.escape(study.name)}">{html.escape(study.name)}</h2>',
        f"<ul class=verdict>{lines}</ul>",
        "<h3>The default against the others</h3>",
        _verdict_table(study),
        _gain_table(study),
        *(_region(study, region) for region in ("head", "face", "full") if result.select(region)),
        _added_section(study),
        _flicker_section(study),
        _pictures(study, folder),
        f"<details><summary>Notes</summary><ul>{notes}</ul></details>" if notes else "",
    ]
    return "\n".join(parts)


def _verdict_table(study: ModelStudy) -> str:
    columns = {column.key: column for column in study.result.columns}
    found = {(verdict.key, verdict.references): verdict for verdict in verdicts(study)}
    counts = sorted({references for _, references in found})
    rows = [f"<tr><th>Metric, head{''.join(f'<th>R = {count}' for count in counts)}"]
    for key in (key for key in JUDGED if key in columns):
        cells = []
        for count in counts:
            verdict = found.get((key, count))
            if verdict is None:
                cells.append("<td>&ndash;")
            elif verdict.lead is None:
                cells.append("<td class=good>best")
            else:
                kind = "bad" if verdict.outcome == BEATEN else "fair"
                lead = _html_interval(verdict.lead, columns[key].digits)
                cells.append(f"<td class={kind}>{html.escape(verdict.rival or '')} is ahead by {lead}")
        rows.append(f"<tr><td>{html.escape(columns[key].label)}{''.join(cells)}")
    hint = (
        "Green: no strategy has a better mean. Yellow: one has, but the interval of the differences paired by clip "
        "includes 0 or rests on fewer than six clips. Red: the rival is better for certain."
    )
    return f"<p class=hint>{hint}<div class=wide><table>{''.join(rows)}</table></div>"


def _gain_table(study: ModelStudy) -> str:
    """Differences to the default, paired by clip, in the head region."""
    columns = [column for column in study.result.columns if column.key in _GAINS]
    counts = [count for count in sorted(set(study.result.settings["references"])) if count > 1]
    head = "".join(f"<th>{html.escape(column.label)}, R={count}" for column in columns for count in counts)
    rows = [f"<tr><th>Advantage over {html.escape(study.default)}{head}"]
    for name in strategies_of(study)[1:]:
        cells = []
        for column in columns:
            for count in counts:
                method, base = Method(name, "strategy", count), Method(study.default, "strategy", count)
                gain = advantages(study.result.rows, "head", column, method, base)
                cells.append("<td>&ndash;" if gain is None else _coloured(gain, column.digits))
        rows.append(f"<tr><td>{html.escape(name)}{''.join(cells)}")
    hint = "Above 0: better than the default on the same clips, whatever the metric's aim. Coloured where certain."
    return f"<p class=hint>{hint}<div class=wide><table>{''.join(rows)}</table></div>"


def _region(study: ModelStudy, region: str) -> str:
    lines = study.result.select(region)
    curves = [line for line in lines if line.method.name != NEAREST_COPY]  # so far off that the others would coincide
    opened = " open" if region == "head" else ""
    return (
        f"<details{opened}><summary>{_REGION_TITLES[region]}: all methods</summary>"
        f"{tables.html_table(study.result.columns, lines)}"
        f"{tables.curves_over_references(study.result.columns, curves, _CHARTED)}</details>"
    )


def _added_section(study: ModelStudy) -> str:
    if not study.added:
        return ""
    kinds = [kind for kind in KINDS if any(line.kind == kind for line in study.added)]
    rows = [f"<tr><th>Strategy{''.join(f'<th>{kind}<th><small>LPIPS</small>' for kind in kinds)}"]
    for name in strategies_of(study):
        cells = []
        for kind in kinds:
            found = added_intervals(study.added, name, kind)
            if found is None:
                cells.append("<td>&ndash;<td>&ndash;")
                continue
            psnr, lpips = found
            shade = "" if kind == GOOD else f" class={'good' if psnr.mean > -0.3 else 'bad'}"
            cells.append(
                f"<td{shade}>{_html_interval(psnr, 2)}<td>{'&ndash;' if lpips is None else f'{lpips.mean:+.3f}'}"
            )
        mark = " class=default" if name == study.default else ""
        rows.append(f"<tr{mark}><td>{html.escape(name)}{''.join(cells)}")
    hint = (
        f"A fourth reference is added to {GIVEN}: the next good frame, a picture of somebody else, and the good frame "
        "out of focus or in warm light from one side. Change of the head's PSNR in dB (below 0: it costs) and of LPIPS "
        "(above 0: it costs). Green: costs less than 0.3 dB."
    )
    return f"<h3>A bad reference</h3><p class=hint>{hint}<div class=wide><table>{''.join(rows)}</table></div>"


def _flicker_section(study: ModelStudy) -> str:
    column = next((column for column in study.result.columns if column.key == "flicker"), None)
    if column is None:
        return ""
    charts = []
    for region in ("head", "face"):
        curves: dict[str, list[tuple[int, Interval]]] = {}
        for line in study.result.select(region):
            if line.method.kind == "strategy" and column.key in line.values:
                curves.setdefault(line.method.name, []).append((line.method.references, line.values[column.key]))
        if curves:
            charts.append(line_chart(f"Flicker ratio, {region} (1 is the aim)", "references", curves))
    hint = (
        "How restless the result is over three consecutive frames, against the real clip: 1 = as restless, above 1 = "
        "flickers, below 1 = smoother. A blurred picture is smoother too, so a low value alone is no merit."
    )
    return f"<h3>Flicker over time</h3><p class=hint>{hint}<div class=charts>{''.join(charts)}</div>"


def _models_table(studies: Sequence[ModelStudy]) -> str:
    """The models' defaults side by side, and their differences to the first model on the clips both have."""
    first = studies[0]
    columns = [column for column in first.result.columns if column.key in _GAINS]
    counts = sorted(set(first.result.settings["references"]))
    rows = [f"<tr><th>Model<th>Strategy<th>R{''.join(f'<th>{html.escape(column.label)}' for column in columns)}"]
    for count in counts:
        for study in studies:
            method = _default_method(study, count)
            cells = []
            for column in columns:
                mine = _values(study.result.rows, column.key, method)
                if not mine:
                    cells.append("<td>&ndash;")
                    continue
                text = f"{sum(mine.values()) / len(mine):.{column.digits}f}"
                base = _values(first.result.rows, column.key, _default_method(first, count))
                gaps = [mine[clip] - base[clip] for clip in mine if clip in base]
                if study is not first and gaps:
                    text += f"<small>{signed(bootstrap(gaps), column.digits)}</small>"
                cells.append(f"<td>{text}")
            rows.append(f"<tr><td>{html.escape(study.name)}<td>{html.escape(method.name)}<td>{count}{''.join(cells)}")
    hint = f"Head region. Small: difference to {html.escape(first.name)}, paired by clip."
    return f"<h2>Models</h2><p class=hint>{hint}<div class=wide><table>{''.join(rows)}</table></div>"


def _default_method(study: ModelStudy, count: int) -> Method:
    return Method(ONE_REFERENCE, "baseline", 1) if count == 1 else Method(study.default, "strategy", count)


def _values(rows: Sequence[Row], key: str, method: Method) -> dict[str, float]:
    return {
        row.clip: value
        for row in rows
        if row.region == "head" and row.method == method and (value := row.values.get(key)) is not None
    }


def _link(path: str) -> str:
    """A relative path as it may stand in a link, whatever signs a file's name holds."""
    return "".join(c if c.isalnum() or c in "/._-" else "".join(f"%{byte:02X}" for byte in c.encode()) for c in path)


def _pictures(study: ModelStudy, folder: Path) -> str:
    figures = []
    for clip in study.result.clips:
        path = folder / "pictures" / study.name / f"{clip.name}.jpg"
        if path.is_file():
            source = _link(f"pictures/{study.name}/{clip.name}.jpg")
            name = html.escape(clip.name)
            figures.append(
                f"<details><summary>{name}</summary><figure><a href='{source}'><img loading=lazy alt='{name}' "
                f"src='{source}'></a><figcaption>{clip.frames} frames of {clip.width}x{clip.height}, references "
                f"{', '.join(map(str, clip.references))}</figcaption></figure></details>"
            )
    return f"<h3>One frame of each clip</h3>{''.join(figures)}" if figures else ""


def _html_interval(value: Interval, digits: int) -> str:
    if value.low is None or value.high is None:
        return f"{value.mean:+.{digits}f}"
    return f"{value.mean:+.{digits}f}<small>{value.low:+.{digits}f} to {value.high:+.{digits}f}</small>"


def _coloured(gain: Interval, digits: int) -> str:
    kind = f" class={'bad' if gain.mean > 0 else 'good'}" if is_certain(gain) else ""
    return f"<td{kind}>{_html_interval(gain, digits)}"
