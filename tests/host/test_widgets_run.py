"""Generated inputs through a running host: what a prompt says arrives as dataclasses, with the same keys on
every host."""

from __future__ import annotations

import pytest
from host_client import PromptRejectedError
from host_server import REPOSITORY, HostServer, host_tree

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(host_tree() is None, reason="no host in this environment; run scripts/setup_host.py"),
]

SOURCE = """
from dataclasses import dataclass, field

from comfy_api.latest import ComfyExtension, io

from .nodes.widgets import choice_inputs, chosen, growing_inputs, grown


@dataclass(frozen=True)
class Soft:
    temperature: float = field(default=0.25, metadata=dict(min=0.0, max=1.0, step=0.01, tooltip="Softness."))


@dataclass(frozen=True)
class Hard:
    pass


OPTIONS = {"hard": Hard, "soft": Soft}


class WidgetProbe(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        value = io.Int.Input("value", force_input=True)
        inputs = growing_inputs(value, "references", "reference", 1, 20)
        inputs += choice_inputs("strategy", OPTIONS, "soft", "How.")
        return io.Schema(node_id="WidgetProbe", inputs=inputs, outputs=[], is_output_node=True)

    @classmethod
    def execute(cls, **arguments):
        strategy = chosen("strategy", OPTIONS, arguments)
        text = [repr(strategy), repr(list(grown("references", "reference", arguments).values()))]
        return io.NodeOutput(ui={"text": text})


class Number(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="NumberProbe", inputs=[io.Int.Input("value")], outputs=[io.Int.Output()])

    @classmethod
    def execute(cls, value):
        return io.NodeOutput(value)


class Probes(ComfyExtension):
    async def get_node_list(self):
        return [WidgetProbe, Number]


async def comfy_entrypoint():
    return Probes()
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("widget_probe")
    (folder / "__init__.py").write_text(SOURCE)
    for name in ("nodes", "reenact_core"):
        (folder / name).symlink_to(REPOSITORY / name, target_is_directory=True)
    with HostServer(tmp_path_factory.mktemp("widget_host"), {"widget_probe": folder}) as server:
        assert server.import_failures() == []
        yield server.client


def run(client, **inputs) -> list[str]:
    prompt = {str(n): {"class_type": "NumberProbe", "inputs": {"value": n}} for n in (1, 2, 3)}
    prompt["9"] = {"class_type": "WidgetProbe", "inputs": inputs}
    done = client.run(prompt)
    assert done.status == "success", done.error
    return done.outputs["9"]["text"]


def test_settings_of_the_chosen_option_arrive(client):
    text = run(client, strategy="soft", **{"strategy.temperature": 0.5, "references.reference0": ["1", 0]})
    assert text == ["Soft(temperature=0.5)", "[1]"]


def test_option_without_settings(client):
    assert run(client, strategy="hard", **{"references.reference0": ["2", 0]}) == ["Hard()", "[2]"]


def test_missing_setting_keeps_its_default(client):
    assert run(client, strategy="soft", **{"references.reference0": ["2", 0]})[0] == "Soft(temperature=0.25)"


def test_several_references_arrive_in_order(client):
    links = {"references.reference2": ["3", 0], "references.reference0": ["1", 0]}
    assert run(client, strategy="hard", **links)[1] == "[1, 3]"


def test_first_reference_is_required(client):
    with pytest.raises(PromptRejectedError):
        run(client, strategy="hard")


def test_setting_outside_its_range_is_rejected(client):
    with pytest.raises(PromptRejectedError) as caught:
        run(client, strategy="soft", **{"strategy.temperature": 3.0, "references.reference0": ["1", 0]})
    assert "9" in caught.value.node_errors
