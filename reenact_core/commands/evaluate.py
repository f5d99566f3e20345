"""`reenact evaluate`: how well the second half of each clip is rebuilt from references of its first half."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from ..evaluation.avatar_pairs import avatar_pairs
from ..evaluation.exact import prepare_performance
from ..evaluation.networks import load_metric_networks
from ..evaluation.protocol import evaluate, evaluate_prepared
from ..evaluation.report import AVATARS, REBUILT, markdown_table, write_html
from ..evaluation.result import write_json
from ..evaluation.settings import Settings
from ..evaluation.subject import find_clips, pipeline_stages
from ..fusion import strategy_class
from ..retargeting import Transfer
from ..tracking import FaceTracker
from .options import (
    add_measurement,
    add_model,
    add_smoothing,
    add_space,
    check_file_target,
    chosen_model,
    chosen_smoothing,
    chosen_space,
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare `reenact evaluate`."""
    parser = subparsers.add_parser("evaluate", help="measure reconstruction quality on clips")
    subjects = parser.add_mutually_exclusive_group(required=True)
    subjects.add_argument("--clips", nargs="+", type=Path, help="videos, or folders of videos")
    subjects.add_argument(
        "--avatars", type=Path, help="folder with the data of the avatars: measure transfer between rendered people "
        "instead, whose truth is known",
    )  # fmt: skip
    parser.add_argument("--pairs", type=int, default=4, help="of avatars")
    parser.add_argument("--every", type=int, default=10, help="reconstruct every k-th frame of the second half")
    add_measurement(parser)
    add_smoothing(parser)
    add_space(parser)
    add_model(parser)
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Evaluate, print the head-region table, write JSON and HTML."""
    for path in filter(None, (options.json, options.html)):
        check_file_target(path)
    model = chosen_model(options)
    space = chosen_space(options, model)
    names = list(dict.fromkeys(options.strategies or [model.default_strategy]))
    settings = Settings(
        references=tuple(options.references),
        strategies=tuple(names),
        step=options.every,
        pictures=options.html is not None,
    )
    stages = pipeline_stages(
        FaceTracker.load(model.device), model, {name: strategy_class(name)() for name in names},
        chosen_smoothing(options), options.size,
        transfer=Transfer.RELATIVE if options.avatars else Transfer.ABSOLUTE, space=space,
    )  # fmt: skip
    networks, about = load_metric_networks(options.metrics_folder), {"model": model.name, "space": space.value}
    with tqdm(unit="step") as bar:

        def progress(done: int, total: int, text: str) -> None:
            bar.total, bar.n = total, done
            bar.set_description(text)

        if options.avatars:
            pairs = list(avatar_pairs(options.avatars, options.pairs, max(options.references)))
            result = evaluate_prepared(pairs, prepare_performance, stages, settings, networks, about, progress)
        else:
            clips = find_clips(options.clips, options.limit)
            result = evaluate(clips, stages, settings, networks, about, progress)
    write_json(result, options.json)
    if options.html is not None:
        write_html(result, options.html, AVATARS if options.avatars else REBUILT)
    print(markdown_table(result))
