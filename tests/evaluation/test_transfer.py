"""People driven by others: made-up people whose pictures tell who they are, so that the right numbers are known."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from reenact_core.errors import ReenactError
from reenact_core.evaluation.likeness import angle_degrees, expression_error
from reenact_core.evaluation.networks import MetricNetworks
from reenact_core.evaluation.result import NEAREST_COPY, ONE_REFERENCE
from reenact_core.evaluation.stages import Stages
from reenact_core.evaluation.transfer import TransferSettings, evaluate_transfer, match
from reenact_core.evaluation.transfer_report import markdown_table, to_html
from reenact_core.evaluation.transfer_result import REAL_FRAMES, write_json
from reenact_core.tracking import BLENDSHAPE_NAMES
from reenact_core.types import DrivingMotion, Faces

from ..faces import turned

SIDE = 96
LANDMARKS = 24 + 48 * torch.rand(478, 3, generator=torch.Generator().manual_seed(0))
JAW = BLENDSHAPE_NAMES.index("jawOpen")


def faces_of(yaw: torch.Tensor, jaw: torch.Tensor) -> Faces:
    """Faces turned by so many degrees, with the jaw open by so much."""
    count = len(yaw)
    blendshapes = torch.zeros(count, 52)
    blendshapes[:, JAW] = jaw
    rotation = torch.stack([turned(yaw=float(angle)) for angle in yaw])
    landmarks = LANDMARKS.repeat(count, 1, 1)
    return Faces(landmarks, blendshapes, rotation, torch.ones(count), torch.ones(count, dtype=torch.bool))


def picture(person: float, yaw: float, jaw: float) -> torch.Tensor:
    """Red tells the person, green the yaw, blue the jaw, over a texture that all share."""
    texture = 0.02 * torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    return texture + torch.tensor([person, 0.5 + yaw / 100, 0.2 + jaw / 2]).view(3, 1, 1)


def track(images) -> Faces:
    """Reads the colours; a black picture shows no face."""
    means = torch.stack([image.mean(dim=(1, 2)) for image in images]) - 0.01
    seen = faces_of((means[:, 1] - 0.5) * 100, (means[:, 2] - 0.2) * 2)
    return seen._replace(found=means[:, 0] > 0.05)


def embed(crops: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
    """The person's colour as a direction."""
    angle = crops[:, 0].mean(dim=(1, 2)) - 0.01
    return torch.nn.functional.pad(torch.stack([angle.cos(), angle.sin()], 1), (0, 126))


class Actor:
    """A clip of somebody who turns from side to side, once per half clip, and talks."""

    frame_rate = Fraction(25)

    def __init__(self, name: str, person: float, reach: float = 12.0, count: int = 80) -> None:
        self.name = name
        phase = torch.arange(count) / (count / 2) * 2 * torch.pi
        self.yaw, self.jaw = reach * phase.sin(), 0.2 * (phase.cos() + 1)
        self.images = [picture(person, float(y), float(j)) for y, j in zip(self.yaw, self.jaw, strict=True)]

    def chunks(self):
        yield torch.stack(self.images)

    def frames(self, indices):
        assert list(indices) == sorted(indices)
        yield from (self.images[i] for i in indices)


def encode_motion(chunks, frame_rate) -> DrivingMotion:
    seen = track(torch.cat(list(chunks)))
    return DrivingMotion(seen, (SIDE, SIDE), frame_rate, seen.at([0]))


def reconstruct(references, motion, indices, strategy):
    """`perfect` paints the person as asked; `stranger` paints somebody else; `still` does not move; `lost` is black."""
    person = float(references[0][0].mean()) - 0.01
    for i in indices:
        if strategy == "lost":
            yield torch.zeros(1, 3, SIDE, SIDE)
            continue
        seen = motion.faces.at([i])
        yaw = float(torch.atan2(-seen.rotation[0, 0, 2], seen.rotation[0, 2, 2]).rad2deg())
        jaw = float(seen.blendshapes[0, JAW])
        who = person + 0.6 if strategy == "stranger" else person
        yield picture(who, 0 if strategy == "still" else yaw, 0.2 if strategy == "still" else jaw)[None]


