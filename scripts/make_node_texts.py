"""Write what follows from the nodes' own descriptions: English locale and the tables of the help pages.

    .venv-host/bin/python scripts/make_node_texts.py

Starts the test host, asks it for the nodes of this pack, and rewrites locales/en/nodeDefs.json and, in each page of
web/docs, what follows the line TABLES. What stands before it is written by hand.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "host"))

from host_server import HostServer  # noqa: E402

TABLES = "<!-- inputs and outputs -->"
GROUPS = ("images", "fusions")  # sockets that grow; listed once


def main() -> None:
    """Ask the host and write."""
    with tempfile.TemporaryDirectory() as base, HostServer(Path(base), {"reenact": ROOT}) as host:
        every = host.client.object_info()
    nodes = {name: info for name, info in sorted(every.items()) if name.startswith("Reenact")}
    folder = ROOT / "locales" / "en"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({name: _texts(info) for name, info in nodes.items()}, indent=2, ensure_ascii=False)
    (folder / "nodeDefs.json").write_text(text + "\n", encoding="utf-8")
    for name, info in nodes.items():
        page = ROOT / "web" / "docs" / f"{name}.md"
        written = (
            page.read_text(encoding="utf-8").partition(TABLES)[0] if page.exists() else f"# {info['display_name']}\n\n"
        )
        page.write_text(written.rstrip() + f"\n\n{TABLES}\n\n{_tables(info)}", encoding="utf-8")


def _inputs(info: dict[str, Any]) -> dict[str, Any]:
    return {**info["input"].get("required", {}), **info["input"].get("optional", {})}


def _texts(info: dict[str, Any]) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for name, spec in _inputs(info).items():
        if "." in name:  # hosts that grow sockets ask for the group
            inputs.setdefault(name.partition(".")[0], {"tooltip": spec[1]["tooltip"]})
        inputs[_key(name)] = {"name": spec[1].get("display_name") or name, "tooltip": spec[1]["tooltip"]}
    outputs = zip(info["output_name"], info.get("output_tooltips") or [None] * len(info["output"]))
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": inputs,
        "outputs": {
            str(number): {"name": name} | ({"tooltip": tooltip} if tooltip else {})
            for number, (name, tooltip) in enumerate(outputs)
        },
    }


def _key(name: str) -> str:
    """Keys of translations hold no dots."""
    return name.replace(".", "_")


def _tables(info: dict[str, Any]) -> str:
    lines = ["## Inputs", "", "| Input | Default | What it does |", "|---|---|---|"]
    grown: set[str] = set()
    for name, spec in _inputs(info).items():
        group = name.partition(".")[0]
        if group in GROUPS:
            if group in grown:
                continue
            grown.add(group)
            name = group
        default = spec[1].get("default", "")
        lines.append(f"| {name} | {default if default != '' else ''} | {_cell(spec[1]['tooltip'])} |")
    if info["output_name"]:
        lines += ["", "## Outputs", "", "| Output | Type | What it is |", "|---|---|---|"]
        tooltips = info.get("output_tooltips") or [None] * len(info["output"])
        for name, kind, tooltip in zip(info["output_name"], info["output"], tooltips):
            lines.append(f"| {name} | {kind} | {_cell(tooltip or '')} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", "<br>")


if __name__ == "__main__":
    main()
