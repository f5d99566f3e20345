"""From the driving person's motion to this person's."""

from __future__ import annotations

import pytest
import torch

from reenact_core import geometry
from reenact_core.motion_models.mesh_flows import RIGID
from reenact_core.retargeting import Transfer, retarget
from reenact_core.types import Faces

from .faces import moving, posed_faces, still, texture, turned


def driving_faces() -> Faces:
    """Four frames: neutral, turned, tilted with the jaw open, and nearer."""
    parts = [
        posed_faces([turned(5, 2, 0)], (300, 200), 180),
        posed_faces([turned(30, -5, 4)], (320, 190), 180),
        posed_faces([turned(-10, 10, -20)], (280, 210), 180, opening=0.15),
        posed_faces([turned(5, 2, 0)], (300, 200), 240),
    ]
    return Faces(*(torch.cat(fields) for fields in zip(*parts)))


@pytest.fixture
def own():
    """One reference, smaller, elsewhere, turned the other way."""
    return still([texture(240, 320)], posed_faces([turned(-12, 4, 6)], (150, 130), 90))


def relative(faces: Faces, references, neutral: int = 0) -> Faces:
    return retarget(moving(faces, (480, 640), neutral), references, Transfer.RELATIVE).faces


def test_absolute_motion_is_left_alone(own):
    motion = moving(driving_faces(), (480, 640))
    assert retarget(motion, own, Transfer.ABSOLUTE) is motion


@pytest.mark.parametrize("neutral", [0, 1, 2, 3])
def test_the_neutral_frame_gives_the_reference_itself(own, neutral):
    faces = relative(driving_faces(), own, neutral)
    assert torch.allclose(faces.landmarks[neutral], own.faces.landmarks[0], atol=2e-3)
    assert torch.allclose(faces.rotation[neutral], own.faces.rotation[0], atol=1e-4)
    assert torch.allclose(faces.blendshapes[neutral], own.faces.blendshapes[0])


def test_the_canvas_is_the_first_references(own):
    motion = retarget(moving(driving_faces(), (480, 640)), own, Transfer.RELATIVE)
    assert motion.canvas == (240, 320)
    assert torch.equal(motion.neutral.landmarks, own.faces.landmarks)


def test_the_driving_persons_place_does_not_count(own):
    faces = driving_faces()
    moved = faces._replace(landmarks=faces.landmarks + torch.tensor([57.0, -31.0, 12.0]))
    assert torch.allclose(relative(faces, own).landmarks, relative(moved, own).landmarks, atol=5e-3)


def test_a_larger_driving_face_gives_the_same_result(own):
    faces = driving_faces()
    larger = faces._replace(landmarks=faces.landmarks * 2.5)
    assert torch.allclose(relative(faces, own).landmarks, relative(larger, own).landmarks, atol=2e-2)


def test_moving_the_driving_head_moves_ours_in_proportion(own):
    faces = driving_faces()
    step = torch.tensor([18.0, -9.0, 0.0])
    moved = faces.landmarks.clone()
    moved[1:] += step
    shift = relative(faces._replace(landmarks=moved), own).landmarks - relative(faces, own).landmarks
    assert torch.allclose(shift[0], torch.zeros(3), atol=2e-3)
    assert torch.allclose(shift[1:], (0.5 * step).expand_as(shift[1:]), atol=5e-3)  # our face is half as high


def test_the_head_turns_by_as_much_as_the_driving_head(own):
    faces = driving_faces()
    ours = relative(faces, own)
    rigid = list(RIGID)
    for t in range(4):
        wanted = geometry.split_similarity(
            geometry.fit_similarity(faces.landmarks[:1, rigid], faces.landmarks[t : t + 1, rigid])
        )[1][0]
        got = geometry.split_similarity(
            geometry.fit_similarity(own.faces.landmarks[:, rigid], ours.landmarks[t : t + 1, rigid])
        )[1][0]
        assert torch.allclose(wanted, got, atol=1e-3)
        assert torch.allclose(ours.rotation[t], wanted @ own.faces.rotation[0], atol=1e-3)


def test_coming_nearer_enlarges_our_face_in_proportion(own):
    ours = relative(driving_faces(), own).landmarks
    height = (ours[:, 10] - ours[:, 152]).norm(dim=-1)
    assert height[3] / height[0] == pytest.approx(240 / 180, rel=1e-3)


def test_an_open_jaw_opens_ours_in_our_own_direction(own):
    """The jaw moves along our face's own down axis by the same share of the face."""
    plain = posed_faces([turned(0), turned(0)], (300, 200), 180)
    opened = posed_faces([turned(0)], (300, 200), 180, opening=0.2)
    faces = plain._replace(landmarks=torch.cat([plain.landmarks[:1], opened.landmarks]))
    ours = relative(faces, own).landmarks
    move = ours[1, 152] - ours[0, 152]
    down = own.faces.landmarks[0, 152] - own.faces.landmarks[0, 10]
    driving = (opened.landmarks - plain.landmarks[:1])[0, 152].norm() / 180
    assert move.norm() / 90 == pytest.approx(float(driving), rel=0.02)
    assert torch.nn.functional.cosine_similarity(move, down, dim=0) > 0.98


def test_blendshapes_stay_in_range(own):
    faces = driving_faces()
    faces.blendshapes[0] = 0.8
    faces.blendshapes[1] = 0.1
    ours = relative(faces, own).blendshapes
    assert ours.min() >= 0
    assert ours.max() <= 1
