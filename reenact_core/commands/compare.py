"""`reenact compare`: the same inputs as `run`, two or more strategies, one video or picture of all results."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from ..comparing import Display, Layout, Scorer, frames_side_by_side, fuse_each, score_table
from ..errors import ReenactError
from ..evaluation.networks import load_metric_networks
from ..fusion import strategy_names
from ..images import write_image
from ..motion_models import MotionModel
from ..retargeting import Transfer
from ..tracking import FaceTracker
from ..video import VideoReader, VideoWriter
from ..warping import WarpedReferences, warp_per_reference
from .driving import Player, driving_rate, is_footage, read_motion
from .options import (
    add_keep_doubtful,
    add_model,
    add_smoothing,
    add_space,
    add_strategy_settings,
    check_file_target,
    chosen_model,
    chosen_smoothing,
    chosen_space,
    chosen_strategy,
)
from .run import load_references

CHUNK = 8  # driving frames read together
STILL = (".png", ".jpg", ".jpeg")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare `reenact compare`."""
    parser = subparsers.add_parser("compare", help="render several strategies on the same warps, and measure them")
    parser.add_argument(
        "--references", nargs="+", required=True, type=Path, help="images, folders of images, or videos"
    )
    parser.add_argument("--reference-count", type=int, default=4, help="frames to pick from each reference video")
    parser.add_argument("--strengths", nargs="+", type=float, help="one weight >= 0 per reference image")
    parser.add_argument("--driving", required=True, type=Path, help="anything that drives in run")
    parser.add_argument("--strategies", nargs="+", required=True, help=f"two or more of: {', '.join(strategy_names())}")
    parser.add_argument(
        "--output", required=True, type=Path, help="video, folder of PNG frames, or FILE.png of the middle frame"
    )
    parser.add_argument("--layout", choices=[layout.value for layout in Layout], default=Layout.GRID.value,
                        help="grid: all side by side; wipe: two in one picture; difference: amplified distance from "
                        "the first, or from the truth")  # fmt: skip
    for name in ("gain", "edge"):
        about = Display.__dataclass_fields__[name]
        text = f"{about.metadata['tooltip']} {about.metadata['min']} to {about.metadata['max']}, default"
        parser.add_argument(f"--{name}", type=float, default=about.default, help=f"{text} {about.default}.")
    parser.add_argument("--truth", action="store_true",
                        help="the driving frames show the same person: show them, and measure every result against "
                        "them; for absolute motion")  # fmt: skip
    parser.add_argument("--every", type=int, default=5, help="measure every k-th frame")
    parser.add_argument("--metrics-folder", type=Path, help="folder with the optional LPIPS network")
    parser.add_argument("--motion", choices=[t.value for t in Transfer], default=Transfer.RELATIVE.value,
                        help="how driving motion is applied, as in run")  # fmt: skip
    parser.add_argument("--neutral", type=int, help="number of the neutral driving frame, as in run")
    parser.add_argument("--face", type=int, help="which driving face to follow, 0 = largest (default)")
    parser.add_argument("--size", type=int, help="working pixels per side of the head's box (default: its own size)")
    add_smoothing(parser)
    add_space(parser)
    add_keep_doubtful(parser)
    add_model(parser)
    add_strategy_settings(parser)
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Warp once, fuse and decode with every strategy, write the pictures, print the table."""
    names = list(dict.fromkeys(options.strategies))
    display = Display(Layout(options.layout), options.gain, options.edge)
    display.check(len(names))
    still = options.output.suffix.lower() in STILL
    _check(options, still)
    model = chosen_model(options)
    strategies = [chosen_strategy(options, model, name) for name in names]
    space = chosen_space(options, model)
    scorer = Scorer(names, load_metric_networks(options.metrics_folder).lpips if options.truth else None)
    warped = _warp(options, model)
    first = len(warped.boxes) // 2 if still else 0
    shown = warped.only(first) if still else warped
    fusions = dict(zip(names, fuse_each(shown, strategies, chosen_smoothing(options), space), strict=True))
    truths = _frames(options.driving, first) if options.truth else None
    with ExitStack() as stack:
        writer: VideoWriter | None = None
        for number, results in enumerate(
            tqdm(frames_side_by_side(fusions), "rendering", len(shown.boxes), unit="frame")
        ):
            pictures = {name: picture.cpu() for name, picture in results.items()}
            truth = None if truths is None else next(truths)
            if truth is not None and number % options.every == 0:
                scorer.add(pictures, truth, shown.boxes[number])
            picture = display.render(pictures, truth)
            if still:
                write_image(options.output, picture)
                continue
            if writer is None:
                size = (picture.shape[-2], picture.shape[-1])
                writer = stack.enter_context(VideoWriter(options.output, warped.motion.frame_rate, size))
            writer.write(picture[None])
    if options.truth:
        print(score_table(scorer.scores()))


def _check(options: argparse.Namespace, still: bool) -> None:
    """Refuses flags that make no sense together, before any work; raises ReenactError."""
    if options.size is not None and options.size < 64:
        raise ReenactError(f"--size is {options.size}, but the working size must be at least 64 pixels.")
    if options.every < 1:
        raise ReenactError(f"--every is {options.every}, but every k-th frame is measured, k = 1 or more.")
    if options.truth and options.motion != Transfer.ABSOLUTE.value:
        raise ReenactError("--truth compares with the driving frames themselves: use it with --motion absolute.")
    if options.truth and not is_footage(options.driving):
        raise ReenactError(f"--truth needs driving frames to compare with, but {options.driving} holds none.")
    if still:
        check_file_target(options.output, STILL)
    else:
        VideoWriter(options.output, driving_rate(options.driving), (64, 64)).abort()


def _warp(options: argparse.Namespace, model: MotionModel) -> WarpedReferences:
    """The first three stages."""
    tracker = FaceTracker.load(model.device)
    references = load_references(options.references, options.reference_count, options.strengths, tracker)
    image, face = references.images[0], references.faces.at([0])
    player = Player(face, (image.shape[-2], image.shape[-1]))
    motion = read_motion(options.driving, tracker, model, player, options.face, options.neutral)
    weigh = not options.keep_doubtful
    return warp_per_reference(references, motion, model, Transfer(options.motion), options.size, weigh=weigh)


def _frames(path: Path, first: int) -> Iterator[Tensor]:
    """The frames [3,H,W] of a video from `first` on."""
    with VideoReader(path) as reader:
        for chunk in reader.chunks(CHUNK, start=first):
            yield from chunk
