"""Motion cut, stretched, repeated, turned back, joined and blended: everything that concerns time.

Times are frame numbers of the motion that is given; a stretch `start:stop` leaves `stop` out, as slices do.
"""

from __future__ import annotations

import logging
import math
from fractions import Fraction

import torch
from torch import Tensor

from ..errors import ReenactError
from ..tracking import smooth_faces
from ..types import DrivingMotion, Faces
from .mixing import choose, gaussian, mix_codes, mix_faces, nearest_rotation, on_base, smooth_steps

log = logging.getLogger(__name__)

MOST_FRAMES = 100_000  # of a result; a slip of the keyboard should not fill the memory


def frame_count(motion: DrivingMotion) -> int:
    """T."""
    return len(motion.faces.score)


def trim(motion: DrivingMotion, start: int = 0, stop: int | None = None) -> DrivingMotion:
    """The frames start, start + 1, ... stop - 1. Negative numbers count from the end; None is the end.

    Raises:
        ReenactError: nothing is left.
    """
    frames = range(frame_count(motion))[start:stop]
    if not frames:
        raise ReenactError(
            f"Trimming to {start}:{'' if stop is None else stop} leaves nothing: the motion has frames 0 to "
            f"{frame_count(motion) - 1}. Choose an earlier `start` or a later `stop`."
        )
    return motion.at(slice(frames.start, frames.stop))


def retime(
    motion: DrivingMotion, speed: float = 1.0, frame_rate: Fraction | None = None, length: float | None = None
) -> DrivingMotion:
    """The motion at another speed, frame rate or length; frames that fall between are interpolated.

    Args:
        speed: 2 takes half the time. frame_rate: of the result; None keeps it.
        length: seconds that the result shall take; the speed then follows from it.
    Raises:
        ReenactError: a value is not positive, or the result would be too long.
    """
    rate = motion.frame_rate if frame_rate is None else frame_rate
    for name, value in (("speed", speed), ("frame rate", rate), ("length", 1 if length is None else length)):
        if not (math.isfinite(value) and value > 0):
            raise ReenactError(f"The {name} is {value}, but must be larger than 0.")
    last = frame_count(motion) - 1
    if length is None:
        step = speed * float(motion.frame_rate / rate)
        count = int(last / step + 1e-4) + 1
    else:
        count = max(1, round(length * rate))
        step = last / max(count - 1, 1)
    if count > MOST_FRAMES:
        raise ReenactError(f"The motion would get {count} frames, more than {MOST_FRAMES}. Choose a higher speed.")
    positions = (torch.arange(count, dtype=torch.float64) * step).clamp(0, last)
    return sample_motion(motion, positions)._replace(frame_rate=rate)


def sample_motion(motion: DrivingMotion, positions: Tensor) -> DrivingMotion:
    """The motion at `positions` [S] in frames, 0 to T - 1; whole numbers give the frames themselves.

    Between frames landmarks follow a Catmull-Rom spline through four of them, rotations turn evenly. Across a cut
    nothing is interpolated: the shot before it holds its last frame.
    """
    last = frame_count(motion) - 1
    whole = positions.round()
    positions = torch.where((positions - whole).abs() < 1e-4, whole, positions)
    before = positions.floor().long().clamp(0, last)
    share = (positions - before).float()
    spans = motion.shot_spans()
    lengths = torch.tensor([span.stop - span.start for span in spans])
    first = torch.tensor([span.start for span in spans]).repeat_interleave(lengths)[before]
    final = torch.tensor([span.stop - 1 for span in spans]).repeat_interleave(lengths)[before]
    around = [torch.minimum(torch.maximum(before + step, first), final) for step in (-1, 0, 1, 2)]
    share = torch.where(before == final, 0.0, share)
    faces = motion.faces
    between = mix_faces(faces.at(around[1]), faces.at(around[2]), share)
    curved = between._replace(
        landmarks=_spline([faces.landmarks[i] for i in around], share),
        blendshapes=_spline([faces.blendshapes[i] for i in around], share).clamp(0, 1),
    )
    sampled = choose(share == 0, faces.at(before), curved)
    code = None if motion.code is None else _spline([motion.code[i] for i in around], share)
    shots = None if motion.shots is None else motion.shots[before]
    scene = motion.scene
    if scene is not None and scene.camera is not None:
        camera = torch.lerp(scene.camera[around[1]], scene.camera[around[2]], share[:, None, None])
        scene = scene._replace(camera=camera)
    return motion._replace(faces=sampled, code=code, shots=shots, scene=scene)


def reverse(motion: DrivingMotion) -> DrivingMotion:
    """The last frame first."""
    return motion.at(torch.arange(frame_count(motion) - 1, -1, -1))


def concatenate(first: DrivingMotion, second: DrivingMotion, crossfade: int = 0) -> DrivingMotion:
    """One motion after the other, as motion of the first one's resting face and at its frame rate.

    Args:
        crossfade: frames in which the end of the first goes over into the beginning of the second.
    Raises:
        ReenactError: the crossfade is longer than one of the two.
    """
    second = on_base(retime(second, frame_rate=first.frame_rate), first)
    one, two = frame_count(first), frame_count(second)
    if not 0 <= crossfade <= min(one, two):
        raise ReenactError(
            f"The crossfade is {crossfade} frames, but must lie between 0 and {min(one, two)}, the length of the "
            "shorter motion."
        )
    parts = [trim(first, 0, one - crossfade)] if crossfade < one else []
    if crossfade:
        parts.append(_blended(trim(first, one - crossfade), trim(second, 0, crossfade), smooth_steps(crossfade)))
    parts += [trim(second, crossfade)] if crossfade < two else []
    codes = [part.code for part in parts if part.code is not None]
    joined = len(codes) == len(parts) and len({code.shape[1] for code in codes}) == 1
    return first._replace(
        faces=Faces(*(torch.cat(fields) for fields in zip(*(part.faces for part in parts)))),
        code=torch.cat(codes) if joined else None,
        shots=_shots_in_a_row(first, second, crossfade),
        scene=None,
    )


