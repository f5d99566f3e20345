"""Installing must bring every weight along and leave the user's torch alone."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info < (3, 11):
    pytest.skip("reads pyproject.toml with tomllib, which Python 3.11 brought", allow_module_level=True)
import tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DEPENDENCIES = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["dependencies"])}


def requirement_lines(file: str) -> list[Requirement]:
    """The requirements of a pip file, comments left out."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_no_dependency_has_an_upper_bound():
    """An upper bound, above all on torch, would make pip replace what the user has."""
    operators = {(name, part.operator) for name, r in DEPENDENCIES.items() for part in r.specifier}
    assert {operator for _, operator in operators} == {">="}, operators


def test_pack_requirements_are_the_dependencies_without_torch():
    expected = {str(r) for name, r in DEPENDENCIES.items() if name != "torch"}
    assert {str(r) for r in requirement_lines("requirements.txt")} == expected


def test_constraints_pin_everything_make_installs():
    pins = {canonicalize_name(r.name): r.specifier for r in requirement_lines("constraints.txt")}
    extras = [Requirement(line) for extra in PROJECT["optional-dependencies"].values() for line in extra]
    for requirement in [*DEPENDENCIES.values(), *extras]:
        (pin,) = pins[canonicalize_name(requirement.name)]
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), f"{requirement} excludes the pinned {pin.version}"


def test_make_installs_the_pinned_torch_first():
    (pin,) = [str(r) for r in requirement_lines("constraints.txt") if r.name == "torch"]
    installs = re.findall(r"\$\(PIP\) (.*)", (ROOT / "Makefile").read_text())
    assert pin in installs[0].split()


def test_every_file_beside_the_code_is_package_data():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    package = ROOT / "reenact_core"
    packed = {path for pattern in patterns["reenact_core"] for path in package.glob(pattern)}
    beside = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"} and path.suffix != ".md"
    }
    assert len(packed) >= 6
    assert beside == packed
