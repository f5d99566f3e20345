"""A long clip needs no more memory than a short one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from reenact_core.video import VideoReader, VideoWriter

from .faces import ROOT

pytest.importorskip("resource", reason="needs a system that tells its peak memory")

RUN = """
import resource, sys
from reenact_core.cli import main
code = main(sys.argv[1:])
assert code == 0, code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10)))
"""


def driving_clip(person: torch.Tensor, path: Path, count: int) -> Path:
    """The person's frames to and fro, 400 px, `count` frames long."""
    small = F.interpolate(person, size=(400, 400), mode="bilinear").clamp(0, 1)
    order = [*range(12), *range(10, 0, -1)]
    with VideoWriter(path, 25, (400, 400)) as writer:
        for start in range(0, count, 8):
            writer.write(small[[order[i % 22] for i in range(start, min(start + 8, count))]])
    return path


def peak_megabytes(driving: Path, reference: Path, output: Path) -> float:
    """Peak resident memory of `reenact run` in a process of its own."""
    arguments = ["run", "--references", str(reference), "--driving", str(driving), "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments, "--size", "64"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clip(person, person_files, tmp_path):
    """Two hundred frames more: they alone would be 0.7 GB (1.9 MB each, as read and as written).

    Threads that work ahead of each other make equal runs differ by up to 90 MB, more where other work holds the cores.
    """
    peaks = {}
    for count in (60, 260):
        driving = driving_clip(person, tmp_path / f"{count}.mp4", count)
        output = tmp_path / f"out_{count}.mp4"
        peaks[count] = peak_megabytes(driving, person_files / "a.png", output)
        with VideoReader(output) as reader:
            assert reader.info.frame_count == count
    assert peaks[260] < peaks[60] + 160, peaks
