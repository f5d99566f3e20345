"""Does the result do what the driver does, and is it still the same person? Measured by tracking the result again.

Between two people there is no true picture to compare with. What can be compared frame by frame: the course of
each channel of motion (Pearson correlation and slope), whether lips and eyes close together, how restless the
landmarks are, and whether the identity network takes the result for the person of the references as surely as it
takes another real frame of that person at a like head pose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..motion_models import mesh_flows
from ..motion_models.mesh_flows import face_height
from ..pose import euler_degrees
from ..tracking import BLENDSHAPE_NAMES
from ..types import Faces
from .landmark_metrics import EYE_CORNERS
from .likeness import Seen

LIKE_POSE = 10.0  # degrees between two heads that count as seen alike
APART = 12  # frames between two real frames that are compared: neighbours in a video are nearly the same picture
SHUT = 0.2  # of the usual opening; below, lips or lids count as closed
LIDS = ((159, 145), (386, 374))  # upper, lower; right eye, left eye


class Channel(NamedTuple):
    """One course over time that driver and result should share."""

    key: str
    read: Callable[[Faces], Tensor]  # -> [T]
    still: float  # standard deviation of the driver below which there is nothing to follow


class ChannelAgreement(NamedTuple):
    """How one channel of the result follows the driver's."""

    key: str
    spread: float  # standard deviation of the driver, in the channel's unit
    correlation: float | None  # -1..1; None where the driver does not move
    slope: float | None  # how far the result goes where the driver goes by 1; None as above


class Closure(NamedTuple):
    """Lips or lids that close together."""

    frames: int  # in which the driver's are closed
    share: float | None  # of them in which the result's are; None where there are none


def shape_mean(*names: str) -> Callable[[Faces], Tensor]:
    """A reader of the mean of some blendshapes: faces -> [T]."""
    index = [BLENDSHAPE_NAMES.index(name) for name in names]
    return lambda faces: faces.blendshapes[:, index].mean(1)


def _angle(number: int) -> Callable[[Faces], Tensor]:
    return lambda faces: euler_degrees(faces.rotation)[:, number]


def _gaze(faces: Faces) -> Tensor:
    """Sideways gaze [T], about -1..1; > 0 looks to the image's right."""
    right = shape_mean("eyeLookOutLeft", "eyeLookInRight")(faces)
    return right - shape_mean("eyeLookInLeft", "eyeLookOutRight")(faces)


CHANNELS = (
    Channel("yaw", _angle(0), 1.5),
    Channel("pitch", _angle(1), 1.5),
    Channel("roll", _angle(2), 1.5),
    Channel("jaw", shape_mean("jawOpen"), 0.02),
    Channel("blink", shape_mean("eyeBlinkLeft", "eyeBlinkRight"), 0.04),
    Channel("smile", shape_mean("mouthSmileLeft", "mouthSmileRight"), 0.04),
    Channel("gaze", _gaze, 0.04),
)


def channel_agreement(driver: Faces, result: Faces) -> tuple[ChannelAgreement, ...]:
    """Every channel's agreement; the faces are the same T frames. Frames without a face in either are left out."""
    both = driver.found & result.found
    driver, result = driver.at(both), result.at(both)
    agreements = []
    for channel in CHANNELS:
        if not both.any():
            agreements.append(ChannelAgreement(channel.key, 0.0, None, None))
            continue
        wanted, got = channel.read(driver).double(), channel.read(result).double()
        wanted, got = wanted - wanted.mean(), got - got.mean()
        spread = float(wanted.square().mean().sqrt())
        correlation = slope = None
        if spread >= channel.still:
            correlation = float(wanted @ got / (wanted.norm() * got.norm()).clamp_min(1e-12))
            slope = float(wanted @ got / (wanted @ wanted))
        agreements.append(ChannelAgreement(channel.key, spread, correlation, slope))
    return tuple(agreements)


def lip_gap(faces: Faces) -> Tensor:
    """Opening between the lips [T] in face heights."""
    return mesh_flows.lip_gap(faces.landmarks)


def lid_gap(faces: Faces) -> Tensor:
    """Opening between the lids [T] in widths of the eye, mean of both."""
    corners = faces.landmarks[:, torch.tensor(EYE_CORNERS)]
    return _gap(faces, LIDS) / (corners[:, :, 0] - corners[:, :, 1]).norm(dim=-1).mean(1).clamp_min(1e-6)


