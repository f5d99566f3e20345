"""Stage 2: driving frames become DrivingMotion. The frames themselves are not kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from fractions import Fraction

import torch
from torch import Tensor

from .errors import FaceError, ReenactError, VideoError
from .motion_models.base import MotionModel
from .parallel import aside
from .references import most_neutral
from .scenery import CameraFollower
from .shots import PictureChanges, find_shots
from .tracking import FaceTracker, smooth_faces
from .types import DrivingMotion, Faces, shot_spans

log = logging.getLogger(__name__)


def encode_motion(
    chunks: Iterable[Tensor],
    frame_rate: Fraction,
    tracker: FaceTracker,
    model: MotionModel | None = None,
    face_index: int | None = None,
    neutral: int | None = None,
    smooth: bool = True,
) -> DrivingMotion:
    """Track the driving face through a stream of frames.

    Args:
        chunks: tensors [n,3,H,W] in [0,1], consecutive frames of one size; consumed once, never held.
        frame_rate: frames per second.
        model: the motion model, if it has a motion code of its own to compute from the frames.
        face_index: which face to follow where there are several; None follows the largest.
        neutral: index of the resting frame; None chooses the most neutral one.
        smooth: remove tracker jitter and interpolate gaps; without it gaps repeat the nearest frame that shows a face.
    Raises:
        VideoError: no frames. FaceError: no frame shows a face, or never so many. ReenactError: `neutral` or
        `face_index` is out of range.
    """
    if face_index is not None and face_index < 0:
        raise ReenactError(f"The driving face is {face_index}, but must be 0 (the largest) or more.")
    canvas: list[tuple[int, int]] = []
    codes: list[Tensor | None] = []  # by chunk; None before the first face
    box: Tensor | None = None
    recent: list[Tensor] = []

    changes, scenery = PictureChanges(), CameraFollower()

    def watched(watch_scenery: Callable[[Tensor], None]) -> Iterable[Tensor]:
        for chunk in changes.watch(chunks):
            canvas.append((chunk.shape[-2], chunk.shape[-1]))
            recent[:] = [chunk]
            watch_scenery(chunk)
            yield chunk

    parts: list[Faces] = []
    with aside(scenery.watch) as watch_scenery:
        for faces in tracker.track_video(watched(watch_scenery), face_index=face_index):
            parts.append(faces.cpu())
            if model is not None and box is None and parts[-1].found.any():
                box = model.driving_box(parts[-1])
            codes.append(None if model is None or box is None else model.encode_driving(recent[0], box))
    if not parts:
        raise VideoError("The driving video has no frames. Give a video or folder with at least one frame.")
    faces = Faces(*(torch.cat(fields) for fields in zip(*parts)))
    if not faces.found.any() and face_index:
        raise FaceError(
            f"None of the {len(faces.found)} driving frames shows {face_index + 1} faces, so face {face_index} cannot "
            "be followed. Choose a smaller face index; 0 is the largest face."
        )
    code = None if box is None else _join_codes(codes, parts)
    shots = find_shots(faces, changes.values())
    motion = motion_of_faces(faces, canvas[0], frame_rate, neutral, smooth, code, box, shots)
    return motion._replace(scene=scenery.result())


def motion_of_faces(
    faces: Faces,
    canvas: tuple[int, int],
    frame_rate: Fraction,
    neutral: int | None = None,
    smooth: bool = True,
    code: Tensor | None = None,
    code_box: Tensor | None = None,
    shots: Tensor | None = None,
) -> DrivingMotion:
    """Driving motion of faces that are tracked already, axis T, in pixels of `canvas` (H, W).

    Args:
        neutral, smooth: as for `encode_motion`. code: [T,D] the motion model's own, where it has one, and code_box:
            [3] the square of the frames it was read from. Frames without a face repeat the nearest one's code.
        shots: [T] long, number of each frame's shot, as `find_shots` gives it; nothing is averaged across cuts.
    Raises:
        FaceError: no frame has a face. ReenactError: `neutral` is out of range.
    """
    if not faces.found.any():
        several = len(faces.found) > 1
        raise FaceError(
            f"No face was found in {f'any of the {len(faces.found)} driving frames' if several else 'the picture'}. "
            f"Use a {'video' if several else 'picture'} in which the face is visible and at least about 40 pixels wide."
        )
    if neutral is not None and not 0 <= neutral < len(faces.found):
        raise ReenactError(
            f"The neutral frame {neutral} does not exist: there are the frames 0 to {len(faces.found) - 1}. "
            "Choose one of them, or none to have one found."
        )
    parts = shot_spans(shots, len(faces.found))
    if len(parts) > 1:
        cuts = ", ".join(str(part.start) for part in parts[1:])
        log.warning("Cuts before frames %s; each shot is followed on its own.", cuts)
    nearest = torch.cat([_nearest_found(faces.found[part]) + part.start for part in parts])
    if smooth:
        faces = smooth_faces(faces, float(frame_rate), parts)
    else:
        faces = faces.at(nearest)._replace(score=faces.score, found=faces.found)
    code = None if code is None else code[nearest]
    resting = most_neutral(faces) if neutral is None else neutral
    return DrivingMotion(
        faces=faces,
        canvas=canvas,
        frame_rate=frame_rate,
        neutral=faces.at([resting]),
        floating=neutral is None,
        code=code,
        neutral_code=None if code is None else code[[resting]],
        code_box=code_box,
        shots=shots if len(parts) > 1 else None,
    )


def _nearest_found(found: Tensor) -> Tensor:
    """For each frame [T] the number of the nearest one with a face; `found` [T] is not False everywhere."""
    numbers = found.nonzero()[:, 0]
    frames = torch.arange(len(found), device=found.device)
    return numbers[(frames[:, None] - numbers).abs().argmin(1)]


def _join_codes(codes: list[Tensor | None], parts: list[Faces]) -> Tensor:
    """The codes of all chunks [T,D]; zeros for those before the first face."""
    width = next(code.shape[1] for code in codes if code is not None)
    zeros = (torch.zeros(len(part.found), width) for part in parts)
    return torch.cat([empty if code is None else code for code, empty in zip(codes, zeros)])
