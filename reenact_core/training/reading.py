"""How a tracker reads a finished picture: lips, lids and irises should be found where the true picture has them.

A picture can be close to the truth in every pixel and still show an eye half open. The landmark network of the pack's
own tracker is differentiable, so its reading is a loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..face_regions import INNER_LIPS, LEFT_IRIS, LEFT_LIDS, OUTER_LIPS, RIGHT_IRIS, RIGHT_LIDS
from ..tracking.graph import GraphNet
from ..tracking.regions import crop, regions_of_landmarks

READ = (*OUTER_LIPS, *INNER_LIPS, *LEFT_LIDS, *RIGHT_LIDS, *LEFT_IRIS, *RIGHT_IRIS)


def reading_loss(result: Tensor, truth: Tensor, landmarks: Tensor, mesh: GraphNet) -> Tensor:
    """Mean distance per coordinate of lips, lids and irises read in both pictures, in sides of the crop.

    Args:
        result, truth: [T,3,N,N] in [0,1]. landmarks: [T,478,2] in pixels of them. mesh: of `GraphNet.for_gradients`.
    """
    regions = regions_of_landmarks(landmarks)
    # Mirrored faces keep their order of landmarks, so that their eye line points the other way.
    angle = torch.where(regions.angle.cos() < 0, regions.angle + torch.pi, regions.angle)
    regions = regions._replace(angle=angle)

    def read(pictures: Tensor) -> Tensor:
        points, _, _ = mesh(crop(pictures.float().clamp(0, 1), regions, mesh.size))
        return points.reshape(len(pictures), -1, 3)[:, READ, :2] / mesh.size

    with torch.no_grad():
        wanted = read(truth)
    return (read(result) - wanted).abs().mean()
