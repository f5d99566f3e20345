"""`reenact bench`: time and memory per stage."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from ..benchmark import benchmark, write_benchmark
from .options import add_model, add_strategy, check_file_target, chosen_model, chosen_strategy


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare `reenact bench`."""
    parser = subparsers.add_parser("bench", help="measure speed and memory of every stage")
    parser.add_argument("--json", required=True, type=Path, help="write the figures here")
    parser.add_argument("--clip", type=Path, default=Path("samples/driving.mp4"), help="a video to work on")
    parser.add_argument("--references", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512, 1024], help="frame sizes in pixels")
    parser.add_argument(
        "--frames", nargs="+", type=int, default=[100, 400], help="lengths whose peak memory to measure"
    )
    add_model(parser)
    add_strategy(parser)
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Measure, print a table, write JSON."""
    check_file_target(options.json)
    model = chosen_model(options)
    strategy = chosen_strategy(options, model)
    with tqdm(unit="run") as bar:

        def progress(text: str) -> None:
            bar.set_description(text)
            bar.update()

        result = benchmark(options.clip, model, strategy, options.references, options.sizes, options.frames, progress)
    write_benchmark(result, options.json)
    print("| size | R | track | render | frames/s | time vs fewest R | alone: warp | fuse | decode |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for row in result["rows"]:
        ms = row["ms"]
        print(
            f"| {row['size']} | {row['references']} | {ms['encode_motion']} | {ms['render']} "
            f"| {row['frames_per_second']} | {row['time_against_fewest_references']} "
            f"| {ms['warp_per_reference']} | {ms['fuse_references']} | {ms['decode']} |"
        )
