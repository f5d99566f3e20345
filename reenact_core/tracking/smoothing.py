"""Removing the tracker's jitter from a whole clip, without lag and without flattening blinks or speech.

Whole clips are known, so the filter looks both ways: each point becomes the mean of its own places in the
frames around, weighted by closeness in time and by likeness of place (a bilateral filter, Tomasi and Manduchi
1998, over time, of the midpoints of symmetric pairs). At rest all the frames around agree and average out the
noise; in a sudden movement none of them does and the point stays where it was seen. Steady movement passes
unchanged, since the midpoint of the frames before and after is where the point is.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import FaceError
from ..types import Faces
from .mesh import canonical_mesh
from .pose import head_rotation

log = logging.getLogger(__name__)

SPREAD = 0.12  # seconds, standard deviation of the weights over time
REACH = 2.5  # standard deviations after which the weights end
TOLERANCE = 1.5  # distance in standard deviations of the noise at which likeness fades
NOISE = (0.0004, 0.002)  # smallest and largest noise to expect, in sizes of the face
EXPRESSION_NOISE = (0.003, 0.02)  # the same for blendshapes
ALONE = 3.0  # how much more a single point must have moved than its neighbourhood to count as moving
NEIGHBOURHOOD = 0.5  # centimetres on the canonical face over which likeness is judged
# Products near the end of float32's range slow a processor down a hundredfold, so neighbours that count less than this
# do not count, and no likeness is smaller than that of this squared distance: both are nothing beside a weight of 1.
LEAST_SHARE, FARTHEST = 1e-12, 200.0


def smooth_faces(faces: Faces, frame_rate: float, shots: Sequence[slice] | None = None) -> Faces:
    """The faces of a whole clip without jitter and without gaps.

    faces: T successive frames; frame_rate: frames per second; shots: consecutive runs of frames, each with at least
    one face, across whose borders nothing is averaged (None = one run). Frames where nobody was found are interpolated
    between their neighbours (held before the first and after the last) and listed in a warning; their `found`
    stays False and their score zero. Rotations are fitted anew to the smoothed landmarks.
    Raises FaceError if no frame has a face.
    """
    found = faces.found.nonzero()[:, 0]
    if len(found) == 0:
        raise FaceError(
            f"No face was found in any of the {len(faces.found)} frames. Use a clip in which one face is well visible."
        )
    if len(found) < len(faces.found):
        log.warning("No face in frames %s; the motion there is interpolated.", _spans(~faces.found))
    parts = [_smooth_shot(faces.at(shot), SPREAD * frame_rate) for shot in shots or [slice(None)]]
    landmarks, blendshapes = (torch.cat(values) for values in zip(*parts))
    return faces._replace(landmarks=landmarks, blendshapes=blendshapes, rotation=head_rotation(landmarks))


def _smooth_shot(faces: Faces, spread: float) -> tuple[Tensor, Tensor]:
    """Landmarks and blendshapes of one shot without gaps and jitter; spread in frames."""
    found = faces.found.nonzero()[:, 0]
    landmarks = _fill(faces.landmarks.float(), found)
    size = float((landmarks.amax(1) - landmarks.amin(1))[:, :2].amax(1).median())
    blendshapes = _fill(faces.blendshapes.float(), found)
    return _smooth_points(landmarks, spread, size), _smooth_values(blendshapes, spread)


def _spans(missing: Tensor) -> str:
    """[T] bool -> "3-5, 9"."""
    frames = missing.nonzero()[:, 0].tolist()
    spans: list[list[int]] = []
    for frame in frames:
        if spans and frame == spans[-1][1] + 1:
            spans[-1][1] = frame
        else:
            spans.append([frame, frame])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _fill(values: Tensor, found: Tensor) -> Tensor:
    """Values [T,...] with the frames not in `found` interpolated linearly."""
    frames = torch.arange(len(values), device=values.device)
    after = torch.searchsorted(found, frames).clamp_max(len(found) - 1)
    before = (torch.searchsorted(found, frames, right=True) - 1).clamp_min(0)
    first, last = found[before], found[after]
    share = ((frames - first) / (last - first).clamp_min(1)).clamp(0, 1)
    share = share.view(-1, *[1] * (values.dim() - 1)).to(values)
    return values[first] + (values[last] - values[first]) * share


@cache
def _neighbours() -> Tensor:
    """[478,478] rows sum to one: how much each landmark counts in judging how far another one moved."""
    vertices = canonical_mesh()[0]
    weights = torch.zeros(478, 478)
    weights[:468, :468] = torch.exp(-torch.cdist(vertices, vertices).square() / (2 * NEIGHBOURHOOD**2))
    for iris in (slice(468, 473), slice(473, 478)):
        weights[iris, iris] = 1.0
    return F.threshold(weights, LEAST_SHARE, 0.0) / weights.sum(1, keepdim=True)


def _noise(values: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Standard deviation [P] of the noise per coordinate of tracks [D,T,P] (D 1 or 2), from calm second differences."""
    if values.shape[1] < 5:
        return values.new_full((values.shape[2],), bounds[0])
    bend = (values[:, 2:] - 2 * values[:, 1:-1] + values[:, :-2]).square().sum(0)  # [T-2,P], mean 6 * D * variance
    calm = 0.575 if len(values) == 2 else 0.102  # lower quartile of the chi-square distribution
    return (bend.quantile(0.25, dim=0) / (6 * calm)).sqrt().clamp(*bounds)


