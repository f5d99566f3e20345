"""A resting face from several pictures: pose, expression and bad views do not count."""

from __future__ import annotations

import torch

from reenact_core.canonical_shape import average_shape, fuse_shape, head_pose
from reenact_core.contact import LIP_CORNERS
from reenact_core.face_regions import LIP_PAIRS, MIDDLE_LIPS
from reenact_core.motion_models.mesh_flows import lip_gap
from reenact_core.pose_limits import limit_angles, soft_limit, uncovered
from reenact_core.tracking import BLENDSHAPE_NAMES
from reenact_core.types import Faces

from .faces import posed_faces, turned

JAW = BLENDSHAPE_NAMES.index("jawOpen")


def joined(*parts: Faces) -> Faces:
    return Faces(*(torch.cat(fields) for fields in zip(*parts)))


def test_poses_and_sizes_do_not_count():
    faces = joined(
        posed_faces([turned(0)], (100, 100), 90),
        posed_faces([turned(30, 10, -20)], (300, 50), 200),
        posed_faces([turned(-25, -5, 5)], (20, 400), 150),
    )
    shape = fuse_shape(faces)
    torch.testing.assert_close(shape.points[:468], average_shape()[:468], atol=1e-3, rtol=0)
    pose = head_pose(faces, shape.points)
    torch.testing.assert_close(pose.to_image(pose.to_head(faces.landmarks)), faces.landmarks, atol=1e-2, rtol=0)
    torch.testing.assert_close(pose.to_image(shape.points[None]), faces.landmarks, atol=0.3, rtol=0)


def test_an_open_mouth_counts_little_beside_a_closed_one():
    opened = posed_faces([turned(5)], opening=0.2)
    opened.blendshapes[:, JAW] = 0.7
    calm = posed_faces([turned(-10)])
    chin = 152
    both, alone = (fuse_shape(faces).points[chin, 1] for faces in (joined(opened, calm), opened))
    rest = average_shape()[chin, 1]
    assert alone - rest > 0.1
    assert both - rest < 0.25 * (alone - rest)


def test_closed_lips_are_rest_even_where_coefficients_see_no_jaw():
    """Three grins that read as calmly as the one closed mouth: the lips of the shape are closed all the same."""
    faces = posed_faces([turned(yaw) for yaw in (-10, 0, 5, 12)])
    landmarks = faces.landmarks.clone()
    for upper, lower in MIDDLE_LIPS:
        landmarks[3, lower] = landmarks[3, upper]
        landmarks[:3, lower] = landmarks[:3, upper] + torch.tensor([0.0, 12.0, 0.0])
    shape = fuse_shape(faces._replace(landmarks=landmarks))
    assert (lip_gap(landmarks)[:3] > 0.08).all()
    assert float(lip_gap(shape.points[None])) < 0.02


def test_one_bad_view_among_several_does_not_count():
    faces = posed_faces([turned(yaw) for yaw in (-10, 0, 5, 12)])
    landmarks = faces.landmarks.clone()
    landmarks[3, 61] += torch.tensor([12.0, 8.0, 0.0])
    shape = fuse_shape(faces._replace(landmarks=landmarks))
    assert (shape.points[61] - average_shape()[61]).norm() < 0.01


def test_a_mouth_is_taken_as_a_whole():
    """A shut mouth, a pout and four cries whose corners are where the pout's are: the rest's lip is no mixture."""
    faces = posed_faces([turned(0)] * 6)
    height = average_shape()[:, 1] * 110
    lower = [low for _, low in LIP_PAIRS]
    middle = 1 - (average_shape()[lower, 0] / average_shape()[LIP_CORNERS[0], 0]).abs()  # 0 at the corners, 1 between
    ring = [*LIP_CORNERS, *lower, *(up for up, _ in LIP_PAIRS)]
    faces.landmarks[1, ring, 1] += 7.0
    for view, drop in ((2, 6.0), (3, 7.0), (4, 8.0), (5, 9.0)):
        faces.landmarks[view, LIP_CORNERS, 1] += 7.0
        faces.landmarks[view, lower, 1] += 7.0 + drop * middle
    shape = fuse_shape(faces)
    moved = shape.points[[*LIP_CORNERS, *lower], 1] * 110 - height[[*LIP_CORNERS, *lower]]
    assert moved.amax() - moved.amin() < 1


def test_faces_that_were_not_found_are_left_out():
    faces = posed_faces([turned(0), turned(10)])
    landmarks = faces.landmarks.clone()
    landmarks[1] = 0
    found = torch.tensor([True, False])
    shape = fuse_shape(faces._replace(landmarks=landmarks, found=found))
    torch.testing.assert_close(shape.points[:468], average_shape()[:468], atol=1e-3, rtol=0)


def test_soft_limits_are_gentle():
    values = torch.linspace(-90, 90, 181)
    held = soft_limit(values, -20, 30, 10)
    inside = (values >= -20) & (values <= 30)
    assert torch.equal(held[inside], values[inside])
    assert (held.diff() >= 0).all()
    assert held.min() >= -30
    assert held.max() <= 40
    angles = torch.tensor([[70.0, 0.0, 80.0]])
    assert limit_angles(angles, torch.zeros(1, 3), 30)[0].tolist()[1:] == [0.0, 80.0]


def test_what_no_reference_shows_is_named():
    references = posed_faces([turned(-10), turned(20)])
    motion = posed_faces([turned(0), turned(50), turned(55)])
    motion.blendshapes[0, JAW] = 0.8
    notes = uncovered(motion, references)
    assert any(n.startswith("yaw beyond 35 degrees is not covered by any reference: 2 of 3 frames") for n in notes)
    assert any("jaw opening" in n and "in frame 0" in n for n in notes)
    assert len(notes) == 2
    assert uncovered(posed_faces([turned(5)]), references) == ()