STAGES = Stages(encode_motion, lambda faces, count: list(range(0, len(faces.found), 7))[:count], reconstruct, track)
NAMES = ("perfect", "stranger", "still", "lost")
SETTINGS = TransferSettings(references=(2,), strategies=NAMES, step=8, flicker_runs=0, near=1.0)
NETWORKS = MetricNetworks(identity=embed)


def run(drivers, people, settings=SETTINGS, networks=NETWORKS, **changes):
    return evaluate_transfer(
        drivers, people, STAGES._replace(**changes), lambda images, motion: motion.faces, settings, networks
    )


@pytest.fixture(scope="module")
def result():
    return run([Actor("a", 0.2, count=76)], [Actor("b", 0.3), Actor("a", 0.2, count=76)])


def values(result, name, references=2):
    (line,) = [s for s in result.summary if (s.method.name, s.method.references) == (name, references)]
    return {key: interval.mean for key, interval in line.values.items()}


def test_nobody_drives_himself(result):
    assert [(pair.driver, pair.person) for pair in result.pairs] == [("a", "b")]
    with pytest.raises(ReenactError, match="None of the 0 pairs"):
        run([Actor("a", 0.2)], [Actor("a", 0.2)])


def test_perfect_transfer_scores_perfectly(result):
    found = values(result, "perfect")
    assert found["pose"] == pytest.approx(0, abs=0.05)
    assert found["expression"] == pytest.approx(0, abs=1e-4)
    assert found["identity_share"] == pytest.approx(1, abs=1e-3)
    assert found["lost"] == 0
    assert values(result, ONE_REFERENCE, 1)["pose"] == pytest.approx(0, abs=0.05)


def test_agreement_follows_the_drivers_course(result):
    """Head and jaw are followed perfectly, by one who stands still not at all, by a copy of real frames roughly."""
    found, still = values(result, "perfect"), values(result, "still")
    assert (found["yaw"], found["jaw"], found["jaw_slope"]) == pytest.approx((1, 1, 1), abs=1e-3)
    assert found["identity_pose"] == pytest.approx(1, abs=1e-3)
    assert abs(still["yaw"]) < 0.1
    assert still["jaw_slope"] == pytest.approx(0, abs=1e-3)
    assert values(result, "stranger")["identity_pose"] == pytest.approx(torch.cos(torch.tensor(0.6)).item(), abs=0.01)
    shown = markdown_table(result)
    assert "Jaw, correlation with the driver" in shown
    assert shown.count("| real frames |") == 2, "one table on likeness, one on agreement"


def test_somebody_else_costs_identity_alone(result):
    found, perfect = values(result, "stranger"), values(result, "perfect")
    assert found["identity_share"] == pytest.approx(torch.cos(torch.tensor(0.6)).item(), abs=0.01)
    assert found["pose"] == pytest.approx(perfect["pose"], abs=0.01)


def test_a_frozen_face_costs_pose_and_expression(result):
    found = values(result, "still")
    (pair,) = result.pairs
    driver = Actor("a", 0.2, count=76)
    assert found["pose"] == pytest.approx(float(driver.yaw[list(pair.frames)].abs().mean()), abs=0.1)
    jaw = (driver.jaw[list(pair.frames)] - 0.2).abs().mean() / 13
    assert found["expression"] == pytest.approx(float(jaw), abs=1e-3)


def test_lost_faces_are_counted_and_not_judged(result):
    assert values(result, "lost") == {"lost": 1.0}


def test_real_frames_are_the_measure_of_identity(result):
    assert values(result, REAL_FRAMES, 0)["identity_share"] == pytest.approx(1, abs=1e-4)
    assert values(result, NEAREST_COPY)["pose"] > values(result, REAL_FRAMES, 0)["pose"]


