"""A VIDEO becomes the frames the host itself would show, streamed, with its sound in step."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

pytestmark = pytest.mark.host

RATE = 24000
FRAMES = 50


@pytest.fixture(scope="module")
def clips(pack):
    return pack("nodes.clips")


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """Two seconds, 25 frames per second, frame k has grey 4 k; the tone's loudness jumps at 1 s."""
    path = tmp_path_factory.mktemp("clips") / "ramp.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "bgr0"
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for k in range(FRAMES):
            picture = np.full((48, 64, 3), 4 * k, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        times = np.arange(2 * RATE) / RATE
        tone = np.sin(times * 2 * np.pi * 440) * np.where(times < 1, 0.2, 0.8) * 32767
        for start in range(0, len(tone), 1000):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1000].astype(np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(sound.encode(frame))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path


def greys(chunks) -> list[int]:
    """Which frames these are, by their grey."""
    return [round(float(frame.mean()) * 255 / 4) for chunk in chunks for frame in chunk]


def loudness_jump(audio) -> float:
    """Seconds at which the tone gets loud."""
    loud = (audio["waveform"][0, 0].abs() > 0.3).nonzero()
    return float(loud[0]) / audio["sample_rate"]


def test_file_is_streamed_in_chunks(clips, host_modules, file):
    with clips.open_clip(host_modules.InputImpl.VideoFromFile(str(file))) as clip:
        assert (clip.size, clip.frame_rate, clip.frame_count) == ((48, 64), Fraction(25), FRAMES)
        chunks = list(clip.chunks(16))
        assert [len(chunk) for chunk in chunks] == [16, 16, 16, 2]
        assert greys(chunks) == list(range(FRAMES))
        assert greys(clip.chunks(7)) == list(range(FRAMES))  # a second walk


def test_streaming_does_not_load_the_video(clips, host_modules, file, monkeypatch):
    def refuse(self):
        raise AssertionError("the whole video was loaded")

    monkeypatch.setattr(host_modules.InputImpl.VideoFromFile, "get_components", refuse)
    with clips.open_clip(host_modules.InputImpl.VideoFromFile(str(file))) as clip:
        assert sum(map(len, clip.chunks(16))) == FRAMES
        assert clip.audio() is not None


def test_frames_equal_the_hosts_own(clips, host_modules, file):
    video = host_modules.InputImpl.VideoFromFile(str(file))
    with clips.open_clip(video) as clip:
        ours = torch.cat(list(clip.chunks(64)))
    theirs = video.get_components().images
    assert (ours - theirs.movedim(-1, 1)).abs().max() < 1 / 255


def test_video_in_memory_leaves_nothing_behind(clips, host_modules, file):
    import folder_paths

    video = host_modules.InputImpl.VideoFromFile(io.BytesIO(file.read_bytes()))
    with clips.open_clip(video) as clip:
        assert greys(clip.chunks(20)) == list(range(FRAMES))
        assert loudness_jump(clip.audio()) == pytest.approx(1, abs=0.002)
    assert list(Path(folder_paths.get_temp_directory()).glob("reenact_*")) == []


def test_video_of_tensors_is_taken_as_it_is(clips, host_modules):
    images = torch.rand(5, 6, 8, 3)
    audio = {"waveform": torch.zeros(1, 2, 100), "sample_rate": 100}
    parts = host_modules.Types.VideoComponents(images=images, frame_rate=Fraction(30000, 1001), audio=audio)
    with clips.open_clip(host_modules.InputImpl.VideoFromComponents(parts)) as clip:
        assert torch.equal(torch.cat(list(clip.chunks(2))), images.movedim(-1, 1))
        assert clip.frame_rate == Fraction(30000, 1001)
        assert clip.audio()["sample_rate"] == 100


@pytest.mark.parametrize(("start", "duration"), [(0.0, 0.0), (0.5, 0.0), (0.41, 1.0), (0.0, 0.72), (-0.4, 0.0)])
def test_trimmed_view_equals_the_hosts_own(clips, host_modules, file, start, duration):
    try:
        video = host_modules.InputImpl.VideoFromFile(str(file), start_time=start, duration=duration)
    except TypeError:
        pytest.skip("this host cannot trim")
    with clips.open_clip(video) as clip:
        shown = greys(clip.chunks(16))
        assert clip.frame_count == len(shown)
        audio = clip.audio()
    theirs = video.get_components()
    assert shown == greys([theirs.images])
    begin = shown[0] / 25
    if begin < 1 < begin + len(shown) / 25:
        assert loudness_jump(audio) == pytest.approx(1 - begin, abs=0.002)
    if duration:
        assert audio["waveform"].shape[-1] == round(len(shown) / 25 * RATE)


def test_cropped_view_is_not_streamed_uncropped(clips, host_modules, file):
    class Cropped(host_modules.InputImpl.VideoFromFile):
        def get_dimensions(self):
            return 32, 24

        def get_components(self):
            parts = super().get_components()
            parts.images = parts.images[:, :24, :32]
            return parts

    with clips.open_clip(Cropped(str(file))) as clip:
        assert clip.size == (24, 32)
        assert next(clip.chunks(4)).shape == (4, 3, 24, 32)
        assert greys(clip.chunks(16)) == list(range(FRAMES))


def test_window_behind_the_end_is_refused(clips, host_modules, file, pack):
    try:
        video = host_modules.InputImpl.VideoFromFile(str(file), start_time=5.0, duration=1.0)
    except TypeError:
        pytest.skip("this host cannot trim")
    refusal = pytest.raises(pack("reenact_core.errors").VideoError, match="no frame lies between")
    with refusal, clips.open_clip(video):
        pass


def test_sound_of_part_of_a_file(clips, file):
    whole = clips.read_audio(file)
    assert whole["sample_rate"] == RATE
    assert whole["waveform"].shape == (1, 1, 2 * RATE)
    part = clips.read_audio(file, begin=0.75, length=0.5)
    assert torch.equal(part["waveform"], whole["waveform"][..., 18000:30000])


def test_sound_that_begins_later_is_preceded_by_silence(clips, file):
    early = clips.read_audio(file, begin=-0.5)
    assert early["waveform"][..., : RATE // 2].abs().max() == 0
    assert loudness_jump(early) == pytest.approx(1.5, abs=0.002)


def test_file_without_sound(clips, tmp_path):
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    assert clips.read_audio(path) is None


def test_images_with_a_frame_rate(clips):
    images = torch.rand(5, 6, 8, 4)
    clip = clips.clip_of_images(images, Fraction(12))
    assert (clip.size, clip.frame_count, clip.audio()) == ((6, 8), 5, None)
    assert torch.equal(torch.cat(list(clip.chunks(2))), images[..., :3].movedim(-1, 1))


@pytest.mark.parametrize(
    ("number", "rate"),
    [(25.0, Fraction(25)), (29.97, Fraction(30000, 1001)), (23.976, Fraction(24000, 1001)),
     (12.5, Fraction(25, 2)), (30.0, Fraction(30)), (59.94, Fraction(60000, 1001)), (24.0, Fraction(24))],
)  # fmt: skip
def test_decimal_frame_rates(clips, number, rate):
    assert clips.frame_rate_of(number) == rate


@pytest.mark.parametrize("number", [0.0, -1.0, 1e9, float("nan"), float("inf")])
def test_impossible_frame_rates(clips, pack, number):
    with pytest.raises(pack("reenact_core.errors").VideoError, match="frame rate"):
        clips.frame_rate_of(number)


@pytest.mark.parametrize("rate", [Fraction(0), Fraction(10**9)])
def test_videos_made_of_pictures_have_possible_frame_rates(clips, pack, host_modules, rate):
    parts = host_modules.Types.VideoComponents(images=torch.zeros(2, 8, 8, 3), frame_rate=rate)
    error = pack("reenact_core.errors").VideoError
    with pytest.raises(error, match="frame rate"), clips.open_clip(host_modules.InputImpl.VideoFromComponents(parts)):
        pass
