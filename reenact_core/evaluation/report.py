"""Reports of an evaluation: a self-contained HTML page and a Markdown table."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from ..sheets import contact_sheet
from . import tables
from .files import write_beside
from .result import (
    NEAREST_COPY,
    ONE_REFERENCE,
    REGIONS,
    EvaluationResult,
    Pictures,
)

_REGION_TITLES = {
    "full": "Full frame",
    "head": "Head (square crop, 256 px)",
    "face": "Face (hull of the landmarks in that crop)",
}
REBUILT = (
    "References come from the first half of every clip; frames of the second half are reconstructed and compared with "
    "the truth."
)
AVATARS = (
    "One rendered person moves another, whose references come from another performance; the truth is the person "
    "performing the driver's motion."
)
_CHARTED = ("psnr", "lpips", "identity_sface", "akd")


def markdown_table(result: EvaluationResult, region: str = "head", intervals: bool = False) -> str:
    """The means over clips of one region as a Markdown table; `intervals` adds the 95 % intervals."""
    return tables.markdown_table(result.columns, result.select(region), intervals)


def write_html(result: EvaluationResult, path: Path, protocol: str = REBUILT) -> None:
    """Write the page of `to_html` beside its final name, then rename. Raises ReenactError when it cannot be written."""
    write_beside(path, to_html(result, protocol).encode())


def to_html(result: EvaluationResult, protocol: str = REBUILT) -> str:
    """One page without outside assets: notes, table and curves per region, pictures where they were kept.

    `protocol`: a sentence on what was done.
    """
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width"><title>Reenactment evaluation</title>',
        f"<style>{tables.STYLE}</style><h1>Reenactment evaluation</h1>",
        _overview(result, protocol),
    ]
    for region in REGIONS:
        lines = result.select(region)
        if lines:
            parts += [
                f"<h2>{_REGION_TITLES[region]}</h2>",
                tables.html_table(result.columns, lines),
                tables.curves_over_references(result.columns, lines, _CHARTED),
            ]
    if result.pictures:
        parts.append("<h2>One frame of each clip</h2>")
        parts += [_picture(pictures) for pictures in result.pictures]
    parts += ["<h2>Clips</h2>", _clip_table(result), "</html>"]
    return "\n".join(parts)


def _overview(result: EvaluationResult, protocol: str) -> str:
    facts = [f"{html.escape(key)}: {html.escape(value)}" for key, value in result.about.items()]
    count = len(result.clips)
    frames = sum(len(clip.sampled) for clip in result.clips)
    facts.append(f"{count} clip{'s' * (count != 1)}, {frames} measured frames")
    intro = (
        f"{protocol} Means over clips; small: 95 % bootstrap interval over clips. Bold: best. "
        "Hold the pointer over a number for its difference to one reference. "
        f"Shaded: baselines. <b>{NEAREST_COPY}</b> shows the nearest reference as it is, "
        f"<b>{ONE_REFERENCE}</b> is R = 1, where all strategies agree."
    )
    notes = "".join(f"<li>{html.escape(note)}" for note in result.notes)
    return f"<p>{'<br>'.join(facts)}<p>{intro}" + (f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "")


def _clip_table(result: EvaluationResult) -> str:
    rows = ["<tr><th>Clip<th>Frames<th>Size<th>Measured<th>Every<th>Without face<th>References (frame numbers)"]
    for clip in result.clips:
        references = ", ".join(map(str, clip.references))
        rows.append(
            f"<tr><td>{html.escape(clip.name)}<td>{clip.frames}<td>{clip.width}x{clip.height}"
            f"<td>{len(clip.sampled)}<td>{clip.step}<td>{clip.without_face}<td>{references}"
        )
    return f"<div class=wide><table>{''.join(rows)}</table></div>"


def method_sheet(pictures: Pictures) -> Tensor:
    """Truth and results of one frame [3,H,W] in [0,1]: methods down, numbers of references across."""
    found = {(method.name, method.references): image for method, image in pictures.results}
    counts = sorted({count for _, count in found})
    names = [name for name in dict.fromkeys(name for name, _ in found) if name != ONE_REFERENCE]
    for name in names:  # with one reference all strategies agree
        if (ONE_REFERENCE, 1) in found:
            found.setdefault((name, 1), found[ONE_REFERENCE, 1])
    rows = [[pictures.truth, *(found.get((name, count)) for count in counts)] for name in names]
    return contact_sheet(rows, ["truth", *(f"R = {count}" for count in counts)], names)


def encode_jpeg(picture: Tensor) -> bytes:
    """A JPEG file of a picture [3,H,W] in [0,1]."""
    pixels = np.ascontiguousarray(picture.permute(1, 2, 0).mul(255).byte().numpy()[..., ::-1])
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def _picture(pictures: Pictures) -> str:
    source = base64.b64encode(encode_jpeg(method_sheet(pictures))).decode()
    title = html.escape(f"{pictures.clip}, frame {pictures.frame}")
    return f'<p>{title}<br><img alt="{title}" src="data:image/jpeg;base64,{source}">'
