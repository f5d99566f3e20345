"""Avatars: motion that is plausible, pictures that fit their exact truth, clips like those of real people."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reenact_core import geometry
from reenact_core.commands.train import read_config
from reenact_core.errors import ReenactError
from reenact_core.motion_models.mesh_network import FINE
from reenact_core.training.augmentation import Augmentation
from reenact_core.training.avatars import (
    AvatarConfig,
    AvatarData,
    Controls,
    load_avatars,
    random_controls,
    random_identity,
    random_scene,
    render_motion,
)
from reenact_core.training.avatars.motion import MOODS, SYLLABLES, rotations
from reenact_core.training.avatars.renderer import Renderer
from reenact_core.training.clips import Clip
from reenact_core.training.exact_truth import CELL, flow_and_visibility
from reenact_core.training.samples import draw

from ..faces import shared

SIZE = 192


@pytest.fixture(scope="module")
def data() -> AvatarData:
    return AvatarData(shared("avatars"))


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    pytest.importorskip("moderngl")
    try:
        return Renderer()
    except ReenactError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def turning(data) -> Controls:
    """Three frames: straight, turned by 30 degrees, mouth open."""
    shapes = np.zeros((3, 52), np.float32)
    shapes[2, data.shape_names.index("jawOpen")] = 0.6
    head = np.zeros((3, 3))
    head[1, 0] = 30
    return Controls(shapes, head, np.zeros((3, 3)), np.zeros((3, 3)))


@pytest.fixture(scope="module")
def scene():
    return replace(random_scene((SIZE, SIZE), 75, random.Random(1)), kind="picture")


@pytest.fixture(scope="module")
def rendering(data, renderer, turning, scene):
    return render_motion(data, random_identity(data, random.Random(3)), turning, scene, renderer)


NAMES = (
    *sorted({name for pose in (*SYLLABLES, *MOODS) for name in pose}),
    *(f"eyeLook{way}{side}" for way in ("In", "Out", "Up", "Down") for side in ("Left", "Right")),
    *("eyeBlinkLeft", "eyeBlinkRight"),
)


def test_turns_go_where_they_are_said_to_go():
    ahead, up = np.array([0, 0, 1.0]), np.array([0, 1.0, 0])
    left = rotations(np.array([30.0, 0, 0])) @ ahead
    assert left == pytest.approx([0.5, 0, np.cos(np.radians(30))])
    assert (rotations(np.array([0, 30.0, 0])) @ ahead)[1] == pytest.approx(-0.5)
    assert (rotations(np.array([0, 0, 30.0])) @ up)[0] == pytest.approx(0.5)
    many = rotations(np.random.default_rng(0).uniform(-90, 90, (20, 3)))
    assert many @ many.transpose(0, 2, 1) == pytest.approx(np.tile(np.eye(3), (20, 1, 1)), abs=1e-9)


def test_performances_are_smooth_bounded_and_reproducible():
    times = np.arange(250) / 25
    first, again, other = (random_controls(NAMES, times, 60, random.Random(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first.head, other.head)
    assert first.shapes.min() >= 0
    assert first.shapes.max() <= 1
    yaw = first.head[:, 0] + first.torso[:, 0]
    assert abs(yaw).max() <= 60 + 1e-6
    assert np.ptp(yaw) > 40
    assert abs(np.diff(yaw)).max() < 30
    blink = first.shapes[:, NAMES.index("eyeBlinkLeft")]
    assert 2 <= ((blink[1:] > 0.5) & (blink[:-1] <= 0.5)).sum() <= 12


def test_people_differ_and_are_reproducible(data):
    people = [random_identity(data, random.Random(seed)) for seed in range(20)]
    assert people[4] == random_identity(data, random.Random(4))
    assert len({person.skin for person in people}) > 5
    assert all(sum(person.shape) == pytest.approx(1) for person in people)


def test_rendered_pictures(rendering, scene):
    frames, alpha, truth = rendering
    assert frames.shape == (3, 3, SIZE, SIZE)
    assert alpha.shape == (3, 1, SIZE, SIZE)
    assert truth.triangle.shape == (3, SIZE // CELL, SIZE // CELL)
    middle_x, middle_y = (int(m) for m in scene.middle)
    assert alpha[0, 0, middle_y, middle_x] == 1
    away = (alpha == 0).all(0)[0]
    assert 0.2 < away.float().mean() < 0.8
    backdrop = torch.from_numpy(scene.backdrop()).permute(2, 0, 1)
    assert torch.allclose(frames[:, :, away], backdrop[:, away].expand(3, -1, -1), atol=1e-6)
    # The matte and the exact truth speak of the same silhouette.
    covered = alpha[:, 0, CELL // 2 :: CELL, CELL // 2 :: CELL]
    assert ((covered > 0.5) == (truth.triangle >= 0)).float().mean() > 0.97


@pytest.mark.parametrize("other", [1, 2])
def test_exact_flow_carries_one_frame_onto_another(rendering, other):
    box, grid = torch.tensor([[30.0, 10.0, 130.0]]), 130
    flow = flow_and_visibility(rendering.truth, 0, [other], box, grid)
    points = (box[0, :2] + geometry.pixel_grid(grid, grid) / grid * 130)[None]
    size = (SIZE, SIZE)
    wanted = geometry.sample(rendering.frames[:1], geometry.normalise(points, size))
    unmoved = geometry.sample(rendering.frames[[other]], geometry.normalise(points, size))
    places = geometry.normalise(flow.positions[0].movedim(1, -1), size)
    carried = geometry.sample(rendering.frames[[other]], places)
    visible = flow.visibility[0]
    assert visible.mean() > 0.8

    moving = visible * ((flow.positions[0] - points.movedim(-1, 1)).norm(dim=1, keepdim=True) > 1)
    assert moving.sum() > 100

    def error(picture):
        return float(((picture - wanted).abs().mean(1, keepdim=True) * moving).sum() / moving.sum())

    assert error(carried) < 0.5 * error(unmoved)
    hidden = 1 - visible
    trusted = float(((carried - wanted).abs().mean(1, keepdim=True) * hidden).sum() / hidden.sum())
    assert error(carried) < 0.5 * trusted


@pytest.mark.slow
def test_two_people_perform_the_same_motion(data, renderer, turning, scene, tracker):
    """The transfer evaluation's ground truth: the same head turn and mouth on another face."""
    faces = []
    for seed in (5, 6):
        out = render_motion(data, random_identity(data, random.Random(seed)), turning, scene, renderer)
        faces.append(tracker.track_images(list(out.frames)))
    for tracked in faces:
        assert tracked.found.all()
    turns = [tracked.rotation[1] @ tracked.rotation[0].T for tracked in faces]
    apart = torch.rad2deg(torch.acos((((turns[0] @ turns[1].T).trace() - 1) / 2).clamp(-1, 1)))
    assert apart < 8
    for tracked in faces:
        turn = tracked.rotation[1] @ tracked.rotation[0].T
        angle = torch.rad2deg(torch.acos(((turn.trace() - 1) / 2).clamp(-1, 1)))
        assert 20 < angle < 40
        gap = (tracked.landmarks[:, 13] - tracked.landmarks[:, 14]).norm(dim=-1)
        assert gap[2] > gap[0] + 3


