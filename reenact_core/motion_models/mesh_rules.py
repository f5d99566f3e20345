"""Hand-made contributions and confidence of the face-mesh model: geometry alone, nothing learned.

The model uses them where no network weights are given; they also show what the network adds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .mesh_flows import BACKGROUND, COUNT, MESH, TORSO, Flows
from .mesh_network import NetworkOutput, mix_candidates, sample_each

HEAD_AT_EARS = 2  # the candidate for hair and ears
POSE_DEGREES = 20.0  # a reference turned this far away counts 1/e
EXPRESSION = 0.04  # a non-rigid difference of this share of the face height counts 1/e
RIM = 5  # cells over which the mesh hands over to the rigid head, twice
NEARNESS = 1.0  # pose and expression distance at which a whole reference counts 1/e


def mix_by_rules(flows: Flows, grids: Tensor, person: Tensor, sharpness: Tensor, distance: Tensor) -> NetworkOutput:
    """Inside the mesh the mesh decides; around it the head's rigid motion, below it the torso's, else the still
    background, each as far as the reference's matte finds a person (or background) where it looks.

    Args:
        flows: geometry on the CPU. grids: [T,R,COUNT,G,G,2] normalised positions, on the images' device.
        person: [R,1,h,w] matte. sharpness: [R] 0..1. distance: [T,R] pose and expression distance.
    """
    device = grids.device
    frames = grids.shape[0]
    inside = flows.inside.to(device)
    for _ in range(2):  # skin's own motion carries on a little beyond the mesh: hairline, jaw and temples
        inside = torch.maximum(inside, F.avg_pool2d(inside, RIM, 1, RIM // 2))
    inside = inside[:, None]  # [T,1,1,G,G]
    x, y = flows.head.to(device)[:, None].split(1, 2)
    # Head with hair: an ellipse in face heights, a little above the face's centre.
    radius = ((x / 0.72).square() + ((y + 0.12) / 0.85).square()).sqrt()
    near_head = torch.sigmoid((1.0 - radius) / 0.08)
    below = torch.sigmoid((y - 0.45) / 0.06) * torch.sigmoid((1.2 - x.abs() / (0.5 + y.clamp_min(0))) / 0.1)
    looked_at = [sample_each(person, grids[:, :, k], "zeros") for k in (HEAD_AT_EARS, TORSO, BACKGROUND)]

    head = (1 - inside) * near_head * (1 - below) * looked_at[0]
    torso = ((1 - inside) - head) * below * looked_at[1]
    still = (1 - inside - head - torso).clamp_min(0)
    contributions = torch.zeros(frames, grids.shape[1], COUNT, *grids.shape[3:5], device=device)
    for candidate, share in ((BACKGROUND, still), (HEAD_AT_EARS, head), (MESH, inside), (TORSO, torso)):
        contributions[:, :, candidate : candidate + 1] = share

    angle, nearness = (value.to(device)[:, :, None, None, None] for value in (flows.angle, distance))
    like_pose = torch.exp(-(angle / POSE_DEGREES).square()) * torch.exp(-(nearness / NEARNESS))
    like_expression = torch.exp(-(flows.residual.to(device) / EXPRESSION).square())
    seen = flows.facing.to(device).clamp(0, 1).sqrt()
    detail = 0.5 + 0.5 * sharpness.to(device)[None, :, None, None, None]
    confidence = (
        inside * seen * like_pose * like_expression * detail
        + head * like_pose * looked_at[0] * detail
        + torso * like_pose
        + still * (1 - looked_at[2])  # the reference really shows background there
    )
    none = torch.zeros(frames, grids.shape[1], 2, *grids.shape[3:5], device=device)
    deformation = mix_candidates(grids, contributions)
    return NetworkOutput(contributions, none, deformation, None, confidence.clamp(1e-4, 1), None)