def test_matches_are_the_nearest_real_frames_of_the_second_half(result):
    (pair,) = result.pairs
    person, driver = Actor("b", 0.3), Actor("a", 0.2, count=76)
    for frame, matched in zip(pair.frames, pair.matches, strict=True):
        gap = ((person.yaw - driver.yaw[frame]) / 12).square() + ((person.jaw - driver.jaw[frame]) / 0.25).square()
        assert matched >= 40
        assert gap[matched] == pytest.approx(float(gap[40:].min()), abs=1e-4)


def test_frames_without_a_near_match_are_left_out_and_counted():
    far = run([Actor("far", 0.2, reach=40)], [Actor("b", 0.3)])
    (pair,) = far.pairs
    distant = sum(distance > SETTINGS.near for distance in pair.distances)
    assert 0 < pair.left_out == distant < len(pair.frames)
    assert values(far, "perfect")["pose"] == pytest.approx(0, abs=0.05)
    none = run([Actor("far", 0.2, reach=40, count=75)], [Actor("b", 0.3)], replace(SETTINGS, near=1e-6))
    assert "identity_sface" not in values(none, "perfect")
    assert any("no driving frame has a real frame" in note for note in none.notes)


def test_absent_networks_leave_their_columns_absent():
    keys = [column.key for column in run([Actor("a", 0.2)], [Actor("b", 0.3)], networks=MetricNetworks()).columns]
    assert keys == ["pose", "expression", "lost", "yaw", "jaw"]


def test_a_clip_that_fails_is_a_note():
    def refuse(chunks, frame_rate):
        frames = torch.cat(list(chunks))
        if len(frames) == 60:
            raise ReenactError("it shows nobody.")
        return encode_motion([frames], frame_rate)

    found = run([Actor("a", 0.2)], [Actor("empty", 0.3, count=60), Actor("b", 0.3)], encode_motion=refuse)
    assert [pair.person for pair in found.pairs] == ["b"]
    assert any("a drives empty was left out: it shows nobody" in note for note in found.notes)


def test_people_count_not_pairs():
    several = run([Actor("a", 0.2), Actor("c", 0.4)], [Actor("b", 0.3)])
    (line,) = [s for s in several.summary if s.method.name == "perfect"]
    assert len(several.pairs) == 2
    assert line.values["pose"].clips == 1


def test_a_half_without_a_face_is_refused():
    faces = faces_of(torch.zeros(10), torch.zeros(10))
    hidden = faces._replace(found=torch.arange(10) < 5)
    with pytest.raises(ReenactError, match="one half"):
        match(faces, range(10), hidden)


def test_report_and_json(result, tmp_path):
    shown = run([Actor("a", 0.2)], [Actor("<b>", 0.3)], replace(SETTINGS, pictures=True))
    page = to_html(shown)
    assert "a drives &lt;b&gt;" in page
    assert page.count("data:image/jpeg") == 1
    write_json(shown, tmp_path / "r.json")
    tree = json.loads((tmp_path / "r.json").read_text())
    assert tree["schema"] == "reenact-transfer/1"
    assert tree["pairs"][0]["person"] == "<b>"
    assert "pictures" not in tree
    assert markdown_table(result).splitlines()[2].startswith("| real frames | - |")


@pytest.mark.parametrize("degrees", [0.001, 1.0, 45.0, 179.0])
def test_angles(degrees):
    start = turned(10, 20, 30)[None].double()
    assert float(angle_degrees(start, turned(yaw=degrees).double() @ start)) == pytest.approx(
        degrees, rel=1e-3, abs=2e-4
    )


def test_expression_error_counts_the_named_blendshapes():
    closed, opened = faces_of(torch.zeros(1), torch.zeros(1)), faces_of(torch.zeros(1), torch.full((1,), 0.26))
    assert float(expression_error(closed, opened)) == pytest.approx(0.02)


def test_impossible_settings_are_refused():
    with pytest.raises(ReenactError, match="near"):
        TransferSettings(strategies=("x",), near=0)
