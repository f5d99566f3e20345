"""A throw-away pack with inputs generated from dataclasses, by this pack's own code."""

from __future__ import annotations

from pathlib import Path

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


def write(folder: Path, repository: Path) -> Path:
    """Write the pack into `folder`, with links to this pack's code, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text(SOURCE)
    for name in ("nodes", "reenact_core"):
        (folder / name).symlink_to(repository / name, target_is_directory=True)
    return folder
