"""Motion made, edited and given an expression, in the real host."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import Prompt, node, pictures, show

pytestmark = pytest.mark.host

SAMPLE = "driving.motion.safetensors [sample]"


def run(host, prompt: Prompt):
    done = host.client.run(prompt)
    assert done.status == "success", done.error
    return done


def test_motion_is_made_edited_and_rendered(host):
    """Idle motion of the first reference, cut to a few frames, with a smile: the mouth changes, the wall does not."""
    prompt = {
        "1": node("ReenactSample", driving="same person"),
        "2": node("ReenactLoadModel", model="face_mesh"),
        "3": node("ReenactLoadReferences", images__image0=["1", 0], pick=4, strengths="1", labels="",
                  show_landmarks=True),
        "4": node("ReenactMakeMotion", references=["3", 0], file="none", frame_rate=0.0, source="idle"),
        "5": node("ReenactEditMotion", motion=["4", 0], combine="append", share=0.5, neutralise=0.0, stop=3, yaw=0.0),
        "6": node("ReenactExpression", motion=["5", 0], smile=0.8, start=2, fade=0.0),
        "7": node("ReenactWarpPerReference", model=["2", 0], references=["3", 0], motion=["6", 0],
                  transfer="absolute", size=128, all_pictures=False),
        "8": node("ReenactFuseReferences", warped=["7", 0], all_pictures=True, smoothing=0.6, strategy="auto"),
        "9": node("ReenactDecode", fused=["8", 0], paste_back=True, feather=0.08),
        "10": show(["9", 0]),
    }  # fmt: skip
    done = run(host, prompt)
    frames = pictures(host, done, "10")
    assert len(frames) == 3
    change = np.abs(frames[2] - frames[1]).mean(2)
    assert change[170:230, 130:220].mean() > 4 * change[:60, :60].mean() + 0.005
    assert len(pictures(host, done, "6")) == 1, "the mesh is the node's own preview"


def test_defaults_hand_the_motion_on(host):
    prompt = {
        "1": node("ReenactLoadMotion", file=SAMPLE),
        "2": node("ReenactEditMotion", motion=["1", 0]),
        "3": node("ReenactExpression", motion=["2", 0]),
        "4": show(["1", 1]),
        "5": show(["2", 1]),
        "6": show(["3", 1]),
    }
    done = run(host, prompt)
    assert np.array_equal(pictures(host, done, "4")[0], pictures(host, done, "5")[0])


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"source": "image"}, "no picture is connected"),
        ({"source": "csv"}, "`file` is none"),
        ({"source": "sweep", "source.seconds": 500.0, "frame_rate": 240.0}, "must be between 1 and"),
    ],
)
def test_what_is_missing_is_named(host, inputs, says):
    prompt = {"1": {"class_type": "ReenactMakeMotion", "inputs": inputs}, "2": show(["1", 1])}
    done = host.client.run(prompt)
    assert done.status == "error"
    assert says in done.error["exception_message"]


@pytest.mark.parametrize(
    ("editing", "saving", "says"),
    [
        ({}, "../../elsewhere", "`filename_prefix` is '../../elsewhere', which lies outside"),
        ({"neutralise": 0.5}, "motion", "`neutralise` looks at the person to be moved"),
        ({"start": 99}, "motion", "the motion has frames 0 to 29"),
    ],
)
def test_what_cannot_be_done_is_explained(host, editing, saving, says):
    prompt = {
        "1": node("ReenactLoadMotion", file=SAMPLE),
        "2": node("ReenactEditMotion", motion=["1", 0], **editing),
        "3": node("ReenactSaveMotion", motion=["2", 0], filename_prefix=saving),
    }
    done = host.client.run(prompt)
    assert done.status == "error"
    assert says in done.error["exception_message"]


def test_two_motions_are_joined(host):
    prompt = {
        "1": node("ReenactLoadMotion", file=SAMPLE),
        "2": node("ReenactEditMotion", motion=["1", 0], second=["1", 0], crossfade=4, speed=2.0),
        "3": node("ReenactSaveMotion", motion=["2", 0], filename_prefix="reenact/joined"),
        "4": node("ReenactMakeMotion", source="sweep", source__movement="all", source__seconds=2.0),
        "5": show(["4", 1]),
    }
    done = run(host, prompt)
    assert done.outputs["3"]["text"]
    assert pictures(host, done, "5")[0].std() > 0.03


def test_retargeting_is_chosen_by_channel(host):
    """All channels off: every frame shows the first reference; the mouth alone: only the mouth moves."""
    prompt: Prompt = {
        "1": node("ReenactSample", driving="same person"),
        "2": node("ReenactLoadModel", model="face_mesh"),
        "3": node("ReenactLoadReferences", images__image0=["1", 0], pick=2, strengths="1", labels="",
                  show_landmarks=True),
        "4": node("ReenactLoadMotion", file=SAMPLE),
        "5": node("ReenactEditMotion", motion=["4", 0], stop=12, speed=4.0),
        "12": node("PreviewAny", source=["6", 2]),
    }  # fmt: skip
    channels = ("rotation", "translation", "scale", "expression", "eyes", "gaze", "mouth")
    for first, moving in (("6", ()), ("20", ("mouth",))):
        chosen = {name: "absolute" if name in moving else "off" for name in channels}
        warp, fuse, decoded, shown = (str(int(first) + step) for step in range(1, 5))
        prompt |= {
            first: node("ReenactRetarget", motion=["5", 0], references=["3", 0], **chosen),
            warp: node("ReenactWarpPerReference", model=["2", 0], references=["3", 0], motion=[first, 0],
                       transfer="absolute", size=128, all_pictures=False),
            fuse: node("ReenactFuseReferences", warped=[warp, 0], all_pictures=False, smoothing=0.0, strategy="auto"),
            decoded: node("ReenactDecode", fused=[fuse, 0], paste_back=True, feather=0.08),
            shown: show([decoded, 0]),
        }  # fmt: skip
    done = run(host, prompt)
    assert done.outputs["6"]["text"] == ["The references cover everything that the motion shows."]
    assert done.outputs["12"]["text"][0] == done.outputs["6"]["text"][0], "the report is an output too"
    still, talking = pictures(host, done, "10"), pictures(host, done, "24")
    assert len(still) == len(talking) == 3
    assert max(np.abs(frame - still[0]).max() for frame in still) <= 1 / 255
    change = np.abs(np.stack(talking) - np.stack(talking)[:1]).max(0).mean(2)
    assert change[170:230, 130:220].mean() > 4 * change[:120].mean() + 0.002
