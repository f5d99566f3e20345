"""Thin-Plate Spline Motion Model as a motion model: every level of the encoder is fused, with one set of weights.

https://arxiv.org/abs/2203.14367; `thin_plate.py` has the networks and equations. The background stays where it is,
as in the authors' animation code.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .checkpoint_model import CheckpointModel, CheckpointReferences, DrivingCodes, Warp
from .first_order_model import FRAMING
from .movement import movement_scale
from .thin_plate import ALIGN_CORNERS, ThinPlate, relative_keypoints

MAIN = 1  # the level on which strategies decide: the resolution of the dense motion


class ThinPlateModel(CheckpointModel):
    """Keypoints as motion code, [N,2K]."""

    name = "thin_plate"
    title = "Thin-Plate Spline Motion Model"
    reference_framing = driving_framing = FRAMING
    beyond = "replicate"
    magnification = 1
    pair_bytes = 96 << 20
    align_corners = ALIGN_CORNERS
    network: ThinPlate

    def motion_code(self, crops: Tensor) -> Tensor:
        return self.network.encode_motion(crops).flatten(1)

    def appearance(self, crops: Tensor) -> Any:
        return self.network.encode_references(crops)

    def warp_network(self, encoded: CheckpointReferences, driving: DrivingCodes) -> Warp:
        reference, moved, initial = (
            code.unflatten(1, (-1, 2)) for code in (encoded.code, driving.code, driving.neutral)
        )
        if driving.relative:
            moved = relative_keypoints(reference[:1], moved, initial, movement_scale(reference[:1], initial))
        else:
            moved = moved[:, None]
        levels, motion = self.network.warp(encoded.network, reference, moved.expand(-1, len(reference), -1, -1))
        others = (*levels[:MAIN], *levels[MAIN + 1 :])
        return Warp(levels[MAIN], motion.visibility[MAIN], motion.deformation, others)

    def paint(self, features: Tensor, levels: tuple[Tensor, ...] | None) -> Tensor:
        assert levels is not None
        return self.network.decode((*levels[:MAIN], features, *levels[MAIN:]))
