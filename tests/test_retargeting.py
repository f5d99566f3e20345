"""From the driving person's motion to this person's."""

from __future__ import annotations

import pytest
import torch

from reenact_core import geometry, retargeting
from reenact_core.contact import LIDS
from reenact_core.decoding import decode
from reenact_core.errors import ReenactError
from reenact_core.face_regions import LIP_PAIRS
from reenact_core.fusing import Smoothing, fuse_references
from reenact_core.fusion import strategy_class
from reenact_core.images import read_image
from reenact_core.motion_models import load_model
from reenact_core.motion_models.mesh_flows import RIGID
from reenact_core.pose import euler_degrees
from reenact_core.references import encode_references
from reenact_core.retargeting import Follow, Retargeting, Transfer, power, retarget, steady
from reenact_core.storage import load_motion
from reenact_core.tracking import BLENDSHAPE_NAMES, FaceTracker
from reenact_core.types import Faces
from reenact_core.warping import warp_per_reference

from .faces import SAMPLE, moving, posed_faces, still, texture, turned


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
    motion = moving(driving_faces(), (480, 640), neutral)
    faces = retarget(motion, own, Transfer.RELATIVE, Retargeting(scale_lock=0, contact=False)).faces
    assert torch.allclose(faces.landmarks[neutral], own.faces.landmarks[0], atol=2e-2)
    assert torch.allclose(faces.rotation[neutral], own.faces.rotation[0], atol=1e-4)
    assert torch.allclose(faces.blendshapes[neutral], own.faces.blendshapes[0], atol=1e-3)


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
    motion = moving(driving_faces(), (480, 640))
    ours = retarget(motion, own, Transfer.RELATIVE, Retargeting(scale_lock=0)).faces.landmarks
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


CHANNELS = ("rotation", "translation", "scale", "expression", "mouth", "eyes", "gaze")


@pytest.fixture
def several():
    """Three references: the first one open-mouthed, the others calm and turned to both sides."""
    faces = [
        posed_faces([turned(-12, 4, 6)], (150, 130), 90, opening=0.12),
        posed_faces([turned(10)], (160, 120), 80),
        posed_faces([turned(-20)], (140, 120), 100),
    ]
    joined = Faces(*(torch.cat(fields) for fields in zip(*faces)))
    joined.blendshapes[0, BLENDSHAPE_NAMES.index("jawOpen")] = 0.5
    return still([texture(240, 320)] * 3, joined)


def automatic(faces: Faces, references, settings: Retargeting | None = None) -> Faces:
    """Retargeted without a neutral frame of the user's."""
    motion = moving(faces, (480, 640))._replace(floating=True)
    return retarget(motion, references, Transfer.RELATIVE, settings).faces


def opening(faces: Faces) -> torch.Tensor:
    return (faces.landmarks[:, 14] - faces.landmarks[:, 13])[:, :2].norm(dim=-1)


@pytest.mark.parametrize("follow", [Follow.RELATIVE, Follow.ABSOLUTE])
def test_gains_of_zero_and_channels_off_give_the_first_reference(several, follow):
    nothing = Retargeting(**dict.fromkeys(CHANNELS, follow), **{f"{name}_gain": 0.0 for name in CHANNELS})
    off = Retargeting(**dict.fromkeys(CHANNELS, Follow.OFF))
    for settings in (nothing, off):
        faces = automatic(driving_faces(), several, settings)
        expected = several.faces.landmarks[:1].expand(4, -1, -1)
        torch.testing.assert_close(faces.landmarks, expected, atol=2e-3, rtol=0)
        torch.testing.assert_close(faces.blendshapes, several.faces.blendshapes[:1].expand(4, -1), atol=1e-3, rtol=0)


