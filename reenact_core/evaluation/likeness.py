"""How alike generated frames and real frames of a person are, where no frame shows exactly the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ..pose import EXPRESSIONS
from ..tracking import BLENDSHAPE_NAMES
from ..types import Faces
from .measuring import Track
from .networks import MetricNetworks
from .regions import HEAD_SIZE, crop, head_boxes, to_crop


class Seen(NamedTuple):
    """What tracker and identity network see in N independent pictures."""

    faces: Faces  # axis N, on the CPU, in pixels of the pictures
    crops: Tensor  # [N,3,256,256] around each picture's own face; black where none was found
    embeddings: Tensor | None  # [N,128] of unit length, zero where no face was found

    def joined(self, other: Seen) -> Seen:
        """Both, one after the other; embedded by the same network or both by none."""
        faces = Faces(*(torch.cat(fields) for fields in zip(self.faces, other.faces)))
        embeddings = None
        if self.embeddings is not None and other.embeddings is not None:
            embeddings = torch.cat([self.embeddings, other.embeddings])
        return Seen(faces, torch.cat([self.crops, other.crops]), embeddings)


class Likeness(NamedTuple):
    """What N generated frames are compared with."""

    intended: Faces  # axis N, the pose and expression that the driver asks for
    real: Seen  # axis N, the real frame nearest to it
    partner: Seen  # axis N, another real frame, nearest to `real`
    near: Tensor  # [N] bool, whether `real` is near enough to be compared with


def look(images: Iterable[Tensor], track: Track, networks: MetricNetworks) -> Seen:
    """Track pictures [3,H,W] in [0,1] one by one, cut out their heads and embed them."""
    faces, crops, embeddings = [], [], []
    for image in images:
        face = track([image]).cpu()
        faces.append(face)
        if not face.found[0]:
            crops.append(torch.zeros(1, 3, HEAD_SIZE, HEAD_SIZE))
            embeddings.append(torch.zeros(1, 128))
            continue
        boxes = head_boxes(face.landmarks)
        crops.append(crop(image.unsqueeze(0), boxes))
        if networks.identity is not None:
            embeddings.append(networks.identity(crops[-1], to_crop(face.landmarks, boxes)))
    joined = Faces(*(torch.cat(fields) for fields in zip(*faces, strict=True)))
    return Seen(joined, torch.cat(crops), torch.cat(embeddings) if networks.identity is not None else None)


@torch.inference_mode()
def compare(seen: Seen, wanted: Likeness, networks: MetricNetworks) -> dict[str, float | None]:
    """Means over the N frames: column key (`transfer_result.COLUMNS`) -> value, None where nothing can be said.

    Pose and expression are compared with what the driver asks for, identity and looks with the real frames.
    """
    found, near = seen.faces.found, wanted.near & seen.faces.found
    values: dict[str, float | None] = {
        "lost": float((~found).float().mean()),
        "pose": _mean(angle_degrees(seen.faces.rotation, wanted.intended.rotation)[found]),
        "expression": _mean(expression_error(seen.faces, wanted.intended)[found]),
    }
    if networks.lpips is not None:
        values["lpips"] = _mean(networks.lpips(seen.crops[near], wanted.real.crops[near])) if near.any() else None
    if seen.embeddings is not None and wanted.real.embeddings is not None and wanted.partner.embeddings is not None:
        identity = _mean((seen.embeddings * wanted.real.embeddings).sum(1)[near])
        among_real = _mean((wanted.partner.embeddings * wanted.real.embeddings).sum(1)[near])
        values["identity_sface"] = identity
        values["identity_share"] = identity / among_real if identity and among_real else None
    return values


def angle_degrees(a: Tensor, b: Tensor) -> Tensor:
    """Angle [N] of the turn between head rotations [N,3,3]."""
    # From the length of the difference: the arc cosine of the trace is blind to angles below about 0.03 degrees.
    return torch.rad2deg(2 * ((a - b).flatten(1).norm(dim=1) / 8**0.5).clamp(0, 1).asin())


def expression_error(a: Faces, b: Faces) -> Tensor:
    """Mean absolute difference [N] of the blendshapes that `pose` compares expressions with."""
    index = [BLENDSHAPE_NAMES.index(name) for name in EXPRESSIONS]
    return (a.blendshapes[:, index] - b.blendshapes[:, index]).abs().mean(1)


def _mean(values: Tensor) -> float | None:
    return float(values.double().mean()) if len(values) else None
