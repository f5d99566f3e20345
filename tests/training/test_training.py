"""Training: prepared clips, random samples, losses, the loop with resume."""

from __future__ import annotations

import csv
import random
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from reenact_core import cli, geometry
from reenact_core.errors import CheckpointError, ReenactError
from reenact_core.evaluation.networks import LPIPS_FILE
from reenact_core.motion_models.face_mesh import FaceMesh
from reenact_core.motion_models.mesh_network import CONTEXT, FINE
from reenact_core.motion_models.mesh_weights import load_networks, new_networks
from reenact_core.tracking import FaceTracker, PersonMatte
from reenact_core.training.augmentation import Augmentation
from reenact_core.training.clips import Clip, load_clips
from reenact_core.training.loop import TrainingConfig, _schedule, sample_loss, train
from reenact_core.training.losses import Judges, LossWeights, picture_loss
from reenact_core.training.reading import reading_loss
from reenact_core.training.samples import APART, _choose_frames, draw
from reenact_core.video import VideoWriter

from ..faces import psnr, shared, texture

PLAIN = Augmentation(*[0] * len(fields(Augmentation)))
FACE = slice(50, 78)  # the middle of a 128 px training picture


class NoPerception(nn.Module):
    """Stands in for LPIPS where a test is about the rest."""

    def forward(self, a, b):
        return (a - b).square().mean((1, 2, 3))


@pytest.fixture(scope="module")
def clip(person_files, tracker, tmp_path_factory) -> Clip:
    matte = PersonMatte.load()
    return load_clips([person_files / "driving.mp4"], tmp_path_factory.mktemp("cache"), tracker, matte)[0]


def test_prepared_clips(clip):
    assert clip.name == "driving"
    assert clip.frames.dtype == clip.person.dtype == torch.uint8
    count, _, height, width = clip.frames.shape
    assert count == 11
    assert clip.facing.shape == (11, 468)
    points = clip.faces.landmarks[:, :468, :2]
    assert points.min() > 0
    assert (points < torch.tensor([width, height])).all()
    centre = points.mean((0, 1)) / torch.tensor([width, height])
    person = clip.person.float().mean(0)[0] / 255
    assert person[int(centre[1] * person.shape[0]), int(centre[0] * person.shape[1])] > 0.9


def test_landmarks_of_prepared_clips_fit_the_cut_frames(clip, tracker):
    again = tracker.track_images([frame.float() / 255 for frame in clip.frames[[0, 8]]])
    apart = (again.landmarks - clip.faces.landmarks[[0, 8]])[..., :2].norm(dim=-1).mean()
    assert apart < 1.5


def test_a_prepared_clip_is_not_tracked_again(person_files, tracker, tmp_path):
    paths = [person_files / "driving.mp4"]
    first = load_clips(paths, tmp_path, tracker, PersonMatte.load())[0]
    second = load_clips(paths, tmp_path, None, None)[0]
    assert torch.equal(first.frames, second.frames)
    assert torch.equal(first.faces.landmarks, second.faces.landmarks)


def test_clips_that_teach_nothing(tracker, tmp_path):
    path = tmp_path / "landscape.mp4"
    with VideoWriter(path, 25, (128, 192)) as writer:
        writer.write(texture(128, 192).expand(9, -1, -1, -1))
    matte = PersonMatte.load()
    for _ in range(2):  # prepared, then from the cache
        with pytest.raises(ReenactError, match="None of the 1 clips"):
            load_clips([path], tmp_path / "cache", tracker, matte)
    with pytest.raises(ReenactError, match="landscape"):
        load_clips([path, tmp_path / "other" / "landscape.mp4"], tmp_path / "cache", tracker, matte)


