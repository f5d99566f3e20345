"""Stage 2: a stream of frames becomes motion, whatever the stream is like."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from reenact_core.errors import FaceError, ReenactError, VideoError
from reenact_core.motion import encode_motion
from reenact_core.retargeting import Transfer, retarget

from .faces import still


def encode(person, tracker, **options):
    return encode_motion(person.split(5), Fraction(30), tracker, **options)


def test_motion_of_a_clip(person, person_faces, tracker):
    motion = encode(person, tracker)
    assert motion.canvas == (350, 350)
    assert motion.frame_rate == 30
    assert len(motion.faces.score) == 12
    assert motion.faces.found.all()
    apart = (motion.faces.landmarks - person_faces.landmarks).norm(dim=-1).mean(1)
    assert apart.max() < 3  # px: smoothing and tracking stay near the single frames
    assert motion.code is None


def test_frames_are_not_kept(person, tracker):
    """Only landmarks and the like remain: far less than the pictures."""
    motion = encode(person, tracker)
    size = sum(field.nbytes for field in (*motion.faces, *motion.neutral))
    assert size < person.nbytes / 50


def test_the_neutral_frame_is_the_one_asked_for(person, tracker):
    motion = encode(person, tracker, neutral=7)
    assert torch.equal(motion.neutral.landmarks, motion.faces.landmarks[[7]])
    for wrong in (-1, 12):
        with pytest.raises(ReenactError, match="frames 0 to 11"):
            encode(person, tracker, neutral=wrong)


@pytest.mark.parametrize("smooth", [True, False])
def test_gaps_are_filled(person, tracker, smooth):
    """Frames without a face get motion from their neighbours and can be retargeted."""
    gappy = person[:8].clone()
    gappy[[0, 4, 5]] = 0.5
    motion = encode(gappy, tracker, smooth=smooth)
    assert motion.faces.found.tolist() == [False, True, True, True, False, False, True, True]
    height = (motion.faces.landmarks[:, 10] - motion.faces.landmarks[:, 152]).norm(dim=-1)
    assert height.min() > 0.7 * height.max()
    references = still([person[0]], tracker.track_images([person[0]]))
    assert retarget(motion, references, Transfer.RELATIVE).faces.landmarks.isfinite().all()


def test_nothing_to_track(person, tracker):
    with pytest.raises(VideoError, match="no frames"):
        encode_motion([], Fraction(25), tracker)
    with pytest.raises(FaceError, match="2 driving frames"):
        encode(torch.full((2, 3, 120, 160), 0.5), tracker)
    with pytest.raises(FaceError, match="shows 3 faces"):
        encode(person[:2], tracker, face_index=2)
    with pytest.raises(ReenactError, match="-2"):
        encode(person[:2], tracker, face_index=-2)


def test_one_frame_is_enough(person, tracker):
    motion = encode(person[:1], tracker)
    assert len(motion.faces.score) == 1
    assert torch.equal(motion.neutral.landmarks, motion.faces.landmarks)
