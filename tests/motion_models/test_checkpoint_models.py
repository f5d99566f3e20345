"""Public models as motion models: several references, every strategy, both transfers, precision, options."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reenact_core import warping
from reenact_core.decoding import decode
from reenact_core.errors import CheckpointError, ReenactError
from reenact_core.fusing import Smoothing, fuse_references
from reenact_core.fusion import strategy_class, strategy_names
from reenact_core.motion_models.checkpoint_model import CheckpointModel
from reenact_core.motion_models.crops import cut
from reenact_core.motion_models.first_order_model import FirstOrderModel
from reenact_core.motion_models.folding import fold
from reenact_core.motion_models.head_motion import Region, keypoints
from reenact_core.motion_models.live_portrait_model import (
    LivePortraitModel,
    LivePortraitSettings,
    eye_openness,
    lip_openness,
)
from reenact_core.motion_models.thin_plate_model import ThinPlateModel
from reenact_core.retargeting import Transfer
from reenact_core.types import DrivingMotion, Faces, References
from reenact_core.warping import WarpedReferences
from scripts.check_golden import TABLES, images_of
from tests.golden.golden import read_table, sample

from ..faces import posed_faces, psnr, still, texture, turned
from .small_models import SIZE, SMALL_MODELS, SmallModel

# Their people are textures, of whom nothing is plausible.
warp_per_reference = partial(warping.warp_per_reference, weigh=False)

KINDS = {"first_order": FirstOrderModel, "thin_plate": ThinPlateModel, "live_portrait": LivePortraitModel}
CASES = [pytest.param(model, id=model.name) for model in SMALL_MODELS]
LIVE_PORTRAIT = SMALL_MODELS[2]
PLAIN = LivePortraitSettings(stitching=False)
CANVAS = (120, 150)
every_model = pytest.mark.parametrize("small", CASES)
every_transfer = pytest.mark.parametrize("transfer", Transfer, ids=[t.value for t in Transfer])


def bound(small: SmallModel, settings: LivePortraitSettings = PLAIN, config: Any = None) -> CheckpointModel:
    network = small.make(config)
    fold(network)
    extra = (settings,) if small.name == "live_portrait" else ()
    model = KINDS[small.name](network, *extra)
    model.resolution = SIZE
    return model.eval()


def pictures(count: int, size: tuple[int, int] = CANVAS, seed: int = 0) -> list[Tensor]:
    return [texture(*size, seed=seed + i) for i in range(count)]


def people(count: int, masks: list[Tensor] | None = None) -> References:
    """References of several poses, all of the canvas's size."""
    faces = posed_faces([turned(yaw=8.0 * r, pitch=2.0 * r) for r in range(count)], centre=(70, 60), height=45)
    return still(pictures(count), faces, masks)


def driven(model: CheckpointModel, frames: list[Tensor], neutral: int = 0) -> DrivingMotion:
    """Motion of frames whose faces are posed, not tracked."""
    faces = posed_faces([turned(yaw=3.0 * t) for t in range(len(frames))], centre=(80, 62), height=48)
    box = model.driving_box(faces)
    code = model.encode_driving(torch.stack(frames), box)
    size = (frames[0].shape[-2], frames[0].shape[-1])
    return DrivingMotion(faces, size, Fraction(25), faces.at([neutral]), code, code[[neutral]], box)


def warped_by(
    model: CheckpointModel, references: References, transfer: Transfer, frames: int = 2, neutral: int = 0
) -> WarpedReferences:
    return warp_per_reference(references, driven(model, pictures(frames, seed=50), neutral), model, transfer)


def painted(warped: WarpedReferences, strategy: str = "mean") -> Tensor:
    """The model's own pictures of all frames, [T,3,n,n]."""
    fused = fuse_references(warped, strategy_class(strategy)(), Smoothing(0))
    return torch.cat([chunk.crops for chunk in decode(fused)])


def crop_of(model: CheckpointModel, image: Tensor, faces: Faces) -> Tensor:
    return cut(image[None], model.reference_framing.box(faces.landmarks), SIZE, model.beyond)


