"""Stage 1: images of one person become References; choosing good ones from many frames."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import FaceError, ImageError, ReenactError
from .motion_models.mesh_flows import face_height
from .pose import descriptor, expressiveness
from .tracking import FaceTracker
from .types import Faces, References
from .video import VideoReader

log = logging.getLogger(__name__)

ENOUGH = 0.72  # share of the usual number of pixels of a face that is as good as all of them


def encode_references(
    images: Sequence[Tensor],
    tracker: FaceTracker,
    masks: Sequence[Tensor | None] | None = None,
    strengths: Sequence[float] | None = None,
    labels: Sequence[str] | None = None,
) -> References:
    """Track the face in every image and bundle what the later stages need.

    Args:
        images: R tensors [3,H_r,W_r] in [0,1], of any sizes.
        masks: per image [1,H_r,W_r] in [0,1], 1 = may be used, or None for all of it.
        strengths: per image >= 0; larger counts more. Default 1.
        labels: per image, for messages and previews. Default "reference 1" ...
    Raises:
        ImageError: empty list, wrong shape, values that are not finite, or a mask that leaves nothing.
        FaceError: no image shows a face. Single images without one are left out with a warning.
    """
    if not images:
        raise ImageError("No reference images were given. Give at least one picture of the person.")
    names = list(labels) if labels else [f"reference {i + 1}" for i in range(len(images))]
    weights = torch.tensor([1.0] * len(images) if strengths is None else [float(s) for s in strengths])
    if len(weights) != len(images) or (weights < 0).any() or not weights.isfinite().all() or weights.sum() <= 0:
        raise ReenactError(
            f"Reference strengths must be {len(images)} numbers >= 0, not all zero; got {weights.tolist()}."
        )
    given = list(masks) if masks else [None] * len(images)
    for what, values in (("labels", names), ("masks", given)):
        if len(values) != len(images):
            raise ReenactError(f"There are {len(images)} reference images, but {len(values)} {what}.")
    for image, mask, name in zip(images, given, names):
        _check_image(image, mask, name)
    faces = tracker.track_images(images).cpu()
    kept = [i for i in range(len(images)) if faces.found[i] and weights[i] > 0]
    lost = [names[i] for i in range(len(images)) if not faces.found[i]]
    if len(lost) == len(images):
        raise FaceError(
            f"No face was found in any of the {len(images)} reference image(s) ({', '.join(lost[:4])}). "
            "Use pictures in which the face is visible and at least about 40 pixels wide."
        )
    if lost:
        log.warning("No face found in %s: left out.", ", ".join(lost))
    if not kept:
        raise FaceError("Every reference that shows a face has strength 0. Raise one of the strengths.")
    usable = [_full_mask(given[i], images[i]) for i in kept]
    for number, mask in zip(kept, usable):
        if not (mask > 0).any():
            raise ImageError(
                f"{names[number]}: all of it is masked or transparent, so that nothing may be used. Mask less of it, "
                "or give it the strength 0."
            )
    return References(
        images=tuple(images[i] for i in kept),
        masks=tuple(usable),
        faces=faces.at(kept),
        strengths=weights[kept],
        labels=tuple(names[i] for i in kept),
    )


def pick_by_coverage(faces: Faces, count: int, sharpness: Tensor | None = None) -> list[int]:
    """Indices of `count` frames that together cover poses and expressions best, in order of choice.

    The first is the most ordinary frame (nearest to the median descriptor), because it sets the canvas in relative
    mode; each further one is the frame farthest from all chosen so far, in units of visible difference, discounted
    by blur and by smallness, because a small face is blurred when it is enlarged. Frames without a face are never
    chosen; fewer are returned where there are not enough.

    Args:
        faces: axis N. sharpness: [N] >= 0, or None.
    """
    usable = faces.found.nonzero().flatten()
    if len(usable) == 0:
        raise FaceError("No frame shows a face, so no reference can be picked from it.")
    points = descriptor(faces)[usable]
    pixels = face_height(faces.landmarks[usable]).square()
    quality = _share_of_median(pixels, ENOUGH)
    if sharpness is not None:
        quality = quality * _share_of_median(sharpness[usable])
    start = ((points - points.median(0).values).norm(dim=1) / quality).argmin()
    chosen = [int(start)]
    nearest = (points - points[start]).norm(dim=1)
    while len(chosen) < min(count, len(usable)):
        best = int((nearest * quality).argmax())
        if nearest[best] <= 1e-6:
            break
        chosen.append(best)
        nearest = torch.minimum(nearest, (points - points[best]).norm(dim=1))
    return [int(usable[i]) for i in chosen]


def _share_of_median(values: Tensor, enough: float = 1.0) -> Tensor:
    """Values [N] >= 0 as shares of `enough` times their median, 0.2..1."""
    return (values / (enough * values.median()).clamp_min(1e-6)).clamp(0.2, 1.0)


def pick_frames(path: Path, count: int, tracker: FaceTracker) -> list[tuple[int, Tensor]]:
    """The `count` frames (number, [3,H,W]) of a video that cover poses and expressions best, in order of choice.

    Raises:
        FaceError: no frame shows a face. VideoError: the video cannot be read.
    """
    with VideoReader(path) as reader:
        chosen = pick_from_stream(reader.chunks(8), count, tracker, str(path))
        return list(zip(chosen, reader.frames(chosen)))


def pick_from_stream(chunks: Iterable[Tensor], count: int, tracker: FaceTracker, name: str = "video") -> list[int]:
    """Numbers of the `count` frames of a stream that cover poses and expressions best, in order of choice.

    Args:
        chunks: tensors [n,3,H,W] in [0,1], consecutive frames of one size; consumed once, never held.
        name: what messages call the stream.
    Raises:
        FaceError: no frame shows a face.
    """
    if count < 1:
        raise ReenactError(f"The number of frames to pick is {count}, but must be at least 1.")
    sharpness: list[Tensor] = []
    parts: list[Faces] = []
    current: list[Tensor] = []

    def watched() -> Iterator[Tensor]:
        for chunk in chunks:
            current[:] = [chunk]
            yield chunk.to(tracker.device)

    for faces in tracker.track_video(watched()):
        parts.append(faces.cpu())
        sharpness.append(frame_sharpness(current[0], parts[-1]))
    if not parts:
        raise FaceError(f"{name}: has no frames, so it gives no reference.")
    tracked = Faces(*(torch.cat(fields) for fields in zip(*parts)))
    if not tracked.found.any():
        raise FaceError(
            f"{name}: none of its {len(tracked.found)} frames shows a face, so it gives no reference. "
            "Use one in which the face is visible and at least about 40 pixels wide."
        )
    return pick_by_coverage(tracked, count, torch.cat(sharpness))


def join_references(first: References, more: References) -> References:
    """The references of both, in order; the first of `first` stays the first."""
    return References(
        images=first.images + more.images,
        masks=first.masks + more.masks,
        faces=Faces(*(torch.cat(pair) for pair in zip(first.faces, more.faces))),
        strengths=torch.cat([first.strengths, more.strengths]),
        labels=first.labels + more.labels,
    )


def most_neutral(faces: Faces) -> int:
    """Index of the frame nearest to a frontal face without expression."""
    score = expressiveness(faces).masked_fill(~faces.found, torch.inf)
    return int(score.argmin())


def frame_sharpness(frames: Tensor, faces: Faces) -> Tensor:
    """Mean absolute Laplacian inside each face's box [N], for frames [N,3,H,W]."""
    result = torch.zeros(len(frames))
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=frames.device)[None, None]
    for i in range(len(frames)):
        low = faces.landmarks[i, :, :2].amin(0).long().clamp_min(0)
        high = faces.landmarks[i, :, :2].amax(0).long()
        crop = frames[i : i + 1, :, low[1] : high[1], low[0] : high[0]].mean(1, keepdim=True)
        if min(crop.shape[-2:]) >= 8:
            crop = F.interpolate(crop, size=(96, 96), mode="bilinear", antialias=True, align_corners=False)
            result[i] = float(F.conv2d(crop, kernel.to(crop)).abs().mean())
    return result


def _check_image(image: Tensor, mask: Tensor | None, name: str) -> None:
    if image.ndim != 3 or image.shape[0] != 3:
        raise ImageError(f"{name}: an image must be [3,H,W], got {list(image.shape)}.")
    if not image.isfinite().all():
        raise ImageError(f"{name}: the image holds NaN or infinite values. Check the step that made it.")
    if mask is not None and not mask.isfinite().all():
        raise ImageError(f"{name}: its mask holds NaN or infinite values. Check the step that made it.")


def _full_mask(mask: Tensor | None, image: Tensor) -> Tensor:
    if mask is None:
        return torch.ones_like(image[:1])
    if mask.shape[-2:] != image.shape[-2:]:
        mask = F.interpolate(mask[None], size=image.shape[-2:], mode="bilinear", align_corners=False)[0]
    return mask.to(image).clamp(0, 1)
