"""Files, one-node video, and the node list itself, in the real host."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import av
import numpy as np
import pytest
from graphs import five_stages, node, pictures
from host_client import PromptRejectedError

pytestmark = pytest.mark.host

SNAPSHOT = Path(__file__).with_name("node_inputs.json")
RATE = 48000


def described(info: dict) -> dict:
    """What saved workflows rely on: inputs with their types, and outputs, in order."""

    def inputs(given: dict) -> dict:
        found = {}
        for name, spec in given.items():
            kind, options = spec[0], spec[1] if len(spec) > 1 else {}
            found[name] = {"type": "COMBO" if isinstance(kind, list) else kind}
            if isinstance(kind, list) or kind == "COMBO":
                choices = kind if isinstance(kind, list) else options.get("options", [])
                found[name]["options"] = [c for c in choices if "safetensors" not in str(c)]
            elif kind == "COMFY_DYNAMICCOMBO_V3":
                found[name]["options"] = {
                    option["key"]: inputs(
                        {**option["inputs"].get("required", {}), **option["inputs"].get("optional", {})}
                    )
                    for option in options["options"]
                }
        return found

    every = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    return {
        "required": list(info["input"].get("required", {})),
        "inputs": inputs(every),
        "outputs": [list(pair) for pair in zip(info["output_name"], info["output"])],
        "category": info["category"],
        "display_name": info["display_name"],
    }


def test_node_ids_and_inputs_are_those_of_the_snapshot(host):
    """A change here breaks saved workflows. After additions delete the file and run twice."""
    info = host.client.object_info()
    ours = {name: described(about) for name, about in sorted(info.items()) if name.startswith("Reenact")}
    dynamic = any(spec["type"] == "COMFY_DYNAMICCOMBO_V3" for spec in ours["ReenactVideo"]["inputs"].values())
    key = "hosts with dynamic inputs" if dynamic else "hosts without dynamic inputs"
    stored = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    if key not in stored:
        SNAPSHOT.write_text(json.dumps({**stored, key: ours}, indent=1, sort_keys=False) + "\n")
        pytest.fail(f"{SNAPSHOT.name} had no entry for {key}; it was written, look at it and run again")
    assert lost(stored[key], ours) == []


def lost(stored: object, ours: object, place: str = "") -> list[str]:
    """What the snapshot has and we have not; additions are no loss, as long as they need not be given."""
    if isinstance(stored, dict) and isinstance(ours, dict):
        missing = [f"{place}.{key}" for key in stored if key not in ours]
        return missing + [
            item for key in stored if key in ours for item in lost(stored[key], ours[key], f"{place}.{key}")
        ]
    if isinstance(stored, list) and isinstance(ours, list):
        if place.endswith(".required"):
            return [] if set(ours) <= set(stored) else [f"{place}: {ours}"]
        if place.endswith(".outputs"):
            return [] if ours[: len(stored)] == stored else [f"{place}: {ours}"]
        return [f"{place}: {item}" for item in stored if item not in ours]
    return [] if stored == ours else [f"{place}: {ours!r} instead of {stored!r}"]


def test_losses_are_noticed():
    stored = {"A": {"required": ["x"], "inputs": {"x": {"type": "INT"}}, "outputs": [["a", "IMAGE"], ["b", "MASK"]]}}
    assert lost(stored, stored) == []
    more = {"A": {**stored["A"], "inputs": {"x": {"type": "INT"}, "y": {"type": "INT"}}}, "B": {}}
    assert lost(stored, more) == []
    assert lost(stored, {}) == [".A"]
    assert lost(stored, {"A": {**stored["A"], "required": ["x", "y"]}})
    assert lost(stored, {"A": {**stored["A"], "outputs": [["b", "MASK"], ["a", "IMAGE"]]}})
    assert lost(stored, {"A": {**stored["A"], "inputs": {"x": {"type": "FLOAT"}}}})


def test_every_input_explains_itself(host):
    for name, info in host.client.object_info().items():
        if not name.startswith("Reenact"):
            continue
        assert info["description"], name
        for group in info["input"].values():
            for identifier, spec in group.items():
                if isinstance(spec, list) and len(spec) > 1:
                    assert spec[1].get("tooltip"), f"{name}.{identifier}"


@pytest.mark.parametrize(("place", "title"), [("", "# Decode"), ("/fr", "# Décoder"), ("/de", "# Dekodieren")])
def test_help_is_served_by_locale(host, place, title):
    """Front ends ask for the page of their locale first, then for the English one."""
    page = host.client.request(f"/extensions/reenact/docs/ReenactDecode{place}.md").decode()
    assert page.startswith(title)


def test_motion_is_saved_and_used_again(host):
    prompt = five_stages(frames=3)
    prompt["20"] = node("ReenactSaveMotion", motion=["4", 0], filename_prefix="reenact/test")
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    (name,) = run.outputs["20"]["text"]
    assert name.startswith("reenact/test_0000")
    prompt["4"] = node("ReenactLoadMotion", file=name)
    again = host.client.run(
        prompt | {"20": node("ReenactSaveMotion", motion=["4", 0], filename_prefix="x")}, timeout=60
    )
    assert again.status == "success", again.error
    for one, two in zip(pictures(host, run, "8"), pictures(host, again, "8")):
        assert np.abs(one - two).max() <= 1 / 255
    assert name in str(host.client.object_info("ReenactLoadMotion")), "the list knows it after a refresh"


def test_references_are_saved_and_used_again(host):
    prompt = five_stages(frames=2)
    prompt["20"] = node("ReenactSaveReferences", references=["3", 0], filename_prefix="person")
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    prompt["3"] = node("ReenactLoadSavedReferences", file=run.outputs["20"]["text"][0], show_landmarks=False)
    del prompt["20"]
    again = host.client.run(prompt)
    assert again.status == "success", again.error
    for one, two in zip(pictures(host, run, "8"), pictures(host, again, "8")):
        assert np.abs(one - two).mean() < 1 / 255


@pytest.mark.parametrize("name", ["absent.motion.safetensors", "../../secret.motion.safetensors [output]"])
def test_files_that_cannot_be_loaded_are_refused_before_the_run(host, name):
    prompt = {"1": node("ReenactLoadMotion", file=name), "2": node("PreviewImage", images=["1", 1])}
    with pytest.raises(PromptRejectedError) as caught:
        host.client.run(prompt)
    assert "file" in str(caught.value)


def with_sound(source: Path, target: Path, seconds: float) -> None:
    """The pictures of a video with a tone that grows louder."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = given.streams.video[0]
        pictures = made.add_stream("h264", rate=stream.average_rate)
        pictures.width, pictures.height, pictures.pix_fmt = 240, 240, "yuv420p"
        sound = made.add_stream("aac", rate=RATE, layout="mono")
        for number, frame in enumerate(given.decode(stream)):
            picture = frame.reformat(240, 240, "yuv420p")
            picture.pts, picture.time_base = number, 1 / stream.average_rate
            made.mux(pictures.encode(picture))
        made.mux(pictures.encode(None))
        times = np.arange(int(seconds * RATE)) / RATE
        tone = (np.sin(times * 2 * math.pi * 440) * times / seconds * 0.8 * 32767).astype(np.int16)
        for start in range(0, len(tone), 1024):
            piece = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], "s16", "mono")
            piece.sample_rate, piece.pts = RATE, start
            made.mux(sound.encode(piece))
        made.mux(sound.encode(None))


