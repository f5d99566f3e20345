"""Graphs that are wired badly: one sentence each, which names the input, what was seen and what to do."""

from __future__ import annotations

import copy

import graphs
import pytest
from graphs import five_stages, node, show
from host_client import PromptRejectedError

pytestmark = pytest.mark.host

FRAMES = 3
MOTION = "driving.motion.safetensors [sample]"


def small() -> graphs.Prompt:
    """The five stages at their smallest; without node 9, which does not depend on them and would run."""
    prompt = five_stages(frames=FRAMES)
    prompt["5"]["inputs"]["size"] = 64
    del prompt["9"]
    return prompt


def failed(host, prompt: graphs.Prompt) -> tuple[str, str]:
    """The node that failed, and its message, whose kind is told by a short name."""
    run = host.client.run(prompt)
    assert run.status == "error", run.status
    kind, message = run.error["exception_type"], run.error["exception_message"].strip()
    assert kind.startswith("reenact.")
    assert "/" not in kind
    assert message.endswith(".")
    assert "\n" not in message
    return run.error["node_id"], message


def motion_source(prompt: graphs.Prompt, name: str, link: list) -> None:
    del prompt["4"]["inputs"]["images"]
    prompt["4"]["inputs"][name] = link


@pytest.mark.parametrize("kind", ["no frames", "another type"])
def test_landmarks_without_frames(host, kind):
    prompt = small()
    prompt["20"] = node("HarnessLandmarks", content=kind)
    motion_source(prompt, "landmarks", ["20", 0])
    number, message = failed(host, prompt)
    assert number == "4"
    assert message.startswith("`landmarks` holds no frames.")


def test_landmarks_without_a_face(host):
    prompt = small()
    prompt["20"] = node("HarnessLandmarks", content="no face")
    motion_source(prompt, "landmarks", ["20", 0])
    assert failed(host, prompt)[1].startswith("`landmarks`: No face was found in any of the 2 driving frames.")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"1": node("HarnessEmpty"), "2": node("ImageToMask", image=["m1", 0], channel="red")}, "holds no mask"),
        (
            {
                "1": node("EmptyImage", width=64, height=64, batch_size=3, color=0),
                "2": node("ImageToMask", image=["m1", 0], channel="red"),
            },
            "There are 3 masks for 4 pictures",
        ),
        ({"2": node("SolidMask", value=1.0, width=64, height=64)}, "covers all of picture 1"),
    ],
    ids=["empty", "other number", "all of it"],
)
def test_masks_that_do_not_fit(host, mask, message):
    prompt = small() | {f"m{number}": about for number, about in mask.items()}
    prompt["3"]["inputs"]["left_out"] = ["m2", 0]
    number, said = failed(host, prompt)
    assert number == "3"
    assert said.startswith("`left_out`: ")
    assert message in said


@pytest.mark.parametrize("name", ["frames", "video"])
def test_sequences_of_references_without_a_face(host, name):
    prompt = small()
    prompt["20"] = node("EmptyImage", width=128, height=128, batch_size=2, color=0)
    prompt["21"] = node("CreateVideo", images=["20", 0], fps=15.0)
    del prompt["3"]["inputs"]["images.image0"]
    prompt["3"]["inputs"][name] = ["20" if name == "frames" else "21", 0]
    number, message = failed(host, prompt)
    assert number == "3"
    assert message.startswith(f"`{name}`: ")
    assert "none of its 2 frames shows a face" in message


@pytest.mark.parametrize(
    ("number", "inputs", "message"),
    [
        ("4", {"neutral_frame": 99}, "`neutral_frame` is 99, but there are the frames 0 to 2."),
        ("4", {"face_index": 5}, "None of the 3 driving frames shows 6 faces"),
        ("3", {"strengths": "0"}, "`strengths` is '0'"),
        ("6", {"strategy": "regional", "strategy.eyes": 9}, "eyes is to come from reference 9, but there are only 4."),
    ],
)
def test_numbers_out_of_reach(host, number, inputs, message):
    prompt = small()
    prompt[number]["inputs"] |= inputs
    where, said = failed(host, prompt)
    assert where == number
    assert message in said


@pytest.mark.parametrize(
    ("number", "name", "value", "span"),
    [
        ("3", "pick", 0, "a whole number from 1 to 64"),
        ("4", "frame_rate", 1e9, "a number from 1.0 to 240.0"),
        ("4", "face_index", -1, "a whole number from 0 to 15"),
        ("5", "size", -5, "a whole number from 0 to 2048"),
        ("6", "smoothing", 2.0, "a number from 0.0 to 0.95"),
        ("7", "feather", 3.0, "a number from 0.0 to 0.5"),
        ("20", "feather", 3.0, "a number from 0.0 to 0.5"),
    ],
)
def test_linked_numbers_that_no_widget_would_hold(host, number, name, value, span):
    """The host checks what is typed, but not what comes through a link."""
    prompt = small()
    if number == "20":
        prompt = {key: prompt[key] for key in ("1", "2", "3")} | {"20": video_node()}
        prompt["21"] = node("SaveVideo", video=["20", 0], filename_prefix="none", format="auto", codec="auto")
    prompt["30"] = node("PrimitiveFloat" if isinstance(value, float) else "PrimitiveInt", value=value)
    prompt[number]["inputs"][name] = ["30", 0]
    where, message = failed(host, prompt)
    assert where == number
    assert message.startswith(f"`{name}` is {value!r}, but must be {span}. ")


def video_node(**chosen) -> dict:
    """The one-node video on the sample clip, at its smallest."""
    settings = {"video": ["1", 1], "transfer": "relative", "size": 64, "face_index": 0, "smooth": True}
    settings |= {"neutral_frame": -1, "feather": 0.08, "format": "mp4", "smoothing": 0.6, "strategy": "auto"}
    return node("ReenactVideo", model=["2", 0], references=["3", 0], **(settings | chosen))


