"""The driving head as a camera that stands still would have filmed it.

A hand-held camera moves the head across the picture though the person keeps still. Before somebody else's still
background that would be a movement nobody made.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import geometry
from .canonical_shape import HeadPose
from .editing.mixing import gaussian
from .types import Scene

CALM = 0.06  # seconds, standard deviation of the mean over time: a followed camera trembles more than a head
WORTH = 0.8  # share of the head's movement in the picture that may be left; a camera that follows the head leaves more


def without_camera(pose: HeadPose, scene: Scene | None, frame_rate: float) -> HeadPose:
    """Heads [T] of one shot whose place and size are those before the scene, if the camera is known and moved them.

    Where the camera follows a person who moves, the head rests in the picture and not before the scene: then, too,
    the heads stay as they are. Their rotation stays in any case.
    """
    if scene is None or scene.camera is None:
        return pose
    growth = torch.linalg.det(scene.camera[:, :, :2]).clamp_min(1e-6).sqrt()
    place = geometry.apply_affine(scene.camera, pose.centre[:, None, :2])[:, 0]
    still = HeadPose(pose.scale * growth, pose.rotation, torch.cat([place, pose.centre[:, 2:] * growth[:, None]], 1))
    if _movement(still) >= WORTH * _movement(pose):  # before it is calmed, or quick heads would seem to be shaken
        return pose
    size, centre = (gaussian(values, CALM * frame_rate) for values in (still.scale.log()[:, None], still.centre))
    return HeadPose(size[:, 0].exp(), pose.rotation, centre)


def _movement(pose: HeadPose) -> Tensor:
    """How far heads spread over place and size, in head sizes."""
    place = torch.cat([pose.centre[:, :2] / pose.scale.median(), pose.scale.log()[:, None]], 1)
    return (place - place.median(0).values).norm(dim=1).mean()
