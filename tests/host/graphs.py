"""Graphs in API format over the samples of the pack, for tests."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

Prompt = dict[str, dict[str, Any]]
SIZE = 256


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """One node; a dot in an input's name is written as two underscores."""
    return {"class_type": kind, "inputs": {name.replace("__", "."): value for name, value in inputs.items()}}


def five_stages(strategy: str = "auto", frames: int = 8, **settings: Any) -> Prompt:
    """Samples -> five stages -> previews. Ids: 1 sample, 2 model, 3 references, 4 motion, 5 warp, 6 fuse, 7 decode."""
    chosen = {f"strategy.{name}": value for name, value in settings.items()}
    fuse = node("ReenactFuseReferences", warped=["5", 0], all_pictures=True, smoothing=0.6, strategy=strategy)
    fuse["inputs"] |= chosen
    return {
        "1": node("ReenactSample", driving="same person"),
        "10": node("GetVideoComponents", video=["1", 1]),
        "11": node("ImageFromBatch", image=["10", 0], batch_index=0, length=frames),
        "2": node("ReenactLoadModel", model="face_mesh"),
        "3": node(
            "ReenactLoadReferences",
            images__image0=["1", 0],
            pick=4,
            strengths="1",
            labels="",
            show_landmarks=True,
        ),
        "4": node(
            "ReenactEncodeMotion",
            model=["2", 0],
            images=["11", 0],
            frame_rate=15.0,
            face_index=0,
            smooth=True,
            neutral_frame=-1,
        ),
        "5": node(
            "ReenactWarpPerReference",
            model=["2", 0],
            references=["3", 0],
            motion=["4", 0],
            transfer="absolute",
            size=SIZE,
            all_pictures=False,
        ),
        "6": fuse,
        "7": node("ReenactDecode", fused=["6", 0], paste_back=True, feather=0.08),
        "8": show(["7", 0]),
        "9": show(["11", 0]),
    }


def show(link: list[Any]) -> dict[str, Any]:
    """A node that saves an IMAGE for the test to fetch."""
    return node("PreviewImage", images=link)


def pictures(host: Any, run: Any, number: str) -> list[np.ndarray]:
    """What a node of a finished run shows: [H,W,3] in 0..1 each."""
    found = []
    for file in run.outputs[number]["images"]:
        pixels = Image.open(io.BytesIO(host.client.fetch(file))).convert("RGB")
        found.append(np.asarray(pixels, np.float32) / 255)
    return found


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(-10 * np.log10(max(float(np.square(a - b).mean()), 1e-12)))
