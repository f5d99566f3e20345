"""`reenact study`: every fusion strategy, number of references and motion model on the same clips, in one report."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ..errors import ReenactError
from ..evaluation.networks import load_metric_networks
from ..evaluation.settings import Settings
from ..evaluation.study import Share, StudiedModel, study, weights_signature
from ..evaluation.study_report import write_report
from ..evaluation.subject import find_clips, pipeline_stages
from ..evaluation.verdict import verdict_lines
from ..fusion import strategy_class, strategy_names
from ..motion_models import MotionModel, model_names
from ..tracking import FaceTracker
from .options import add_model, add_smoothing, add_space, chosen_model, chosen_smoothing, chosen_space


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare `reenact study`."""
    parser = subparsers.add_parser("study", help="compare strategies, numbers of references and models on clips")
    parser.add_argument("--clips", nargs="+", required=True, type=Path, help="videos, or folders of videos")
    parser.add_argument("--references", nargs="+", type=int, default=[1, 2, 4, 8], help="numbers of references")
    parser.add_argument("--strategies", nargs="+", help=f"all (default), or of: {', '.join(strategy_names())}")
    parser.add_argument(
        "--models", nargs="+", default=["face_mesh"],
        help=f"of: {', '.join(model_names())}, or files or folders of checkpoints, see docs/models.md",
    )  # fmt: skip
    parser.add_argument("--output", required=True, type=Path, help="folder for the report; a study in it is continued")
    parser.add_argument("--metrics-folder", type=Path, help="folder with the optional LPIPS and identity networks")
    parser.add_argument(
        "--share", metavar="K/N",
        help="measure only every N-th clip from the K-th on and write no report: several processes, each with "
        "a share of its own, fill one folder; afterwards run it without",
    )  # fmt: skip
    parser.add_argument("--most-frames", type=int, default=8, help="measured frames per clip")
    parser.add_argument("--limit", type=int, default=0, help="use only the first so many frames of a clip; 0 = all")
    parser.add_argument("--size", type=int, default=256, help="working pixels per side of the head's box")
    add_smoothing(parser)
    add_space(parser)
    add_model(parser, choose=False)
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Measure what the folder does not hold yet, write the report, print the verdicts."""
    if options.output.exists() and not options.output.is_dir():
        raise ReenactError(f"{options.output} is a file, a folder was expected. Give another --output.")
    share = None if options.share is None else Share.parse(options.share)
    names = list(dict.fromkeys(options.strategies or ["all"]))
    names = strategy_names() if names == ["all"] else names
    for name in names:
        strategy_class(name)
    smoothing = chosen_smoothing(options)
    models = [chosen_model(options, given) for given in options.models]
    space = chosen_space(options, *models)
    names += sorted({model.default_strategy for model in models} - set(names))
    strategies = {name: strategy_class(name)() for name in names}
    settings = Settings(
        references=tuple(options.references),
        strategies=tuple(names),
        step=1,
        most_frames=options.most_frames,
        flicker_runs=1,
        full_side=None,
    )
    tracker = FaceTracker.load(models[0].device)
    about = {
        "size": str(options.size),
        "smoothing": str(smoothing),
        "space": space.value,
        "strategies": ", ".join(str(strategy) for strategy in strategies.values()),
    }
    studied = [
        StudiedModel(
            name=_name(model, given),
            default=model.default_strategy,
            signature=weights_signature(model),
            stages=partial(pipeline_stages, tracker, model, strategies, smoothing, options.size, space=space),
        )
        for model, given in zip(models, options.models, strict=True)
    ]
    clips = find_clips(options.clips, options.limit)
    with tqdm(unit="step") as bar:

        def progress(done: int, total: int, text: str) -> None:
            bar.total, bar.n = total, done
            bar.set_description(text)

        networks = load_metric_networks(options.metrics_folder)
        found = study(clips, studied, settings, options.output, networks, about, progress, share)
    if share is not None:
        print(f"Share {options.share} is measured. When all are, run this again without --share for the report.")
        return
    shown = {"working size": about["size"], "smoothing": f"{smoothing.memory:g}", "fused in": space.value}
    write_report(found, shown, options.output)
    for one in found:
        print(f"{one.name}:")
        for _, line in verdict_lines(one):
            print(f"  {line}")
    print(f"Report: {options.output / 'index.html'}")


def _name(model: MotionModel, given: str) -> str:
    """The model's own name, or that of its checkpoint."""
    return model.name if given in model_names() else Path(given).stem
