"""Generated inputs through a running host: what a prompt says arrives as dataclasses, with the same keys on
every host."""

from __future__ import annotations

import pytest
from host_client import PromptRejectedError

pytestmark = pytest.mark.host


@pytest.fixture
def client(host):
    return host.client


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
