"""Help pages, translations and registry metadata that ship with the nodes."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
FRENCH = json.loads((ROOT / "locales" / "fr" / "nodeDefs.json").read_text(encoding="utf-8"))
GERMAN = json.loads((ROOT / "locales" / "de" / "nodeDefs.json").read_text(encoding="utf-8"))
SNAPSHOT = json.loads((ROOT / "tests" / "host" / "node_inputs.json").read_text(encoding="utf-8"))


def test_every_node_has_a_page_and_english_texts():
    nodes = set(SNAPSHOT["hosts with dynamic inputs"])
    assert set(ENGLISH) == nodes
    assert {path.stem for path in (ROOT / "web" / "docs").glob("*.md")} == nodes
    for name in nodes:
        page = (ROOT / "web" / "docs" / f"{name}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {ENGLISH[name]['display_name']}\n")
        written = page.partition("<!-- inputs and outputs -->")[0]
        assert len(written.split()) > 15, name
        for line in re.findall(r"^\| (\w+) \|", page, re.MULTILINE):
            assert line, name


def test_german_covers_every_node_and_nothing_else():
    assert set(GERMAN) == set(ENGLISH)
    for name, texts in GERMAN.items():
        assert texts["display_name"]
        assert texts["description"]
        for part in ("inputs", "outputs"):
            given = {key: set(entry) for key, entry in texts.get(part, {}).items()}
            assert given == {key: set(entry) for key, entry in ENGLISH[name][part].items()}, f"{name}: {part}"
            assert all(all(entry.values()) for entry in texts.get(part, {}).values()), f"{name}: {part}"


def test_french_names_every_node_and_nothing_that_is_gone():
    """Front ends show English where it lacks a text."""
    assert set(FRENCH) == set(ENGLISH)
    for name, texts in FRENCH.items():
        assert texts["display_name"]
        assert texts["description"]
        for part in ("inputs", "outputs"):
            assert texts[part].keys() <= ENGLISH[name][part].keys(), f"{name}: {part}"
            for key, entry in texts[part].items():
                assert entry.keys() <= ENGLISH[name][part][key].keys(), f"{name}: {key}"
                assert all(entry.values()), f"{name}: {key}"


@pytest.mark.parametrize(("locale", "texts"), [("fr", FRENCH), ("de", GERMAN)])
def test_pages_of_other_locales(locale, texts):
    """Pages have the names and the inputs that the nodes show in their locale; French has all, German the stages."""
    pages = {path.parent.name: path for path in (ROOT / "web" / "docs").glob(f"*/{locale}.md")}
    stages = ("LoadModel", "LoadReferences", "EncodeMotion", "WarpPerReference", "FuseReferences", "Decode", "Video")
    assert {f"Reenact{stage}" for stage in stages} <= pages.keys()
    assert locale != "fr" or pages.keys() == set(ENGLISH)
    for name, path in pages.items():
        page = path.read_text(encoding="utf-8")
        assert page.startswith(f"# {texts[name]['display_name']}\n")
        written, _, tables = page.partition("<!-- inputs and outputs -->")
        assert len(written.split()) > 15, name
        for key, entry in (texts[name]["inputs"] | texts[name]["outputs"]).items():
            if "name" in entry and not key.startswith(("images_", "fusions_")):  # sockets that grow have one row
                assert f"| **{entry['name']}**" in tables, (name, key)


def test_registry_metadata():
    if sys.version_info < (3, 11):
        pytest.skip("reads pyproject.toml with tomllib, which Python 3.11 brought")
    import tomllib

    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    metadata = tomllib.loads(text)
    assert "comfyui" not in metadata["project"]["name"].lower()
    assert re.fullmatch(r"\d+\.\d+\.\d+", metadata["project"]["version"])
    assert metadata["project"]["urls"]["Repository"].startswith("https://github.com/")
    comfy = metadata["tool"]["comfy"]
    assert {"PublisherId", "DisplayName", "Icon", "Banner", "requires-comfyui"} <= set(comfy)
    assert "web" not in comfy, "the pack names its web folder itself"
    for key in ("Icon", "Banner"):
        assert (ROOT / comfy[key].partition("/main/")[2]).is_file()


def test_shipped_code_holds_nothing_scanners_flag():
    flagged = re.compile(r"\b(subprocess|requests|sqlite3?|hashlib|eval\(|exec\(|import_module|os\.system|urllib)\b")
    for folder in ("nodes", "web"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".js"):
                assert not flagged.search(path.read_text(encoding="utf-8")), path