@pytest.mark.parametrize(
    "augmentation",
    [
        PLAIN,
        replace(PLAIN, flip=1.0),
        replace(PLAIN, other_camera=1.0),
        replace(PLAIN, colour=0.2, exposure=1.0),
        replace(PLAIN, background=1.0, compression=1.0),
    ],
    ids=["plain", "flipped", "other_camera", "recoloured", "another_background"],
)
def test_geometry_of_samples_fits_their_pictures(clip, augmentation):
    """Whatever the augmentation, warping by geometry alone brings references near to the truth."""
    model = FaceMesh().eval()
    rng = random.Random(5)
    quality, unwarped = [], []
    with torch.no_grad():
        for _ in range(6):
            sample = draw(clip, 2, 128, augmentation, rng, [clip])
            evidence, _ = model.evidence(sample.encoded, sample.flows, sample.distance, sample.boxes, 128)
            truth = sample.truth[0, :, FACE, FACE]
            quality += [psnr(look[:, FACE, FACE], truth) for look in evidence.features[0]]
            other = geometry.sample(sample.encoded.images[:1], geometry.normalise(
                sample.boxes[0, :2] + geometry.pixel_grid(128, 128) / 128 * sample.boxes[0, 2],
                sample.encoded.images.shape[-2:])[None])  # fmt: skip
            unwarped.append(psnr(other[0, :, FACE, FACE], truth))
    assert sum(quality) / len(quality) > 19
    assert sum(quality) / len(quality) > sum(unwarped) / len(unwarped) + 2


@pytest.mark.parametrize("count", [1, 3, 20])
def test_samples_have_the_promised_shapes(clip, count):
    sample = draw(clip, count, 128, Augmentation(), random.Random(1))
    assert sample.truth.shape == (1, 3, 128, 128)
    assert sample.encoded.images.shape[0] == sample.encoded.faces.landmarks.shape[0] == count
    assert sample.distance.shape == (1, count)
    assert sample.flows.positions.shape[:3] == (1, count, 6)
    assert sample.truth.min() >= 0
    assert sample.truth.max() <= 1
    assert all(value.isfinite().all() for value in (sample.encoded.images, sample.flows.positions, sample.distance))


def test_samples_are_reproducible_and_leave_the_clip_alone(clip):
    before = clip.faces.landmarks.clone(), clip.frames.clone()
    first, second = (draw(clip, 3, 128, Augmentation(), random.Random(7)) for _ in range(2))
    other = draw(clip, 3, 128, Augmentation(), random.Random(8))
    assert torch.equal(first.truth, second.truth)
    assert torch.equal(first.encoded.images, second.encoded.images)
    assert not torch.equal(first.truth, other.truth)
    assert torch.equal(before[0], clip.faces.landmarks)
    assert torch.equal(before[1], clip.frames)


def test_gradients_reach_every_parameter(clip):
    """With the output layers away from zero, where they start, nothing in the network is left untrained."""
    torch.manual_seed(0)
    networks = new_networks(8, 8)
    model = FaceMesh(networks)
    for head in (networks.motion.first, networks.motion.second, networks.refiner.leave):
        nn.init.normal_(head.weight, std=0.1)
    for seed in range(2):
        sample = draw(clip, 3, 128, Augmentation(), random.Random(seed))
        loss, _ = sample_loss(model, sample, Judges(NoPerception()), LossWeights())
        loss.backward()
    for name, parameter in networks.as_module().named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_a_settled_motion_network_stays_as_it_is_while_the_refiner_learns(clip):
    networks = new_networks(8, 8)
    networks.motion.requires_grad_(False)
    sample = draw(clip, 3, 128, PLAIN, random.Random(1))
    loss, _ = sample_loss(FaceMesh(networks), sample, Judges(NoPerception()), LossWeights())
    loss.backward()
    assert all(parameter.grad is None for parameter in networks.motion.parameters())
    assert networks.refiner.leave.weight.grad is not None


def test_a_few_steps_on_one_sample_lower_its_loss(clip):
    torch.manual_seed(0)
    networks = new_networks(8, 8)
    model = FaceMesh(networks)
    sample = draw(clip, 2, 128, PLAIN, random.Random(3))
    optimiser = torch.optim.Adam(networks.as_module().parameters(), 3e-3)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss, result = sample_loss(model, sample, Judges(NoPerception()), LossWeights())
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    assert result.shape == (1, 3, 128, 128)