def _gap(faces: Faces, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    points = faces.landmarks[:, torch.tensor(pairs)]  # [T,P,2,3]
    return (points[:, :, 0] - points[:, :, 1]).norm(dim=-1).mean(1)


def lip_closure(driver: Faces, result: Faces) -> Closure:
    """Whether the result's lips are closed where the driver's are; closed is the same small gap for everyone."""
    closed = (lip_gap(driver) < 0.012) & driver.found & result.found
    return _closure(closed, lip_gap(result) < 0.018)


def lid_closure(driver: Faces, result: Faces, usual: float) -> Closure:
    """Whether the result's eyes are shut where the driver's are.

    usual: this person's lid gap with open eyes (`lid_gap` of real frames), since eyes differ.
    """
    gap = lid_gap(driver)
    closed = (gap < (SHUT + 0.15) * gap[driver.found].quantile(0.9)) & driver.found & result.found
    return _closure(closed, lid_gap(result) < (SHUT + 0.25) * usual)


def _closure(closed: Tensor, followed: Tensor) -> Closure:
    count = int(closed.sum())
    return Closure(count, float(followed[closed].float().mean()) if count else None)


def jitter_ratio(driver: Faces, result: Faces, numbers: Sequence[int]) -> float | None:
    """Restlessness of the result's landmarks against the driver's: median second difference over successive frames,
    in median heights of the face, since chins move; 1 = as calm. `numbers` are those of the T frames in the driver's
    clip. None where no three follow each other or where the driver is a still picture."""
    if len(numbers) < 3:
        return None
    good = driver.found & result.found
    follow = torch.tensor(numbers).diff() == 1
    triples = good[2:] & good[1:-1] & good[:-2] & follow[1:] & follow[:-1]
    if not triples.any():
        return None
    unrest = []
    for faces in (driver, result):
        points = faces.landmarks[..., :2] / face_height(faces.landmarks[good]).median()
        unrest.append((points[2:] - 2 * points[1:-1] + points[:-2]).norm(dim=-1).mean(1)[triples])
    if float(unrest[0].median()) < 1e-6:
        return None
    return float(unrest[1].median() / unrest[0].median())


class IdentityAgreement(NamedTuple):
    """Identity similarity of results, and of real frames among themselves, at like poses."""

    result: float  # mean cosine of results with real frames
    real: float  # mean cosine of real frames with other real frames
    frames: int  # results that had real frames of a like pose to be compared with

    @property
    def ratio(self) -> float:
        """1 = taken for the same person as surely as another real frame."""
        return self.result / self.real


def identity_agreement(
    embeddings: Tensor, rotation: Tensor, real_embeddings: Tensor, real_rotation: Tensor, real_numbers: Tensor
) -> IdentityAgreement | None:
    """Similarity of results to real frames, against that of real frames to one another, at like head poses.

    A result is compared with all real frames within LIKE_POSE degrees; each of those is compared with the others
    that are so near to the result and at least APART frames away in their video.

    Args:
        embeddings: [T,128] unit length, of results. rotation: [T,3,3] heads of the results.
        real_embeddings: [N,128], real_rotation: [N,3,3], real_numbers: [N] frame numbers of real frames.
    Returns:
        None where no result has two real frames of a like pose.
    """
    trace = torch.einsum("tij,nij->tn", rotation, real_rotation)
    near = torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos()) <= LIKE_POSE  # [T,N]
    apart = (real_numbers[:, None] - real_numbers).abs() >= APART  # [N,N]
    among = real_embeddings @ real_embeddings.T
    similarity = embeddings @ real_embeddings.T
    results, reals = [], []
    for t in range(len(embeddings)):
        pairs = near[t][:, None] & near[t] & apart
        if pairs.any():
            results.append(similarity[t][near[t]].mean())
            reals.append(among[pairs].mean())
    if not results:
        return None
    return IdentityAgreement(float(torch.stack(results).mean()), float(torch.stack(reals).mean()), len(results))


def agreement(
    driver: Faces, numbers: Sequence[int], result: Seen, real: Seen, real_numbers: Sequence[int]
) -> dict[str, float | None]:
    """All of the above for T frames: key of `transfer_result.AGREEMENT`, or `<channel>_slope` -> value.

    Args:
        driver: axis T, tracked as the results are, picture by picture. numbers: of its frames.
        real: real frames of the person, axis N, of which `real_numbers` are the numbers; repetitions count once.
    """
    values: dict[str, float | None] = {}
    for channel in channel_agreement(driver, result.faces):
        values |= {channel.key: channel.correlation, f"{channel.key}_slope": channel.slope}
    values["lips"] = lip_closure(driver, result.faces).share
    once = [i for i, number in enumerate(real_numbers) if number not in real_numbers[:i] and bool(real.faces.found[i])]
    if once and driver.found.any():
        usual = float(lid_gap(real.faces.at(once)).quantile(0.9))
        values["lids"] = lid_closure(driver, result.faces, usual).share
    values["jitter"] = jitter_ratio(driver, result.faces, numbers)
    if result.embeddings is not None and real.embeddings is not None:
        found = result.faces.found
        identity = identity_agreement(
            result.embeddings[found], result.faces.rotation[found], real.embeddings[once],
            real.faces.rotation[once], torch.tensor(real_numbers)[once],
        )  # fmt: skip
        values["identity_pose"] = None if identity is None else identity.ratio
    return values