def _smooth_points(points: Tensor, spread: float, size: float) -> Tensor:
    """points [T,478,3] px; spread in frames; size of the face in px."""
    planes = points.movedim(2, 0).contiguous()
    near = _neighbours().to(points)
    noise = (near @ _noise(planes[:2], (NOISE[0] * size, NOISE[1] * size)).square()).sqrt()

    def distance(first: Tensor, second: Tensor) -> Tensor:
        own = (first[:2] - second[:2]).square().sum(0) / (2 * noise**2)
        return torch.maximum(own @ near.T, own / ALONE)  # a point may also move alone, but must move more

    return _average(planes, spread, distance).movedim(0, 2).contiguous()


def _smooth_values(values: Tensor, spread: float) -> Tensor:
    """values [T,C], each on its own."""
    noise = _noise(values[None], EXPRESSION_NOISE)

    def distance(first: Tensor, second: Tensor) -> Tensor:
        return ((first - second)[0] / noise).square()

    return _average(values[None], spread, distance)[0]


def _average(values: Tensor, spread: float, distance: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Adaptive mean of values [D,T,P] over T; `distance` of [D,t,P] gives [t,P], squared, in variances of the noise.

    The frames `step` before and after enter as one: their midpoint is where steady movement would put the point.
    At the ends of the clip, where one of the two is missing, the other stands for itself. Likeness never grows
    with the distance in time, so that nothing beyond an event counts.
    """
    length = values.shape[1]
    total, weight = values.clone(), torch.ones_like(values[0])
    likeness = torch.ones_like(weight)

    def enter(frames: slice, place: Tensor, share: float, variance: float) -> None:
        like = torch.exp(-(distance(values[:, frames], place) - variance).clamp(0, FARTHEST) / (2 * TOLERANCE**2))
        likeness[frames] = like = torch.minimum(likeness[frames], like)
        total[:, frames] += share * like * place
        weight[frames] += share * like

    for step in range(1, min(int(REACH * spread), length - 1) + 1):
        closeness = math.exp(-(step**2) / (2 * spread**2))
        ends = min(step, length - step)
        if length > 2 * step:
            enter(slice(step, -step), (values[:, : -2 * step] + values[:, 2 * step :]) / 2, 2 * closeness, 1.5)
        enter(slice(0, ends), values[:, step : step + ends], closeness, 2.0)
        enter(slice(-ends, None), values[:, -step - ends : -step], closeness, 2.0)
    return total / weight
