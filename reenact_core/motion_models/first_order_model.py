"""First Order Motion Model as a motion model: references fused at 256 channels, after warp and visibility.

https://arxiv.org/abs/2003.00196; `first_order.py` has the networks and equations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .checkpoint_model import CheckpointModel, CheckpointReferences, DrivingCodes, Warp
from .crops import Framing
from .first_order import AffineKeypoints, FirstOrder, relative_motion
from .movement import movement_scale

# Head and shoulders as in VoxCeleb: the face from hairline to chin fills a little more than half of the square.
FRAMING = Framing(extent=1.75, lift=0.03, forehead=True)


class FirstOrderModel(CheckpointModel):
    """Keypoints and jacobians as motion code, [N,6K]: points, then jacobians row by row."""

    name = "first_order"
    title = "First Order Motion Model"
    reference_framing = driving_framing = FRAMING
    beyond = "replicate"
    magnification = 1
    pair_bytes = 16 << 20
    network: FirstOrder

    @property
    def align_corners(self) -> bool:
        return self.network.generator.dense_motion_network.align_corners

    def motion_code(self, crops: Tensor) -> Tensor:
        keypoints = self.network.encode_motion(crops)
        return torch.cat([keypoints.points.flatten(1), keypoints.jacobians.flatten(1)], dim=1)

    def appearance(self, crops: Tensor) -> Any:
        return self.network.encode_references(crops)

    def warp_network(self, encoded: CheckpointReferences, driving: DrivingCodes) -> Warp:
        reference, moved = _keypoints(encoded.code), _keypoints(driving.code)
        if driving.relative:
            first, initial = _keypoints(encoded.code[:1]), _keypoints(driving.neutral)
            moved = relative_motion(first, moved, initial, movement_scale(first.points, initial.points))
        else:
            moved = AffineKeypoints(*(field[:, None] for field in moved))
        pairs = (len(driving.code), len(encoded.code))
        moved = AffineKeypoints(*(field.expand(*pairs, *field.shape[2:]) for field in moved))
        warped = self.network.warp(encoded.network, reference, moved)
        return Warp(warped.features, warped.motion.visibility, warped.motion.deformation)

    def paint(self, features: Tensor, levels: tuple[Tensor, ...] | None) -> Tensor:
        return self.network.decode(features)


def _keypoints(code: Tensor) -> AffineKeypoints:
    """Motion codes [N,6K] as keypoints."""
    points, jacobians = code.split([code.shape[1] // 3, code.shape[1] // 3 * 2], dim=1)
    return AffineKeypoints(points.unflatten(1, (-1, 2)), jacobians.unflatten(1, (-1, 2, 2)))