CONFIG = AvatarConfig(clips=2, performers=2, frames=9, rate=6, size=256)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("avatars")


@pytest.fixture(scope="module")
def clips(data, renderer, tracker, cache) -> list[Clip]:
    return load_avatars(data.folder, CONFIG, cache, tracker)


@pytest.mark.slow
def test_clips_are_rendered_once(clips, cache, tmp_path):
    assert [clip.name for clip in clips] == ["avatar_000_0", "avatar_000_1"]
    clip = clips[0]
    assert clip.frames.shape == (9, 3, 256, 256)
    assert clip.person.shape == (9, 1, 64, 64)
    assert clip.truth is not None
    assert clip.truth.triangle.shape == (9, 64, 64)
    again = load_avatars(tmp_path / "no such data", CONFIG, cache, None)
    assert torch.equal(again[1].frames, clips[1].frames)
    assert torch.equal(again[1].truth.vertices, clips[1].truth.vertices)
    assert not torch.equal(clips[0].frames, clips[1].frames)


PLAIN = Augmentation(*[0] * 11)


@pytest.mark.slow
@pytest.mark.parametrize(
    "augmentation",
    [PLAIN, replace(PLAIN, flip=1.0), replace(PLAIN, other_camera=1.0)],
    ids=["plain", "flipped", "other_camera"],
)
def test_exact_flow_fits_the_samples_of_the_training(clips, augmentation):
    """Whatever the augmentation, the exact flow carries every reference onto the truth where it shows it."""
    rng = random.Random(2)
    carried, unmoved = [], []
    for _ in range(4):
        sample = draw(clips[0], 3, 2 * FINE, augmentation, rng)
        exact = sample.exact
        assert exact is not None
        images = sample.encoded.images
        size = (images.shape[-2], images.shape[-1])
        truth = F.avg_pool2d(sample.truth, 2)
        points = sample.boxes[0, :2] + geometry.pixel_grid(FINE, FINE) / FINE * sample.boxes[0, 2]
        moves = (exact.positions[0] - points.movedim(-1, 0)).norm(dim=1, keepdim=True) > 2
        share = exact.visibility[0] * exact.known[0] * moves
        for places, errors in ((exact.positions[0].movedim(1, -1), carried), (points.expand(3, -1, -1, -1), unmoved)):
            look = geometry.sample(images, geometry.normalise(places, size))
            error = (look - truth).abs().mean(1, keepdim=True)
            errors.append(float((error * share).sum() / share.sum()))
    assert sum(carried) < 0.6 * sum(unmoved)


def test_the_configuration_says_how_many(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"avatars": {"clips": 3, "rate": 5.0}}')
    assert read_config(file).avatars == AvatarConfig(clips=3, rate=5.0)
    file.write_text('{"avatars": {"frames": 1}}')
    with pytest.raises(ReenactError, match="frames is 1"):
        read_config(file)


def test_what_is_missing_is_named(data, tmp_path, monkeypatch):
    with pytest.raises(ReenactError, match=r"does not hold mh_heads\.npz"):
        AvatarData(tmp_path)
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(ReenactError, match=r"reenact\[avatars\]"):
        Renderer()
    for fault in ({"frames": 3}, {"size": 250}, {"rate": 0.0}, {"performers": 0}):
        with pytest.raises(ReenactError, match=next(iter(fault))):
            AvatarConfig(**fault)
