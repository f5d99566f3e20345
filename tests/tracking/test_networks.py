"""The converted networks against the reference runtime, on real frames."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reenact_core.errors import CheckpointError
from reenact_core.tracking.blendshapes import POINTS, BlendshapeNet
from reenact_core.tracking.graph import Activation, Conv, GraphNet, read_weights
from reenact_core.tracking.regions import crop

TOLERANCE = {  # largest difference allowed to the published network, in its own units
    ("detector_short", "face_detector.tflite"): 1e-3,
    ("detector_full", "face_detection_full_range.tflite"): 1e-3,
    ("matte", "selfie_segmentation.tflite"): 1e-4,
}


def nhwc(images):
    return images.permute(0, 2, 3, 1).contiguous().numpy()


@pytest.mark.parametrize("name", ["lp_d3.mp4", "cl_12.mp4", "em_a.mp4", "pf_1.mp4"])
def test_landmarks_equal_the_reference_on_real_crops(tracker, reference, clip, name):
    frames = clip(f"clips/{name}", 2, step=20)
    with torch.inference_mode():
        reading = tracker._look(frames[0], 0)
        crops = crop(frames, reading.regions.at([0, 0]), tracker.mesh.size)
        points, presence, _ = tracker.mesh(crops)
    for index in range(len(crops)):
        expected = reference("face_landmarks_detector.tflite", nhwc(crops[index : index + 1]))
        mesh = next(value for value in expected if value.size == 1434)
        np.testing.assert_allclose(points[index].flatten().numpy(), mesh.flatten(), atol=0.01)  # px of 256
        np.testing.assert_allclose(presence[index].item(), expected[1].item(), atol=1e-3)


@pytest.mark.parametrize(("name", "file"), TOLERANCE)
def test_other_image_networks_equal_the_reference(reference, photo, name, file):
    net = GraphNet.load(name)
    image = F.interpolate(photo[None], (net.size, net.size), mode="area")
    if name.startswith("detector"):
        image = image * 2 - 1
    with torch.inference_mode():
        outputs = [value.permute(0, 2, 3, 1).flatten() for value in net(image)]
    if name == "detector_short":
        outputs = [torch.cat(outputs[:2]), torch.cat(outputs[2:])]
    expected = reference(file, nhwc(image))
    assert len(expected) == len(outputs)
    for value in expected:
        ours = next(output for output in outputs if output.numel() == value.size)
        np.testing.assert_allclose(ours.numpy(), value.flatten(), atol=TOLERANCE[name, file])


def test_blendshapes_equal_the_reference_alone_and_in_a_batch(reference, tracker, photo):
    landmarks = tracker.track_images([photo]).landmarks[:, list(POINTS), :2]
    noisy = torch.cat([landmarks, landmarks + 3 * torch.randn(5, 146, 2, generator=torch.manual_seed(0))])
    with torch.inference_mode():
        ours = BlendshapeNet.load()(noisy)
    for index, points in enumerate(noisy):
        (expected,) = reference("face_blendshapes.tflite", points[None].numpy())
        np.testing.assert_allclose(ours[index].numpy(), expected, atol=1e-4)
    assert (ours[0] - ours[1]).abs().max() > 0.01  # the batch is not one face repeated


def test_a_batch_equals_its_images_one_by_one():
    images = torch.rand(3, 3, 256, 256, generator=torch.manual_seed(0))
    net = GraphNet.load("landmarks")
    with torch.inference_mode():
        together = net(images)[0]
        alone = torch.cat([net(image[None])[0] for image in images])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 2, 128), (5, 2, 64), (3, 1, 32), (5, 1, 16), (2, 2, 8)])
def test_same_padding_is_folded_into_the_kernel(kernel, stride, size):
    generator = torch.manual_seed(0)
    weight = torch.randn(4, 3, kernel, kernel, generator=generator)
    image = torch.randn(1, 3, size, size, generator=generator)
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    pad = [total // 2, total - total // 2]
    expected = F.conv2d(F.pad(image, pad * 2), weight, None, stride)
    layer = Conv(weight, torch.zeros(4), stride, pad, 1, Activation("none"))
    torch.testing.assert_close(layer(image), expected, atol=1e-4, rtol=1e-4)
    assert expected.shape[-1] == -(-size // stride)


def test_missing_weights_say_what_to_do():
    with pytest.raises(CheckpointError, match=r"convert_tracker\.py"):
        read_weights("no_such_network")


def test_the_shipped_weights_are_what_the_script_makes(data, tmp_path):
    pytest.importorskip("tflite")
    from reenact_core.tracking.graph import WEIGHTS
    from scripts import convert_tracker

    convert_tracker.convert(data / "models", tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in WEIGHTS.iterdir())
    for name in made:
        assert (tmp_path / name).read_bytes() == (WEIGHTS / name).read_bytes(), name
