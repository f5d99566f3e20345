"""Real photos and clips from the shared data folder, and the reference runtime."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reenact_core.tracking import FaceTracker


@pytest.fixture(scope="session")
def data():
    """The folder with clips, photos and published models (env REENACT_DATA)."""
    folder = Path(os.environ.get("REENACT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / "models" / "face_landmarker.task").exists():
        pytest.skip(f"no test data in {folder}; set REENACT_DATA")
    return folder


@pytest.fixture(scope="session")
def tracker():
    return FaceTracker.load()


@pytest.fixture(scope="session")
def photo(data):
    """A frontal portrait [3,640,477]."""
    image = Image.open(data / "photos" / "emotions_a" / "1.jpg").convert("RGB")
    image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255


@pytest.fixture(scope="session")
def clip(data):
    """A function that reads frames of a clip: (name, count, step) -> [n,3,H,W]."""
    av = pytest.importorskip("av")

    def read(name, count, step=1):
        frames = []
        with av.open(str(data / name)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index % step == 0:
                    frames.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
                if len(frames) == count:
                    break
        return torch.stack(frames).permute(0, 3, 1, 2).float() / 255

    return read


@pytest.fixture(scope="session")
def reference(data, tmp_path_factory):
    """A function that runs a published network: (file, input [1,...]) -> list of outputs."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs the reference runtime")
    import zipfile

    folder = tmp_path_factory.mktemp("published")
    zipfile.ZipFile(data / "models" / "face_landmarker.task").extractall(folder)

    def run(name, value):
        path = folder / name if (folder / name).exists() else data / "models" / name
        net = interpreter.Interpreter(model_path=str(path))
        net.allocate_tensors()
        net.set_tensor(net.get_input_details()[0]["index"], value)
        net.invoke()
        return [net.get_tensor(output["index"]) for output in net.get_output_details()]

    return run
