import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reenact_core.errors import CheckpointError, ImageError
from reenact_core.evaluation import networks
from reenact_core.evaluation.networks import IdentityEmbedder, align, load_lpips, load_metric_networks

DATA = Path(os.environ.get("REENACT_DATA", Path(__file__).parents[3] / "shared" / "data"))
needs_lpips = pytest.mark.skipif(
    not (DATA / "models" / networks.LPIPS_FILE).is_file(), reason="no LPIPS weights in REENACT_DATA/models"
)
needs_identity = pytest.mark.skipif(
    not (DATA / "models" / networks.IDENTITY_FILE).is_file(), reason="no SFace model in REENACT_DATA/models"
)


def tree(seed: int = 0) -> dict:
    """Random weights in the published file's layout."""
    random = np.random.default_rng(seed)
    shapes = [(11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256)]
    backbone = {
        f"Conv_{i}": {
            "kernel": (random.standard_normal(shape) / np.sqrt(np.prod(shape[:3]))).astype(np.float32),
            "bias": random.standard_normal(shape[3]).astype(np.float32) * 0.1,
        }
        for i, shape in enumerate(shapes)
    }
    heads = {
        f"NetLinLayer_{i}": {"Conv_0": {"kernel": random.random((1, 1, shape[3], 1)).astype(np.float32)}}
        for i, shape in enumerate(shapes)
    }
    return {"AlexNet_0": backbone, **heads}


@pytest.fixture
def lpips(tmp_path):
    file = tmp_path / networks.LPIPS_FILE
    file.write_bytes(pickle.dumps(tree()))
    return load_lpips(file)


def picture(seed: int = 0, side: int = 64) -> torch.Tensor:
    coarse = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)


def test_lpips_is_a_symmetric_distance(lpips):
    a, b = picture(0), picture(1)
    assert lpips(a, a).abs().max().item() == 0
    assert (lpips(a, b) > 0).all()
    assert torch.allclose(lpips(a, b), lpips(b, a))


def test_first_layer_uses_the_kernel_in_the_right_order(lpips):
    weights = tree()
    kernel, bias = weights["AlexNet_0"]["Conv_0"]["kernel"], weights["AlexNet_0"]["Conv_0"]["bias"]
    image = picture()[:1]
    scaled = (image[0].numpy() * 2 - 1 - np.array([-0.030, -0.088, -0.188])[:, None, None]) / np.array(
        [0.458, 0.448, 0.450]
    )[:, None, None]
    patch = scaled[:, 4 * 5 - 2 : 4 * 5 + 9, 4 * 3 - 2 : 4 * 3 + 9]  # row 5, column 3; stride 4, padding 2
    values = np.maximum(np.einsum("cij,ijco->o", patch, kernel) + bias, 0)
    expected = values / np.linalg.norm(values)
    assert lpips.features(image)[0][0, :, 5, 3].numpy() == pytest.approx(expected, abs=1e-4)


def test_lpips_is_differentiable_and_frozen(lpips):
    a = picture(0).requires_grad_()
    lpips(a, picture(1)).sum().backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()
    assert a.grad.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in lpips.parameters())
    flat = torch.full((1, 3, 64, 64), 0.5, requires_grad=True)
    lpips(flat, torch.full((1, 3, 64, 64), 0.5)).sum().backward()
    assert flat.grad.isfinite().all()


def test_lpips_mask_looks_there(lpips):
    a = picture(0, 128)
    b = a.clone()
    b[..., :, :48] = 1 - b[..., :, :48]
    left, right = torch.zeros(2, 1, 128, 128), torch.zeros(2, 1, 128, 128)
    left[..., :40], right[..., 88:] = 1, 1
    assert (lpips(a, b, left) > 5 * lpips(a, b, right)).all()
    assert torch.allclose(lpips(a, b, torch.ones(2, 1, 128, 128)), lpips(a, b), atol=1e-5)


def test_lpips_smallest_side(lpips):
    side = networks.SMALLEST_LPIPS_SIDE
    assert lpips(torch.rand(1, 3, side, side), torch.rand(1, 3, side, side)).isfinite().all()
    with pytest.raises(ImageError, match="at least 31 px"):
        lpips(torch.rand(1, 3, side - 1, 64), torch.rand(1, 3, side - 1, 64))