@torch.inference_mode()
def by_hand(small: SmallModel, model: CheckpointModel, reference: Tensor, driving: Tensor) -> Tensor:
    """One reference crop driven by other crops, with the network alone."""
    network: Any = model.network
    pairs = small.pairs(small.motion(network, driving), 1)
    warp = network.warp(network.encode_references(reference), small.motion(network, reference), pairs)
    return small.decode(network, [level[:, 0] for level in small.fusable(warp)])


@every_model
def test_one_reference_gives_what_the_network_gives(small):
    model, references = bound(small), people(1)
    frames = pictures(3, seed=50)
    motion = driven(model, frames)
    ours = painted(warp_per_reference(references, motion, model, Transfer.ABSOLUTE))
    crops = cut(torch.stack(frames), motion.code_box, SIZE, model.beyond)
    if small.name != "live_portrait":  # its absolute transfer is no plain exchange of keypoints
        theirs = by_hand(small, model, crop_of(model, references.images[0], references.faces), crops)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert ours.shape == (3, 3, SIZE * model.magnification, SIZE * model.magnification)
    assert ours.std() > 0.01


@every_model
def test_the_neutral_frame_reconstructs_the_reference(small):
    model, references = bound(small), people(1)
    ours = painted(warped_by(model, references, Transfer.RELATIVE, frames=1))
    crop = crop_of(model, references.images[0], references.faces)
    torch.testing.assert_close(ours, by_hand(small, model, crop, crop), rtol=1e-3, atol=1e-3)


@every_model
@every_transfer
@pytest.mark.parametrize("strategy", ["mean", "confidence"])
def test_duplicates_change_nothing(small, transfer, strategy):
    model, one = bound(small), people(1)
    three = still(list(one.images) * 3, one.faces.at([0, 0, 0]))
    alone = painted(warped_by(model, one, transfer), strategy)
    together = painted(warped_by(model, three, transfer), strategy)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@every_model
@pytest.mark.parametrize("strategy", strategy_names())
def test_every_strategy_runs(small, strategy):
    warped = warped_by(bound(small), people(3), Transfer.RELATIVE)
    result = painted(warped, strategy)
    assert result.isfinite().all()
    assert 0 <= result.min() < result.max() <= 1


@every_model
@every_transfer
def test_the_first_reference_decides_the_motion_and_each_is_warped_by_its_own_keypoints(small, transfer):
    model, references = bound(small), people(3)
    both = warped_by(model, references, transfer).evidence(0, 2)
    first = still([references.images[0]], references.faces.at([0]))
    alone = warped_by(model, first, transfer).evidence(0, 2)
    for one, other in zip((both.features, *(both.levels or ())), (alone.features, *(alone.levels or ()))):
        torch.testing.assert_close(one[:, :1], other, rtol=1e-3, atol=1e-3)
    apart = (both.features[:, 1:] - both.features[:, :1]).abs().mean()
    assert apart > 1e-3


@every_model
def test_evidence_is_proper(small):
    evidence = warped_by(bound(small), people(3), Transfer.ABSOLUTE).evidence(0, 2)
    height, width = evidence.confidence.shape[-2:]
    assert evidence.features.shape[-2] % height == 0
    assert evidence.features.shape[-1] % width == 0
    assert evidence.prior.shape == evidence.confidence.shape
    assert 0 <= evidence.confidence.min() < evidence.confidence.max() <= 1
    assert evidence.pictures.shape[:3] == (2, 3, 3)
    assert 0 <= evidence.pictures.min() < evidence.pictures.max() <= 1 + 1e-5
    assert evidence.regions.shape == (2, 5, height, width)
    assert torch.allclose(evidence.regions.sum(1), torch.ones(2, height, width), atol=1e-5)
    assert evidence.regions[:, :3].sum() > 0, "the face lies in the frame"
    assert evidence.differences.shape == (2, 3, 5)
    flat = [part for field in evidence for part in (field if isinstance(field, tuple) else (field,))]
    total = sum(part.nbytes for part in flat if part is not None)
    assert evidence.nbytes == total


