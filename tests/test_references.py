"""Stage 1: images become references; choosing good ones among many."""

from __future__ import annotations

import pytest
import torch

from reenact_core.errors import FaceError, ImageError, ReenactError
from reenact_core.references import encode_references, frame_sharpness, most_neutral, pick_by_coverage, pick_frames
from reenact_core.tracking import BLENDSHAPE_NAMES

from .faces import posed_faces, texture, turned


def test_sizes_may_differ(person, tracker):
    images = [person[0], person[3, :, 10:-21, 5:-8], torch.nn.functional.interpolate(person[6:7], scale_factor=1.5)[0]]
    references = encode_references(images, tracker)
    assert references.labels == ("reference 1", "reference 2", "reference 3")
    assert references.faces.found.all()
    assert torch.equal(references.strengths, torch.ones(3))
    for image, mask in zip(references.images, references.masks):
        assert mask.shape == (1, *image.shape[-2:])
        assert mask.min() == 1


def test_those_without_a_face_are_left_out_with_their_mask_and_strength(person, tracker, caplog):
    masks = [None, None, torch.full((1, 50, 50), 0.5)]
    references = encode_references(
        [person[0], texture(100, 100), person[3]], tracker, masks, [1, 2, 3], ["a", "tree", "b"]
    )
    assert references.labels == ("a", "b")
    assert references.strengths.tolist() == [1, 3]
    assert torch.allclose(references.masks[1], torch.full((1, 350, 350), 0.5))
    assert "tree" in caplog.text


def test_strength_zero_leaves_a_reference_out(person, tracker):
    references = encode_references([person[0], person[3]], tracker, strengths=[0, 2])
    assert references.labels == ("reference 2",)
    with pytest.raises(FaceError, match="strength 0"):
        encode_references([person[0], texture(99, 99)], tracker, strengths=[0, 1])


@pytest.mark.parametrize("strengths", [[1], [1, -1], [0, 0], [1, float("nan")], [1, float("inf")], [1, 2, 3]], ids=str)
def test_strengths_that_mean_nothing(person, tracker, strengths):
    with pytest.raises(ReenactError, match="2 numbers >= 0"):
        encode_references([person[0], person[3]], tracker, strengths=strengths)


def test_a_mask_that_leaves_nothing_is_refused_unless_the_picture_does_not_count(person, tracker):
    images, masks = [person[0], person[3]], [None, torch.zeros(1, 9, 9)]
    with pytest.raises(ImageError, match="reference 2: all of it is masked"):
        encode_references(images, tracker, masks)
    assert encode_references(images, tracker, masks, [1, 0]).labels == ("reference 1",)


def test_images_that_mean_nothing(person, tracker):
    damaged = person[0].clone()
    damaged[1, 5, 5] = float("nan")
    with pytest.raises(ImageError, match=r"second.*NaN"):
        encode_references([person[0], damaged], tracker, labels=["first", "second"])
    with pytest.raises(ImageError, match=r"\[1, 350, 350\]"):
        encode_references([person[0][:1]], tracker)
    with pytest.raises(ImageError, match="No reference images"):
        encode_references([], tracker)
    with pytest.raises(FaceError, match="tree"):
        encode_references([texture(200, 300)], tracker, labels=["tree"])
    with pytest.raises(ImageError, match="mask"):
        encode_references([person[0]], tracker, masks=[torch.full((1, 350, 350), float("nan"))])


def test_as_many_masks_and_labels_as_images(person, tracker):
    with pytest.raises(ReenactError, match="masks"):
        encode_references([person[0], person[3]], tracker, masks=[None])
    with pytest.raises(ReenactError, match="labels"):
        encode_references([person[0], person[3]], tracker, labels=["only one"])


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (3, 7), (20, 20)], ids=str)
def test_tiny_images_have_no_face(tracker, size):
    with pytest.raises(FaceError):
        encode_references([torch.full((3, *size), 0.5)], tracker)


def test_the_picked_cover_the_poses():
    yaws = [0.0] * 20 + [1.0, 40.0, -40.0, 39.0, -38.0]
    faces = posed_faces([turned(yaw) for yaw in yaws])
    chosen = pick_by_coverage(faces, 3)
    assert abs(yaws[chosen[0]]) <= 1  # the most ordinary first: it sets the canvas
    assert sorted(yaws[i] for i in chosen[1:]) == [-40.0, 40.0]


def test_blurred_and_lost_frames_are_avoided():
    faces = posed_faces([turned(yaw) for yaw in (0, 0, 40, 38, -40)])
    faces.found[4] = False
    sharpness = torch.tensor([1.0, 1.0, 0.1, 1.0, 1.0])
    assert 3 in pick_by_coverage(faces, 2, sharpness)
    assert 4 not in pick_by_coverage(faces, 5, sharpness)


def test_fewer_are_picked_where_frames_repeat():
    faces = posed_faces([turned(5)] * 4)
    assert len(pick_by_coverage(faces, 3)) == 1
    nobody = faces._replace(found=torch.zeros(4, dtype=torch.bool))
    with pytest.raises(FaceError):
        pick_by_coverage(nobody, 2)


def test_most_neutral_is_frontal_calm_and_seen():
    faces = posed_faces([turned(0), turned(0), turned(2), turned(30)])
    faces.blendshapes[1, BLENDSHAPE_NAMES.index("jawOpen")] = 0.6
    assert most_neutral(faces) == 0
    faces.found[0] = False
    assert most_neutral(faces) == 2


def test_small_faces_are_avoided():
    """Of two frames that are turned alike, the one with more pixels is a reference."""
    faces = posed_faces([turned(angle) for angle in (0, 0, 0, 20, 21)])
    faces.landmarks[4] *= 0.5
    assert pick_by_coverage(faces, 2)[1] == 3


def test_sharpness_sees_blur_inside_the_face():
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(image, 9, 1, 4)
    sharp, soft = frame_sharpness(torch.cat([image, blurred]), posed_faces([turned(0)] * 2))
    assert soft < 0.5 * sharp
    away = posed_faces([turned(0)], (-300, -300))
    assert frame_sharpness(image, away).tolist() == [0.0]


def test_frames_picked_from_a_video(person_files, tracker):
    picked = pick_frames(person_files / "driving.mp4", 4, tracker)
    assert len({number for number, _ in picked}) == 4
    assert all(frame.shape == (3, 256, 256) for _, frame in picked)
    assert len(pick_frames(person_files / "driving.mp4", 500, tracker)) <= 11
    with pytest.raises(ReenactError, match="at least 1"):
        pick_frames(person_files / "driving.mp4", 0, tracker)