def test_one_node_video_without_a_face(host):
    prompt = {number: small()[number] for number in ("1", "2", "3")}
    prompt["20"] = node("EmptyImage", width=128, height=128, batch_size=2, color=0)
    prompt["21"] = node("CreateVideo", images=["20", 0], fps=15.0)
    prompt["22"] = video_node(video=["21", 0])
    prompt["23"] = node("SaveVideo", video=["22", 0], filename_prefix="none", format="auto", codec="auto")
    number, message = failed(host, prompt)
    assert number == "22"
    assert message.startswith("`video`: No face was found in any of the 2 driving frames.")


def test_fusions_of_other_frames_are_not_compared(host):
    prompt = small()
    for first, other in (("11", "12"), ("4", "14"), ("5", "15"), ("6", "16")):
        prompt[other] = copy.deepcopy(prompt[first])
    prompt["12"]["inputs"]["length"] = FRAMES - 1
    prompt["14"]["inputs"]["images"] = ["12", 0]
    prompt["15"]["inputs"]["motion"] = ["14", 0]
    prompt["16"]["inputs"]["warped"] = ["15", 0]
    prompt["20"] = node("ReenactCompare", fusions__fused0=["6", 0], fusions__fused1=["16", 0])
    prompt["21"] = show(["20", 0])
    number, message = failed(host, prompt)
    assert number == "20"
    assert message.startswith("`fused0`, `fused1`: Only fusions of the same frames can be compared, got 2 frames of")


def test_a_reference_that_is_not_there_is_not_previewed(host):
    prompt = small()
    prompt["20"] = node("ReenactFusionPreview", fused=["6", 0], reference=9)
    assert failed(host, prompt) == ("20", "`reference` is 9, but there are 4 references. Choose one of them.")


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("ReenactLoadMotion", "motion.safetensors"), ("ReenactLoadSavedReferences", "references.safetensors")],
)
def test_damaged_files(host, kind, ending):
    name = f"damaged.{ending}"
    (host.input_folder / name).write_bytes(b"nothing")
    prompt = {"1": node(kind, file=name), "2": show(["1", 1])}
    if kind == "ReenactLoadSavedReferences":
        prompt["1"]["inputs"]["show_landmarks"] = True
    number, message = failed(host, prompt)
    assert number == "1"
    assert message.startswith("`file`: ")
    assert message.endswith("Choose a file that was saved by Reenact.")


@pytest.mark.parametrize("prefix", ["", "  ", "folder/", "..", "a\0b"])
def test_prefixes_without_a_name(host, prefix):
    prompt = {"1": node("ReenactLoadMotion", file=MOTION)}
    prompt["2"] = node("ReenactSaveMotion", motion=["1", 0], filename_prefix=prefix)
    number, message = failed(host, prompt)
    assert number == "2"
    assert message.startswith("`filename_prefix` is ")


def test_a_name_that_is_too_long_is_refused(host):
    prompt = {"1": node("ReenactLoadMotion", file=MOTION)}
    prompt["2"] = node("ReenactSaveMotion", motion=["1", 0], filename_prefix="x" * 300)
    number, message = failed(host, prompt)
    assert number == "2"
    assert "can't be written" in message


def test_choices_that_do_not_exist_are_named(host):
    """Hosts that know the choices refuse the prompt, others leave it to the nodes."""
    others = {
        "20": node("ReenactLoadMotion", file=MOTION),
        "21": node("ReenactEditMotion", motion=["20", 0], second=["20", 0], combine="both"),
        "22": show(["21", 1]),
        "30": video_node(format="avi"),
        "31": video_node(transfer="both"),
    }
    save = {"filename_prefix": "none", "format": "auto", "codec": "auto"}
    for number, name in (("5", "transfer"), ("21", "combine"), ("30", "format"), ("31", "transfer")):
        prompt = small() if number == "5" else {key: small()[key] for key in ("1", "2", "3")}
        if number == "5":
            prompt["5"]["inputs"]["transfer"] = "both"
        elif number == "21":
            prompt = {key: others[key] for key in ("20", "21", "22")}
        else:
            prompt[number] = others[number]
            prompt["23"] = node("SaveVideo", video=[number, 0], **save)
        where, message = refused(host, prompt)
        if where == "before the run":
            assert message == number
            continue
        assert where == number
        assert message.startswith(f"`{name}` is {prompt[number]['inputs'][name]!r}. Choose one of: ")


def refused(host, prompt: graphs.Prompt) -> tuple[str, str]:
    """As `failed`; where the host refuses the prompt beforehand, that and the node at fault."""
    try:
        return failed(host, prompt)
    except PromptRejectedError as error:
        return "before the run", next(iter(error.node_errors))


def test_a_picture_without_a_face_makes_no_motion(host):
    prompt = {"1": node("EmptyImage", width=128, height=128, batch_size=1, color=0)}
    prompt["2"] = node("ReenactMakeMotion", image=["1", 0], source="image", file="none", frame_rate=0.0)
    prompt["3"] = show(["2", 1])
    number, message = failed(host, prompt)
    assert number == "2"
    assert message.startswith("`image`: No face was found in the picture.")


def test_after_an_error_the_rest_is_kept(host):
    """A mistake at the end costs nothing but its own node."""
    prompt = small()
    prompt["6"]["inputs"] |= {"strategy": "regional", "strategy.eyes": 9}
    failed(host, prompt)
    prompt["6"]["inputs"]["strategy.eyes"] = 2
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    assert {"3", "4", "5"} <= set(run.cached)