def test_pictures_show_the_crop_where_nothing_moves():
    model, references = bound(SMALL_MODELS[0]), people(1)
    evidence = warped_by(model, references, Transfer.RELATIVE, frames=1).evidence(0, 1)
    crop = crop_of(model, references.images[0], references.faces)
    looks = model.preview(None, evidence)[0]
    expected = torch.nn.functional.interpolate(crop, looks.shape[-2:], mode="bilinear")
    assert psnr(looks, expected) > 40


@every_model
def test_what_the_user_masks_is_not_used(small):
    masks = [torch.ones(1, *CANVAS), torch.zeros(1, *CANVAS)]
    warped = warped_by(bound(small), people(2, masks), Transfer.RELATIVE)
    fused = next(fuse_references(warped, strategy_class("mean")(), Smoothing(0)).chunks())
    usable = warped.evidence(fused.start, fused.stop).prior[:, 0] > 1e-3
    assert usable.any()
    assert (fused.weights.mean(2)[:, 1][usable[:, 0]] < 1e-6).all()


@every_model
def test_strength_counts(small):
    references = people(2)._replace(strengths=torch.tensor([3.0, 1.5]))
    warped = warped_by(bound(small), references, Transfer.RELATIVE)
    fused = next(fuse_references(warped, strategy_class("mean")(), Smoothing(0)).chunks())
    assert float(fused.weights[:, 0].median()) == pytest.approx(0.75, abs=0.01)


@every_model
def test_chunks_do_not_matter(small):
    model, references = bound(small), people(2)
    motion = driven(model, pictures(5, seed=50))
    whole, single = (warp_per_reference(references, motion, model, chunk=chunk) for chunk in (5, 1))
    torch.testing.assert_close(painted(whole), painted(single), rtol=1e-3, atol=1e-3)


@every_model
def test_running_out_of_memory_halves_the_chunk(small, monkeypatch):
    model, references = bound(small), people(2)
    warped = warp_per_reference(references, driven(model, pictures(4, seed=50)), model, chunk=4)
    expected = warped.evidence(0, 4)
    warp = type(model).warp

    def limited(self, encoded, motion, boxes, size):
        if len(boxes) > 1:
            raise torch.OutOfMemoryError
        return warp(self, encoded, motion, boxes, size)

    monkeypatch.setattr(type(model), "warp", limited)
    ours = warped.evidence(0, 4)
    for one, other in zip((ours.features, *(ours.levels or ())), (expected.features, *(expected.levels or ()))):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@every_model
def test_relative_motion_is_painted_on_the_first_reference(small):
    model, references = bound(small), people(2)
    warped = warped_by(model, references, Transfer.RELATIVE)
    box = model.reference_framing.box(references.faces.landmarks[:1])
    assert torch.equal(warped.boxes, box.expand(2, 3))
    assert torch.equal(model.plate(warped.encoded, warped.motion)[0], references.images[0])


def test_absolute_motion_is_painted_on_the_driving_canvas():
    """The first reference is laid so that the squares of both faces coincide, at any ratio of sizes."""
    model = bound(SMALL_MODELS[0])
    scene = texture(240, 300)
    half = torch.nn.functional.interpolate(scene[None], CANVAS, mode="bilinear", antialias=True)[0]
    for image, factor in ((scene, 2), (half, 1)):
        faces = posed_faces([torch.eye(3)], centre=(80 * factor, 62 * factor), height=48 * factor)
        warped = warp_per_reference(still([image], faces), driven(model, [half]), model, Transfer.ABSOLUTE)
        assert torch.equal(warped.boxes, warped.motion.code_box[None])
        plate = model.plate(warped.encoded, warped.motion)[0]
        assert plate.shape == (3, *CANVAS)
        assert psnr(plate, half) > (60 if factor == 1 else 32)


@every_model
def test_references_of_any_size(small):
    model = bound(small)
    faces = posed_faces([torch.eye(3)] * 2, centre=(70, 60), height=45)
    references = still([texture(120, 150), texture(400, 333)], faces)
    result = next(decode(fuse_references(warped_by(model, references, Transfer.RELATIVE), strategy_class("mean")())))
    assert result.images.shape[1:] == (3, *CANVAS)


