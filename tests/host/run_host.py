"""Start a host from its source tree: `python run_host.py TREE [the host's own arguments]`.

The tree must be the first entry of `sys.path` (it has top-level modules such as `nodes`), and torchvision
must import beside a CPU build of torch, for which two operator names have to exist beforehand.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path


def make_torchvision_importable():
    """Import torchvision; where its compiled operators are missing, declare the two names it looks for.

    Returns whatever must be kept alive for the declarations to stay valid (None if nothing was needed).
    """
    import torch

    try:
        importlib.import_module("torchvision")
        return None
    except (RuntimeError, OSError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    importlib.import_module("torchvision")
    return library


def main() -> None:
    """Replace this program by the host's `main.py`."""
    tree = Path(sys.argv[1]).resolve()
    declarations = make_torchvision_importable()
    sys.path[0] = str(tree)
    script = str(tree / "main.py")
    sys.argv = [script, *sys.argv[2:]]
    runpy.run_path(script, run_name="__main__")
    del declarations


if __name__ == "__main__":
    main()
