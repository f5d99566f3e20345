"""Head pose: exact on the mesh itself, like OpenCV's solver, and true on rendered heads."""

import json

import cv2
import numpy as np
import pytest
import torch

from reenact_core.tracking import canonical_mesh
from reenact_core.tracking.pose import RIGID, head_rotation


def rotations(count, degrees):
    generator = torch.manual_seed(0)
    axis = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    angle = torch.rand(count, 1, generator=generator) * np.radians(degrees)
    return torch.stack([torch.from_numpy(cv2.Rodrigues(v.numpy())[0]).float() for v in axis * angle])


def project(rotation, depth=70.0, focal=900.0, shift=(320.0, 240.0)):
    """The mesh [N,468,3] seen by a camera that looks at it; z in the pixels of the face's own depth."""
    vertices = canonical_mesh()[0]
    weights = torch.tensor(list(RIGID.values()))[:, None]
    vertices = vertices - (vertices[list(RIGID)] * weights).sum(0) / weights.sum()
    points = vertices @ rotation.transpose(1, 2)
    xy = focal * points[..., :2] / (points[..., 2:] + depth) + torch.tensor(shift)
    return torch.cat([xy, points[..., 2:] * focal / depth], 2)


def degrees_between(first, second):
    trace = torch.einsum("nij,nij->n", first, second)
    return torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1)))


def test_mesh_axes_and_shape():
    vertices, triangles = canonical_mesh()
    assert vertices.shape == (468, 3)
    assert triangles.shape[1] == 3
    assert triangles.dtype == torch.int64
    assert int(triangles.min()) == 0
    assert int(triangles.max()) == 467
    assert vertices[152, 1] > vertices[10, 1]  # the chin is below the forehead: y down
    assert vertices[1, 2] < vertices[234, 2]  # the nose is nearer than the ear: z away from the camera
    assert vertices[263, 0] > vertices[33, 0]  # the person's left eye is at the right


def test_rotation_of_the_mesh_itself_is_recovered():
    truth = rotations(40, 70)
    error = degrees_between(head_rotation(project(truth)), truth)
    assert error.max() < 1.5
    assert error.mean() < 0.7


def test_place_and_size_in_the_image_do_not_matter():
    face = project(rotations(5, 40))
    moved = face * 0.3 + torch.tensor([900.0, -50.0, 0.0])
    torch.testing.assert_close(head_rotation(moved), head_rotation(face), atol=1e-4, rtol=0)


def test_identity_for_a_frontal_face_and_a_proper_rotation_always():
    frontal = head_rotation(project(torch.eye(3)[None]))
    torch.testing.assert_close(frontal, torch.eye(3)[None], atol=1e-2, rtol=0)
    noise = torch.randn(20, 478, 3, generator=torch.manual_seed(0)) * 50
    rotation = head_rotation(noise)
    torch.testing.assert_close(rotation @ rotation.transpose(1, 2), torch.eye(3).expand(20, 3, 3), atol=1e-3, rtol=0)
    assert (torch.linalg.det(rotation) > 0).all()


def test_no_faces_give_no_rotations():
    assert head_rotation(torch.zeros(0, 478, 3)).shape == (0, 3, 3)


def test_like_opencv_on_real_landmarks(tracker, clip):
    faces = tracker.track_images(list(clip("clips/lp_d3.mp4", 6, step=20)))
    points = list(RIGID)
    model = canonical_mesh()[0][points].double().numpy()
    for landmarks, rotation in zip(faces.landmarks, faces.rotation):
        image = landmarks[points, :2].double().numpy()
        image = image - image.mean(0)
        focal = 4 * np.linalg.norm(image, axis=1).max() * 2
        camera = np.array([[focal, 0, 0], [0, focal, 0], [0, 0, 1.0]])
        start = cv2.Rodrigues(rotation.double().numpy())[0], np.array([[0.0], [0.0], [70.0]])
        _, turn, _ = cv2.solvePnP(model, image, camera, None, *start, True, cv2.SOLVEPNP_ITERATIVE)
        solved = torch.from_numpy(cv2.Rodrigues(turn)[0]).float()
        assert degrees_between(solved[None], rotation[None]) < 3


def rendered_rotation(yaw, pitch, roll):
    """The renderer's roll * pitch * yaw, y up and z towards the camera, in our axes."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    flip = np.diag([1, -1, -1])
    return torch.from_numpy(flip @ about_z @ about_x @ about_y @ flip).float()


@pytest.mark.parametrize("head", ["id00", "id04", "id05"])
def test_rendered_heads(tracker, data, clip, head):
    frames = json.loads((data / "avatars" / "preview" / f"{head}.json").read_text())[::10]
    truth = torch.stack([rendered_rotation(frame["yaw"], frame["pitch"], frame["roll"]) for frame in frames])
    faces = tracker.track_images(list(clip(f"avatars/preview/{head}.mp4", len(frames), step=10)))
    assert faces.found.all()

    def yaw(rotation):
        return torch.rad2deg(torch.atan2(rotation[:, 0, 2], rotation[:, 2, 2]))

    assert yaw(truth).abs().max() > 55
    error = (yaw(faces.rotation) - yaw(truth)).abs()
    assert error.median() < 3.5
    assert error.mean() < 4
    assert error.max() < 16
    assert degrees_between(faces.rotation, truth).mean() < 8.5
