"""What the README and CONTRIBUTING promise: commands that parse, files that exist, the registry's strategies."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from reenact_core import cli
from reenact_core.fusion import base, strategy_class, strategy_names
from reenact_core.motion_models import model_names
from reenact_core.types import Evidence
from scripts import strategy_table

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> list[str]:
    """Every `reenact ...` line of the shell blocks, continued lines joined."""
    joined = "".join(code_blocks(text, "sh")).replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.startswith("reenact ")]


def test_every_subcommand_is_shown():
    shown = {shlex.split(line)[1].replace("-", "_") for line in command_lines(README)}
    assert {command.__name__.rsplit(".", 1)[1] for command in cli.COMMANDS} == shown


@pytest.mark.parametrize("line", command_lines(README))
def test_command_line_parses(line: str, monkeypatch: pytest.MonkeyPatch):
    seen = []
    for command in cli.COMMANDS:
        monkeypatch.setattr(command, "execute", seen.append)
    assert cli.main(shlex.split(line, comments=True)[1:]) == 0, f"{line} is not understood"
    (options,) = seen
    if getattr(options, "strategy", None) is not None:
        assert options.strategy in strategy_names()
    assert set(getattr(options, "strategies", None) or []) <= {*strategy_names(), "all"}
    models = getattr(options, "models", None) or [getattr(options, "model", None)]
    assert options.command in ("train", "convert") or set(models) <= set(model_names())


def test_strategy_table_is_the_registry():
    between = README.split(strategy_table.BEGIN)[1].split(strategy_table.END)[0]
    listed = re.findall(r"^\| `(\w+)` \|", between, re.MULTILINE)
    assert listed == strategy_names()
    assert between.strip() == strategy_table.table().strip(), "run: python scripts/strategy_table.py"


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/evaluation.md", "docs/motion.md"]
)
def test_linked_files_exist(document: str):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text) + re.findall(r'src="(?!https?:)([^"]+)"', text)
    missing = [link for link in links if not ((ROOT / document).parent / link).exists()]
    assert not missing


def test_make_targets_in_documents_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b(?=[`\s])", "".join(code_blocks(README + CONTRIBUTING, "sh"))))
    assert {"demo", "test"} <= named <= targets


def test_recipe_strategy_works(monkeypatch: pytest.MonkeyPatch):
    """The whole file shown in CONTRIBUTING is a strategy: a partition of unity for one and for many references."""
    (source,) = [block for block in code_blocks(CONTRIBUTING, "python") if "FusionStrategy" in block]
    before = set(strategy_names())
    module = ModuleType("reenact_core.fusion.recipe")
    module.__package__ = "reenact_core.fusion"
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where dataclasses look for it
    exec(compile(source, "recipe.py", "exec"), module.__dict__)
    (name,) = set(strategy_names()) - before
    try:
        for count in (1, 3):
            confidence = torch.rand(2, count, 1, 4, 4, generator=torch.Generator().manual_seed(count))
            evidence = Evidence(
                confidence.expand(-1, -1, 3, -1, -1), confidence, torch.zeros(2, count), torch.ones_like(confidence)
            )
            strategy = strategy_class(name)()
            weights = strategy.weights(evidence)
            assert weights.shape == confidence.shape
            assert weights.min() >= 0
            torch.testing.assert_close(weights.sum(1), torch.ones(2, 1, 4, 4))
            assert strategy.fuse(evidence, weights).shape == (2, 3, 4, 4)
    finally:
        base._registry.pop(name)
