"""Metrics and indices on the tracker's 478 landmarks.

Left and right are the person's own: the right eye is on the left of an unmirrored picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The 68 points of the iBUG / Multi-PIE scheme among the 478, in the order of that scheme: jaw 17, brows
# 5 + 5, nose 4 + 5, eyes 6 + 6, outer lips 12, inner lips 8. The correspondence in common use; the jaw points
# lie on the mesh's silhouette and are the loosest part of it.
IBUG68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
IRIS_CENTRES = (468, 473)  # right, left
EYE_CORNERS = ((33, 133), (362, 263))  # right, left
NOSE_TIP = 1
MOUTH_CORNERS = (61, 291)  # right, left


def landmark_distance(a: Tensor, b: Tensor) -> Tensor:
    """AKD: mean absolute difference per coordinate (x, y) of the 68 landmarks; [N], unit of the input.

    `a`, `b`: landmarks [N,478,3]. Convention of Siarohin et al. 2019: mean over coordinates, not the
    Euclidean length, which would be about 1.3 times larger.
    """
    index = torch.tensor(IBUG68, device=a.device)
    return (a[:, index, :2] - b[:, index, :2]).abs().mean(dim=(1, 2))


def iris_distance(a: Tensor, b: Tensor) -> Tensor:
    """Gaze error: length of the difference of the iris centres, each seen from the middle of its eye corners.

    `a`, `b`: landmarks [N,478,3]; [N] mean of both eyes, unit of the input. Moving the whole head or eye
    does not count, only where the eye looks.
    """
    return (_gaze(a) - _gaze(b)).norm(dim=-1).mean(dim=1)


def alignment_points(landmarks: Tensor) -> Tensor:
    """Eye centres (middle of the corners), nose tip and mouth corners, right before left; [N,5,2]."""
    return torch.cat([_eye_middles(landmarks), landmarks[:, (NOSE_TIP, *MOUTH_CORNERS), :2]], dim=1)


def _eye_middles(landmarks: Tensor) -> Tensor:
    """[N,478,3] -> [N,2,2], right and left; corners do not move with the gaze or a blink."""
    corners = torch.tensor(EYE_CORNERS, device=landmarks.device)
    return landmarks[:, corners, :2].mean(dim=2)


def _gaze(landmarks: Tensor) -> Tensor:
    return landmarks[:, IRIS_CENTRES, :2] - _eye_middles(landmarks)
