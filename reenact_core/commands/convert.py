"""`reenact convert`: a public checkpoint -> one safetensors file without code, optimiser and training networks."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..checkpoint import convert_checkpoint
from .options import check_file_target


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare `reenact convert`."""
    parser = subparsers.add_parser("convert", help="turn a public model's checkpoint into one safetensors file")
    parser.add_argument("source", type=Path, help="file, or folder of a model published as several files")
    parser.add_argument("destination", type=Path, help="FILE.safetensors; replaced if it exists")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Check that the checkpoint loads, write it, say which model it is."""
    check_file_target(options.destination, (".safetensors",))
    options.destination.parent.mkdir(parents=True, exist_ok=True)
    name = convert_checkpoint(options.source, options.destination)
    print(f"{options.destination}: {name}")