def test_gains_of_zero_render_the_first_reference():
    """The picture too: no drift, and 40 dB or more, though four references are fused."""
    folder = SAMPLE.parent
    images = [read_image(path) for path in sorted((folder / "references").glob("*.png"))]
    motion = load_motion(folder / "driving.motion.safetensors").at(slice(0, 30, 20))
    nothing = Retargeting(**{f"{name}_gain": 0.0 for name in CHANNELS})
    model = load_model("face_mesh", torch.device("cpu"))
    references = encode_references(images, FaceTracker.load())
    warped = warp_per_reference(references, motion, model, retargeting=nothing)
    fused = fuse_references(warped, strategy_class(model.default_strategy)(), Smoothing(0))
    frames = torch.cat([chunk.images for chunk in decode(fused)])
    errors = (frames - images[0]).square().mean((1, 2, 3))
    assert len(frames) == 2
    assert float(-10 * errors.amax().log10()) > 40
    assert float((frames[0] - frames[1]).abs().max()) < 1 / 255


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_alone_moves_and_its_gain_says_how_far(several, channel):
    others = {name: Follow.OFF for name in CHANNELS if name != channel}
    faces = driving_faces()
    faces.landmarks[1:, 468:] += 3.0 * faces.rotation[1:, :, 0][:, None]  # a glance aside
    faces.landmarks[1:, [159, 386]] += 2.0 * faces.rotation[1:, :, 1][:, None]  # and half-closed lids
    faces.landmarks[1:, [105, 334]] -= 3.0 * faces.rotation[1:, :, 1][:, None]  # raised brows
    mode = {channel: Follow.ABSOLUTE if channel == "mouth" else Follow.RELATIVE}
    moved = []
    for gain in (0.5, 1.0):
        settings = Retargeting(**others, **mode, **{f"{channel}_gain": gain}, scale_lock=0, contact=False)
        moved.append((automatic(faces, several, settings).landmarks - several.faces.landmarks[:1]).norm(dim=-1))
    assert float(moved[1].max()) > 0.5
    assert 0.35 < float(moved[0].max() / moved[1].max()) < 0.65
    if channel == "mouth":
        torch.testing.assert_close(moved[0], 0.5 * moved[1], atol=1e-3, rtol=1e-3)


def test_an_open_mouth_in_the_first_reference_does_not_stay_open(several):
    calm = posed_faces([turned(5), turned(8)], (300, 200), 180)
    lips = calm.landmarks.clone()
    for upper, lower in LIP_PAIRS:
        lips[:, lower] = lips[:, upper]
    closed = automatic(calm._replace(landmarks=lips), several)
    assert float(opening(several.faces)[0]) > 3.5
    assert float(opening(closed).max()) < 1


def test_absolute_rotation_shows_the_drivers_own(several):
    faces = automatic(driving_faces(), several, Retargeting(rotation=Follow.ABSOLUTE))
    torch.testing.assert_close(faces.rotation, driving_faces().rotation, atol=1e-4, rtol=0)


def test_turns_beyond_the_references_are_held_back_softly(several):
    far = posed_faces([turned(yaw) for yaw in (-10, 20, 40, 60, 80)], (300, 200), 180)
    settings = Retargeting(rotation=Follow.ABSOLUTE, reach=20)
    yaw = euler_degrees(automatic(far, several, settings).rotation)[:, 0]
    assert (yaw[:2] - torch.tensor([-10.0, 20.0])).abs().max() < 0.5
    assert (yaw.diff() > -1e-3).all()
    assert yaw.max() <= 10 + 20 + 10.5
    free = automatic(far, several, Retargeting(rotation=Follow.ABSOLUTE, reach=90))
    assert abs(float(euler_degrees(free.rotation)[-1, 0]) - 80) < 0.5


def test_a_breathing_size_stands_still():
    breath = 0.02 * torch.sin(torch.arange(60.0) * 0.4)
    assert torch.equal(steady(breath, 0.03), torch.zeros(60))
    near = torch.linspace(0, 0.5, 60)
    assert (steady(near, 0.03) - near).abs().max() <= 0.0301
    assert torch.equal(steady(breath, 0.0), breath)


def test_half_a_turn_is_half_its_angle():
    assert torch.allclose(power(turned(40)[None], 0.5)[0], turned(20), atol=1e-4)
    assert torch.allclose(power(turned(40)[None], 0.0)[0], torch.eye(3), atol=1e-6)