def loop(motion: DrivingMotion, times: int = 1, crossfade: int = 0) -> DrivingMotion:
    """The motion `times` times in a row; the crossfade, in frames, goes over from the end to the beginning.

    Raises:
        ReenactError: `times` is below 1, the result too long, or the crossfade longer than half the motion.
    """
    count = frame_count(motion)
    if times < 1 or times * count > MOST_FRAMES:
        raise ReenactError(f"The motion shall run {times} times; choose 1 to {MOST_FRAMES // count}.")
    if times > 1 and not 0 <= crossfade <= count // 2:
        raise ReenactError(f"The crossfade is {crossfade} frames, but must lie between 0 and {count // 2}.")
    if times == 1:
        return motion
    pair = concatenate(motion, motion, crossfade)
    period = count - crossfade  # from the end of one crossfade to the end of the next
    further = torch.arange(period, 2 * period).repeat(times - 1)
    frames = torch.cat([torch.arange(period), further, torch.arange(2 * period, 2 * period + crossfade)])
    shots = None
    if pair.shots is not None:
        cuts = torch.cat([torch.zeros(1, dtype=torch.long), (pair.shots.diff() != 0).long()])
        shots = cuts[frames].cumsum(0)
    return pair.at(frames)._replace(shots=shots)


def blend(first: DrivingMotion, second: DrivingMotion, share: float = 0.5) -> DrivingMotion:
    """Both motions at once: 0 is the first, 1 the second, as motion of the first one's resting face.

    The second is brought to the first one's frame rate; the shorter one decides how long it takes.

    Raises:
        ReenactError: the share lies outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ReenactError(f"The share of the second motion is {share}, but must lie between 0 and 1.")
    second = on_base(retime(second, frame_rate=first.frame_rate), first)
    count = min(frame_count(first), frame_count(second))
    return _blended(trim(first, 0, count), trim(second, 0, count), torch.full((count,), float(share)))


def low_pass(motion: DrivingMotion, cutoff: float) -> DrivingMotion:
    """Movement slower than `cutoff` (in Hz) only: at that frequency half of the power is left. No lag.

    Raises:
        ReenactError: the cutoff is not positive.
    """
    if not (math.isfinite(cutoff) and cutoff > 0):
        raise ReenactError(f"The cutoff is {cutoff} Hz, but must be larger than 0.")
    spread = math.sqrt(math.log(2)) / (2 * math.pi * cutoff) * float(motion.frame_rate)
    if spread < 0.1:  # the neighbours would count less than 1e-20
        return motion
    faces = motion.faces

    def slow(values: Tensor) -> Tensor:
        return torch.cat([gaussian(values[span], spread) for span in motion.shot_spans()])

    smoothed = faces._replace(
        landmarks=slow(faces.landmarks),
        blendshapes=slow(faces.blendshapes),
        rotation=nearest_rotation(slow(faces.rotation)),
    )
    return motion._replace(faces=smoothed, code=None if motion.code is None else slow(motion.code))


def calm(motion: DrivingMotion) -> DrivingMotion:
    """Without a tracker's jitter; quick movement stays as it is (see `tracking.smoothing`)."""
    everywhere = motion.faces._replace(found=torch.ones_like(motion.faces.found))
    smoothed = smooth_faces(everywhere, float(motion.frame_rate), motion.shot_spans())
    return motion._replace(faces=smoothed._replace(found=motion.faces.found))


def _blended(first: DrivingMotion, second: DrivingMotion, share: Tensor) -> DrivingMotion:
    """Two motions of the same length and resting face, mixed by share [T]."""
    shots = None
    if first.shots is not None or second.shots is not None:
        cuts = torch.zeros(len(share), dtype=torch.long)
        for span in (*first.shot_spans()[1:], *second.shot_spans()[1:]):
            cuts[span.start] = 1
        shots = cuts.cumsum(0)
    return first._replace(
        faces=mix_faces(first.faces, second.faces, share),
        code=mix_codes(first.code, second.code, share),
        shots=shots,
        scene=None,
    )


def _shots_in_a_row(first: DrivingMotion, second: DrivingMotion, crossfade: int) -> Tensor | None:
    """The shots of a concatenation; a crossfade is no cut."""
    if first.shots is None and second.shots is None:
        return None
    one, two = (torch.zeros(frame_count(m), dtype=torch.long) if m.shots is None else m.shots for m in (first, second))
    later = two[crossfade:] - two[0] + one[-1] + (0 if crossfade else 1)
    return torch.cat([one, later])


def _spline(points: list[Tensor], share: Tensor) -> Tensor:
    """Catmull-Rom between the second and the third of four points [S,...], at share [S] of the way."""
    a, b, c, d = points
    x = share.view(-1, *[1] * (a.dim() - 1))
    bend = (2 * a - 5 * b + 4 * c - d) * x.square() + (3 * (b - c) + d - a) * x**3
    return b + ((c - a) * x + bend) / 2
