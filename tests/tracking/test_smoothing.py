"""Smoothing: jitter at rest goes, everything that moves stays where and when it was."""

import logging

import pytest
import torch

from reenact_core.editing import Edit, edit
from reenact_core.errors import FaceError
from reenact_core.storage import load_motion
from reenact_core.tracking import canonical_mesh, smooth_faces
from reenact_core.tracking.pose import head_rotation
from reenact_core.types import Faces

from ..faces import SAMPLE

EYES = [33, 133, 263, 362, 468, 473]  # corners and irises
UPPER_LID, LOWER_LID = [159, 386], [145, 374]


def make(landmarks, blendshapes=None, found=None):
    count = len(landmarks)
    blendshapes = torch.zeros(count, 52) if blendshapes is None else blendshapes
    found = torch.ones(count, dtype=torch.bool) if found is None else found
    return Faces(landmarks, blendshapes, head_rotation(landmarks), found.float(), found)


def still(count, noise=0.3):
    """A face 280 px wide that does nothing, with the tracker's usual noise."""
    face = torch.cat([canonical_mesh()[0], torch.zeros(10, 3)]) * 18 + torch.tensor([256.0, 256.0, 0.0])
    face[468:473], face[473:] = face[[33, 133]].mean(0), face[[263, 362]].mean(0)
    return face + torch.randn(count, 478, 3, generator=torch.manual_seed(0)) * noise


def step_size(points):
    return (points[1:] - points[:-1])[..., :2].square().sum(2).mean().sqrt()


def jitter(points):
    bend = points[2:] - 2 * points[1:-1] + points[:-2]
    return bend[..., :2].square().sum(2).mean().sqrt()


def opening(points):
    return (points[:, LOWER_LID, 1] - points[:, UPPER_LID, 1]).mean(1)


def lag(before, after):
    """Frames by which `after` trails `before`, at the peak of their correlation."""
    first, second = before - before.mean(), after - after.mean()
    reach, middle = 3, len(first) - 6
    scores = [float(first[reach : reach + middle] @ second[reach + k : reach + k + middle]) for k in range(-3, 4)]
    peak = max(range(1, 6), key=lambda i: scores[i])
    left, top, right = scores[peak - 1 : peak + 2]
    return peak - 3 + 0.5 * (left - right) / (left - 2 * top + right)


def test_jitter_at_rest_goes():
    before = still(60)
    after = smooth_faces(make(before), 25).landmarks
    assert step_size(after[:, EYES]) < 0.3 * step_size(before[:, EYES])
    assert (after - before).mean().abs() < 0.01


def test_a_blink_stays():
    points = still(60)
    closed = torch.zeros(60)
    closed[30:34] = torch.tensor([0.6, 1.0, 0.9, 0.4])
    drop = opening(points).mean()
    points[:, UPPER_LID, 1] += (closed * drop)[:, None]
    blink = torch.zeros(60, 52)
    blink[:, 9] = closed * 0.7 + torch.randn(60, generator=torch.manual_seed(1)) * 0.005
    after = smooth_faces(make(points, blink), 25)
    depth = opening(points).max() - opening(points).min()
    assert opening(after.landmarks).max() - opening(after.landmarks).min() > 0.95 * depth
    assert opening(after.landmarks).argmin() == opening(points).argmin() == 31
    assert after.blendshapes[31, 9] > 0.95 * blink[31, 9]
    assert step_size(after.landmarks[:25, EYES]) < 0.35 * step_size(points[:25, EYES])


@pytest.mark.parametrize("size", [0.001, 0.002])
def test_a_real_performance_loses_jitter_and_nothing_else(size):
    """A person who turns, talks and blinks, with noise of the tracker's size: 60 % less of it, no frame late."""
    motion = edit(load_motion(SAMPLE.with_name("driving.motion.safetensors")), Edit(frame_rate=30))
    clean = motion.faces.landmarks
    height = (clean[:, 10] - clean[:, 152]).norm(dim=-1).mean()
    noise = torch.randn(clean.shape, generator=torch.manual_seed(0)) * size * height
    after = smooth_faces(motion.faces._replace(landmarks=clean + noise), float(motion.frame_rate)).landmarks
    assert unrest(after - clean) < 0.4 * unrest(noise)
    courses = {"turn": lambda points: points[:, 1, 0] - points[:, 168, 0], "mouth": mouth, "lids": opening}
    for name, course in courses.items():
        late = lag(course(clean).diff(), course(after).diff())  # changes, since a slow trend has no sharp peak
        assert abs(late) < 0.5, name
        assert course(after).std() > 0.9 * course(clean).std(), name


