"""What is saved comes back; what is not ours is refused in plain words."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from reenact_core.errors import ReenactError
from reenact_core.scene_features import SceneFeatures
from reenact_core.storage import VERSION, load_motion, load_references, save_motion, save_references
from reenact_core.types import Scene

from .faces import moving, posed_faces, still, texture, turned


@pytest.fixture
def motion():
    faces = posed_faces([turned(yaw) for yaw in (-10, 0, 10)])
    found = torch.tensor([True, False, True])
    given = moving(faces._replace(found=found), (120, 200))._replace(frame_rate=Fraction(30000, 1001))
    return given._replace(code=torch.rand(3, 5), neutral_code=torch.rand(1, 5))


@pytest.fixture
def references():
    images = [texture(40, 60), texture(80, 30, 1)]
    masks = [torch.ones(1, 40, 60), torch.rand(1, 80, 30)]
    given = still(images, posed_faces([turned(0), turned(20)]), masks)
    return given._replace(strengths=torch.tensor([1.0, 0.25]), labels=("vorn", "links, müde"))


def test_motion_comes_back_exactly(tmp_path, motion):
    path = tmp_path / "new" / "a.safetensors"
    save_motion(motion, path)
    back = load_motion(path)
    assert (back.canvas, back.frame_rate) == (motion.canvas, motion.frame_rate)
    for name in motion.faces._fields:
        assert torch.equal(getattr(back.faces, name), getattr(motion.faces, name)), name
        assert torch.equal(getattr(back.neutral, name), getattr(motion.neutral, name)), name
    assert torch.equal(back.code, motion.code)
    assert torch.equal(back.neutral_code, motion.neutral_code)
    assert list(path.parent.iterdir()) == [path], "nothing else is left"


def test_a_single_frame_that_is_its_own_neutral_one(tmp_path, motion):
    """Both share memory then, which the file format does not take."""
    single = motion._replace(faces=motion.neutral, code=None, neutral_code=None)
    save_motion(single, tmp_path / "a.safetensors")
    assert torch.equal(load_motion(tmp_path / "a.safetensors").faces.landmarks, motion.neutral.landmarks)


def test_the_scene_comes_back(tmp_path, motion):
    scene = Scene(torch.rand(len(motion.faces.score), 2, 3), SceneFeatures(torch.rand(4, 2), torch.rand(4, 128)))
    for known in (scene, scene._replace(camera=None)):
        save_motion(motion._replace(scene=known), tmp_path / "s")
        back = load_motion(tmp_path / "s").scene
        assert torch.equal(back.features.points, scene.features.points)
        assert torch.equal(back.features.descriptors, scene.features.descriptors)
        assert back.camera is None if known.camera is None else torch.equal(back.camera, scene.camera)


def test_motion_without_a_code(tmp_path, motion):
    save_motion(motion._replace(code=None, neutral_code=None), tmp_path / "a")
    assert load_motion(tmp_path / "a").code is None


def test_references_come_back_with_eight_bits(tmp_path, references):
    save_references(references, tmp_path / "r")
    back = load_references(tmp_path / "r")
    assert back.labels == references.labels
    assert torch.equal(back.strengths, references.strengths)
    for name in ("images", "masks"):
        for one, two in zip(getattr(back, name), getattr(references, name)):
            assert one.shape == two.shape
            assert (one - two).abs().max() <= 0.5 / 255 + 1e-6
    save_references(back, tmp_path / "again")
    assert all(torch.equal(*pair) for pair in zip(load_references(tmp_path / "again").images, back.images))


def test_wrong_kinds_versions_and_files_are_named(tmp_path, motion, references):
    save_motion(motion, tmp_path / "m")
    with pytest.raises(ReenactError, match="holds reenact motion, but reenact references was expected"):
        load_references(tmp_path / "m")
    (tmp_path / "text").write_text("no tensors")
    for name in ("text", "absent"):
        with pytest.raises(ReenactError, match="can't be read"):
            load_motion(tmp_path / name)
    tensors = load_file(tmp_path / "m")
    facts = json.dumps({"canvas": [1, 1], "frame_rate": "25"})
    save_file(tensors, tmp_path / "n", {"kind": "reenact motion", "version": str(VERSION + 1), "facts": facts})
    with pytest.raises(ReenactError, match="Update Reenact"):
        load_motion(tmp_path / "n")
    del tensors["neutral.score"]
    save_file(tensors, tmp_path / "n", {"kind": "reenact motion", "version": str(VERSION), "facts": facts})
    with pytest.raises(ReenactError, match="incomplete"):
        load_motion(tmp_path / "n")


def test_places_that_cannot_be_written(tmp_path, motion):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReenactError, match="can't be written"):
        save_motion(motion, tmp_path / "file" / "a")


@pytest.mark.parametrize(
    "damage",
    [
        lambda tensors, about: tensors["faces.landmarks"].fill_(torch.nan),
        lambda tensors, about: tensors.update({"faces.rotation": torch.eye(3)[None]}),
        lambda tensors, about: tensors.pop("neutral.score"),
        lambda tensors, about: about.pop("facts"),
        lambda tensors, about: about.update(facts="{"),
        lambda tensors, about: about.update(version="one"),
    ],
    ids=["not a number", "another shape", "a field", "no facts", "facts cut short", "no version"],
)
def test_damage_is_told_in_one_sentence(tmp_path, motion, damage):
    path = tmp_path / "a.safetensors"
    save_motion(motion, path)
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        about = dict(file.metadata())
    damage(tensors, about)
    save_file(tensors, path, about)
    with pytest.raises(ReenactError, match=r"is incomplete or damaged .*Save it again\.$"):
        load_motion(path)


def test_a_name_that_is_too_long(tmp_path, motion):
    with pytest.raises(ReenactError, match="can't be written"):
        save_motion(motion, tmp_path / ("x" * 300))