@every_model
def test_motion_of_another_model_is_refused(small):
    model, references = bound(small), people(1)
    motion = driven(model, pictures(1))
    with pytest.raises(ReenactError, match="only landmarks"):
        warp_per_reference(references, motion._replace(code=None, neutral_code=None), model)
    other = motion._replace(code=torch.zeros(1, 11), neutral_code=torch.zeros(1, 11))
    with pytest.raises(ReenactError, match="another model"):
        warp_per_reference(references, other, model)


@every_model
def test_working_size_is_the_models_own(small, caplog):
    model, references = bound(small), people(1)
    motion = driven(model, pictures(1))
    with caplog.at_level(logging.WARNING):
        assert warp_per_reference(references, motion, model, size=None).size == SIZE * model.magnification
        assert not caplog.records
        assert warp_per_reference(references, motion, model, size=40).size == SIZE * model.magnification
    assert "40 is ignored" in caplog.text


@every_model
def test_half_precision_stays_near(small):
    references = people(2)
    exact = painted(warped_by(bound(small), references, Transfer.RELATIVE), "confidence")
    model = bound(small)
    model.network.to(torch.bfloat16)
    for strategy in strategy_names() if small.name == "first_order" else ["confidence"]:
        result = painted(warped_by(model, references, Transfer.RELATIVE), strategy)
        assert result.dtype == torch.float32
        assert result.isfinite().all()
        if strategy == "confidence":
            assert (result - exact).abs().mean() < 0.05


@every_model
@pytest.mark.parametrize("stage", ["references", "warp", "decode"])
def test_overflow_is_computed_again_in_float32(small, stage, caplog, monkeypatch):
    exact = painted(warped_by(bound(small), people(2), Transfer.RELATIVE, frames=1))
    model = bound(small)
    model.network.to(torch.float16)
    name = {"references": "appearance", "warp": "warp_network", "decode": "paint"}[stage]
    original = getattr(model, name)

    def spoilt(*arguments):
        value = original(*arguments)
        if next(model.network.parameters()).dtype == torch.float32:
            return value
        first = value[0] if isinstance(value, tuple) else value
        first = first[0] if isinstance(first, tuple) else first
        first[(0,) * first.ndim] = torch.inf
        return value

    monkeypatch.setattr(model, name, spoilt)
    with caplog.at_level(logging.WARNING):
        result = painted(warped_by(model, people(2), Transfer.RELATIVE, frames=1))
    assert "goes on in float32" in caplog.text
    assert result.isfinite().all()
    assert (result - exact).abs().mean() < 0.02


def test_region_limits_what_moves():
    references, results = people(1), {}
    for region in Region:
        model = bound(LIVE_PORTRAIT, replace(PLAIN, region=region))
        results[region] = painted(warped_by(model, references, Transfer.RELATIVE, frames=2))[1]
    for region in (Region.POSE, Region.LIPS, Region.EYES):
        assert not torch.allclose(results[region], results[Region.ALL], atol=1e-4), region


def test_stitching_is_applied_once():
    references = people(1)
    network: Any = LIVE_PORTRAIT.make()
    model = bound(LIVE_PORTRAIT, LivePortraitSettings())
    crop = crop_of(model, references.images[0], references.faces)
    motion = network.encode_motion(crop)
    own = keypoints(motion)
    warp = network.warp(network.encode_references(crop), own, network.stitch(own, own[None]))
    expected = network.decode(warp.features[:, 0])
    ours = painted(warped_by(model, references, Transfer.RELATIVE, frames=1))
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)
    bare = painted(warped_by(bound(LIVE_PORTRAIT), references, Transfer.RELATIVE, frames=1))
    assert not torch.allclose(bare, ours, atol=1e-3)


@pytest.mark.parametrize("part", ["eyes", "lips"])
@every_transfer
def test_retargeting_follows_the_driving_face(part, transfer):
    """The opening of the driving face counts, and the head still turns."""
    model = bound(LIVE_PORTRAIT, replace(PLAIN, **{part: True}))
    references = people(1)
    motion = driven(model, pictures(2, seed=50))
    upper, lower = {"eyes": ([159, 386], [145, 374]), "lips": ([13], [14])}[part]
    landmarks = motion.faces.landmarks.clone()
    landmarks[1, upper, 1] -= 6
    landmarks[1, lower, 1] += 6
    wide = motion._replace(faces=motion.faces._replace(landmarks=landmarks))
    results = [painted(warp_per_reference(references, m, model, transfer)) for m in (motion, wide)]
    assert torch.allclose(results[0][0], results[1][0], atol=1e-5)
    assert not torch.allclose(results[0][1], results[1][1], atol=1e-4)
    assert not torch.allclose(results[0][0], results[0][1], atol=1e-4)