def test_the_refiner_begins_by_changing_nothing_and_learns_to_mend():
    torch.manual_seed(0)
    refiner = new_networks(8, 8).refiner
    truth = texture(256, 256)[None]
    told = torch.zeros(1, CONTEXT, FINE, FINE), torch.zeros(1, 2, FINE, FINE)
    assert torch.equal(refiner(truth, *told), truth)
    wrong = (truth * 0.8 + 0.1).clamp(0, 1)
    optimiser = torch.optim.Adam(refiner.parameters(), 3e-3)
    errors = []
    for _ in range(25):
        optimiser.zero_grad()
        error = (refiner(wrong, *told) - truth).abs().mean()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.7 * errors[0]


@pytest.mark.parametrize("size", [64, 192, 256, 320, 512])
def test_the_refiner_takes_pictures_of_any_size(size):
    refiner = new_networks(8, 8).refiner
    nn.init.constant_(refiner.leave.get_parameter("bias"), 0.2)
    pictures, context = torch.full((2, 3, size, size), 0.5), torch.zeros(2, CONTEXT, FINE, FINE)
    changed = refiner(pictures, context, torch.zeros(2, 2, FINE, FINE)).detach()
    assert changed.shape == (2, 3, size, size)
    assert torch.allclose(changed, changed.mean(), atol=1e-5)
    assert float(changed.mean()) > 0.55
    assert torch.equal(refiner(pictures, context, torch.ones(2, 2, FINE, FINE)), pictures)


def test_bad_references_are_drawn_where_there_are_three(clip):
    """Somebody else's face keeps the geometry of its own picture, so that only what it shows is wrong."""
    always = replace(PLAIN, stranger=1.0)
    guest = clip._replace(name="guest", frames=255 - clip.frames)
    sample = draw(clip, 3, 128, always, random.Random(2), [guest])
    plain = draw(clip, 3, 128, PLAIN, random.Random(2), [guest])
    assert plain.still.amax((0, 2, 3)).eq(1).all()
    assert sorted(sample.still.amax((0, 2, 3)).tolist()) == [0, 1, 1]
    evidence, _ = FaceMesh().evidence(sample.encoded, sample.flows, sample.distance, sample.boxes, 128)
    quality = sorted(psnr(look[:, FACE, FACE], sample.truth[0, :, FACE, FACE]) for look in evidence.features[0])
    assert quality[0] < 12 < quality[1]
    inverted = sorted(psnr(1 - look[:, FACE, FACE], sample.truth[0, :, FACE, FACE]) for look in evidence.features[0])
    assert inverted[-1] > 17
    assert draw(clip, 2, 128, always, random.Random(2), [guest]).still.amax((0, 2, 3)).eq(1).all()


@pytest.mark.parametrize("count", [1, 4])
def test_rare_samples_ask_for_what_their_references_do_not_show(clip, count):
    """A mouth or eyes at an extreme, and references from the other half of the clip."""
    rare = replace(PLAIN, unseen=1.0)
    lips = (clip.faces.landmarks[:, 13] - clip.faces.landmarks[:, 14]).norm(dim=-1)
    lids = sum((clip.faces.landmarks[:, u] - clip.faces.landmarks[:, v]).norm(dim=-1) for u, v in APART[1:])
    kinds = set()
    for seed in range(12):
        driving, chosen = _choose_frames(clip, count, rare, random.Random(seed))
        assert len(chosen) == count
        assert driving not in chosen
        beyond = {
            "opens": bool((lips[chosen] < lips[driving]).all()),
            "closes": bool((lips[chosen] > lips[driving]).all()),
            "blinks": bool((lids[chosen] > lids[driving]).all()),
        }
        assert any(beyond.values())
        kinds |= {kind for kind, holds in beyond.items() if holds}
    assert kinds == {"opens", "closes", "blinks"}


@pytest.mark.parametrize("flipped", [False, True])
def test_a_tracker_reads_what_is_off_in_a_picture(clip, tracker, flipped):
    """Nothing in the truth itself, more the further lips, lids and irises are moved; gradients reach the picture."""
    mesh = tracker.mesh.for_gradients()
    sample = draw(clip, 1, 256, replace(PLAIN, flip=float(flipped)), random.Random(3))
    truth, landmarks = sample.truth, sample.landmarks
    assert float(reading_loss(truth, truth, landmarks, mesh)) == 0
    losses = [float(reading_loss(truth.roll(by, 2), truth, landmarks, mesh)) for by in (2, 6)]
    assert 0.001 < losses[0] < losses[1]
    picture = truth.roll(4, 2).requires_grad_()
    reading_loss(picture, truth, landmarks, mesh).backward()
    gradient = picture.grad.abs().sum(1)[0]
    x, y = (int(part) for part in landmarks[0, 13])
    assert float(gradient[y - 8 : y + 8, x - 8 : x + 8].mean()) > 3 * float(gradient.mean())