def video_prompt(file: str, **settings) -> dict:
    return {
        "1": node("ReenactSample", driving="other person"),
        "2": node("ReenactLoadModel", model="face_mesh"),
        "3": five_stages()["3"],
        "4": node("LoadVideo", file=file),
        "5": node(
            "ReenactVideo",
            model=["2", 0],
            references=["3", 0],
            video=["4", 0],
            **{
                "transfer": "relative", "size": 128, "face_index": 0, "smooth": True, "neutral_frame": -1,
                "feather": 0.08, "format": "mp4", "smoothing": 0.6, "strategy": "auto", **settings,
            },
        ),
        "6": node("SaveVideo", video=["5", 0], filename_prefix="result", format="auto", codec="auto"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_one_node_video_keeps_length_rate_and_sound(host, tmp_path, kind):
    with_sound(host_sample(), tmp_path / "talk.mp4", 3.0)
    name = host.add_input(tmp_path / "talk.mp4")
    run = host.client.run(video_prompt(name, format=kind))
    assert run.status == "success", run.error
    (file,) = run.outputs["6"]["images"]
    with av.open(io.BytesIO(host.client.fetch(file))) as made:
        frames = [frame.to_ndarray(format="rgb24") for frame in made.decode(video=0)]
        assert len(frames) == 45
        assert frames[0].shape == (350, 350, 3)
        assert float(made.streams.video[0].average_rate) == pytest.approx(15, abs=0.01)
    with av.open(io.BytesIO(host.client.fetch(file))) as made:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in made.decode(audio=0)])
        assert abs(len(sound) / RATE - 3.0) < 0.1
        assert np.abs(sound[-RATE:]).mean() > 2 * np.abs(sound[:RATE]).mean()
    assert np.abs(frames[0].astype(int) - frames[20]).mean() > 1, "the head moves"
    assert [total for where, _, total in run.progress if where == "5"].count(45) > 5
    assert run.previews


def host_sample() -> Path:
    return Path(__file__).resolve().parents[2] / "samples" / "other_person.mp4"


def test_video_made_of_pictures_keeps_its_sound(host):
    """CreateVideo holds tensors; its sound goes through a temporary file."""
    prompt = video_prompt("unused")
    prompt["10"] = node("GetVideoComponents", video=["1", 1])
    prompt["11"] = node("ImageFromBatch", image=["10", 0], batch_index=0, length=6)
    prompt["12"] = node("EmptyAudio", duration=1.0, sample_rate=44100, channels=2)
    prompt["4"] = node("CreateVideo", images=["11", 0], fps=15.0, audio=["12", 0])
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    with av.open(io.BytesIO(host.client.fetch(run.outputs["6"]["images"][0]))) as made:
        assert made.streams.audio[0].rate == 44100
        assert sum(1 for _ in made.decode(video=0)) == 6
