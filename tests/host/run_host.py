"""Start a host from its source tree: `python run_host.py TREE [the host's own arguments]`.

The tree must be the first entry of `sys.path` (it has top-level modules such as `nodes`), and torchvision
must import beside a CPU build of torch, for which two operator names have to exist beforehand.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

_kept = []  # operator declarations end with the object that made them


def make_torchvision_importable() -> None:
    """Import torchvision; where its compiled operators are missing, declare the two names it looks for."""
    import torch

    try:
        importlib.import_module("torchvision")
        return
    except (RuntimeError, OSError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
    importlib.import_module("torchvision")


def main() -> None:
    """Replace this program by the host's `main.py`."""
    tree = Path(sys.argv[1]).resolve()
    make_torchvision_importable()
    sys.path[0] = str(tree)
    script = str(tree / "main.py")
    sys.argv = [script, *sys.argv[2:]]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
