"""The default motion model on a real person: what is known in advance must come out."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from reenact_core import geometry
from reenact_core.colour_match import colour_gains
from reenact_core.decoding import decode
from reenact_core.fusing import Smoothing, fuse_references
from reenact_core.fusion import strategy_class, strategy_names
from reenact_core.motion_models import load_model
from reenact_core.motion_models.face_mesh import FaceMesh
from reenact_core.motion_models.mesh_boxes import SIDE_STEP, steady_boxes
from reenact_core.motion_models.mesh_weights import new_networks
from reenact_core.retargeting import Transfer
from reenact_core.types import DrivingMotion, Evidence, Faces, References
from reenact_core.warping import WarpedReferences, warp_per_reference

from ..faces import moving, posed_faces, psnr, still, texture, turned


@pytest.fixture(scope="module")
def model():
    """The geometric model: rules, no learned weights, so that its results follow from geometry alone."""
    return FaceMesh().eval()


def resized(images: torch.Tensor, size: int) -> torch.Tensor:
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)


def scaled(faces: Faces, factor: float) -> Faces:
    return faces._replace(landmarks=faces.landmarks * factor)


def motion_of(faces: Faces, size: int, neutral: int = 0) -> DrivingMotion:
    return moving(faces, (size, size), neutral)


def references_of(person: torch.Tensor, faces: Faces, which: list[int]) -> References:
    return still([person[i] for i in which], faces.at(which))


def last_frame(warped: WarpedReferences, strategy: str = "learned"):
    fused = fuse_references(warped, strategy_class(strategy)(), Smoothing(0))
    chunks = list(decode(fused))
    return chunks[-1]


def box_of(image: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
    """The picture under a box, and which of its pixels lie inside the picture."""
    left, top, side = box.tolist()
    points = torch.tensor([left, top]) + geometry.pixel_grid(side, side)
    grid = geometry.normalise(points, (image.shape[-2], image.shape[-1]))[None]
    return geometry.sample(image[None], grid)[0], (grid.abs() < 1).all(-1)[0]


@pytest.mark.parametrize("frame", [0, 5, 9])
def test_the_same_pose_is_the_same_picture(model, person, person_faces, frame):
    references = references_of(person, person_faces, [frame])
    warped = warp_per_reference(references, motion_of(person_faces.at([frame]), 350), model, Transfer.ABSOLUTE)
    looks = warped.evidence(0, 1).features[0, 0]
    truth, inside = box_of(person[frame], warped.boxes[0])
    assert psnr(looks[:, inside], truth[:, inside]) > 35
    chunk = last_frame(warped)
    assert psnr(chunk.images[0], person[frame]) > 40


@pytest.mark.parametrize("strategy", strategy_names())
def test_the_neutral_frame_gives_the_first_reference_back(model, person, person_faces, strategy):
    """Relative motion: another frame drives, but it is the neutral one."""
    references = references_of(person, person_faces, [3])
    motion = motion_of(person_faces.at([8]), 350)
    chunk = last_frame(warp_per_reference(references, motion, model, Transfer.RELATIVE), strategy)
    assert psnr(chunk.images[0], person[3]) > 40


def test_canvases(model, person, person_faces):
    image = F.pad(person[3], (20, 30, 0, 10), value=0.3)
    faces = person_faces.at([3])
    references = still([image], faces._replace(landmarks=faces.landmarks + torch.tensor([20.0, 0, 0])))
    motion = motion_of(person_faces.at([8]), 350)
    for transfer, canvas in ((Transfer.ABSOLUTE, (350, 350)), (Transfer.RELATIVE, (360, 400))):
        chunk = last_frame(warp_per_reference(references, motion, model, transfer))
        assert chunk.images.shape == (1, 3, *canvas)
        assert chunk.masks.shape == (1, 1, *canvas)
        assert chunk.images.min() >= 0
        assert chunk.images.max() <= 1


def test_a_driven_face_lands_on_the_driving_landmarks(model, person, person_faces, tracker):
    """The picture is tracked again: its landmarks are nearer to the driving ones than the reference's were."""
    references = references_of(person, person_faces, [0])
    chunk = last_frame(warp_per_reference(references, motion_of(person_faces.at([6]), 350), model, Transfer.ABSOLUTE))
    again = tracker.track_images([chunk.images[0]])
    assert again.found.all()
    wanted = person_faces.landmarks[6, :468, :2]
    error = (again.landmarks[0, :468, :2] - wanted).norm(dim=1).mean()
    before = (person_faces.landmarks[0, :468, :2] - wanted).norm(dim=1).mean()
    assert error < 0.25 * before
    assert error < 4


