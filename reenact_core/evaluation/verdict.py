"""Is the default strategy the best? Differences paired by clip, and what they allow to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .added_reference import GIVEN, GOOD, AddedReference
from .result import Column, Interval, Method, Row, bootstrap
from .study import ModelStudy

JUDGED = ("psnr", "ssim", "lpips", "akd", "identity_sface", "flicker")  # of the head region
_HEADLINES = ("psnr", "lpips", "identity_sface")
_FEWEST = 6  # clips; fewer may all say the same by chance in more than one case of twenty
_BEARABLE = -0.3  # dB that a bad reference may cost
BEST = "best"
NOISE = "within noise of the best"
BEATEN = "beaten"


@dataclass(frozen=True)
class Verdict:
    """How the default strategy does in one metric at one number of references."""

    region: str
    key: str  # of the column
    references: int
    outcome: str  # BEST, NOISE or BEATEN
    rival: str | None  # the strategy that is ahead
    lead: Interval | None  # by how much the rival is better, paired by clip; above 0


def advantages(rows: Sequence[Row], region: str, column: Column, method: Method, default: Method) -> Interval | None:
    """By how much `method` is better than `default` on the same clips; above 0 = better, whatever the column's aim."""
    mine, base = (_by_clip(rows, region, column.key, one) for one in (method, default))
    differences = [_merit(mine[clip], column) - _merit(base[clip], column) for clip in mine if clip in base]
    return bootstrap(differences) if differences else None


def judge(
    rows: Sequence[Row], region: str, column: Column, strategies: Sequence[str], default: str, references: int
) -> Verdict | None:
    """The verdict on one metric; None where the default has no value.

    A rival is ahead for certain where the 95 % interval of the paired differences lies above 0 (`is_certain`); of
    several, the one with the largest mean is named.
    """
    base = Method(default, "strategy", references)
    if not _by_clip(rows, region, column.key, base):
        return None
    leads = {
        name: lead
        for name in strategies
        if name != default
        and (lead := advantages(rows, region, column, Method(name, "strategy", references), base)) is not None
    }
    sure = {name: lead for name, lead in leads.items() if is_certain(lead) and lead.mean > 0}
    ahead = sure or {name: lead for name, lead in leads.items() if lead.mean > 0}
    if not ahead:
        return Verdict(region, column.key, references, BEST, None, None)
    rival = max(ahead, key=lambda name: ahead[name].mean)
    return Verdict(region, column.key, references, BEATEN if sure else NOISE, rival, ahead[rival])


def is_certain(difference: Interval) -> bool:
    """Whether the interval of a mean difference leaves out 0, over enough clips."""
    if difference.low is None or difference.high is None or difference.clips < _FEWEST:
        return False
    return difference.low > 0 or difference.high < 0


def added_intervals(
    lines: Sequence[AddedReference], strategy: str, kind: str
) -> tuple[Interval, Interval | None] | None:
    """Changes of PSNR and LPIPS over clips; None where there are none."""
    mine = [line for line in lines if line.strategy == strategy and line.kind == kind]
    if not mine:
        return None
    lpips = [line.lpips for line in mine if line.lpips is not None]
    return bootstrap([line.psnr for line in mine]), bootstrap(lpips) if lpips else None


def worst_added(lines: Sequence[AddedReference], strategy: str) -> tuple[str, Interval] | None:
    """The kind of bad reference that costs a strategy most PSNR on average, and the change; None where unmeasured."""
    kinds = dict.fromkeys(line.kind for line in lines if line.kind != GOOD)
    changes = {kind: found[0] for kind in kinds if (found := added_intervals(lines, strategy, kind)) is not None}
    return min(changes.items(), key=lambda item: item[1].mean) if changes else None


def strategies_of(study: ModelStudy) -> list[str]:
    """Names of the strategies, the default first."""
    names = list(study.result.settings["strategies"])
    return sorted(names, key=lambda name: name != study.default)


def verdicts(study: ModelStudy) -> list[Verdict]:
    """Every verdict on the head region, by metric and number of references above 1."""
    counts = [count for count in sorted(set(study.result.settings["references"])) if count > 1]
    columns = [column for column in study.result.columns if column.key in JUDGED]
    found = (
        judge(study.result.rows, "head", column, strategies_of(study), study.default, count)
        for column in columns
        for count in counts
    )
    return [verdict for verdict in found if verdict is not None]


def verdict_lines(study: ModelStudy) -> list[tuple[str, str]]:
    """What the study says in sentences: (class for the page, text), for the largest number of references."""
    lines = []
    columns = {column.key: column for column in study.result.columns}
    found = verdicts(study)
    most = max((verdict.references for verdict in found), default=0)
    for verdict in found:
        if verdict.references == most and verdict.key in _HEADLINES:
            lines.append(_verdict_line(study, verdict, columns[verdict.key]))
    mean = Method("mean", "strategy", most)
    if study.default != "mean" and "psnr" in columns:
        base = Method(study.default, "strategy", most)
        lag = advantages(study.result.rows, "head", columns["psnr"], mean, base)
        if lag is not None:
            kind = "beaten" if lag.mean > 0 else "best" if is_certain(lag) else "noise"
            lines.append((kind, f"mean against {study.default}, R={most}: {signed(lag, 2)} dB PSNR"))
    for line in study.result.select("head"):
        if line.method == Method(study.default, "strategy", most) and "psnr" in line.gains:
            gain = line.gains["psnr"]
            kind = "beaten" if gain.mean < 0 else "best" if is_certain(gain) else "noise"
            lines.append((kind, f"{most} references against one: {signed(gain, 2)} dB PSNR"))
    worst = worst_added(study.added, study.default)
    if worst is not None:
        change = worst[1]
        kind = "best" if change.mean > _BEARABLE else "beaten"
        lines.append((kind, f"a bad reference added to {GIVEN}: at worst {signed(change, 2)} dB PSNR ({worst[0]})"))
    return lines


def _verdict_line(study: ModelStudy, verdict: Verdict, column: Column) -> tuple[str, str]:
    what = f"{column.label}, head, R={verdict.references}"
    if verdict.outcome == BEST or verdict.lead is None:
        return "best", f"{what}: the default, {study.default}, is the best of {len(strategies_of(study))} strategies"
    lead = f"{signed(verdict.lead, column.digits)}{' ' + column.unit if column.unit == 'dB' else ''}"
    if verdict.outcome == BEATEN:
        return "beaten", f"{what}: the default, {study.default}, is beaten by {verdict.rival} by {lead}"
    return "noise", f"{what}: the default, {study.default}, is within noise of the best, {verdict.rival} ({lead})"


def signed(value: Interval, digits: int) -> str:
    """+0.12 (+0.05 to +0.20)"""
    if value.low is None or value.high is None:
        return f"{value.mean:+.{digits}f}"
    return f"{value.mean:+.{digits}f} ({value.low:+.{digits}f} to {value.high:+.{digits}f})"


def _by_clip(rows: Sequence[Row], region: str, key: str, method: Method) -> dict[str, float]:
    return {
        row.clip: value
        for row in rows
        if row.region == region and row.method == method and (value := row.values.get(key)) is not None
    }


def _merit(value: float, column: Column) -> float:
    """The value so that more is better."""
    if column.better == "one":
        return -abs(value - 1)
    return value if column.better == "higher" else -value
