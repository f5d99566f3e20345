"""Comparing one clip's reconstructed frames with the truth, as they stream in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..types import Faces
from . import metrics, regions
from .landmark_metrics import iris_distance, landmark_distance
from .networks import SMALLEST_LPIPS_SIDE, MetricNetworks

Track = Callable[[Sequence[Tensor]], Faces]  # images [3,H,W] in [0,1] -> one face each, in their pixels

_STILL = 1e-4  # second differences below this (0.03 of 255) are a frozen picture: a ratio would be noise


class Truth(NamedTuple):
    """The real frames of one clip and all that is derived from them once. Axis N: the chosen frames."""

    indices: tuple[int, ...]  # frame numbers in the clip, ascending
    sampled: Tensor  # [N] bool, frames that are measured; the others only serve flicker
    images: Tensor  # [N,3,H,W] uint8, to keep a clip's share of memory small
    boxes: regions.Boxes  # axis N, head crops
    hulls: Tensor  # [N,1,256,256], faces in the head crops
    faces: Faces  # axis N, tracked in the head crops
    embeddings: Tensor | None  # [N,128] identity, meaningless where no face was found
    unrest: dict[str, float]  # by region: sum of second differences over all triples
    looks: tuple[list[Tensor] | None, ...]  # N x LPIPS features of the head crop, where sampled and measured


class Measurement(NamedTuple):
    """Means over one clip: values[region][metric], None where undefined."""

    frames: int
    values: dict[str, dict[str, float | None]]


def prepare_truth(
    indices: Sequence[int],
    sampled: Sequence[bool],
    images: Tensor,
    landmarks: Tensor,
    track: Track,
    networks: MetricNetworks,
    full_side: int | None,
) -> Truth:
    """Derive boxes, hulls, faces and embeddings from the true frames.

    `images` [N,3,H,W] uint8; `landmarks` [N,478,3] in their pixels, from tracking the whole clip. The faces
    that metrics compare are tracked afresh in the crops, one by one, exactly as those of the result are.
    """
    boxes = regions.head_boxes(landmarks)
    hulls = regions.hull_masks(regions.to_crop(landmarks, boxes))
    crops = torch.cat(
        [regions.crop(images[i : i + 1].float() / 255, boxes.at(slice(i, i + 1))) for i in range(len(images))]
    )
    faces = _tracked(crops, track)
    embeddings = networks.identity(crops, faces.landmarks) if networks.identity else None
    looks = tuple(
        networks.lpips.features(crops[i : i + 1]) if networks.lpips is not None and sampled[i] else None
        for i in range(len(images))
    )
    unrest: dict[str, float] = dict.fromkeys(_measured(full_side), 0.0)
    for last in range(len(indices)):
        if _ends_triple(indices, last):
            middle, triple = slice(last - 1, last), images[last - 2 : last + 1].float() / 255
            for region, value in _second_differences(triple, boxes.at(middle), hulls[middle], full_side).items():
                unrest[region] += float(value)
    return Truth(tuple(indices), torch.tensor(sampled), images, boxes, hulls, faces, embeddings, unrest, looks)


@torch.inference_mode()
def measure(
    truth: Truth,
    results: Iterable[Tensor],
    track: Track,
    networks: MetricNetworks,
    full_side: int | None,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Measurement:
    """Compare a stream of results with the truth.

    Args:
        results: chunks [n,3,H,W] in [0,1], together one frame for each frame of `truth`, in order.
        full_side: full frames are reduced to at most this many pixels on their longer side; 0 = never,
            None = full frames are not measured.
        watch: called with (position on axis N, head crop [3,256,256]) of every measured result.
    """
    gathered: dict[str, dict[str, list[Tensor]]] = {region: {} for region in _measured(full_side)}
    unrest: dict[str, float] = dict.fromkeys(gathered, 0.0)  # sums of second differences over triples
    recent: list[Tensor] = []  # the last three results, for second differences
    position = 0
    for chunk in results:
        for image in chunk.clamp(0, 1).cpu().float():
            recent = [*recent[-2:], image]
            if truth.sampled[position]:
                found = _compare(truth, position, image, track, networks, full_side, watch)
                for region, values in found.items():
                    for key, value in values.items():
                        gathered[region].setdefault(key, []).append(value)
            if _ends_triple(truth.indices, position):
                middle = slice(position - 1, position)
                triple = torch.stack(recent)
                seen = _second_differences(triple, truth.boxes.at(middle), truth.hulls[middle], full_side)
                for region, value in seen.items():
                    unrest[region] += float(value)
            position += 1
    if position != len(truth.indices):
        raise AssertionError(f"{position} results for {len(truth.indices)} frames")
    means = {region: {key: _mean(found[key]) for key in found} for region, found in gathered.items()}
    for region, value in unrest.items():
        real = truth.unrest[region]
        moving = real > _STILL * count_triples(truth.indices)
        means[region]["flicker"] = value / real if moving else None
    return Measurement(int(truth.sampled.sum()), means)


def count_triples(indices: Sequence[int]) -> int:
    """How many frames are the last of three consecutive ones."""
    return sum(_ends_triple(indices, i) for i in range(len(indices)))


def _compare(
    truth: Truth,
    position: int,
    image: Tensor,
    track: Track,
    networks: MetricNetworks,
    full_side: int | None,
    watch: Callable[[int, Tensor], None] | None,
) -> dict[str, dict[str, Tensor]]:
    """Metrics of one result [3,H,W] by region; every value is [1], NaN where undefined."""
    at = slice(position, position + 1)
    pair = torch.stack([image, truth.images[position].float() / 255])
    box = truth.boxes.at([position, position])
    made, real = regions.crop(pair, box).split(1)
    if watch is not None:
        watch(position, made[0])
    head, face = _picture_metrics(made, real, [None, truth.hulls[at]], networks, truth.looks[position])
    found = {"head": head | _face_metrics(truth, at, made, track, networks), "face": face}
    if full_side is not None:
        full = regions.shrink(pair, full_side)
        (found["full"],) = _picture_metrics(full[:1], full[1:], [None], networks)
    return found


def _picture_metrics(
    made: Tensor,
    real: Tensor,
    masks: Sequence[Tensor | None],
    networks: MetricNetworks,
    real_look: Sequence[Tensor] | None = None,
) -> list[dict[str, Tensor]]:
    """Metrics of one pair of pictures [1,3,H,W] under each mask; `real_look`: LPIPS features of `real` if known."""
    found = [
        {
            "l1": metrics.l1(made, real, mask),
            "psnr": metrics.psnr(made, real, mask),
            "ssim": similarity.ssim,
            "ms_ssim": similarity.ms_ssim,
        }
        for mask, similarity in zip(masks, metrics.similarity_by_mask(made, real, masks))
    ]
    if networks.lpips is not None and min(made.shape[-2:]) >= SMALLEST_LPIPS_SIDE:
        look = networks.lpips.features(real) if real_look is None else real_look
        for values, distance in zip(found, networks.lpips.between(networks.lpips.features(made), look, masks)):
            values["lpips"] = distance
    return found


def _face_metrics(truth: Truth, at: slice, made: Tensor, track: Track, networks: MetricNetworks) -> dict[str, Tensor]:
    """What the tracker and the identity network say of one head crop; nothing where the truth has no face."""
    real = truth.faces.at(at)
    if not real.found[0]:
        return {}
    seen = _tracked(made, track)
    lost = ~seen.found
    if lost[0]:
        return {"lost": lost.float()}
    values = {
        "akd": landmark_distance(seen.landmarks, real.landmarks),
        "iris": iris_distance(seen.landmarks, real.landmarks),
        "lost": lost.float(),
    }
    if networks.identity is not None and truth.embeddings is not None:
        embedding = networks.identity(made, seen.landmarks)
        values["identity_sface"] = (embedding * truth.embeddings[at]).sum(dim=1)
    return values


def _tracked(crops: Tensor, track: Track) -> Faces:
    """Faces in crops [N,3,256,256], on the CPU wherever the tracker runs."""
    return Faces(*(values.cpu() for values in track(list(crops))))


def _second_differences(frames: Tensor, box: regions.Boxes, hull: Tensor, full_side: int | None) -> dict[str, Tensor]:
    """Second difference of three frames [3,3,H,W] by region, all cut with the middle one's box and hull."""
    head = regions.crop(frames, box.at([0, 0, 0]))
    found = {"head": metrics.second_difference(head), "face": metrics.second_difference(head, hull)}
    if full_side is not None:
        found["full"] = metrics.second_difference(regions.shrink(frames, full_side))
    return found


def _measured(full_side: int | None) -> tuple[str, ...]:
    """Names of the regions that are measured."""
    return tuple(name for name in regions.NAMES if name != "full" or full_side is not None)


def _ends_triple(indices: Sequence[int], position: int) -> bool:
    return position >= 2 and indices[position] - indices[position - 2] == 2


def _mean(parts: list[Tensor]) -> float | None:
    """Mean over frames, leaving out NaN."""
    values = torch.cat(parts).double()
    known = values[~values.isnan()]
    return float(known.mean()) if len(known) else None
