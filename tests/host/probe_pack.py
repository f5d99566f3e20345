"""A throw-away pack that proves the harness itself: success, progress, errors, and nodes that give nothing of use."""

from __future__ import annotations

from pathlib import Path

SOURCE = """
import time

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import ComfyExtension, io, ui


class HarnessProbe(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HarnessProbe",
            display_name="Harness Probe",
            category="harness",
            inputs=[
                io.Int.Input("steps", default=3, min=1, max=1000),
                io.Float.Input("grey", default=0.5, min=0.0, max=1.0),
                io.Boolean.Input("fail", default=False),
            ],
            outputs=[io.Image.Output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, steps, grey, fail):
        bar = comfy.utils.ProgressBar(steps, node_id=cls.hidden.unique_id)
        for step in range(steps):
            comfy.model_management.throw_exception_if_processing_interrupted()
            time.sleep(0.05)
            bar.update_absolute(step + 1, steps)
        if fail:
            raise ValueError("the probe was told to fail")
        return io.NodeOutput(torch.full((1, 48, 64, 3), grey))


class HarnessShow(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HarnessShow",
            display_name="Harness Show",
            category="harness",
            inputs=[io.Image.Input("image")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, image):
        return io.NodeOutput(ui=ui.PreviewImage(image, cls=cls))


class HarnessEmpty(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HarnessEmpty", display_name="Harness Empty", category="harness", inputs=[],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls):
        return io.NodeOutput(torch.zeros(0, 64, 64, 3))


class HarnessLandmarks(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HarnessLandmarks", display_name="Harness Landmarks", category="harness",
            inputs=[io.Combo.Input("content", options=["no frames", "no face", "another type"])],
            outputs=[io.Custom("FACE_LANDMARKS").Output()],
        )

    @classmethod
    def execute(cls, content):
        frames = [[], []] if content == "no face" else []
        given = {"faces": frames} if content == "another type" else {"frames": frames, "image_size": (64, 64)}
        return io.NodeOutput(given)


class HarnessExtension(ComfyExtension):
    async def get_node_list(self):
        return [HarnessProbe, HarnessShow, HarnessEmpty, HarnessLandmarks]


async def comfy_entrypoint():
    return HarnessExtension()
"""


def write(folder: Path) -> Path:
    """Write the pack into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text(SOURCE)
    return folder


def write_broken(folder: Path) -> Path:
    """Write a pack that cannot be loaded into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text("async def comfy_entrypoint():\n    raise OSError('broken on purpose')\n")
    return folder


def prompt(steps: int = 3, grey: float = 0.5, fail: bool = False) -> dict:
    """Probe -> Show in API format."""
    return {
        "1": {"class_type": "HarnessProbe", "inputs": {"steps": steps, "grey": grey, "fail": fail}},
        "2": {"class_type": "HarnessShow", "inputs": {"image": ["1", 0]}},
    }


def workflow(steps: int = 3, grey: float = 0.5) -> dict:
    """Probe -> Show as the front end saves it."""
    probe = {
        "id": 1, "type": "HarnessProbe", "pos": [350, 250], "size": [270, 130], "flags": {}, "order": 0,
        "mode": 0, "inputs": [], "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}],
        "properties": {}, "widgets_values": [steps, grey, False],
    }  # fmt: skip
    show = {
        "id": 2, "type": "HarnessShow", "pos": [750, 250], "size": [270, 250], "flags": {}, "order": 1,
        "mode": 0, "inputs": [{"name": "image", "type": "IMAGE", "link": 1}], "outputs": [],
        "properties": {}, "widgets_values": [],
    }  # fmt: skip
    return {
        "last_node_id": 2, "last_link_id": 1, "nodes": [probe, show], "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "groups": [], "config": {}, "extra": {}, "version": 0.4,
    }  # fmt: skip
