"""The report of an evaluation of motion transfer, as one HTML page without outside assets."""

from __future__ import annotations

import base64
import html
from pathlib import Path

from ..sheets import contact_sheet
from . import tables
from .files import write_beside
from .report import encode_jpeg
from .result import Column
from .transfer_result import AGREEMENT, REAL_FRAMES, PairPictures, TransferResult

_CHARTED = ("identity_share", "lpips", "pose", "expression", "jaw", "blink", "smile")


def markdown_table(result: TransferResult) -> str:
    """The means over people: likeness to real frames, then agreement with the driver."""
    return "\n\n".join(tables.markdown_table(columns, result.summary) for columns in _groups(result) if columns)


def write_html(result: TransferResult, path: Path) -> None:
    """Write the page beside its final name, then rename. Raises ReenactError when it cannot be written."""
    write_beside(path, to_html(result).encode())


def to_html(result: TransferResult) -> str:
    """Table over people, curves over the number of references, one sheet per pair."""
    people = len({pair.person for pair in result.pairs})
    facts = [f"{html.escape(key)}: {html.escape(value)}" for key, value in result.about.items()]
    facts.append(f"{len(result.pairs)} pairs, {people} people driven")
    intro = (
        "Each driver moves each other person, whose references come from the first half of their clip. Every generated "
        "frame is compared with the real frame of the second half nearest to the pose and expression that the driver "
        f"asks for. <b>{REAL_FRAMES}</b> puts the nearest real frame of the first half in its place: no method can be "
        "expected to do better in identity and LPIPS. Pose and expression are compared with what the driver asks for. "
        "Agreement compares the courses of driver and result, both tracked picture by picture. "
        "Means over people; small: 95 % bootstrap interval over people. Bold: best."
    )
    methods = [line for line in result.summary if line.method.name != REAL_FRAMES]
    notes = "".join(f"<li>{html.escape(note)}" for note in result.notes)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width"><title>Motion transfer between people</title>',
        f"<style>{tables.STYLE}</style><h1>Motion transfer between people</h1><p>{'<br>'.join(facts)}<p>{intro}",
        f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "",
        *(
            f"<h2>{title}</h2>{tables.html_table(columns, result.summary, 'People')}"
            for title, columns in zip(("Likeness to real frames", "Agreement with the driver"), _groups(result))
            if columns
        ),
        tables.curves_over_references(result.columns, methods, _CHARTED),
        "<h2>Pairs</h2>",
        _pair_table(result),
        *(_sheet(pictures) for pictures in result.pictures),
        "</html>",
    ]
    return "\n".join(parts)


def _groups(result: TransferResult) -> tuple[list[Column], list[Column]]:
    """Columns on likeness, and columns on agreement."""
    agreement = [column for column in result.columns if column in AGREEMENT]
    return [column for column in result.columns if column not in AGREEMENT], agreement


def _pair_table(result: TransferResult) -> str:
    rows = [
        "<tr><th>Pair<th>Frames<th>Without a near real frame<th>Distance to the real frame (median)"
        "<th>References (frame numbers)"
    ]
    for pair in result.pairs:
        middle = sorted(pair.distances)[len(pair.distances) // 2]
        references = ", ".join(map(str, pair.references))
        rows.append(
            f"<tr><td>{html.escape(pair.name)}<td>{len(pair.frames)}<td>{pair.left_out}<td>{middle:.2f}<td>{references}"
        )
    return f"<div class=wide><table>{''.join(rows)}</table></div>"


def _sheet(pictures: PairPictures) -> str:
    sheet = contact_sheet(pictures.rows, pictures.columns, pictures.labels, 160)
    source = base64.b64encode(encode_jpeg(sheet)).decode()
    title = html.escape(pictures.pair)
    return f'<p>{title}<br><img alt="{title}" src="data:image/jpeg;base64,{source}">'
