import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reenact_core.errors import VideoError
from reenact_core.evaluation.protocol import evaluate
from reenact_core.evaluation.settings import Settings
from reenact_core.evaluation.subject import VideoClip, _consecutive, find_clips, pipeline_stages

DATA = Path(os.environ.get("REENACT_DATA", Path(__file__).parents[3] / "shared" / "data"))


def animation(path: Path, count: int = 20) -> Path:
    frames = [Image.fromarray(np.full((32, 48, 3), 10 * t, np.uint8)) for t in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, lossless=True)
    return path


def test_runs_of_consecutive_frames():
    assert _consecutive([3, 4, 5, 9]) == [(3, 6), (9, 10)]
    assert _consecutive([7]) == [(7, 8)]
    assert _consecutive([1, 3, 5]) == [(1, 2), (3, 4), (5, 6)]


def test_clip_gives_the_frames_asked_for(tmp_path):
    clip = VideoClip(animation(tmp_path / "a.webp"))
    shades = [round(float(frame.mean()) * 255) for frame in clip.frames([3, 9, 10, 19])]
    assert shades == [30, 90, 100, 190]
    assert sum(len(chunk) for chunk in clip.chunks()) == 20
    assert clip.frame_rate == Fraction(25)
    assert list(clip.frames([])) == []


def test_limit_shortens_a_clip(tmp_path):
    clip = VideoClip(animation(tmp_path / "a.webp"), limit=12)
    assert sum(len(chunk) for chunk in clip.chunks()) == 12


def test_folders_give_their_videos_in_order(tmp_path):
    for name in ("b.webp", "a.webp"):
        animation(tmp_path / name, 3)
    (tmp_path / "notes.txt").write_text("no video")
    assert [clip.name for clip in find_clips([tmp_path, tmp_path / "a.webp"])] == [
        "a.webp",
        "b.webp",
        "a.webp",
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="holds no video"):
        find_clips([tmp_path / "empty"])
    with pytest.raises(VideoError, match="does not exist"):
        find_clips([tmp_path / "absent.mp4"])


@pytest.mark.slow
def test_pipeline_on_a_real_clip_beats_copying():
    from reenact_core.fusion.confidence import Confidence
    from reenact_core.fusion.nearest import Nearest
    from reenact_core.motion_models.face_mesh import FaceMesh
    from reenact_core.tracking import FaceTracker

    path = DATA / "clips_generated" / "api_google_gemini_omni_flash_1_1_r2v-1.webp"
    if not path.is_file():
        pytest.skip("clips_generated absent from REENACT_DATA")
    strategies = {"confidence": Confidence(), "nearest": Nearest()}
    stages = pipeline_stages(FaceTracker.load(), FaceMesh(), strategies, size=128)
    settings = Settings((1, 2), tuple(strategies), most_frames=3, flicker_runs=1)
    with torch.inference_mode():
        result = evaluate([VideoClip(path, limit=60)], stages, settings)
    head, face = (
        {(line.method.name, line.method.references): line.values for line in result.select(region)}
        for region in ("head", "face")
    )
    for method in (("one reference", 1), ("confidence", 2), ("nearest", 2)):
        assert head[method]["lost"].mean == 0
        assert head[method]["akd"].mean < 0.3 * head["nearest copy", 2]["akd"].mean
        assert face[method]["psnr"].mean > face["nearest copy", 2]["psnr"].mean
