"""A small line chart as inline SVG, for reports without outside assets."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from .result import Interval

_COLOURS = ("#888888", "#d1495b", "#00798c", "#edae49", "#5b8e3e", "#7b5ea7", "#b5651d", "#3d5a99", "#c4599f")
_WIDTH, _HEIGHT = 420, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 30, 40


def line_chart(title: str, axis: str, curves: Mapping[str, Sequence[tuple[int, Interval]]]) -> str:
    """Curves of means over a logarithmic axis of whole numbers, with 95 % bars, as an `<svg>` element."""
    points = [point for curve in curves.values() for point in curve]
    ticks = sorted({number for number, _ in points})
    values = [
        value for _, interval in points for value in (interval.mean, interval.low, interval.high) if value is not None
    ]
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    low, high = low - margin, high + margin

    def x(number: float) -> float:
        first, last = math.log2(ticks[0]), math.log2(ticks[-1])
        share = (math.log2(number) - first) / (last - first) if last > first else 0.5
        return _LEFT + 14 + share * (_WIDTH - _LEFT - _RIGHT - 28)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    rows = (len(curves) + 2) // 3
    parts = [
        f'<svg role="img" width="{_WIDTH}" height="{_HEIGHT + 18 * rows}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT + 18 * rows}">',
        f'<title>{html.escape(title)}</title><text x="{_LEFT}" y="18">{html.escape(title)}</text>',
    ]
    for tick in ticks:
        parts.append(f'<text x="{x(tick):.1f}" y="{_HEIGHT - 22}" text-anchor="middle">{tick}</text>')
    parts.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{html.escape(axis)}</text>')
    for value in _round_values(low, high):
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="currentColor" opacity=".15"/>'
            f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.6g}</text>'
        )
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        nudge = (number - (len(curves) - 1) / 2) * 3  # keeps bars of different curves apart
        path = " ".join(f"{x(count) + nudge:.1f},{y(interval.mean):.1f}" for count, interval in curve)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for count, interval in curve:
            at = x(count) + nudge
            parts.append(f'<circle cx="{at:.1f}" cy="{y(interval.mean):.1f}" r="3" fill="{colour}"/>')
            if interval.low is not None and interval.high is not None:
                parts.append(
                    f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(interval.low):.1f}" '
                    f'y2="{y(interval.high):.1f}" stroke="{colour}" opacity=".6"/>'
                )
        left, top = _LEFT + number % 3 * 120, _HEIGHT + number // 3 * 18
        parts.append(
            f'<rect x="{left}" y="{top}" width="10" height="10" fill="{colour}"/>'
            f'<text x="{left + 15}" y="{top + 10}">{html.escape(name)}</text>'
        )
    return "".join([*parts, "</svg>"])


def _round_values(low: float, high: float) -> list[float]:
    """Between three and eight multiples of 1, 2 or 5 times a power of ten from `low` to `high`."""
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(power * factor for factor in (5, 2, 1) if (high - low) / (power * factor) >= 3)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