@pytest.mark.parametrize("damage", ["missing", "shape", "rank"])
def test_wrong_weights_are_refused(tmp_path, damage):
    weights = tree()
    if damage == "missing":
        del weights["AlexNet_0"]["Conv_3"]["bias"]
    elif damage == "shape":
        weights["AlexNet_0"]["Conv_3"]["bias"] = np.zeros(7, np.float32)
    else:
        weights["NetLinLayer_2"]["Conv_0"]["kernel"] = np.zeros((384, 1), np.float32)
    file = tmp_path / "lpips.ckpt"
    file.write_bytes(pickle.dumps(weights))
    with pytest.raises(CheckpointError, match="LPIPS"):
        load_lpips(file)


@needs_lpips
def test_published_weights_rank_distortions():
    lpips = load_lpips(DATA / "models" / networks.LPIPS_FILE)
    yy, xx = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    a = (0.5 + 0.4 * torch.sin(xx / 3) * torch.cos(yy / 4)).expand(1, 3, 96, 96)
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(0))
    rising = [lpips(a, a + s * noise).item() for s in (0.0, 0.02, 0.1, 0.3)]
    assert rising == sorted(rising)
    assert rising[0] == 0
    assert rising[-1] > 0.3
    # A change of brightness that PSNR punishes like the strongest noise is nearly invisible to LPIPS.
    assert lpips(a, a + 0.1).item() < rising[2]


def test_alignment_brings_the_points_to_the_template():
    """Dots drawn at the five points of a turned face land at the template's places."""
    template = torch.tensor(networks._TEMPLATE, dtype=torch.float64)
    angle, scale = 0.4, 1.9
    turn = scale * torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    places = (template - 56) @ turn.T + torch.tensor([130.0, 120.0])
    landmarks = torch.zeros(1, 478, 3)
    for pair, place in zip(((33, 133), (362, 263)), places[:2], strict=True):
        landmarks[0, pair, :2] = place.float() + 0.5  # ours counts from the corner of the first pixel
    landmarks[0, [1, 61, 291], :2] = places[2:].float() + 0.5
    for index, place in enumerate(places):
        image = np.zeros((256, 256, 3), np.float32)
        cv2.circle(image, tuple(np.round(place.numpy() * 16).astype(int).tolist()), 80, (1, 1, 1), -1, shift=4)
        face = align(torch.from_numpy(image).permute(2, 0, 1)[None], landmarks)[0]
        rows, columns = np.nonzero(face[..., 0] > 128)
        assert (columns.mean(), rows.mean()) == pytest.approx(template[index].tolist(), abs=0.5)


def test_absent_networks_become_notes(tmp_path):
    nothing = load_metric_networks(None)
    assert nothing.lpips is None
    assert "no metrics folder" in nothing.notes[0]
    empty = load_metric_networks(tmp_path)
    assert (empty.lpips, empty.identity, len(empty.notes)) == (None, None, 2)
    (tmp_path / networks.LPIPS_FILE).write_bytes(pickle.dumps(tree()))
    half = load_metric_networks(tmp_path)
    assert half.lpips is not None
    assert "identity" in half.notes[0]
    assert len(half.notes) == 1
    with pytest.raises(CheckpointError, match="does not exist"):
        load_metric_networks(tmp_path / "absent")


def test_damaged_identity_network_is_reported(tmp_path):
    file = tmp_path / networks.IDENTITY_FILE
    file.write_bytes(b"no onnx at all")
    with pytest.raises(CheckpointError, match=r"sface.*\.onnx"):
        IdentityEmbedder(file)


@needs_identity
@pytest.mark.slow
def test_identity_tells_people_apart():
    from reenact_core.images import list_images, read_image
    from reenact_core.tracking import FaceTracker
    from reenact_core.video import VideoReader

    photos, clip = DATA / "photos" / "emotions_a", DATA / "clips" / "lp_d9.mp4"
    if not photos.is_dir() or not clip.is_file():
        pytest.skip("photos/emotions_a or clips/lp_d9.mp4 absent from REENACT_DATA")
    tracker, identity = FaceTracker.load(), IdentityEmbedder(DATA / "models" / networks.IDENTITY_FILE)

    def embed(image):
        return identity(image[None], tracker.track_images([image]).landmarks)[0]

    one = torch.stack([embed(read_image(path)) for path in list_images(photos)[:4]])
    other = embed(VideoReader(clip).frames([0])[0])
    assert torch.allclose(one.norm(dim=1), torch.ones(4), atol=1e-5)
    same = (one @ one.T)[~torch.eye(4, dtype=torch.bool)]
    assert same.min() > 0.4
    assert (one @ other).max() < 0.3