def unrest(points):
    """Median second difference, which a few sudden movements do not decide."""
    return (points[2:] - 2 * points[1:-1] + points[:-2])[..., :2].norm(dim=2).median()


def mouth(points):
    return points[:, 14, 1] - points[:, 13, 1]


def test_steady_movement_passes_unchanged_and_without_lag():
    clean = still(60, noise=0)
    clean = clean + torch.arange(60.0)[:, None, None] * torch.tensor([2.0, 0.5, 0.0])
    after = smooth_faces(make(clean), 25).landmarks
    torch.testing.assert_close(after, clean, atol=0.02, rtol=0)
    swing = still(80) + 30 * torch.sin(torch.arange(80.0) * 0.7)[:, None, None] * torch.tensor([1.0, 0.0, 0.0])
    moved = smooth_faces(make(swing), 25).landmarks
    assert abs(lag(swing[:, 4, 0], moved[:, 4, 0])) < 0.1
    assert moved[:, 4, 0].std() > 0.98 * swing[:, 4, 0].std()


def test_gaps_are_interpolated_reported_and_marked(caplog):
    points = still(12, noise=0) + torch.arange(12.0)[:, None, None] * torch.tensor([3.0, 0.0, 0.0])
    expected = points.clone()
    found = torch.ones(12, dtype=torch.bool)
    found[[0, 5, 6, 7, 11]] = False
    points[~found] = 0
    with caplog.at_level(logging.WARNING):
        after = smooth_faces(make(points, found=found), 25)
    assert "0, 5-7, 11" in caplog.text
    assert after.found.tolist() == found.tolist()
    torch.testing.assert_close(after.landmarks[3:9], expected[3:9], atol=0.1, rtol=0)
    assert (after.landmarks[0, :, 0] - expected[1, :, 0]).abs().max() < 3  # held, not extrapolated
    assert (after.landmarks[11, :, 0] - expected[10, :, 0]).abs().max() < 3


def test_rotations_fit_the_smoothed_landmarks():
    after = smooth_faces(make(still(20)), 25)
    torch.testing.assert_close(after.rotation, head_rotation(after.landmarks))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_very_short_clips(count):
    after = smooth_faces(make(still(count)), 25)
    assert after.landmarks.shape == (count, 478, 3)
    assert after.landmarks.isfinite().all()


def test_no_face_at_all_is_an_error():
    nobody = make(still(3), found=torch.zeros(3, dtype=torch.bool))
    with pytest.raises(FaceError, match="any of the 3 frames"):
        smooth_faces(nobody, 25)


def test_a_still_picture_with_sensor_noise(tracker, photo):
    """A real face at rest: what jitters is the tracker alone."""
    noise = torch.randn(24, *photo.shape, generator=torch.manual_seed(0)) * 0.02
    before = Faces(*(torch.cat(field) for field in zip(*tracker.track_video((photo + noise).clamp(0, 1).split(8)))))
    after = smooth_faces(before, 25)
    assert step_size(after.landmarks[:, EYES]) < 0.4 * step_size(before.landmarks[:, EYES])


@pytest.mark.slow
def test_a_real_clip(tracker, clip):
    """Blinks, speech and a calm stretch of a real person (frames 217 to 231 hardly move)."""
    frames = clip("clips/lp_d13.mp4", 240)
    before = Faces(*(torch.cat(field) for field in zip(*tracker.track_video(frames.split(16)))))
    after = smooth_faces(before, 25)
    calm = slice(217, 232)
    assert step_size(after.landmarks[calm][:, EYES]) < 0.4 * step_size(before.landmarks[calm][:, EYES])
    assert jitter(after.landmarks[calm][:, EYES]) < 0.2 * jitter(before.landmarks[calm][:, EYES])
    for measure in (lambda faces: opening(faces.landmarks), lambda faces: faces.blendshapes[:, 9]):
        first, second = measure(before), measure(after)
        assert second.max() - second.min() > 0.95 * (first.max() - first.min())
        assert abs(lag(first, second)) < 0.1
