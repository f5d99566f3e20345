"""Faces of another tracker of the same mesh become the same faces."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from reenact_core.errors import FaceError
from reenact_core.mesh_import import TrackedMesh, faces_of_meshes
from reenact_core.motion import motion_of_faces
from reenact_core.pose import euler_degrees

from .faces import posed_faces, turned


def meshes(faces, scale=0.37, roll=25.0):
    """What another tracker says: flat points in pixels, the shape in a turned crop of another scale."""
    turn = turned(0, 0, roll)
    return [
        TrackedMesh(points[:, :2], points @ turn.T * scale + 5, {"jawOpen": 0.25}, 0.9) for points in faces.landmarks
    ]


def test_depth_and_pose_survive_another_scale_and_roll():
    faces = posed_faces([turned(20, 5, 10), turned(-30, 0, 0)])
    taken = faces_of_meshes(meshes(faces))
    apart = taken.landmarks - faces.landmarks
    assert apart[..., :2].abs().max() < 1e-3
    assert (apart[..., 2] - apart[..., 2].mean(1, keepdim=True)).abs().max() < 0.5
    assert torch.allclose(euler_degrees(taken.rotation)[:, 0], torch.tensor([20.0, -30.0]), atol=5)
    assert taken.blendshapes.sum(1).tolist() == [0.25, 0.25]


def test_frames_without_a_face_are_filled_by_the_motion():
    faces = posed_faces([turned(0), turned(10), turned(20)])
    given = meshes(faces)
    given[1] = None
    motion = motion_of_faces(faces_of_meshes(given), (256, 256), Fraction(25), smooth=False)
    assert motion.faces.found.tolist() == [True, False, True]
    assert motion.faces.landmarks[1].abs().max() > 1
    with pytest.raises(FaceError, match="No face"):
        motion_of_faces(faces_of_meshes([None]), (256, 256), Fraction(25))


def test_other_meshes_are_refused():
    with pytest.raises(FaceError, match="478"):
        faces_of_meshes([TrackedMesh(torch.zeros(68, 2), torch.zeros(68, 3), {}, 1.0)])
