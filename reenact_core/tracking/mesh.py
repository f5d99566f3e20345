"""The canonical face mesh: an average neutral face whose vertices are the first 468 landmarks."""

from __future__ import annotations

from functools import cache

from torch import Tensor

from .graph import read_weights


@cache
def canonical_mesh() -> tuple[Tensor, Tensor]:
    """Vertices [468,3] in centimetres and triangles [898,3] (int64 indices) of the canonical face.

    Axes as everywhere here: x right (the person's left), y down, z away from the camera for a head that looks
    into it; the origin lies inside the head. Source: MediaPipe's canonical face model (Apache-2.0).
    """
    tensors, _ = read_weights("canonical_mesh")
    return tensors["vertices"] * tensors["vertices"].new_tensor([1.0, -1.0, -1.0]), tensors["triangles"]