def test_openness():
    faces = posed_faces([torch.eye(3)] * 2, opening=0)
    landmarks = faces.landmarks.clone()
    landmarks[1, [13, 159, 386], 1] -= 5
    opened = faces._replace(landmarks=landmarks)
    for measure, width in ((eye_openness, 2), (lip_openness, 1)):
        assert measure(opened).shape == (2, width)
        assert (measure(opened)[1] > measure(opened)[0] + 0.05).all()
        larger = opened._replace(landmarks=3 * landmarks)
        torch.testing.assert_close(measure(larger), measure(opened))


def test_missing_networks_are_named(caplog):
    bare = replace(LIVE_PORTRAIT.config, stitching=None, eye=None, lip=None)
    with caplog.at_level(logging.WARNING):
        bound(LIVE_PORTRAIT, LivePortraitSettings(), bare)
    assert "no network for stitching" in caplog.text
    for part in ("eyes", "lips"):
        with pytest.raises(CheckpointError, match="no network for"):
            bound(LIVE_PORTRAIT, replace(PLAIN, **{part: True}), bare)


@every_transfer
def test_fusing_volumes(transfer):
    """The same with one reference, something else with two that differ, whatever the strategy."""
    at_end, volumes = bound(LIVE_PORTRAIT), bound(LIVE_PORTRAIT, replace(PLAIN, fuse_volumes=True))
    one, two = people(1), people(2)
    single = painted(warped_by(volumes, one, transfer))
    torch.testing.assert_close(single, painted(warped_by(at_end, one, transfer)), rtol=1e-3, atol=1e-3)
    for strategy in strategy_names():
        assert painted(warped_by(volumes, two, transfer), strategy).isfinite().all()
    assert not torch.allclose(
        painted(warped_by(volumes, two, transfer)), painted(warped_by(at_end, two, transfer)), atol=1e-4
    )


# --- the published models' own values ---------------------------------------------------------------------------

GOLDEN = {  # (absolute, relative) outputs
    "first_order": ("aligned/output", "aligned/relative_output"),
    "thin_plate": ("output", "relative_output"),
    "live_portrait": ("output", "relative_output"),
}


class WholeImage:
    """A framing that takes the 256 px image as it is."""

    def box(self, landmarks: Tensor) -> Tensor:
        return torch.tensor([0, 0, 256])


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_one_reference_reproduces_the_published_model(name, filled, monkeypatch):
    golden, network = filled(name)
    model = KINDS[name](network)
    for role in ("reference_framing", "driving_framing"):
        monkeypatch.setattr(type(model), role, WholeImage())
    references = images_of(golden, "reference", 1)
    frames = images_of(golden, "driving", 2)
    faces = posed_faces([torch.eye(3)] * 2)
    box = model.driving_box(faces)
    code = model.encode_driving(frames, box)
    motion = DrivingMotion(faces, (256, 256), Fraction(25), faces.at([0]), code, code[:1], box)
    rows = {row["array"]: row for row in read_table(TABLES / "arrays.tsv") if row["model"] == name}
    for transfer, array in zip((Transfer.ABSOLUTE, Transfer.RELATIVE), GOLDEN[name]):
        warped = warp_per_reference(still([references[0]], faces.at([0])), motion, model, transfer)
        ours = painted(warped.only(1), "confidence")[0]
        theirs = golden[array][1, 0] if transfer is Transfer.ABSOLUTE else golden[array][0]
        difference = np.abs(sample(ours.numpy(), rows[array]["steps"]) - theirs)
        assert difference.max() <= float(rows[array]["tolerance_max"]), (name, array)
        assert difference.mean() <= float(rows[array]["tolerance_mean"]), (name, array)
