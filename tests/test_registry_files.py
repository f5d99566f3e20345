"""What goes to the registry, by .comfyignore: whole, and without what scanners of shipped files flag."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .faces import ROOT
from .test_boundary import calls, imported

FLAGGED = {"subprocess", "requests", "urllib", "http", "socket", "importlib", "ctypes", "marshal", "sqlite3", "base64",
           "hashlib", "secrets", "pickle", "shelve", "multiprocessing"}  # fmt: skip
# Reads a published format without running anything: `test_boundary` sees to that.
EXCUSED = {"reenact_core/evaluation/array_pickle.py"}


def ignored() -> list[str]:
    """Paths and, with a slash at the end, folders that stay behind."""
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def uploaded() -> list[Path]:
    """The Python files that users of the registry get."""
    files = [ROOT / "__init__.py", *(ROOT / "nodes").rglob("*.py"), *(ROOT / "reenact_core").rglob("*.py")]
    return [file for file in files if not left_out(file)]


def left_out(file: Path) -> bool:
    name = file.relative_to(ROOT).as_posix()
    return any(name == entry or (entry.endswith("/") and name.startswith(entry)) for entry in ignored())


def needed(file: Path) -> set[Path]:
    """The files of the pack that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            candidates = [base, *(base / alias.name for alias in node.names)]
            found |= {path.with_suffix(".py") for path in candidates if path.with_suffix(".py").is_file()}
            found |= {path / "__init__.py" for path in candidates if (path / "__init__.py").is_file()}
    return found


def test_everything_left_out_is_there():
    for entry in ignored():
        assert (ROOT / entry).exists() or entry.startswith("."), entry
    assert len(uploaded()) > 100


def test_what_is_uploaded_needs_nothing_that_is_left_out():
    for file in uploaded():
        assert not [path for path in needed(file) if left_out(path)], file


@pytest.mark.parametrize("file", uploaded(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_uploaded_that_scanners_flag(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    if file.relative_to(ROOT).as_posix() not in EXCUSED:
        assert not imported(tree) & FLAGGED
    assert not calls(tree) & {"eval", "exec", "compile", "__import__"}
