"""Where motion comes from: a video, a folder of frames, a motion file, one picture, or a CSV file of blendshapes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from ..editing import canonical_face, motion_of_csv, motion_of_image
from ..editing.resting import CANVAS, RATE
from ..errors import ReenactError
from ..images import read_image
from ..motion import encode_motion
from ..motion_models import MotionModel
from ..parallel import prefetched
from ..storage import load_motion
from ..tracking import FaceTracker
from ..types import DrivingMotion, Faces
from ..video import VideoReader, is_video

CHUNK = 8  # driving frames tracked together
MOTION, TABLE = ".safetensors", ".csv"


class Player(NamedTuple):
    """Whose face plays blendshapes and procedural motion."""

    face: Faces  # axis 1, in pixels of the canvas
    canvas: tuple[int, int]  # (H, W)


def canonical_player() -> Player:
    """Nobody in particular."""
    return Player(canonical_face(), CANVAS)


def is_footage(path: Path) -> bool:
    """Whether the path holds moving pictures that have to be tracked."""
    return path.suffix.lower() not in (MOTION, TABLE) and (not path.is_file() or is_video(path))


def driving_rate(path: Path) -> Fraction:
    """Frames per second, before anything is tracked; whatever is no footage counts as 25.

    Raises:
        VideoError: there is no such footage.
    """
    if not is_footage(path):
        return RATE
    with VideoReader(path) as reader:
        return reader.info.frame_rate


def read_motion(
    path: Path,
    tracker: FaceTracker,
    model: MotionModel | None,
    player: Player,
    face_index: int | None = None,
    neutral: int | None = None,
) -> DrivingMotion:
    """The motion of whatever the path holds.

    Args:
        player: whose face plays the blendshapes of a CSV file. neutral: number of the resting frame, None chooses.
    Raises:
        ReenactError: it cannot be read, or has no frame `neutral`.
    """
    kind = path.suffix.lower()
    if is_footage(path):
        with VideoReader(path) as reader:
            total = reader.info.frame_count
            chunks = None if total is None else -(-total // CHUNK)
            with tqdm(prefetched(reader.chunks(CHUNK)), "tracking", chunks, unit="chunk") as frames:
                on_device = (chunk.to(tracker.device) for chunk in frames)
                return encode_motion(on_device, reader.info.frame_rate, tracker, model, face_index, neutral)
    if kind == MOTION:
        motion = load_motion(path)
    elif kind == TABLE:
        motion = motion_of_csv(path, player.face, player.canvas)
    else:
        motion = motion_of_image(read_image(path).to(tracker.device), tracker, model, face_index)
    if neutral is None:
        return motion
    count = len(motion.faces.score)
    if not 0 <= neutral < count:
        raise ReenactError(f"The neutral frame {neutral} does not exist: {path} has {count} frames.")
    code = None if motion.code is None else motion.code[[neutral]]
    return motion._replace(neutral=motion.faces.at([neutral]), neutral_code=code, floating=False)