def test_each_shot_starts_from_its_own_pose(several):
    first = posed_faces([turned(0)] * 6, (200, 200), 180)
    second = posed_faces([turned(0)] * 6, (500, 300), 90)
    faces = Faces(*(torch.cat(fields) for fields in zip(first, second)))
    motion = moving(faces, (480, 640))._replace(floating=True, shots=(torch.arange(12) >= 6).long())
    ours = retarget(motion, several, Transfer.RELATIVE)
    assert (ours.faces.landmarks[6:] - ours.faces.landmarks[:6]).abs().max() < 0.5
    assert retarget(ours, several, Transfer.RELATIVE) is ours


def test_a_face_turned_away_after_a_cut_is_turned_away_in_the_result(several):
    first = posed_faces([turned(-12, 4, 6)] * 6, (200, 200), 180)
    second = posed_faces([turned(23, 4, 6)] * 6, (500, 300), 90)
    faces = Faces(*(torch.cat(fields) for fields in zip(first, second)))
    motion = moving(faces, (480, 640))._replace(floating=True, shots=(torch.arange(12) >= 6).long())
    ours = retarget(motion, several, Transfer.RELATIVE).faces
    yaw = euler_degrees(ours.rotation)[:, 0]
    assert abs(float(yaw[0]) - -12) < 1
    assert abs(float(yaw[6] - yaw[0]) - 35) < 1
    centre, expected = (points[list(RIGID), :2].mean(0) for points in (ours.landmarks[6], several.faces.landmarks[0]))
    assert (centre - expected).norm() < 5  # but at the same place


def test_eyes_that_one_shot_never_shows_open_are_known_from_another(several):
    opened = posed_faces([turned(0)] * 6, (200, 200), 180)
    closed = posed_faces([turned(0)] * 6, (200, 200), 180)
    for upper, lower in [pair for eye in LIDS for pair in eye]:
        closed.landmarks[:, upper] = closed.landmarks[:, lower]
    for eye in ("Left", "Right"):
        closed.blendshapes[:, BLENDSHAPE_NAMES.index(f"eyeBlink{eye}")] = 0.9
    faces = Faces(*(torch.cat(fields) for fields in zip(opened, closed)))
    motion = moving(faces, (480, 640))._replace(floating=True, shots=(torch.arange(12) >= 6).long())
    ours = retarget(motion, several, Transfer.RELATIVE).faces
    gap = (ours.landmarks[:, 145] - ours.landmarks[:, 159]).norm(dim=-1)
    assert gap[6] < 0.35 * gap[0]


def test_mouths_are_asked_to_move_farther_than_pictures_of_them_will(several, monkeypatch):
    # corners of the mouth in and up, the upper lip up, the lower lip down
    for point, axis, pixels, more in ((61, 0, 6, 1.2), (61, 1, -9, 1.2), (0, 1, -9, 1.32), (17, 1, 9, 1.1)):
        faces = posed_faces([turned(0)] * 4, (300, 200), 180)
        faces.landmarks[2:, point, axis] += pixels
        moved = []
        for asked in (torch.zeros(478, 3), retargeting._more()):
            monkeypatch.setattr(retargeting, "_more", lambda asked=asked: asked)
            moved.append(automatic(faces, several).landmarks[[0, 2], point, axis].diff())
            monkeypatch.undo()
        assert moved[0].abs() > 2
        assert float(moved[1] / moved[0]) == pytest.approx(more, abs=0.06)


def test_retargeted_motion_stays_with_its_first_reference(several):
    ours = retarget(moving(driving_faces(), (480, 640)), several, Transfer.RELATIVE)
    fewer = still(list(several.images[:1]), several.faces.at([0]))
    assert retarget(ours, fewer, Transfer.ABSOLUTE) is ours
    swapped = still(list(several.images), several.faces.at([1, 0, 2]))
    with pytest.raises(ReenactError, match="retargeted to another first reference"):
        retarget(ours, swapped, Transfer.RELATIVE)
    larger = still([texture(480, 640)], several.faces.at([0]))
    with pytest.raises(ReenactError, match="320 x 240 against 640 x 480"):
        retarget(ours, larger, Transfer.RELATIVE)


def test_values_out_of_range_are_refused():
    with pytest.raises(ReenactError, match="mouth_gain is 3"):
        Retargeting(mouth_gain=3.0)


def test_settings_name_what_is_not_at_its_default():
    assert Retargeting().label == "defaults"
    assert Retargeting(mouth=Follow.OFF, reach=90).label == "mouth off, reach 90"
