"""Head pose: a perspective camera fitted to the canonical mesh by Gauss-Newton, many frames at once.

The rotation of the published face geometry module turns too little (40 degrees read as 32). Fitting the rigid
part of the mesh to the landmarks in the image does not have that bias.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .mesh import canonical_mesh
from .regions import CHIN, FOREHEAD

FOCAL = 4.0  # focal length / height of the face in the image
STEPS = 4
# Points that expressions move little, in pairs of left and right or on the midline, with their weights.
RIGID = {
    **dict.fromkeys((6, 168, 197, 195, 5, 4, 1), 1.0),  # bridge and tip of the nose
    **dict.fromkeys((33, 263, 133, 362), 1.0),  # corners of the eyes
    **dict.fromkeys((98, 327, 129, 358), 1.0),  # wings of the nose
    **dict.fromkeys((10, 151, 9, 54, 284, 103, 332, 67, 297, 21, 251), 0.5),  # forehead
    **dict.fromkeys((127, 356, 234, 454, 93, 323, 132, 361), 0.5),  # sides, temple to jaw
    **dict.fromkeys((116, 345, 117, 346, 118, 347), 0.5),  # cheekbones
}


def _skew(vectors: Tensor) -> Tensor:
    """[N,3] -> [N,3,3] cross product matrices."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*vectors.shape[:-1], 3, 3)


def _procrustes(model: Tensor, points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation [N,3,3] and scale [N] that best turn the centred model [P,3] into centred points [N,P,3]."""
    covariance = torch.einsum("p,npi,pj->nij", weights, points, model)
    u, singular, v = torch.linalg.svd(covariance)
    sign = torch.ones_like(singular)
    sign[:, 2] = torch.linalg.det(u @ v).sign()
    scale = (singular * sign).sum(1) / torch.einsum("p,pi->", weights, model**2)
    return (u * sign[:, None]) @ v, scale


def head_rotation(landmarks: Tensor) -> Tensor:
    """Rotation [N,3,3] head -> camera of faces given by landmarks [N,478,3] (or 468) in pixels.

    Axes: x right, y down, z away from the camera; the identity looks straight into the camera. The camera is
    imagined in front of the face, so the place of the face in the image does not count. float32 throughout; runs
    on the CPU, where small matrices are quick, and returns to the device of the landmarks.
    """
    if len(landmarks) == 0:
        return landmarks.new_zeros(0, 3, 3, dtype=torch.float32)
    index = torch.tensor(list(RIGID))
    weights = torch.tensor(list(RIGID.values()))
    weights = weights / weights.sum()
    mesh = canonical_mesh()[0]
    size = (mesh[FOREHEAD] - mesh[CHIN]).norm()
    model = mesh[index]
    model = model - (weights[:, None] * model).sum(0)
    points = landmarks.cpu()[:, index].float()
    points = points - (weights[:, None] * points).sum(1, keepdim=True)
    rotation, scale = _procrustes(model, points, weights)
    observed = points[..., :2] / (scale * size).clamp_min(1e-6)[:, None, None]  # unit: height of the face
    model = model / size
    shift = torch.zeros(len(points), 3)
    shift[:, 2] = FOCAL  # there the face appears as large as it is
    for _ in range(STEPS):
        turned = model @ rotation.transpose(1, 2)
        x, y, z = (turned + shift[:, None]).unbind(-1)
        z = z.clamp_min(0.1)
        error = torch.stack([FOCAL * x / z, FOCAL * y / z], -1) - observed
        zero = torch.zeros_like(z)
        by_point = torch.stack([FOCAL / z, zero, -FOCAL * x / z**2, zero, FOCAL / z, -FOCAL * y / z**2], -1)
        by_point = by_point.view(*z.shape, 2, 3)
        jacobian = torch.cat([by_point @ -_skew(turned), by_point], -1)  # [N,P,2,6] by turn and shift
        normal = torch.einsum("p,npki,npkj->nij", weights, jacobian, jacobian)
        gradient = torch.einsum("p,npki,npk->ni", weights, jacobian, error)
        normal = normal + 1e-6 * torch.eye(6)
        step = torch.linalg.solve(normal, gradient)
        rotation = torch.linalg.matrix_exp(-_skew(step[:, :3])) @ rotation
        shift = shift - step[:, 3:]
    return rotation.to(landmarks.device)
