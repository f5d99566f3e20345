"""What nodes keep between runs: in main memory, within a budget, and unchanged when it comes back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def networks(pack):
    return pack("nodes.networks")


@pytest.fixture(scope="module")
def stages(pack):
    return pack("nodes.stages")


@pytest.fixture(scope="module")
def types(pack):
    return pack("reenact_core.types")


def evidence(types, value: float, levels: bool = False):
    features = torch.full((2, 1, 3, 8, 8), value)
    small = torch.full((2, 1, 1, 4, 4), value)
    extra = {"levels": (small, features)} if levels else {}
    return types.Evidence(features, small, torch.zeros(2, 1), small, **extra)


def test_parked_values_come_back_as_they_were(networks, types):
    given = (evidence(types, 0.5, levels=True), "text", 3)
    parked = networks.park(given)
    assert isinstance(parked[0].features, networks.Parked)
    back = networks.unpark(parked, torch.device("cpu"))
    assert type(back[0]) is types.Evidence
    assert torch.equal(back[0].features, given[0].features)
    assert torch.equal(back[0].levels[1], given[0].levels[1])
    assert back[0].scores is None
    assert back[1:] == ("text", 3)


def test_only_what_was_on_the_device_returns_there(networks):
    stays, moves = networks.Parked(torch.ones(1), False), networks.Parked(torch.ones(1), True)
    back = networks.unpark((stays, moves), torch.device("meta"))
    assert [tensor.device.type for tensor in back] == ["cpu", "meta"]


def test_memo_keeps_the_first_chunks_within_its_budget(stages, networks, types):
    one = evidence(types, 1.0)
    size = networks.total_bytes(one)
    memo = stages.HostMemo(2 * size + size // 2)
    for start in (0, 2, 4):
        memo.put((start, start + 2), evidence(types, float(start)))
    assert [(start, start + 2) in memo for start in (0, 2, 4)] == [True, True, False]
    assert memo.get((4, 6)) is None
    assert float(memo.get((2, 4)).features.mean()) == 2
    memo.put((0, 2), evidence(types, 9.0))
    assert float(memo.get((0, 2)).features.mean()) == 0, "a chunk is kept once"


def test_budget_is_a_share_of_free_memory(stages, monkeypatch):
    monkeypatch.setattr(stages.management, "get_free_memory", lambda device: 4 << 30)
    assert stages.memo_budget() == 1 << 30
    monkeypatch.setattr(stages.management, "get_free_memory", lambda device: 1 << 40)
    assert stages.memo_budget() == 8 << 30


def test_network_is_readied_and_hears_cancel(networks):
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(2, 2)

        @property
        def device(self):
            return self.inner.weight.device

        def forward(self, x):
            return self.inner(x)

    network = networks.managed(Two())
    assert network.ready()(torch.ones(1, 2)).shape == (1, 2)
    networks.management.interrupt_current_processing()
    try:
        for _ in range(2):  # threads that compute chunks side by side all hear it
            with pytest.raises(networks.management.InterruptProcessingException):
                network.module(torch.ones(1, 2))
    finally:
        networks.management.interrupt_current_processing(False)


def test_kept_fusion_is_small_and_detached_from_the_strategy(stages, pack):
    fusing = pack("reenact_core.fusing")
    weights = torch.rand(2, 3, 3, 64, 64).softmax(1)
    chunk = fusing.FusedChunk(0, 2, torch.rand(2, 3, 64, 64), weights, torch.rand(2, 1, 16, 16))
    kept = stages.light(chunk)
    assert kept.weights.shape == (2, 3, 1, 16, 16)
    assert torch.allclose(kept.weights.sum(1), torch.ones(2, 1, 16, 16), atol=1e-5)
    assert torch.equal(kept.features, chunk.features)


def test_inputs_of_any_type_are_left_alone(pack, host_modules):
    """Half precision, a fourth channel, values beyond 1: accepted, and not written into."""
    sample = pack("nodes.sample").Sample
    references, _ = sample.execute("same person").args
    alpha = torch.ones_like(references[:1, ..., :1])
    given = (torch.cat([references[:1], alpha], -1) * 1.0).half()
    before = given.clone()
    with torch.inference_mode():
        result = pack("nodes.load_references").encode_references(
            list(pack("nodes.convert").to_core(given)), pack("nodes.networks").face_tracker().ready()
        )
    assert torch.equal(given, before)
    assert result.images[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("text", "count", "numbers"), [("1", 3, [1, 1, 1]), ("1, 0.5,2", 3, [1, 0.5, 2]), (" 0 , 1", 2, [0, 1])]
)
def test_strengths_are_read(pack, text, count, numbers):
    assert pack("nodes.load_references")._strengths(text, count) == numbers


def test_strengths_that_do_not_fit_are_refused(pack):
    module, errors = pack("nodes.load_references"), pack("reenact_core.errors")
    for text in ("a", "1,2", "1;2;3"):
        with pytest.raises(errors.ReenactError, match="`strengths`"):
            module._strengths(text, 3)


def test_labels_fill_up(pack):
    assert pack("nodes.load_references")._labels("left,, right", 2, 4) == [
        "left",
        "reference 4",
        "right",
        "reference 6",
    ]


def host_face(points: torch.Tensor, blendshapes: torch.Tensor, names: tuple[str, ...]) -> dict:
    """A face as the host's MediaPipe Face Landmarker describes it, from landmarks [478,3] in pixels.

    Its `landmarks_3d` are those of an upright crop of 192 pixels; `presence` is a logit; "_neutral" leads the
    blendshapes.
    """
    flat = points[:, :2]
    low, high = flat.amin(0), flat.amax(0)
    eyes = points[263, :2] - points[33, :2]
    roll = torch.atan2(eyes[1], eyes[0])
    cos, sin = roll.cos(), roll.sin()
    upright = torch.stack([torch.stack([cos, sin]), torch.stack([-sin, cos])])
    scale = 192 / (1.5 * (high - low).max())
    crop = (flat - (low + high) / 2) @ upright.T * scale + 96
    return {
        "bbox_xyxy": torch.cat([low, high]).numpy(),
        "blendshapes": {"_neutral": 0.0, **dict(zip(names, blendshapes.tolist()))},
        "landmarks_xy": flat.numpy(),
        "landmarks_3d": torch.cat([crop, points[:, 2:] * scale], 1).numpy(),
        "presence": 9.5,
        "score": 0.93,
        "transformation_matrix": torch.eye(4).numpy(),
    }


def test_landmarks_of_the_host_are_what_the_own_tracker_sees(pack):
    """FACE_LANDMARKS of real frames through the node: the motion is that of the same frames, smaller faces ignored."""
    tracking = pack("reenact_core.tracking")
    frames, _ = pack("nodes.sample").Sample.execute("same person").args
    pictures = pack("nodes.convert").to_core(frames)
    with torch.inference_mode():
        tracked = pack("nodes.networks").face_tracker().ready().track_images(list(pictures))
    names = tracking.BLENDSHAPE_NAMES
    found = [host_face(points, shapes, names) for points, shapes in zip(tracked.landmarks, tracked.blendshapes)]
    small = host_face(tracked.landmarks[0] * 0.2, tracked.blendshapes[0] * 0, names)
    landmarks = {
        "frames": [[small, face] for face in found],
        "image_size": tuple(pictures.shape[-2:]),
        "connection_sets": {"lips": frozenset([(61, 146)])},
    }
    model = pack("nodes.load_model").LoadModel.execute("face_mesh").args[0]
    node = pack("nodes.encode_motion").EncodeMotion
    node.hidden = SimpleNamespace(unique_id=None, prompt=None, extra_pnginfo=None)  # what the host gives a running node
    motion, _, rate = node.execute(model, frame_rate=24.0, smooth=False, landmarks=landmarks).args
    assert rate == 24
    assert motion.canvas == tuple(pictures.shape[-2:])
    assert torch.allclose(motion.faces.landmarks[..., :2], tracked.landmarks[..., :2], atol=1e-2)
    depth = motion.faces.landmarks[..., 2] - tracked.landmarks[..., 2]
    assert (depth - depth.mean(1, keepdim=True)).abs().max() < 1
    assert torch.allclose(motion.faces.blendshapes, tracked.blendshapes, atol=1e-4)
    turn = pack("reenact_core.pose").euler_degrees
    assert torch.allclose(turn(motion.faces.rotation), turn(tracked.rotation), atol=6)


def test_landmarks_of_the_host_become_motion(pack):
    """The host's FACE_LANDMARKS: the largest face first, frames without one bridged."""
    module = pack("nodes.encode_motion")
    mesh = pack("reenact_core.tracking").canonical_mesh()[0]
    points = torch.cat([mesh, mesh[:10]]) * 6

    def face(scale: float, x: float) -> dict:
        return {
            "landmarks_xy": (points[:, :2] * scale + x).numpy(),
            "landmarks_3d": points.numpy(),
            "blendshapes": {"jawOpen": scale},
            "score": 0.9,
        }

    frames = [[face(0.5, 50), face(1.0, 150)], [], [face(1.0, 160)]]
    landmarks = {"frames": frames, "image_size": (240, 320)}
    motion = module._from_landmarks(landmarks, module.frame_rate_of(25), 0, None, False)
    assert motion.canvas == (240, 320)
    assert motion.faces.found.tolist() == [True, False, True]
    jaw = pack("reenact_core.tracking").BLENDSHAPE_NAMES.index("jawOpen")
    assert motion.faces.blendshapes[0, jaw] == 1.0, "the largest face"
    small = module._from_landmarks(landmarks, module.frame_rate_of(25), 1, None, False)
    assert small.faces.blendshapes[0, jaw] == 0.5
