"""Between two faces or motions: by channels, so that a head half-way turned keeps its size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..head_channels import HeadChannels, carry_over, join, split
from ..types import DrivingMotion, Faces


def mix_faces(first: Faces, second: Faces, share: Tensor) -> Faces:
    """Faces [T] that are `first` [T] where share [T] is 0 and `second` [T] where it is 1.

    The ends are exact.
    """
    channels = split(second, first)
    part = share[:, None]
    way = HeadChannels(
        rotation=power(channels.rotation, share),
        scale=channels.scale**share,
        shift=channels.shift * part,
        expression=channels.expression * part[..., None],
        blendshapes=channels.blendshapes * part,
    )
    turn = second.rotation @ first.rotation.transpose(1, 2)
    mixed = Faces(
        landmarks=join(way, first),
        blendshapes=first.blendshapes + way.blendshapes,
        rotation=power(turn, share) @ first.rotation,
        score=first.score + (second.score - first.score) * share,
        found=torch.where(share < 0.5, first.found, second.found),
    )
    return choose(share <= 0, first, choose(share >= 1, second, mixed))


def choose(condition: Tensor, yes: Faces, no: Faces) -> Faces:
    """The faces `yes` where the condition [T] holds, else `no`."""
    return Faces(*(torch.where(condition.view(-1, *[1] * (one.dim() - 1)), one, other) for one, other in zip(yes, no)))


def power(rotation: Tensor, share: Tensor) -> Tensor:
    """Rotations [T,3,3] by the share [T] of their angles (spherical interpolation from the identity)."""
    cosine = ((rotation.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)
    skew = (rotation - rotation.transpose(1, 2)) / 2
    sine = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], 1).norm(dim=1)
    factor = torch.where(sine > 1e-6, torch.atan2(sine, cosine) / sine.clamp_min(1e-6), torch.ones_like(sine))
    return torch.linalg.matrix_exp(skew * (factor * share)[:, None, None])


def nearest_rotation(matrices: Tensor) -> Tensor:
    """The rotations nearest to matrices [T,3,3] that are averages of rotations."""
    u, _, vt = torch.linalg.svd(matrices)
    proper = torch.ones(len(u), 3)
    proper[:, 2] = torch.linalg.det(u @ vt)
    return (u * proper[:, None]) @ vt


def on_base(motion: DrivingMotion, base: DrivingMotion) -> DrivingMotion:
    """The motion as one of the resting face of `base`, on its canvas; itself if that is its own already.

    The motion model's own code is not carried over.
    """
    same = torch.equal(motion.neutral.landmarks, base.neutral.landmarks) and motion.canvas == base.canvas
    if same:
        return motion
    channels = split(motion.faces, motion.neutral)
    faces = motion.faces._replace(
        landmarks=join(carry_over(channels, motion.neutral, base.neutral), base.neutral),
        blendshapes=(base.neutral.blendshapes + channels.blendshapes).clamp(0, 1),
        rotation=channels.rotation @ base.neutral.rotation,
    )
    return base._replace(
        faces=faces,
        frame_rate=motion.frame_rate,
        code=None,
        neutral_code=None,
        code_box=None,
        shots=motion.shots,
        scene=None,
    )


def mix_codes(first: Tensor | None, second: Tensor | None, share: Tensor) -> Tensor | None:
    """Motion codes [T,D] between two; None where one is missing or of another model."""
    if first is None or second is None or first.shape[1] != second.shape[1]:
        return None
    return torch.lerp(first, second, share[:, None])


def smooth_steps(count: int) -> Tensor:
    """`count` shares strictly between 0 and 1, slow at both ends: [count]."""
    return geometry.smooth_step((torch.arange(count) + 1) / (count + 1))


def gaussian(values: Tensor, spread: float) -> Tensor:
    """Values [T,...] averaged over time with a bell of standard deviation `spread` frames; the ends count in full."""
    reach = max(1, int(4 * spread + 0.5))
    weights = torch.exp(-torch.arange(-reach, reach + 1).float().square() / (2 * spread**2))
    flat = values.float().flatten(1).T[:, None]  # [C,1,T]
    ones = torch.ones_like(flat[:1])
    total = F.conv1d(flat, weights[None, None], padding=reach) / F.conv1d(ones, weights[None, None], padding=reach)
    return total[:, 0].T.reshape(values.shape)
