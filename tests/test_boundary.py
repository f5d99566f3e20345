"""What the shipped code may not do: pull in the host, touch global settings, or start other programs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .faces import ROOT

HOST = ("comfy", "comfy_api", "comfy_execution", "folder_paths", "server", "nodes", "execution")
FOREIGN = ("insightface", "dlib", "mediapipe", "tensorflow", "onnxruntime", "tflite_runtime", "ai_edge_litert")
BANNED_MODULES = ("subprocess", "requests", "urllib", "http", "socket", "ctypes", "marshal")
BANNED_CALLS = ("eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads")


def shipped() -> list[Path]:
    """The Python files that users get."""
    files = [ROOT / "__init__.py"] if (ROOT / "__init__.py").exists() else []
    for folder in ("reenact_core", "nodes"):
        files += sorted((ROOT / folder).rglob("*.py"))
    return files


def imported(tree: ast.AST) -> set[str]:
    """Top-level packages of all absolute imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def calls(tree: ast.AST) -> set[str]:
    """Dotted names of everything that is called."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_the_scan_sees_what_it_should():
    tree = ast.parse("import subprocess as s\nfrom requests.api import get\ndef f():\n    import dlib\n    eval('1')\n")
    assert imported(tree) == {"subprocess", "requests", "dlib"}
    assert "eval" in calls(tree)
    assert len(shipped()) > 60


@pytest.mark.parametrize("file", shipped(), ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_code_starts_nothing_and_loads_nothing_by_name(file):
    tree = ast.parse(file.read_text())
    names = imported(tree)
    assert not names & set(BANNED_MODULES), file
    assert not names & set(FOREIGN), file
    called = calls(tree)
    assert not called & set(BANNED_CALLS), file
    assert not [name for name in called if name.endswith(("import_module", "os.system", "os.popen", "hub.load"))], file


@pytest.mark.parametrize("file", shipped(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pickles_are_read_without_running_their_code(file):
    """`torch.load` with weights_only, own unpicklers with a list of what they may find."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert given.get("weights_only") == "True", file
        if isinstance(node, ast.ClassDef) and any("Unpickler" in ast.unparse(base) for base in node.bases):
            assert "find_class" in {item.name for item in node.body if isinstance(item, ast.FunctionDef)}, file


@pytest.mark.parametrize(
    "file", [f for f in shipped() if "reenact_core" in f.parts], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_core_knows_no_host_and_imports_itself_relatively(file):
    tree = ast.parse(file.read_text())
    assert not imported(tree) & {*HOST, "reenact_core"}, file
    printing = [name for name in calls(tree) if name == "print"]
    assert not printing or "commands" in file.parts or file.name == "cli.py", file


@pytest.mark.parametrize(
    "file", [f for f in shipped() if "nodes" in f.parts or f.parent == ROOT], ids=lambda p: str(p.relative_to(ROOT))
)
def test_nodes_reach_the_core_relatively(file):
    """The host does not put the pack on `sys.path`, and a top-level `nodes` is the host's own."""
    assert not imported(ast.parse(file.read_text())) & {"reenact_core", "nodes"}, file


def test_browser_code_loads_nothing_from_elsewhere():
    for file in (ROOT / "web").rglob("*.js"):
        text = file.read_text()
        for word in ("eval(", "new Function", "http://", "https://"):
            assert word not in text, (file, word)


PROBE = """
import os, sys, threading
before = dict(os.environ)
import torch, cv2, av, kornia, PIL.Image, safetensors.torch, tqdm, einops
threads = torch.get_num_threads(), torch.get_num_interop_threads(), cv2.getNumThreads()
flags = torch.is_grad_enabled(), torch.get_default_dtype(), torch.backends.cudnn.benchmark
random = torch.initial_seed()
settled = dict(os.environ)
running = threading.active_count()
import reenact_core, reenact_core.cli, reenact_core.pipeline
assert dict(os.environ) == settled, "environment"
assert threads == (torch.get_num_threads(), torch.get_num_interop_threads(), cv2.getNumThreads()), "threads"
assert flags == (torch.is_grad_enabled(), torch.get_default_dtype(), torch.backends.cudnn.benchmark), "flags"
assert random == torch.initial_seed(), "seed"
assert running == threading.active_count(), "running threads"
print(*sorted(name.split(".")[0] for name in sys.modules))
"""


def test_importing_changes_nothing_and_brings_no_host(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    modules = set(result.stdout.split())
    assert not modules & {*HOST, *FOREIGN}
    assert not list(tmp_path.iterdir())  # no file was made


def test_help_needs_no_weights_and_no_network(tmp_path):
    """`reenact run --help` lists every strategy's flags."""
    result = subprocess.run(
        [sys.executable, "-m", "reenact_core.cli", "run", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--confidence-temperature" in result.stdout
    assert "--multiband-softness" in result.stdout
