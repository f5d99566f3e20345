"""The Retarget node: the core's settings as widgets, the core's result as its output."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch

pytestmark = pytest.mark.host

CHANNELS = ("rotation", "translation", "scale", "expression", "mouth", "eyes", "gaze")


@pytest.fixture(scope="module")
def node(pack):
    kind = pack("nodes.retarget").Retarget
    kind.hidden = SimpleNamespace(unique_id=None, prompt=None, extra_pnginfo=None)  # what the host gives a running node
    return kind


@pytest.fixture(scope="module")
def person(pack):
    frames, _ = pack("nodes.sample").Sample.execute("same person").args
    pictures = list(pack("nodes.convert").to_core(frames))[:2]
    with torch.inference_mode():
        return pack("nodes.load_references").encode_references(pictures, pack("nodes.networks").face_tracker().ready())


@pytest.fixture(scope="module")
def driving(pack):
    file = pack("nodes.folders").SAMPLES / "driving.motion.safetensors"
    return pack("reenact_core.storage").load_motion(file).at(slice(0, 12))


def test_every_setting_is_a_widget_with_its_default(pack, node):
    core = pack("reenact_core.retargeting").Retargeting
    widgets = {widget.id: widget for widget in node.define_schema().inputs}
    assert set(widgets) == {"motion", "references", *(field.name for field in fields(core))}
    for field in fields(core):
        assert widgets[field.name].default == getattr(field.default, "value", field.default)
        assert widgets[field.name].tooltip


def test_defaults_are_what_warping_does_by_itself(pack, node, person, driving):
    retargeting = pack("reenact_core.retargeting")
    expected = retargeting.retarget(driving, person, retargeting.Transfer.RELATIVE)
    motion, plot, _ = node.execute(driving, person).args
    assert torch.equal(motion.faces.landmarks, expected.faces.landmarks)
    assert motion.transfer is retargeting.Transfer.RELATIVE
    assert plot.shape[0] == 1
    assert plot.shape[-1] == 3


def test_channels_that_are_off_stand_still_and_all_is_covered(pack, node, person, driving):
    motion, _, coverage = node.execute(driving, person, **dict.fromkeys(CHANNELS, "off")).args
    first = person.faces.landmarks[:1].expand_as(motion.faces.landmarks)
    torch.testing.assert_close(motion.faces.landmarks, first, atol=1e-2, rtol=0)
    assert coverage == pack("nodes.retarget").COVERED


def test_turns_that_no_reference_shows_are_named(node, pack, person, driving):
    turns = pack("reenact_core.head_channels").rotation_of_angles(torch.linspace(-1, 1, 12)[:, None] * torch.eye(3)[:1])
    far = driving._replace(faces=driving.faces._replace(rotation=turns))
    shown = node.execute(far, person, reach=90.0)
    assert "yaw beyond" in shown.args[2]
    assert shown.ui["text"] == [shown.args[2]]


def test_a_mode_that_does_not_exist_is_refused(pack, node, person, driving):
    with pytest.raises(pack("reenact_core.errors").ReenactError, match="`mouth` is 'sideways'"):
        node.execute(driving, person, mouth="sideways")
