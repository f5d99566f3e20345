"""Write what follows from the nodes' own descriptions: the English locale and the tables of all help pages.

    .venv-host/bin/python scripts/make_node_texts.py

Starts the test host, asks it for the nodes of this pack, and rewrites locales/en/nodeDefs.json and, in each page of
web/docs, what follows the line TABLES. What stands before it is written by hand, and so are the other locales, whose
pages are web/docs/NODE/LOCALE.md.
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
HEADINGS = {  # sections and columns by locale
    "en": ("Inputs", "Input, default", "What it does", "Outputs", "Output, type", "What it is"),
    "fr": ("Entrées", "Entrée, valeur initiale", "Effet", "Sorties", "Sortie, type", "Contenu"),
    "de": ("Eingänge", "Eingang, Vorgabe", "Wirkung", "Ausgänge", "Ausgang, Typ", "Inhalt"),
}


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
        docs = ROOT / "web" / "docs"
        _write(docs / f"{name}.md", f"# {info['display_name']}\n\n", _tables(info, "en", {}))
        for page in sorted((docs / name).glob("*.md")):
            texts = json.loads((ROOT / "locales" / page.stem / "nodeDefs.json").read_text(encoding="utf-8"))[name]
            _write(page, f"# {texts['display_name']}\n\n", _tables(info, page.stem, texts))


def _write(page: Path, title: str, tables: str) -> None:
    """Put new tables below what is written in a page; a new page begins with its title."""
    written = page.read_text(encoding="utf-8").partition(TABLES)[0] if page.exists() else title
    page.write_text(written.rstrip() + f"\n\n{TABLES}\n\n{tables}", encoding="utf-8")


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


def _tables(info: dict[str, Any], locale: str, texts: dict[str, Any]) -> str:
    """Inputs and outputs in a locale, `texts` being its entry for the node; English where it has none.

    Two columns: front ends show the page in a narrow panel.
    """
    inputs, input_, does, outputs, output, is_ = HEADINGS[locale]
    translated = texts.get("inputs", {})
    lines = [f"## {inputs}", "", f"| {input_} | {does} |", "|---|---|"]
    grown: set[str] = set()
    for name, spec in _inputs(info).items():
        group = name.partition(".")[0]
        if group in GROUPS:
            if group in grown:
                continue
            grown.add(group)
            name = group
        given = translated.get(_key(name), {})
        default = str(spec[1].get("default", ""))
        lines.append(_row(given.get("name") or name, default, given.get("tooltip") or spec[1]["tooltip"]))
    if info["output_name"]:
        lines += ["", f"## {outputs}", "", f"| {output} | {is_} |", "|---|---|"]
        tooltips = info.get("output_tooltips") or [None] * len(info["output"])
        for slot, (name, kind, tooltip) in enumerate(zip(info["output_name"], info["output"], tooltips)):
            given = texts.get("outputs", {}).get(str(slot), {})
            lines.append(_row(given.get("name") or name, kind, given.get("tooltip") or tooltip or ""))
    return "\n".join(lines) + "\n"


def _row(name: str, below: str, text: str) -> str:
    """A row whose first column is a name, and below it a default or a type."""
    first = f"**{name}**<br>{below}" if below else f"**{name}**"
    return f"| {first} | {_cell(text)} |"


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", "<br>")


if __name__ == "__main__":
    main()
