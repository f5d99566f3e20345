"""Cuts in a driving video are found, and nothing leaks across them."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from reenact_core.motion import motion_of_faces
from reenact_core.motion_models.mesh_boxes import steady_boxes
from reenact_core.shots import PictureChanges, find_shots
from reenact_core.storage import load_motion, save_motion
from reenact_core.types import Faces, shot_spans

from .faces import moving, posed_faces, turned

CUT = 14


def joined(*parts: Faces) -> Faces:
    return Faces(*(torch.cat(fields) for fields in zip(*parts)))


def shot(count: int, centre: tuple[float, float], height: float = 110, yaw: float = 0) -> Faces:
    """A head that turns slowly and trembles by a fraction of a pixel."""
    faces = posed_faces([turned(yaw + 0.3 * t) for t in range(count)], centre, height)
    noise = 0.1 * torch.randn(count, 1, 3, generator=torch.Generator().manual_seed(count))
    return faces._replace(landmarks=faces.landmarks + noise)


@pytest.fixture
def two_shots() -> Faces:
    return joined(shot(CUT, (100, 120)), shot(10, (180, 90), 70, 12))


def calm(count: int, at: int | None = None) -> torch.Tensor:
    changes = torch.full((count,), 0.01)
    if at is not None:
        changes[at] = 0.3
    return changes


def test_a_cut_is_a_jump_of_face_and_picture(two_shots):
    shots = find_shots(two_shots, calm(24, CUT))
    assert shot_spans(shots, 24) == [slice(0, CUT), slice(CUT, 24)]


def test_neither_face_nor_picture_alone_makes_a_cut(two_shots):
    assert len(shot_spans(find_shots(two_shots, calm(24)), 24)) == 1  # the tracker slipped
    steady = shot(24, (100, 120))
    assert len(shot_spans(find_shots(steady, calm(24, CUT)), 24)) == 1  # a lamp was switched on


def test_another_face_in_front_of_the_same_wall_is_a_cut(two_shots):
    faces = shot(24, (100, 120))
    other = faces.landmarks.clone()
    middle = other[CUT:, 168:169]
    other[CUT:, :, 0] = middle[..., 0] + 0.6 * (other[CUT:, :, 0] - middle[..., 0])  # a narrow face
    changes = calm(24)
    changes[CUT] = 0.05  # only the face differs
    assert shot_spans(find_shots(faces._replace(landmarks=other), changes), 24)[0] == slice(0, CUT)
    assert len(shot_spans(find_shots(faces, changes), 24)) == 1


def test_a_quick_head_is_no_cut():
    faces = posed_faces([turned(12.0 * t - 40) for t in range(8)])
    faces = faces._replace(landmarks=faces.landmarks + torch.arange(8.0)[:, None, None] * torch.tensor([14.0, 0, 0]))
    assert len(shot_spans(find_shots(faces, torch.full((8,), 0.12)), 8)) == 1


def test_a_cut_while_no_face_is_seen_lies_where_the_picture_changes(two_shots):
    found = two_shots.found.clone()
    found[CUT - 2 : CUT + 2] = False
    shots = find_shots(two_shots._replace(found=found), calm(24, CUT))
    assert shot_spans(shots, 24) == [slice(0, CUT), slice(CUT, 24)]


def test_changes_of_a_stream_do_not_depend_on_its_chunks():
    frames = torch.rand(7, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    whole, parts = PictureChanges(), PictureChanges()
    assert torch.equal(torch.cat(list(whole.watch([frames]))), frames)
    list(parts.watch(frames.split(2)))
    torch.testing.assert_close(whole.values(), parts.values())
    assert whole.values()[0] == 0
    assert (whole.values()[1:] > 0).all()


def test_smoothing_and_gaps_keep_to_their_shot(two_shots, caplog):
    found = two_shots.found.clone()
    found[CUT - 2 : CUT + 2] = False
    shots = find_shots(two_shots._replace(found=found), calm(24, CUT))
    broken = two_shots._replace(found=found)
    for smooth in (True, False):
        motion = motion_of_faces(broken, (256, 256), Fraction(25), smooth=smooth, shots=shots)
        centre = motion.faces.landmarks.mean(1)[:, 0]
        assert (centre[:CUT] - 100).abs().max() < 4
        assert (centre[CUT:] - 180).abs().max() < 4
    assert f"Cuts before frames {CUT}" in caplog.text


def test_a_slice_and_a_file_keep_the_shots(two_shots, tmp_path):
    shots = find_shots(two_shots, calm(24, CUT))
    motion = motion_of_faces(two_shots, (256, 256), Fraction(25), shots=shots)
    assert motion.at(slice(10, 20)).shot_spans() == [slice(0, CUT - 10), slice(CUT - 10, 10)]
    save_motion(motion, tmp_path / "motion.safetensors")
    assert load_motion(tmp_path / "motion.safetensors").shot_spans() == motion.shot_spans()
    assert moving(two_shots).shot_spans() == [slice(0, 24)]


def test_the_box_stands_still_within_a_shot_and_jumps_at_the_cut(two_shots):
    far = two_shots._replace(landmarks=two_shots.landmarks + 300.0 * (torch.arange(24) >= CUT)[:, None, None])
    boxes = steady_boxes(far.landmarks, (900, 900), [slice(0, CUT), slice(CUT, 24)])
    assert (boxes[:CUT] == boxes[0]).all()
    assert (boxes[CUT:] == boxes[CUT]).all()
    assert boxes[CUT, 0] - boxes[0, 0] > 200
    assert (steady_boxes(far.landmarks, (900, 900))[:CUT] != boxes[:CUT]).any()  # unknown, the box would follow
