"""The node layer inside the host's own Python. Run with `.venv-host/bin/python -m pytest -m host`."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST_TESTS = ROOT / "tests" / "host"
if str(HOST_TESTS) not in sys.path:
    sys.path.insert(0, str(HOST_TESTS))

PACK = "reenact_pack"


@pytest.fixture(scope="session")
def host_modules(tmp_path_factory: pytest.TempPathFactory) -> types.ModuleType:
    """The host's `comfy_api.latest`, imported on the CPU and with folders of its own."""
    from host_server import host_tree
    from run_host import make_torchvision_importable

    tree = host_tree()
    if tree is None:
        pytest.skip("no host in this environment; run scripts/setup_host.py and use .venv-host/bin/python")
    sys.path.insert(0, str(tree))
    make_torchvision_importable()
    arguments = importlib.import_module("comfy.cli_args").args
    arguments.cpu = True
    arguments.base_directory = str(tmp_path_factory.mktemp("host_base"))
    arguments.database_url = "sqlite:///:memory:"
    return importlib.import_module("comfy_api.latest")


@pytest.fixture(scope="session")
def pack(host_modules: types.ModuleType) -> Callable[[str], types.ModuleType]:
    """A function: "nodes.convert" -> that module of the pack, imported as the host does, inside a package."""
    package = types.ModuleType(PACK)
    package.__path__ = [str(ROOT)]
    sys.modules[PACK] = package
    return lambda name: importlib.import_module(f"{PACK}.{name}")


@pytest.fixture(params=["this_host", "plain_host"])
def either_pack(
    pack: Callable[[str], types.ModuleType], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], types.ModuleType]:
    """`pack` as this host runs it, and as a host without the newer inputs would."""
    if request.param == "plain_host":
        features = pack("nodes.features")
        for name in ("DYNAMIC_COMBO", "AUTOGROW", "ADVANCED"):
            monkeypatch.setattr(features, name, False)
    return pack
