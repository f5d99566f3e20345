"""`reenact run`: references + driving video -> video or frames, with an optional contact sheet."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..decoding import decode
from ..decoding.decode import Fused
from ..editing import neutralise
from ..errors import ReenactError
from ..fusing import fuse_references
from ..images import list_images, read_image_and_mask, write_image
from ..landmark_pictures import mesh_picture
from ..previews import reenactment_sheet
from ..references import encode_references, pick_frames
from ..retargeting import Transfer
from ..tracking import FaceTracker
from ..types import DrivingMotion, References
from ..video import VideoReader, VideoWriter, is_video
from ..warping import warp_per_reference
from .driving import Player, driving_rate, is_footage, read_motion
from .options import (
    add_keep_doubtful,
    add_model,
    add_retargeting,
    add_smoothing,
    add_space,
    add_strategy,
    check_file_target,
    chosen_model,
    chosen_retargeting,
    chosen_smoothing,
    chosen_space,
    chosen_strategy,
)
from .preview_files import PreviewFiles


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declare `reenact run`."""
    parser = subparsers.add_parser("run", help="make the person in the references follow a driving video")
    parser.add_argument(
        "--references", nargs="+", required=True, type=Path, help="images, folders of images, or videos"
    )
    parser.add_argument("--reference-count", type=int, default=4, help="frames to pick from each reference video")
    parser.add_argument("--strengths", nargs="+", type=float, help="one weight >= 0 per reference image")
    parser.add_argument(
        "--driving", required=True, type=Path,
        help="video, folder of frames, motion file, one picture, or CSV file of blendshapes",
    )  # fmt: skip
    parser.add_argument("--output", required=True, type=Path, help=".mp4 .webm .mov .gif, or a folder for PNG frames")
    parser.add_argument("--motion", choices=[t.value for t in Transfer], default=Transfer.RELATIVE.value,
                        help="relative: the change since a neutral driving frame, on the first reference's canvas; "
                        "absolute: the head goes where the driving head is, on the driving canvas")  # fmt: skip
    parser.add_argument(
        "--neutral",
        type=int,
        help="number of the resting driving frame, which the first reference then stands for (default: the driver's "
        "resting face is told from all frames, and this person's from all references)",
    )
    parser.add_argument("--neutralise", type=float, default=0.0, metavar="X",
                        help="share of the first reference's own expression to take away, 0..1")  # fmt: skip
    parser.add_argument("--face", type=int, help="which driving face to follow, 0 = largest (default)")
    parser.add_argument("--size", type=int, help="working pixels per side of the head's box (default: its own size)")
    add_smoothing(parser)
    add_space(parser)
    add_keep_doubtful(parser)
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet, FILE.png")
    parser.add_argument(
        "--previews", type=Path,
        help="also write pictures of the fusion into this folder, in the format of the output: attribution, weights, "
        "disagreement, seams",
    )  # fmt: skip
    add_retargeting(parser)
    add_model(parser)
    add_strategy(parser)
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> None:
    """Run the five stages as a stream from file to file."""
    if options.size is not None and options.size < 64:
        raise ReenactError(f"--size is {options.size}, but the working size must be at least 64 pixels.")
    if options.sheet is not None:
        check_file_target(options.sheet, (".png", ".jpg", ".jpeg"))
    retargeting = chosen_retargeting(options)
    with ExitStack() as stack:
        # A place that cannot be written should be known now, not after the work.
        VideoWriter(options.output, driving_rate(options.driving), (64, 64)).abort()
        model = chosen_model(options)
        strategy, space = chosen_strategy(options, model), chosen_space(options, model)
        tracker = FaceTracker.load(model.device)
        references = load_references(options.references, options.reference_count, options.strengths, tracker)
        image, face = references.images[0], references.faces.at([0])
        player = Player(face, (image.shape[-2], image.shape[-1]))
        motion = driving = read_motion(options.driving, tracker, model, player, options.face, options.neutral)
        if options.neutralise:
            motion = neutralise(motion, face, options.neutralise)
        warped = warp_per_reference(
            references, motion, model, Transfer(options.motion), options.size, retargeting=retargeting,
            weigh=not options.keep_doubtful,
        )  # fmt: skip
        fused = fuse_references(warped, strategy, chosen_smoothing(options), space)
        writer = stack.enter_context(
            VideoWriter(options.output, motion.frame_rate, warped.motion.canvas, audio_from=_sound(options.driving))
        )
        bar = stack.enter_context(tqdm(total=len(motion.faces.score), desc="rendering", unit="frame"))
        shown: Fused = fused
        if options.previews is not None:
            shown = stack.enter_context(PreviewFiles(options.previews, options.output, fused)).watched
        for chunk in decode(shown):
            writer.write(chunk.images.cpu())
            bar.update(chunk.stop - chunk.start)
    if options.sheet is not None:
        write_image(options.sheet, reenactment_sheet(fused, sheet_frames(options.driving, driving)))


def load_references(paths: list[Path], count: int, strengths: list[float] | None, tracker: FaceTracker) -> References:
    """References from images, folders of images, and videos (the best `count` frames of each)."""
    images: list[Tensor] = []
    masks: list[Tensor | None] = []
    labels: list[str] = []
    for path in paths:
        if is_video(path):
            for index, frame in pick_frames(path, count, tracker):
                images.append(frame)
                masks.append(None)
                labels.append(f"{path.name}#{index}")
            continue
        for file in list_images(path) if path.is_dir() else [path]:
            image, mask = read_image_and_mask(file)
            images.append(image)
            masks.append(mask)
            labels.append(file.name)
    return encode_references(images, tracker, masks, strengths, labels)


def sheet_frames(path: Path, motion: DrivingMotion, rows: int = 6) -> dict[int, Tensor]:
    """A few driving frames spread over the clip, by number; drawn as meshes where there are no pictures of them."""
    count = len(motion.faces.score)
    numbers = sorted({int(i) for i in torch.linspace(0, count - 1, min(rows, count)).round()})
    if not is_footage(path):
        return {number: mesh_picture(motion.faces.landmarks[number], motion.canvas) for number in numbers}
    with VideoReader(path) as reader:
        return dict(zip(numbers, reader.frames(numbers)))


def _sound(driving: Path) -> Path | None:
    return driving if driving.is_file() and is_footage(driving) else None
