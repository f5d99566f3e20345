"""What holds for every public model: folding, batching over references and frames, dtypes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from reenact_core.errors import CheckpointError
from reenact_core.motion_models import fast_convolution
from reenact_core.motion_models.folding import fold, use_channels_last
from reenact_core.motion_models.head_motion import Region, compose_absolute, compose_relative, keypoints
from reenact_core.motion_models.loading import compile_network
from reenact_core.motion_models.shapes import Shapes

from .small_models import SIZE, SMALL_MODELS, SmallModel, images

CASES = [pytest.param(model, id=model.name) for model in SMALL_MODELS]
T, R = 2, 3


def run(small: SmallModel, model, references, driving):
    """The maps to fuse [T,R,...] and the pictures of their mean over references."""
    encoded = model.encode_references(references)
    reference = small.motion(model, references)
    pairs = small.pairs(small.motion(model, driving), len(references))
    maps = small.fusable(model.warp(encoded, reference, pairs))
    return maps, small.decode(model, [level.mean(dim=1) for level in maps])


@pytest.mark.parametrize("small", CASES)
def test_sizes_and_ranges(small):
    maps, pictures = run(small, small.make(), images(R), images(T, seed=1))
    assert all(level.shape[:2] == (T, R) for level in maps)
    scale = 2 if small.name == "live_portrait" else 1
    assert pictures.shape == (T, 3, scale * SIZE, scale * SIZE)
    assert 0 <= pictures.min() < pictures.max() <= 1
    assert pictures.std() > 0.01


@pytest.mark.parametrize("small", CASES)
def test_contributions_and_visibility_are_proper(small):
    model = small.make()
    references, driving = images(R), images(T, seed=1)
    pairs = small.pairs(small.motion(model, driving), R)
    warp = model.warp(model.encode_references(references), small.motion(model, references), pairs)
    total = warp.motion.contributions.sum(dim=2)
    torch.testing.assert_close(total, torch.ones_like(total))
    visibility = warp.motion.visibility
    for level in visibility if isinstance(visibility, tuple) else [visibility]:
        assert level.shape[:3] == (T, R, 1)
        assert 0 <= level.min() < level.max() <= 1
    assert warp.motion.deformation.dtype == torch.float32


@pytest.mark.parametrize("fast", [False, True], ids=["few channels", "fast convolutions"])
@pytest.mark.parametrize("small", CASES)
def test_folding_changes_nothing(small, fast, monkeypatch):
    """BatchNorm, spectral norm, upsampling, channel rounding and convolutions, all at once and once more."""
    if fast:  # even where the models of these tests are too small for it
        monkeypatch.setattr(fast_convolution, "LEAST_CHANNELS", 0)
        monkeypatch.setattr(fast_convolution, "LEAST_TILES", 1)
    references, driving = images(R), images(T, seed=1)
    model = small.make()
    count = sum(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in model.modules())
    before, expected = run(small, model, references, driving)
    fold(model)
    assert not fast or any(isinstance(m, fast_convolution.FastConvolution) for m in model.modules())
    assert sum(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in model.modules()) < count
    fold(model)
    after, pictures = run(small, model, references, driving)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(pictures, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("small", CASES)
def test_channels_last_changes_nothing(small):
    references, driving = images(R), images(T, seed=1)
    model = small.make()
    expected = run(small, model, references, driving)[1]
    use_channels_last(model)
    weights = [m.weight for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size[0] > 1]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    torch.testing.assert_close(run(small, model, references, driving)[1], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("small", CASES)
def test_references_and_frames_do_not_touch_each_other(small):
    """A batch over all pairs gives what each pair gives alone."""
    model = small.make()
    references, driving = images(R), images(T, seed=1)
    together, _ = run(small, model, references, driving)
    for t in range(T):
        for r in range(R):
            alone, _ = run(small, model, references[r : r + 1], driving[t : t + 1])
            for level, one in zip(together, alone, strict=True):
                torch.testing.assert_close(level[t, r], one[0, 0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("small", CASES)
def test_runs_in_the_dtype_of_its_weights(small):
    references, driving = images(R), images(T, seed=1)
    model = small.make()
    fold(model)
    expected = run(small, model, references, driving)[1]
    maps, pictures = run(small, model.to(torch.bfloat16), references, driving)
    assert pictures.dtype == torch.bfloat16
    assert all(level.dtype == torch.bfloat16 for level in maps)
    assert (pictures.float() - expected).abs().mean() < 0.05
    motion = small.motion(model, driving)
    assert all(field.dtype == torch.float32 for field in (motion if isinstance(motion, tuple) else (motion,)))


@pytest.mark.slow
@pytest.mark.parametrize("small", CASES)
@torch.inference_mode()
def test_compiling_changes_nothing(small):
    """Traced as a compiler traces it, without the compiler's own code."""
    model = small.make()
    fold(model)
    expected = run(small, model, images(R), images(T, seed=1))[1]
    compile_network(model, backend="eager")
    torch.testing.assert_close(run(small, model, images(R), images(T, seed=1))[1], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("small", CASES)
def test_configuration_is_read_back_from_shapes(small):
    model = small.make()
    assert type(small.config).from_shapes(Shapes.of(model.state_dict())) == small.config


def test_first_order_samplers_differ():
    small = SMALL_MODELS[0]
    references, driving = images(R), images(T, seed=1)
    aligned = run(small, small.make(), references, driving)[1]
    other = run(small, small.make(replace(small.config, align_corners=False)), references, driving)[1]
    assert (aligned - other).abs().max() > 1e-3


def test_first_order_features_of_another_size_than_the_motion():
    """One down block: features at half the image, motion at a quarter of it."""
    small = SMALL_MODELS[0]
    model = small.make(replace(small.config, widths=(5, 6)))
    maps, pictures = run(small, model, images(R), images(T, seed=1))
    assert maps[0].shape == (T, R, 6, SIZE // 2, SIZE // 2)
    assert pictures.shape == (T, 3, SIZE, SIZE)


@pytest.mark.parametrize("part", ["background", "disentangler"])
def test_thin_plate_without_optional_networks(part):
    small = SMALL_MODELS[1]
    model = small.make(replace(small.config, **{part: None}))
    run(small, model, images(R), images(T, seed=1))
    points = small.motion(model, images(R))
    with pytest.raises(CheckpointError, match="no network for"):
        model.background(images(R), images(T)) if part == "background" else model.disentangle(points, points)


def test_thin_plate_background_moves_the_picture():
    small = SMALL_MODELS[1]
    model = small.make()
    references = images(R)
    points = small.motion(model, references)
    pairs = small.pairs(points[:T], R)
    encoded = model.encode_references(references)
    still = model.warp(encoded, points, pairs).motion.deformation
    identity = torch.eye(3).expand(T, R, 3, 3)
    torch.testing.assert_close(model.warp(encoded, points, pairs, identity).motion.deformation, still)
    affine = model.background(references, references[:T])
    assert affine.shape == (T, R, 3, 3)
    assert (model.warp(encoded, points, pairs, affine).motion.deformation - still).abs().max() > 1e-3


def test_live_portrait_retargeting():
    small = SMALL_MODELS[2]
    model = small.make()
    points = small.motion(model, images(R))
    pairs = small.pairs(points[:T], R)
    stitched = model.stitch(points, pairs)
    assert stitched.shape == (T, R, 21, 3)
    assert (stitched - pairs).abs().max() > 1e-4
    assert model.eye_offsets(points, torch.rand(R, 3)).shape == (R, 21, 3)
    assert model.lip_offsets(points, torch.rand(R, 2)).shape == (R, 21, 3)
    bare = small.make(replace(small.config, stitching=None, eye=None, lip=None))
    for call in (
        lambda: bare.stitch(points, pairs),
        lambda: bare.eye_offsets(points, torch.rand(R, 3)),
        lambda: bare.lip_offsets(points, torch.rand(R, 2)),
    ):
        with pytest.raises(CheckpointError, match="no network for"):
            call()


def test_live_portrait_composition_of_one_and_the_same():
    """A person driven by their own picture stays as they are, whatever the region and the mode."""
    small = SMALL_MODELS[2]
    motion = small.make().encode_motion(images(1))
    own = keypoints(motion)[None]
    for region in Region:
        torch.testing.assert_close(compose_absolute(motion, motion, region), own)
        torch.testing.assert_close(compose_relative(motion, motion, motion, region), own, rtol=1e-4, atol=1e-5)
