"""Signs of yaw, pitch and roll, and distances between faces."""

from __future__ import annotations

import pytest
import torch

from reenact_core.images import read_image
from reenact_core.pose import descriptor, euler_degrees, expressiveness, pose_distance
from reenact_core.tracking import BLENDSHAPE_NAMES

from .faces import posed_faces, shared, turned


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"),
    [
        (30, 0, 0),
        (-50, 0, 0),
        (0, 25, 0),
        (0, -20, 0),
        (0, 0, 40),
        (0, 0, -15),
        (70, 0, 0),
        (40, -10, 0),
        (0, 0, 120),
        (0, 0, -150),
    ],
)
def test_angles_of_constructed_rotations(yaw, pitch, roll):
    angles = euler_degrees(turned(yaw, pitch, roll)[None])[0]
    assert torch.allclose(angles, torch.tensor([yaw, pitch, roll], dtype=torch.float32), atol=0.01)


def test_a_tilted_head_looks_where_it_looks_in_the_image():
    """Yaw and pitch are the direction of the face in the image, roll is the tilt of its horizontal axis."""
    rotation = turned(50, 0, 20)
    yaw, pitch, roll = euler_degrees(rotation[None])[0]
    forward = -rotation[:, 2]
    assert yaw == pytest.approx(float(torch.rad2deg(torch.atan2(forward[0], -forward[2]))), abs=0.01)
    assert pitch > 10  # clockwise tilt turns "right" into "right and down"
    assert roll == pytest.approx(20, abs=0.01)


def test_what_the_signs_look_like():
    """Seen in the image: the nose tip leaves the middle of the face where the head turns to."""
    nose, chin, forehead, left, right = 1, 152, 10, 234, 454

    def points(**angles):
        landmarks = posed_faces([turned(**angles)]).landmarks[0]
        return landmarks, (landmarks[left] + landmarks[right]) / 2

    landmarks, middle = points(yaw=30)
    assert landmarks[nose, 0] > middle[0] + 20  # to the image's right
    landmarks, middle = points(pitch=20)
    upright, level = points()
    assert landmarks[nose, 1] - middle[1] > upright[nose, 1] - level[1] + 10  # down
    landmarks, _ = points(roll=20)
    assert landmarks[forehead, 0] > landmarks[chin, 0] + 20  # the top tilts to the image's right: clockwise


def test_signs_on_real_photos(tracker):
    """Photo 2 of this woman looks to the image's right (checked by eye); its mirror image looks to the left."""
    photos = shared("photos/emotions_a")
    image = read_image(photos / "2.jpg")
    image = torch.nn.functional.interpolate(image[None], scale_factor=0.4, mode="area")[0]
    faces = tracker.track_images([image, image.flip(-1)])
    angles = euler_degrees(faces.rotation)
    nose, left, right = faces.landmarks[:, 1, 0], faces.landmarks[:, 234, 0], faces.landmarks[:, 454, 0]
    assert 25 < angles[0, 0] < 45
    assert -45 < angles[1, 0] < -25
    assert nose[0] > (left[0] + right[0]) / 2
    assert nose[1] < (left[1] + right[1]) / 2
    assert abs(angles[0, 0] + angles[1, 0]) < 8
    assert abs(angles[0, 2] + angles[1, 2]) < 4


def test_an_upside_down_head_is_far_from_an_upright_one():
    upright, upside_down = (posed_faces([turned(0, 0, roll)]) for roll in (0, 179))
    assert pose_distance(upright, upside_down)[0, 0] > 10


def test_roll_of_a_turned_photo(person, tracker):
    upright = euler_degrees(tracker.track_images([person[0]]).rotation)[0]
    quarter = euler_degrees(tracker.track_images([person[0].rot90(-1, (1, 2))]).rotation)[0]  # clockwise
    half = euler_degrees(tracker.track_images([person[0].rot90(2, (1, 2))]).rotation)[0]
    assert 80 < quarter[2] - upright[2] < 100
    assert abs(half[2]) > 165


def test_distance_is_zero_for_the_same_and_grows_with_the_turn():
    faces = posed_faces([turned(angle) for angle in (0, 12, 24, 60)])
    distance = pose_distance(faces, faces)
    assert distance.diagonal().max() < 1e-3
    assert torch.allclose(distance, distance.T, atol=1e-4)
    assert torch.allclose(distance[0], torch.tensor([0.0, 1.0, 2.0, 5.0]), atol=0.01)


def test_expression_counts():
    faces = posed_faces([turned(0), turned(0)])
    faces.blendshapes[1, BLENDSHAPE_NAMES.index("jawOpen")] = 0.5
    assert pose_distance(faces.at([0]), faces.at([1]))[0, 0] == pytest.approx(2.0)
    assert expressiveness(faces).tolist() == pytest.approx([0.0, 2.0], abs=1e-4)
    assert descriptor(faces).isfinite().all()
