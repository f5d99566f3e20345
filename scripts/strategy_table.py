"""Writes the table of fusion strategies into README.md, from the strategies' own fields.

    python scripts/strategy_table.py

A test compares the README with the registry, so run this after a strategy was added or changed.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reenact_core.fusion import FusionStrategy, strategy_class, strategy_names  # noqa: E402

README = ROOT / "README.md"
BEGIN, END = "<!-- strategies: begin -->\n", "<!-- strategies: end -->\n"


def table() -> str:
    """The strategies in Markdown: name, summary, and each parameter's default and range."""
    rows = ["| strategy | what it does | parameters: default (range) |", "|---|---|---|"]
    for name in strategy_names():
        kind = strategy_class(name)
        rows.append(f"| `{name}` | {kind.summary} | {_parameters(kind)} |")
    return "\n".join(rows) + "\n"


def _parameters(kind: type[FusionStrategy]) -> str:
    return ", ".join(
        f"`{item.name}` {item.default} ({item.metadata['min']} to {item.metadata['max']})" for item in fields(kind)
    )


def main() -> None:
    """Replace what stands between the two markers."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