def test_emphasis_is_highest_on_eyes_and_mouth(clip):
    sample = draw(clip, 1, 256, PLAIN, random.Random(4))
    emphasis = sample.emphasis[0, 0]
    assert float(emphasis.mean()) == pytest.approx(1, abs=0.05)
    landmarks = (sample.flows.openings[0] > 0).nonzero()  # cells of lips and lids
    inside = torch.stack([emphasis[2 * y, 2 * x] for _, y, x in landmarks.tolist()])
    assert float(inside.min()) > 1.5
    assert float(emphasis[0, 0]) < 0.6


def test_loss_of_a_perfect_picture_is_zero_and_of_a_worse_one_larger():
    truth = texture(128, 128)[None]
    blurred = nn.functional.avg_pool2d(truth, 9, 1, 4)
    darker = truth * 0.7
    even = torch.ones(1, 1, 128, 128)
    zero, blur, dark = (
        float(picture_loss(x, truth, even, NoPerception(), LossWeights())) for x in (truth, blurred, darker)
    )
    assert zero == 0
    assert blur > 0
    assert blur < dark


def test_the_learning_rate_warms_up_and_decays():
    config = TrainingConfig(steps=1000, warm_up=100, final_rate=0.1)
    shares = [_schedule(step, config) for step in range(1000)]
    assert shares[0] == pytest.approx(0.01)
    assert max(shares) == pytest.approx(0.9, abs=0.02)
    assert shares[999] == pytest.approx(0.1)
    assert all(b <= a for a, b in pairwise(shares[100:]))


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"size": 8}, {"width": 20}, {"references": ()}, {"references": (0, 2)}, {"save_every": 0}]
)
def test_configurations_that_cannot_work(wrong):
    with pytest.raises(ReenactError, match=next(iter(wrong))):
        TrainingConfig(**wrong)


def test_all_clips_held_out(clip, tmp_path):
    with pytest.raises(ReenactError, match="held out"):
        train([clip], TrainingConfig(hold_out=("driving",)), tmp_path / "none", tmp_path / "out")


def test_damaged_weights_are_named(tmp_path):
    for content in (b"", b"no safetensors at all"):
        file = tmp_path / "network.safetensors"
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"network\.safetensors"):
            load_networks(file)


def test_smoke_run_resumes_and_its_weights_load(person_files, tracker, tmp_path, monkeypatch, capsys):
    """The command, as a user calls it, twice: the second run goes on where the first ended."""
    metrics = shared(f"models/{LPIPS_FILE}").parent
    monkeypatch.setattr(FaceTracker, "load", classmethod(lambda cls, device="cpu": tracker))
    output = tmp_path / "run"
    given = ["train", "--clips", person_files / "driving.mp4", "--metrics-folder", metrics, "--output", output]
    given = [str(argument) for argument in (*given, "--smoke")]
    assert cli.main(given) == 0
    weights = Path(capsys.readouterr().out.strip().splitlines()[-1])
    assert weights.parent == output
    first = load_networks(weights).motion
    assert {"log.csv", "sheet_000004.png", "state.pt"} <= {p.name for p in output.iterdir()}
    assert not list(output.rglob("*.partial"))
    assert cli.main([*given, "--steps", "6"]) == 0
    rows = list(csv.DictReader((output / "log.csv").open()))
    assert [int(row["step"]) for row in rows] == [2, 4, 6]
    assert all(float(row["loss"]) > 0 for row in rows)
    second = load_networks(weights).motion
    assert not torch.equal(first.first.weight, second.first.weight)
    before = {path: path.stat().st_mtime_ns for path in (weights, output / "log.csv")}
    assert cli.main([*given, "--steps", "6"]) == 0  # nothing is left to do
    assert load_networks(weights).motion.first.weight.equal(second.first.weight)
    assert (output / "log.csv").stat().st_mtime_ns == before[output / "log.csv"]
