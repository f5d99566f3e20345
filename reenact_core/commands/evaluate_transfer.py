"""`reenact evaluate-transfer`: people driven by others, compared with real frames in like poses."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from ..evaluation.networks import load_metric_networks
from ..evaluation.subject import find_clips, intended_faces, pipeline_stages
from ..evaluation.transfer import TransferSettings, evaluate_transfer
from ..evaluation.transfer_report import markdown_table, write_html
from ..evaluation.transfer_result import write_json
from ..fusion import strategy_class
from ..retargeting import Transfer
from ..tracking import FaceTracker
from .options import (
    add_measurement,
    add_model,
    add_retargeting,
    add_smoothing,
    add_space,
    check_file_target,
    chosen_model,
    chosen_retargeting,
    chosen_smoothing,
    chosen_space,
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare `reenact evaluate-transfer`."""
    defaults = TransferSettings(strategies=("mean",))
    parser = subparsers.add_parser("evaluate-transfer", help="measure motion transfer between people")
    parser.add_argument("--drivers", nargs="+", required=True, type=Path, help="videos of those who move, or folders")
    parser.add_argument(
        "--people", nargs="+", required=True, type=Path, help="videos of those who are moved, or folders of videos"
    )
    parser.add_argument("--motion", choices=[t.value for t in Transfer], default=Transfer.RELATIVE.value)
    parser.add_argument("--every", type=int, default=defaults.step, help="transfer every k-th driving frame")
    parser.add_argument("--most-frames", type=int, default=defaults.most_frames, help="at most about so many per pair")
    parser.add_argument(
        "--near", type=float, default=defaults.near,
        help="pose and expression distance up to which a real frame is alike; 1 is a difference one clearly sees",
    )  # fmt: skip
    add_measurement(parser)
    add_smoothing(parser)
    add_retargeting(parser)
    add_space(parser)
    add_model(parser)
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Evaluate all pairs, print the table over people, write JSON and HTML."""
    for path in filter(None, (options.json, options.html)):
        check_file_target(path)
    retargeting = chosen_retargeting(options)
    model = chosen_model(options)
    space = chosen_space(options, model)
    names = list(dict.fromkeys(options.strategies or [model.default_strategy]))
    settings = TransferSettings(
        references=tuple(options.references),
        strategies=tuple(names),
        step=options.every,
        most_frames=options.most_frames,
        pictures=options.html is not None,
        near=options.near,
    )
    transfer = Transfer(options.motion)
    about = {"model": model.name, "motion": options.motion, "retargeting": retargeting.label, "space": space.value}
    tracker = FaceTracker.load(model.device)
    stages = pipeline_stages(
        tracker, model, {name: strategy_class(name)() for name in names}, chosen_smoothing(options), options.size,
        transfer=transfer, retargeting=retargeting, space=space,
    )  # fmt: skip
    drivers, people = find_clips(options.drivers, options.limit), find_clips(options.people, options.limit)
    with tqdm(unit="step") as bar:

        def progress(done: int, total: int, text: str) -> None:
            bar.total, bar.n = total, done
            bar.set_description(text)

        result = evaluate_transfer(
            drivers, people, stages, intended_faces(tracker, transfer, retargeting), settings,
            load_metric_networks(options.metrics_folder), about, progress,
        )  # fmt: skip
    write_json(result, options.json)
    if options.html is not None:
        write_html(result, options.html)
    print(markdown_table(result))
