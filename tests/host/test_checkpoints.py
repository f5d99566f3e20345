"""Checkpoints of other models in the host's model folders: listed, loaded, run; missing ones named."""

from __future__ import annotations

import graphs
import pytest
import torch
from host_client import PromptRejectedError

from ..motion_models.small_models import SMALL_MODELS

pytestmark = pytest.mark.host


def test_checkpoint_in_the_models_folder_is_listed_and_runs(host):
    folder = host.models_folder / "reenact"
    folder.mkdir(exist_ok=True)
    small = next(model for model in SMALL_MODELS if model.name == "first_order")
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in small.make().state_dict().items():
        part, _, rest = key.partition(".")
        parts.setdefault(part, {})[rest] = tensor.clone()
    torch.save(parts, folder / "vox-small.pth.tar")
    assert "reenact/vox-small.pth.tar" in str(host.client.object_info("ReenactLoadModel"))
    prompt = graphs.five_stages(frames=2)
    prompt["2"]["inputs"]["model"] = "reenact/vox-small.pth.tar"
    run = host.client.run(prompt, timeout=240)
    assert run.status == "success", run.error
    assert len(graphs.pictures(host, run, "8")) == 2


def test_missing_checkpoint_is_named(host):
    prompt = graphs.five_stages()
    del prompt["9"]  # does not depend on the model, so the host would run it
    prompt["2"]["inputs"]["model"] = "reenact/gone.safetensors"
    with pytest.raises(PromptRejectedError, match="gone"):
        host.client.run(prompt)


def test_damaged_checkpoint_is_explained(host):
    folder = host.models_folder / "reenact"
    folder.mkdir(exist_ok=True)
    (folder / "broken.safetensors").write_bytes(b"nothing")
    prompt = graphs.five_stages()
    prompt["2"]["inputs"]["model"] = "reenact/broken.safetensors"
    run = host.client.run(prompt, timeout=60)
    assert run.status == "error"
    assert run.error["node_id"] == "2"
    assert "broken.safetensors" in run.error["exception_message"]
