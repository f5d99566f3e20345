"""The tracker on photos and clips: who is found, where, and who is followed."""

import pytest
import torch
import torch.nn.functional as F
from kornia.geometry import rotate

from reenact_core.tracking import BLENDSHAPE_NAMES, PersonMatte
from reenact_core.tracking.regions import Regions, crop, regions_of_landmarks, to_image
from reenact_core.types import Faces


def join(parts):
    return Faces(*(torch.cat(field) for field in zip(*parts)))


def place(image, height, width, x, y, scale=1.0):
    """A grey canvas with the image at (x, y)."""
    if scale != 1:
        image = F.interpolate(image[None], scale_factor=scale, mode="area")[0]
    canvas = torch.full((3, height, width), 0.4)
    part = image[:, : height - y, : width - x]
    canvas[:, y : y + part.shape[1], x : x + part.shape[2]] = part
    return canvas


@pytest.fixture(scope="module")
def portrait(tracker, photo):
    return tracker.track_images([photo])


def test_shapes_ranges_and_order(portrait):
    assert portrait.landmarks.shape == (1, 478, 3)
    assert portrait.blendshapes.shape == (1, len(BLENDSHAPE_NAMES)) == (1, 52)
    assert portrait.rotation.shape == (1, 3, 3)
    assert portrait.found.tolist() == [True]
    assert portrait.score[0] > 0.9
    assert 0 <= portrait.blendshapes.min() <= portrait.blendshapes.max() <= 1
    points = portrait.landmarks[0]
    assert points[33, 0] < points[168, 0] < points[263, 0]  # right eye, bridge of the nose, left eye
    assert points[10, 1] < points[4, 1] < points[152, 1]  # forehead, nose, chin
    assert points[4, 2] < points[234, 2]  # the nose is nearer than the ear
    assert not any(field.is_inference() for field in portrait)  # may be used in training


@pytest.mark.parametrize("degrees", [25.0, 80.0, 135.0, 180.0, 250.0])
def test_rolled_heads_up_to_upside_down(tracker, photo, portrait, degrees):
    wide = F.pad(photo[None], (100, 100, 60, 60))
    turned = rotate(wide, torch.tensor([degrees]))
    faces = tracker.track_images([turned[0]])
    assert faces.found[0]
    centre = torch.tensor([wide.shape[3], wide.shape[2]]) / 2
    angle = torch.deg2rad(torch.tensor(-degrees))
    turn = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
    expected = (portrait.landmarks[0, :, :2] + torch.tensor([100.0, 60.0]) - centre) @ turn.T + centre
    apart = (faces.landmarks[0, :, :2] - expected).norm(dim=1)
    assert apart.mean() < 4  # px, of a face 237 px wide
    assert (faces.blendshapes - portrait.blendshapes).abs().mean() < 0.03


@pytest.mark.parametrize("scale", [0.3, 0.14])
def test_small_faces_in_a_large_picture(tracker, photo, portrait, scale):
    faces = tracker.track_images([place(photo, 720, 1280, 900, 420, scale)])
    assert faces.found[0]
    expected = portrait.landmarks[0, :, :2] * scale + torch.tensor([900.0, 420.0])
    width = (portrait.landmarks[0, 454] - portrait.landmarks[0, 234]).norm() * scale
    assert (faces.landmarks[0, :, :2] - expected).norm(dim=1).mean() < 0.06 * width


@pytest.mark.parametrize(
    "part", [(slice(None), slice(0, 238)), (slice(0, 320), slice(None)), (slice(240, 640), slice(None))]
)
def test_faces_cut_by_the_edge(tracker, photo, part):
    assert tracker.track_images([photo[:, part[0], part[1]]]).found[0]


def test_no_face_is_said_per_image(tracker, photo):
    noise = torch.rand(3, 200, 300, generator=torch.manual_seed(0))
    faces = tracker.track_images([torch.zeros(3, 120, 160), photo, noise])
    assert faces.found.tolist() == [False, True, False]
    assert faces.landmarks[0].abs().max() == 0
    assert faces.score[2] == 0
    assert tracker.track_images([]).landmarks.shape == (0, 478, 3)


@pytest.fixture(scope="module")
def couple(photo):
    """Two faces, the left one larger."""
    canvas = place(photo, 640, 900, 0, 0)
    small = F.interpolate(photo[None], scale_factor=0.6, mode="area")[0]
    canvas[:, 100 : 100 + small.shape[1], 560 : 560 + small.shape[2]] = small
    return canvas


def test_the_face_asked_for_counts_by_size(tracker, couple):
    found = tracker.detect(couple[None])[0]
    assert len(found.scores) == 2
    area = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(1)
    assert area[0] > area[1]
    largest, second = (tracker.track_images([couple], index).landmarks[0, 4, 0] for index in (None, 1))
    assert largest < 450 < second
    assert not tracker.track_images([couple], 2).found[0]


def test_video_keeps_following_the_person_asked_for(tracker, photo):
    """The chosen one shrinks while somebody else comes near and becomes the larger one; then nobody; then both."""
    frames = []
    for step in range(10):
        canvas = place(photo, 480, 900, 20 + 6 * step, 20, 0.7 - 0.02 * step)
        other = F.interpolate(photo[None].flip(3), scale_factor=0.5 + 0.02 * step, mode="area")[0]
        canvas[:, 40 : 40 + other.shape[1], 480 : 480 + other.shape[2]] = other[:, :440]
        frames.append(canvas)
    video = torch.stack([*frames, torch.zeros_like(frames[0]), torch.zeros_like(frames[0]), frames[-1]])
    faces = join(tracker.track_video(video.split(4)))
    assert faces.found.tolist() == [True] * 10 + [False] * 2 + [True]
    assert (faces.landmarks[faces.found, 4, 0] < 420).all()
    second = join(tracker.track_video(video.split(4), face_index=1))
    assert (second.landmarks[second.found, 4, 0] > 480).all()