def test_more_references_bring_the_picture_nearer_to_the_truth(model, person, person_faces):
    """Self-reenactment of frame 6 from frames that do not include it."""
    motion = motion_of(person_faces.at([6]), 350)
    results = [
        last_frame(warp_per_reference(references_of(person, person_faces, which), motion, model, Transfer.ABSOLUTE))
        for which in ([0], [0, 4, 7, 8])
    ]
    truth, _ = box_of(person[6], torch.tensor([100, 80, 180]))
    quality = [psnr(box_of(chunk.images[0], torch.tensor([100, 80, 180]))[0], truth) for chunk in results]
    assert quality[1] > quality[0]


def test_shares_follow_the_masks(model, person, person_faces):
    """A reference whose left half is masked gives nothing where the warp looks there."""
    masks = [torch.ones(1, 350, 350), torch.ones(1, 350, 350)]
    masks[1][..., :175] = 0
    references = still([person[0], person[0]], person_faces.at([0, 0]), masks)
    warped = warp_per_reference(references, motion_of(person_faces.at([0]), 350), model, Transfer.ABSOLUTE)
    chunk = next(fuse_references(warped, strategy_class("mean")(), Smoothing(0)).chunks())
    left, _, side = warped.boxes[0].tolist()
    cells = chunk.weights.shape[-1]
    middle = (175 - left) / side * cells
    second = chunk.weights[0, 1, 0]
    begin = max(0, int(-left / side * cells)) + 2  # further left there is no picture
    assert second[cells // 3 : cells // 2, begin : int(middle) - 2].max() < 1e-4
    assert torch.allclose(second[cells // 3 : cells // 2, int(middle) + 3 : int(middle) + 12], torch.tensor(0.5))


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_exposure_is_matched(model, person, person_faces, factor):
    dark = (person[0] * 0.7, person[0] * 0.7 * factor)
    references = still(list(dark), person_faces.at([0, 0]))
    warped = warp_per_reference(references, motion_of(person_faces.at([0]), 350), model, Transfer.ABSOLUTE)
    first, second = warped.evidence(0, 1).features[0]
    middle = slice(warped.size // 3, 2 * warped.size // 3)
    ratio = second[:, middle, middle].mean() / first[:, middle, middle].mean()
    assert float(ratio) == pytest.approx(1, abs=0.03)


def test_equal_exposure_is_left_alone_and_large_gains_are_limited(person, person_faces):
    landmarks, seen = person_faces.landmarks[[0, 0], :468], torch.ones(2, 468)
    same = colour_gains(person[[0, 0]], landmarks, seen)
    assert torch.equal(same, torch.ones(2, 3))
    black = colour_gains(torch.stack([person[0], person[0] * 0.02]), landmarks, seen)
    assert black.max() < 2.1
    unseen = colour_gains(torch.stack([person[0], person[0] * 0.5]), landmarks, torch.zeros(2, 468))
    assert torch.equal(unseen, torch.ones(2, 3))
    tinted = person[0] * torch.tensor([0.8, 1.0, 0.9])[:, None, None]
    gains = colour_gains(torch.stack([person[0], tinted]), landmarks, seen)[1]
    assert torch.allclose(gains, torch.tensor([1 / 0.8, 1.0, 1 / 0.9]), rtol=0.03)


def test_references_of_other_sizes(model, person, person_faces):
    """The same picture at three sizes: after alignment all three show the same."""
    factors = (1.0, 4.0, 0.6)
    images = [resized(person[:1], round(350 * f))[0] for f in factors]
    faces = Faces(*(torch.cat(x) for x in zip(*(scaled(person_faces.at([0]), f) for f in factors))))
    warped = warp_per_reference(still(images, faces), motion_of(person_faces.at([0]), 350), model, Transfer.ABSOLUTE)
    looks = warped.evidence(0, 1).features[0]
    truth, inside = box_of(person[0], warped.boxes[0])
    quality = [psnr(look[:, inside], truth[:, inside]) for look in looks]
    assert quality[0] > 35
    assert quality[1] > 32  # shrunk before it is sampled: no aliasing
    assert quality[2] > 24  # enlarged: soft, but in place
    assert max(warped.encoded.images.shape[-2:]) <= 360  # the large one was shrunk to the canvas's scale


def test_a_large_reference_is_shrunk_with_its_mask_and_face(model, person, person_faces):
    image = resized(person[:1], 1400)[0]
    mask = torch.ones(1, 1400, 1400)
    mask[:, 700:] = 0
    references = still([person[0], image], Faces(*(
        torch.cat(x) for x in zip(person_faces.at([0]), scaled(person_faces.at([0]), 4)))
    ), [torch.ones(1, 350, 350), mask])  # fmt: skip
    warped = warp_per_reference(references, motion_of(person_faces.at([0]), 350), model, Transfer.ABSOLUTE)
    apart = warped.encoded.faces.landmarks[1] - warped.encoded.faces.landmarks[0]
    assert apart.abs().max() < 1
    rows = warped.encoded.usable[1, 0].mean(1)
    assert rows[: len(rows) // 2 - 2].min() > 0.99
    assert rows[len(rows) // 2 + 2 :].max() < 0.01


@pytest.mark.parametrize("size", [64, 100, 128, 256])
def test_a_smaller_working_size_keeps_the_canvas_sharp(model, person, person_faces, size):
    """Only the box is computed at the working size; around it the first reference stays as it is."""
    references = references_of(person, person_faces, [3])
    canvas = F.pad(person[3], (60, 60, 40, 200), mode="reflect")
    faces = person_faces.at([3])
    references = still([canvas], faces._replace(landmarks=faces.landmarks + torch.tensor([60.0, 40, 0])))
    motion = motion_of(person_faces.at([8]), 350)
    warped = warp_per_reference(references, motion, model, Transfer.RELATIVE, size)
    chunk = last_frame(warped)
    assert warped.size == min(size, int(warped.boxes[0, 2]))
    assert chunk.crops.shape[-1] == warped.size
    outside = chunk.masks[0, 0] == 0
    assert outside.float().mean() > 0.1
    assert psnr(chunk.images[0][:, outside], canvas[:, outside]) > 40
    assert psnr(chunk.images[0], canvas) > 22  # the neutral pose: the picture itself, at that size


def test_a_size_beyond_the_box_is_the_box(model, person, person_faces):
    references = references_of(person, person_faces, [0])
    warped = warp_per_reference(references, motion_of(person_faces.at([0]), 350), model, Transfer.ABSOLUTE, 4096)
    assert warped.size == int(warped.boxes[0, 2])


def test_chunks_and_single_frames_agree(model, person, person_faces):
    warped = warp_per_reference(
        references_of(person, person_faces, [0, 7]), motion_of(person_faces, 350), model, Transfer.RELATIVE
    )
    together = warped.evidence(0, 8)
    for frame in (0, 5):
        alone = warped.only(frame).evidence(0, 1)
        for a, b in zip(alone, together):
            assert (a is None) == (b is None)
            if a is not None:
                assert torch.allclose(a[0], b[frame], atol=2e-3)


def test_background_stays_put_for_one_camera_and_is_laid_for_others(model, person, person_faces):
    """Same clip: the identity. The same face elsewhere in a picture of another shape: face upon face."""
    faces = person_faces.at([0])
    moved = F.pad(person[0], (90, 0, 30, 0), value=0.2)
    both = Faces(*(torch.cat(x) for x in zip(
        faces, person_faces.at([1]), faces._replace(landmarks=faces.landmarks + torch.tensor([90.0, 30.0, 0]))
    )))  # fmt: skip
    warped = warp_per_reference(
        still([person[0], person[1], moved], both), motion_of(faces, 350), model, Transfer.ABSOLUTE
    )
    same, sibling, laid = warped.encoded.background
    assert torch.allclose(same, torch.eye(2, 3), atol=1e-4)
    assert torch.allclose(sibling[:, :2], torch.eye(2), atol=0.02)  # the sample's camera zooms a little
    assert torch.allclose(sibling[:, 2], torch.zeros(2), atol=3)
    assert torch.allclose(laid, torch.tensor([[1.0, 0, 90], [0, 1, 30]]), atol=0.5)


def test_a_photo_of_the_canvass_shape_but_another_framing_is_laid(model, person, person_faces):
    """A square crop around the face, enlarged to the same size, is another framing, not the same camera."""
    crop = F.interpolate(person[:1, :, 60:310, 60:310], size=(350, 350), mode="bilinear", align_corners=False)[0]
    faces = person_faces.at([0])
    cropped = faces._replace(landmarks=(faces.landmarks - torch.tensor([60.0, 60, 0])) * 1.4)
    both = Faces(*(torch.cat(x) for x in zip(faces, cropped)))
    warped = warp_per_reference(still([person[0], crop], both), motion_of(faces, 350), model, Transfer.ABSOLUTE)
    # It is also shrunk by 1.4, because its face is larger than the canvas's: what is left is the shift.
    expected = torch.tensor([[1.0, 0, -60], [0, 1.0, -60]])
    assert torch.allclose(warped.encoded.background[1], expected, atol=2)


def test_boxes_are_calm_and_whole_steps():
    nearly_still = posed_faces([turned(2 * (t % 3)) for t in range(20)], (128, 128), 110).landmarks
    nearly_still = nearly_still + torch.randn(20, 1, 3, generator=torch.Generator().manual_seed(0))
    boxes = steady_boxes(nearly_still, (256, 256))
    assert (boxes == boxes[0]).all()
    assert boxes.dtype == torch.long
    assert int(boxes[0, 2]) % SIDE_STEP == 0
    walking = nearly_still + torch.arange(20.0)[:, None, None] * torch.tensor([40.0, 0, 0])
    moved = steady_boxes(walking, (256, 1024))
    assert (moved[:, 2] == moved[0, 2]).all()
    assert int(moved[0, 2]) % SIDE_STEP == 0
    centre = moved[:, 0] + moved[0, 2] / 2
    face = walking[:, :468, 0]
    middle = (face.amin(1) + face.amax(1)) / 2
    assert (centre - middle).abs().max() <= 1.5


@pytest.mark.parametrize("height", [12, 60, 300, 2000])
def test_boxes_hold_the_head_at_every_scale(height):
    landmarks = posed_faces([turned(0)], (height, height), height).landmarks
    left, top, side = steady_boxes(landmarks, (3 * height, 3 * height))[0].tolist()
    points = landmarks[0, :468, :2]
    assert points[:, 0].min() > left
    assert points[:, 0].max() < left + side
    assert points[:, 1].min() > top + 0.1 * side  # room for hair
    assert points[:, 1].max() < top + side
    assert side % SIDE_STEP == 0


@pytest.mark.parametrize("with_network", [False, True], ids=["rules", "network"])
def test_evidence_is_valid(person, person_faces, with_network):
    torch.manual_seed(0)
    networks = new_networks(8, 8) if with_network else None
    if networks is not None:
        torch.nn.init.normal_(networks.motion.first.weight, std=0.2)
        torch.nn.init.normal_(networks.motion.second.weight, std=0.2)
    model = FaceMesh(networks).eval()
    warped = warp_per_reference(
        references_of(person, person_faces, [0, 7, 10]), motion_of(person_faces.at([2, 3]), 350), model,
        Transfer.ABSOLUTE, 128,
    )  # fmt: skip
    evidence = warped.evidence(0, 2)
    assert evidence.features.shape == (2, 3, 3, 128, 128)
    assert evidence.confidence.shape[:3] == (2, 3, 1)
    assert evidence.distance.shape == (2, 3)
    assert (evidence.scores is not None) == with_network
    for field in evidence:
        for part in field if isinstance(field, tuple) else (field,):
            assert part is None or part.isfinite().all()
    assert evidence.features.min() >= 0
    assert evidence.features.max() <= 1
    assert evidence.confidence.min() >= 0
    assert evidence.confidence.max() <= 1
    assert evidence.prior.min() >= 0
    assert evidence.distance.min() >= 0


def test_a_weak_reference_changes_nothing_about_the_others(person, person_faces):
    model = load_model("face_mesh")
    motion = motion_of(person_faces.at([2]), 350)

    def seen(which: list[int], *strengths: float) -> Evidence:
        references = references_of(person, person_faces, which)._replace(strengths=torch.tensor(strengths))
        return warp_per_reference(references, motion, model, Transfer.ABSOLUTE, 128, weigh=False).evidence(0, 1)

    alone, weak, equal = seen([0, 7], 1, 1), seen([0, 7, 10], 1, 1, 0.01), seen([0, 7, 10], 1, 1, 1)
    assert alone.scores is not None
    assert weak.scores is not None
    assert equal.scores is not None
    assert (weak.scores[:, :2] - alone.scores).abs().mean() < 0.05 * (equal.scores[:, :2] - alone.scores).abs().mean()
    assert torch.allclose(weak.features[:, :2], alone.features, atol=2e-3)


def test_the_nearest_reference_is_the_one_with_the_driving_pose(model, person, person_faces):
    warped = warp_per_reference(
        references_of(person, person_faces, [0, 6, 9]), motion_of(person_faces.at([6]), 350), model, Transfer.ABSOLUTE
    )
    evidence = warped.evidence(0, 1)
    assert int(evidence.distance.argmin()) == 1
    middle = evidence.confidence.shape[-1] // 2
    assert (
        int(evidence.confidence[0, :, 0, middle - 8 : middle + 8, middle - 8 : middle + 8].mean((1, 2)).argmax()) == 1
    )


def test_odd_cases_are_survived(model):
    """Faces half outside, tiny references, one that is much taller than the others."""
    images = [texture(40, 30), texture(700, 90), texture(256, 256)]
    faces = Faces(*(torch.cat(x) for x in zip(
        posed_faces([turned(0)], (15, 20), 18), posed_faces([turned(30)], (80, 600), 90),
        posed_faces([turned(-60)], (-20, 100), 120),
    )))  # fmt: skip
    driving = posed_faces([turned(0), turned(80), turned(0, 60, 0)], (250, 10), 140)
    for transfer in Transfer:
        warped = warp_per_reference(still(images, faces), moving(driving), model, transfer, 128)
        chunk = last_frame(warped)
        assert chunk.images.isfinite().all()


def test_the_shipped_model_loads_and_runs(person, person_faces):
    model = load_model("face_mesh")
    warped = warp_per_reference(
        references_of(person, person_faces, [0, 7]), DrivingMotion(person_faces.at([4]), (350, 350), Fraction(25),
        person_faces.at([4])), model, Transfer.ABSOLUTE, 128,
    )  # fmt: skip
    assert last_frame(warped, model.default_strategy).images.shape == (1, 3, 350, 350)
