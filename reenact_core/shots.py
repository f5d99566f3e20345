"""Cuts in a driving video: where one shot ends and another begins, so that nothing is averaged or counted across.

A cut is a jump of the face, in place, size, turn or shape, together with a jump of the picture. Neither alone is one:
heads are quick, lamps are switched on, and trackers slip. The more the picture jumps, the less the face has to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from . import geometry
from .motion_models.mesh_flows import RIGID, face_height
from .types import Faces

MOVED = 0.25  # mean movement of the landmarks from frame to frame, in face heights, that no head makes
TURNED = 25.0  # degrees likewise
GREW = 0.2  # change of the size's logarithm likewise
RESHAPED = 0.02  # how far rigid points lie off the best similarity, in face heights, where the face is another one
STIRRED = 0.04  # movement that is enough where the picture is quite another one
CHANGED = 0.02  # mean difference of two pictures in [0,1] below which no new picture begins
UNUSUAL, SUDDEN = 4.0, 10.0  # how many times the usual difference around it makes another, and quite another picture
AROUND = 12  # frames to either side in which the usual difference is looked up
THUMBNAIL = 16  # pixels


class PictureChanges:
    """How much each frame of a stream differs from the one before; the frames pass through."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._last: Tensor | None = None

    def watch(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Hands on chunks [n,3,H,W] in [0,1]."""
        for chunk in chunks:
            small = geometry.shrink(chunk.float(), (THUMBNAIL, THUMBNAIL))
            before = small[:1] if self._last is None else self._last
            self._parts.append((small - torch.cat([before, small[:-1]])).abs().mean((1, 2, 3)).cpu())
            self._last = small[-1:]
            yield chunk

    def values(self) -> Tensor:
        """[T] >= 0 mean absolute difference; 0 for the first frame."""
        return torch.cat(self._parts)


def find_shots(faces: Faces, changes: Tensor) -> Tensor:
    """The number of the shot [T] long of each frame; `changes` [T] as `PictureChanges` gives them."""
    shots = torch.zeros(len(faces.found), dtype=torch.long)
    found = faces.found.nonzero()[:, 0]
    if len(found) < 2:
        return shots
    before, after = faces.at(found[:-1]), faces.at(found[1:])
    height = (face_height(before.landmarks) + face_height(after.landmarks)) / 2
    moved = (after.landmarks - before.landmarks)[..., :2].norm(dim=-1).mean(1) / height
    grew = (face_height(after.landmarks) / face_height(before.landmarks)).log().abs()
    trace = (after.rotation * before.rotation).sum((1, 2))
    turned = torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos())
    rigid = list(RIGID)
    fit = geometry.fit_similarity(before.landmarks[:, rigid], after.landmarks[:, rigid])
    off = geometry.apply_affine(fit, before.landmarks[:, rigid]) - after.landmarks[:, rigid]
    reshaped = off[..., :2].norm(dim=-1).mean(1) / height > RESHAPED
    jumped = (moved > MOVED) | (grew > GREW) | (turned > TURNED) | reshaped

    usual = F.pad(changes[None, None], (AROUND, AROUND), mode="replicate")[0, 0].unfold(0, 2 * AROUND + 1, 1)
    jump = torch.where(changes > CHANGED, changes / usual.median(1).values.clamp_min(1e-6), 0.0)
    for i in (moved > STIRRED).logical_or(jumped).nonzero()[:, 0].tolist():
        span = slice(int(found[i]) + 1, int(found[i + 1]) + 1)  # the face may have been lost in between
        if jump[span].max() > (UNUSUAL if jumped[i] else SUDDEN):
            shots[span.start + int(jump[span].argmax()) :] += 1
    return shots