def test_a_photo_is_read_as_in_a_film_that_stands_still(tracker, photo, portrait):
    *_, film = tracker.track_video([photo[None]] * 8)
    apart = (film.landmarks - portrait.landmarks)[0, :, :2].norm(dim=1).mean()
    assert apart < 0.0015 * (portrait.landmarks[0, 454] - portrait.landmarks[0, 234]).norm()
    assert (film.blendshapes - portrait.blendshapes).abs().max() < 0.04


def test_a_moving_face_is_read_in_a_crop_of_its_own(tracker, photo):
    """Each frame moves on by a thirtieth of the crop, and is read as the photo it is."""
    frames = torch.stack([place(photo, 640, 640, 16 * step, 60, 0.9) for step in range(5)])
    faces, alone = join(tracker.track_video([frames])), tracker.track_images(list(frames))
    size = (alone.landmarks[0, 10] - alone.landmarks[0, 152]).norm()
    off = (faces.landmarks - alone.landmarks)[..., :2].norm(dim=-1).mean(1) / size
    assert off.amax() < 0.003


def test_chunks_do_not_matter(tracker, clip):
    frames = clip("clips/lp_d3.mp4", 7, step=3)
    whole = join(tracker.track_video([frames]))
    parts = join(tracker.track_video(frames.split(3)))
    assert whole.found.all()
    torch.testing.assert_close(whole.landmarks, parts.landmarks, atol=1e-3, rtol=0)
    assert join(tracker.track_video([frames[:0], frames[:1]])).found.tolist() == [True]


def test_several_frames_at_once_read_like_one_by_one(tracker, clip):
    """The way of other devices than the CPU: a shared crop, renewed where the head moved."""
    frames = clip("clips/lp_d3.mp4", 8, step=2)
    one_by_one = join(tracker.track_video([frames]))
    with torch.inference_mode():
        first = tracker._look(frames[0], 0)
        reading, _ = tracker._follow(frames, first.regions)
    assert len(reading.scores) == 8
    width = (one_by_one.landmarks[:, 454] - one_by_one.landmarks[:, 234]).norm(dim=1)
    apart = (reading.landmarks - one_by_one.landmarks)[..., :2].norm(dim=2).mean(1)
    assert (apart / width).max() < 0.015


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lp_d13.mp4", "em_a.mp4", "cl_12.mp4", "pf_2.mp4", "mo_1.mp4", "lp_d6.mp4"])
def test_clips_are_tracked_without_a_loss(tracker, clip, name):
    frames = clip(f"clips/{name}", 40, step=2)
    faces = join(tracker.track_video(frames.split(16)))
    assert faces.found.all()
    assert faces.score.min() > 0.5


@pytest.mark.parametrize("side", [200.0, 700.0])
def test_points_of_a_crop_come_back_to_where_they_were_cut(side):
    """A bright blob, cut out by a turned region and found in the crop, maps back to its place."""
    y, x = torch.meshgrid(torch.arange(480) + 0.5, torch.arange(640) + 0.5, indexing="ij")
    image = torch.exp(-((x - 350) ** 2 + (y - 180) ** 2) / (2 * 12**2)).expand(1, 3, -1, -1)
    region = Regions(torch.tensor([[330.0, 200.0]]), torch.tensor([side]), torch.tensor([0.6]))
    cut = crop(image, region, 128)[0, 0]
    rows, columns = torch.meshgrid(torch.arange(128) + 0.5, torch.arange(128) + 0.5, indexing="ij")
    found = torch.stack([(cut * columns).sum(), (cut * rows).sum()]) / cut.sum()
    back = to_image(torch.cat([found, torch.tensor([64.0])])[None, None], region, 128)[0, 0]
    torch.testing.assert_close(back, torch.tensor([350.0, 180.0, side / 2]), atol=0.3, rtol=0)


@pytest.mark.parametrize("side", [200.0, 700.0])
def test_crops_are_the_same_by_opencv_and_by_torch(side):
    images = torch.rand(2, 3, 120, 160)
    places = Regions(
        torch.tensor([[70.0, 60.0], [150.0, 20.0]]), torch.tensor([side, 0.7 * side]), torch.tensor([0.6, 2])
    )
    ours = crop(images, places, 128)
    assert 0.05 < float((ours == 0).float().mean()) < 0.95, "they reach beyond the picture"
    torch.testing.assert_close(ours, crop(images.clone().requires_grad_(), places, 128).detach(), atol=1e-3, rtol=0)


def test_regions_turn_and_grow_with_the_face(portrait):
    points = portrait.landmarks
    base = regions_of_landmarks(points)
    angle = torch.tensor(0.7)
    turn = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
    turned = regions_of_landmarks(torch.cat([2 * points[..., :2] @ turn.T, points[..., 2:]], 2))
    torch.testing.assert_close(turned.angle, base.angle + angle, atol=1e-3, rtol=0)
    torch.testing.assert_close(turned.side, 2 * base.side, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(turned.centre, 2 * base.centre @ turn.T, atol=1e-1, rtol=1e-4)


def test_matte_separates_person_and_background(photo, clip):
    matte = PersonMatte.load()
    frame = clip("clips/pf_2.mp4", 1)
    mask = matte.matte(frame)
    assert mask.shape == (1, 1, *frame.shape[2:])
    assert 0 <= mask.min() <= mask.max() <= 1
    assert mask[0, 0, 100:260, 240:350].mean() > 0.95  # face
    assert mask[0, 0, :, :150].mean() < 0.2  # wall at the left
    assert matte.matte(photo[None])[0, 0, 400:, 200:300].mean() > 0.9  # chest
