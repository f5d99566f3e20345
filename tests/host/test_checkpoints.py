"""Checkpoints of other models in the host's model folders: listed, loaded, run; missing ones named."""

from __future__ import annotations

import json
from pathlib import Path

import graphs
import pytest
from host_client import PromptRejectedError

from .stand_ins import STAND_INS, place_checkpoint

pytestmark = pytest.mark.host

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"


def model_of(name: str) -> str:
    """The value of the loader in the example graph of a public model."""
    graph = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    (loader,) = (node for node in graph["nodes"] if node["type"] == "ReenactLoadModel")
    return loader["widgets_values"][0]


@pytest.mark.parametrize("name", STAND_INS)
def test_example_graph_without_its_checkpoint_says_what_goes_where(host, name):
    model, place = model_of(name), host.models_folder / STAND_INS[name]
    moved = place.rename(place.with_name("elsewhere")) if place.exists() else None
    prompt = graphs.five_stages()
    del prompt["9"]  # does not depend on the model, so the host would run it
    prompt["2"]["inputs"]["model"] = model
    try:
        with pytest.raises(PromptRejectedError) as caught:
            host.client.run(prompt)
    finally:
        if moved:
            moved.rename(place)
    assert f"models/{model}" in str(caught.value)


@pytest.mark.parametrize("name", STAND_INS)
def test_checkpoint_in_the_models_folder_is_listed_and_runs(host, name):
    place_checkpoint(name, host.models_folder)
    model = model_of(name)
    assert repr(model) in str(host.client.object_info("ReenactLoadModel"))
    prompt = graphs.five_stages(frames=2)
    prompt["2"]["inputs"]["model"] = model
    run = host.client.run(prompt)
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
    run = host.client.run(prompt)
    assert run.status == "error"
    assert run.error["node_id"] == "2"
    assert "broken.safetensors" in run.error["exception_message"]
