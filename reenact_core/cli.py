"""The `reenact` command. Each subcommand lives in `commands/`; bad input ends with one line and exit code 2."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import NoReturn

import torch

from .commands import bench, compare, convert, evaluate, evaluate_transfer, motion, run, study, train
from .errors import ReenactError

COMMANDS = (run, compare, motion, evaluate, evaluate_transfer, study, bench, train, convert)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the flags in the one line that every other error takes."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"reenact: {_one_line(message)} ({self.prog} --help lists all flags.)\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 2 bad input, 130 interrupted)."""
    parser = _Parser(prog="reenact", description="Multi-reference face reenactment.")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more, and show tracebacks")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        options.execute(options)
    except (ReenactError, OSError) as error:
        if options.verbose:
            logging.exception("Details")
        print(f"reenact: {_one_line(error)}", file=sys.stderr)
        return 2
    except torch.OutOfMemoryError:
        print("reenact: out of memory with a single frame. Give fewer references or a smaller --size.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("reenact: interrupted; nothing half-written was left.", file=sys.stderr)
        return 130
    return 0


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


if __name__ == "__main__":
    sys.exit(main())
