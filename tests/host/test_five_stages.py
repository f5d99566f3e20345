"""The whole graph in the real host, on the samples: pictures, progress, caching, errors, cancelling."""

from __future__ import annotations

import time

import graphs
import numpy as np
import pytest
from graphs import SIZE, five_stages, node, pictures, psnr, show

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def first_run(host):
    host.client.free()
    run = host.client.run(five_stages("confidence"))
    assert run.status == "success", run.error
    return run


def test_pack_loads_without_a_warning(host):
    assert [line for line in host.import_failures() if "broken" not in line] == []
    loading, _, _ = host.log().partition("got prompt")  # what runs later may fail on purpose
    lines = [line for line in loading.splitlines() if "reenact" in line.lower()]
    assert lines, "the log names the pack while it loads"
    assert not [line for line in lines if "warn" in line.lower() or "error" in line.lower()], lines


def test_same_person_is_rebuilt(host, first_run):
    results, truth = pictures(host, first_run, "8"), pictures(host, first_run, "9")
    assert len(results) == len(truth) == 8
    assert all(result.shape == (350, 350, 3) for result in results)
    values = [psnr(result, frame) for result, frame in zip(results, truth)]
    assert min(values) > 18, values
    assert max(psnr(results[0], other) for other in results[1:]) < 60, "the frames differ"


def test_every_stage_reports_progress_and_a_preview(first_run):
    for number, frames in (("4", 8), ("5", 8), ("6", 8), ("7", 8)):
        values = [value for where, value, total in first_run.progress if where == number and total == frames]
        assert values, number
        assert values[-1] == frames
    assert len(first_run.previews) >= 4


def test_nodes_show_their_own_pictures(host, first_run):
    assert len(pictures(host, first_run, "3")) == 4
    (plot,) = pictures(host, first_run, "4")
    assert plot.std() > 0.05
    (fusion,) = pictures(host, first_run, "6")
    assert fusion.shape == (350, 700, 3), "attribution and confidence, side by side"
    shares, confidence = fusion[:, :350], fusion[:, 350:]
    assert shares.std() > 0.03
    assert np.ptp(shares, axis=2).max() > 0.3
    assert np.ptp(confidence, axis=2).max() == 0
    assert confidence.std() > 0.03


def test_another_strategy_runs_only_the_tail(host, first_run):
    """Every strategy takes at most a third of the whole, measured in processor time: other work does not stretch it."""
    host.client.free()
    time.sleep(1)
    before = host.cpu_seconds()
    whole = host.client.run(five_stages("confidence"))
    assert {"3", "4", "5", "6", "7"} <= set(whole.executed)
    limit = (host.cpu_seconds() - before) / 3
    results = {"confidence": pictures(host, whole, "8")}
    for strategy in ("nearest", "max", "median", "multiband", "learned"):
        before = host.cpu_seconds()
        swapped = host.client.run(five_stages(strategy))
        took = host.cpu_seconds() - before
        assert swapped.status == "success", swapped.error
        assert set(swapped.executed) <= {"6", "7", "8"}
        assert {"6", "7"} <= set(swapped.executed)
        assert took <= limit, (strategy, took, limit)
        results[strategy] = pictures(host, swapped, "8")
    assert np.abs(results["confidence"][3] - results["nearest"][3]).max() > 0.02


def test_a_parameter_of_the_strategy_changes_the_result(host, first_run):
    changed = host.client.run(five_stages("confidence", temperature=4.0))
    assert changed.executed == ["6", "7", "8"]
    before, after = pictures(host, first_run, "8"), pictures(host, changed, "8")
    assert np.abs(before[3] - after[3]).max() > 0.02


@pytest.mark.parametrize(("name", "value"), [("smoothing", 0.0), ("hysteresis", 0.3), ("all_pictures", False)])
def test_what_is_chosen_beside_the_strategy_runs_only_the_tail(host, first_run, name, value):
    prompt = five_stages("confidence")
    prompt["6"]["inputs"][name] = value
    changed = host.client.run(prompt)
    assert changed.status == "success", changed.error
    assert changed.executed == ["6", "7", "8"]


def test_a_graph_that_was_drawn_in_another_order_runs_nothing_again(host, first_run):
    host.client.run(five_stages("confidence"))
    turned = {
        number: {**about, "inputs": dict(reversed(about["inputs"].items()))}
        for number, about in reversed(five_stages("confidence").items())
    }
    again = host.client.run(turned)
    assert again.status == "success", again.error
    assert again.executed == []
    assert {"3", "4", "5", "6", "7"} <= set(again.cached)


def test_a_second_graph_of_the_same_kind_shows_its_own_pictures(host, first_run):
    """Hosts that send nothing for a result they take from another graph have each node make its own."""
    other: graphs.Prompt = {}
    for number, about in five_stages("confidence").items():
        inputs = {k: [f"9{v[0]}", v[1]] if isinstance(v, list) else v for k, v in about["inputs"].items()}
        other[f"9{number}"] = {**about, "inputs": inputs}
    run = host.client.run(other)
    assert run.status == "success", run.error
    for number in ("93", "94", "95", "96"):
        assert run.outputs[number]["images"], number


def test_the_same_graph_gives_the_same_pixels(host, first_run):
    host.client.free()
    time.sleep(1)  # the host forgets between two prompts, not at once
    again = host.client.run(five_stages("confidence"))
    assert {"3", "4", "5", "6", "7"} <= set(again.executed)
    for one, two in zip(pictures(host, first_run, "8"), pictures(host, again, "8")):
        assert np.array_equal(one, two)


@pytest.mark.parametrize("number", ["4", "5", "6", "7", "20"])
def test_cancel_is_heard_within_a_second(host, number):
    """In every stage that takes long, and in the one-node video; a second is what two cores do in it."""
    pressed: list[float] = []

    def stop(kind: str, data: dict) -> None:
        if kind == "progress" and data["node"] == number and not pressed:
            pressed.append(host.cpu_seconds())
            host.client.interrupt()

    prompt = five_stages(frames=29)
    prompt["5"]["inputs"]["size"] = 0
    if number == "20":
        settings = {"transfer": "absolute", "size": 0, "face_index": 0, "smooth": True, "neutral_frame": -1}
        settings |= {"feather": 0.08, "format": "mp4", "smoothing": 0.6, "strategy": "auto"}
        prompt = {key: prompt[key] for key in ("1", "2", "3")}
        prompt["20"] = node("ReenactVideo", model=["2", 0], references=["3", 0], video=["1", 1], **settings)
        prompt["21"] = node("SaveVideo", video=["20", 0], filename_prefix="none", format="auto", codec="auto")
    run = host.client.run(prompt, on_message=stop)
    assert run.status == "interrupted"
    assert run.of_type("execution_interrupted")[0]["node_id"] == number
    assert host.cpu_seconds() - pressed[0] < 2 * 1.5, "a second, and some time for messages"


def test_two_prompts_queue_up(host):
    one, two = five_stages("mean", frames=2), five_stages("nearest", frames=2)
    first = host.client.submit(one)
    run = host.client.run(two)
    assert run.status == "success", run.error
    assert host.client.history(first)["status"]["status_str"] == "success"


def failing(host, prompt: graphs.Prompt) -> tuple[str, str]:
    """The node that failed, and its message."""
    run = host.client.run(prompt)
    assert run.status == "error", run.status
    return run.error["node_id"], run.error["exception_message"]


def blank(prompt: graphs.Prompt, number: str, batch: int = 2) -> None:
    prompt[number] = node("EmptyImage", width=128, height=128, batch_size=batch, color=0)


def test_references_without_a_face(host):
    prompt = five_stages()
    blank(prompt, "20")
    prompt["3"]["inputs"]["images.image0"] = ["20", 0]
    number, message = failing(host, prompt)
    assert number == "3"
    assert message.startswith("`image0`: No face was found in any of the 2 reference image(s)")


def test_driving_without_a_face(host):
    prompt = five_stages()
    blank(prompt, "11")
    number, message = failing(host, prompt)
    assert number == "4"
    assert message.startswith("`images`: No face was found in any of the 2 driving frames")


@pytest.mark.parametrize(("number", "name"), [("3", "images.image0"), ("4", "images")])
def test_empty_batches_are_refused(host, number, name):
    """Some nodes hand out a batch of no picture."""
    prompt = five_stages()
    prompt["20"] = node("HarnessEmpty")
    prompt[number]["inputs"][name] = ["20", 0]
    where, message = failing(host, prompt)
    assert where == number
    assert name.rpartition(".")[2] in message
    assert "holds no picture" in message


def test_masks_of_another_size_mark_the_same_place(host):
    """A mask smaller than the pictures leaves out the same share of each; one mask serves all of a batch."""
    prompt = five_stages(frames=1)
    prompt["20"] = node("SolidMask", value=1.0, width=64, height=64)
    prompt["21"] = node("SolidMask", value=0.0, width=64, height=56)
    prompt["22"] = node("MaskComposite", destination=["20", 0], source=["21", 0], x=0, y=0, operation="multiply")
    prompt["3"]["inputs"]["left_out"] = ["22", 0]
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    assert len(pictures(host, run, "8")) == 1


def test_a_list_of_driving_pictures_is_one_motion_each(host):
    """The host runs a node once per item of a list; every item then has to hold a face of its own."""
    prompt = five_stages(frames=2)
    prompt["20"] = node("RebatchImages", images=["11", 0], batch_size=1)
    prompt["4"]["inputs"]["images"] = ["20", 0]
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    assert len(pictures(host, run, "8")) == 2


def test_missing_sources_are_named(host):
    prompt = five_stages()
    del prompt["3"]["inputs"]["images.image0"]
    number, message = failing(host, prompt)
    assert number == "3"
    assert "image0" in message
    prompt = five_stages()
    del prompt["4"]["inputs"]["images"]
    number, message = failing(host, prompt)
    assert number == "4"
    assert "`video`" in message


def test_two_sources_of_motion_are_refused(host):
    prompt = five_stages()
    prompt["4"]["inputs"]["video"] = ["1", 1]
    number, message = failing(host, prompt)
    assert number == "4"
    assert "video and images" in message


def test_one_frame_and_one_reference(host):
    prompt = five_stages(frames=1)
    prompt["12"] = node("ImageFromBatch", image=["1", 0], batch_index=2, length=1)
    prompt["3"]["inputs"]["images.image0"] = ["12", 0]
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    assert len(pictures(host, run, "8")) == 1


def test_references_of_several_sizes_masks_chained_loaders_and_picked_frames(host):
    """A list of pictures of different sizes, an empty 64 x 64 mask, a second loader, frames from the video."""
    prompt = five_stages(frames=2)
    prompt["20"] = node("ImageFromBatch", image=["1", 0], batch_index=0, length=1)
    prompt["21"] = node("ImageScale", image=["1", 0], upscale_method="area", width=256, height=256, crop="disabled")
    prompt["22"] = node("SolidMask", value=0.0, width=64, height=64)
    prompt["3"]["inputs"] |= {"images.image0": ["20", 0], "images.image1": ["21", 0], "left_out": ["22", 0]}
    prompt["3"]["inputs"] |= {"strengths": "1,1,0.5,1,0", "labels": "a, b"}
    prompt["30"] = node(
        "ReenactLoadReferences",
        references=["3", 0],
        video=["1", 1],
        pick=2,
        strengths="2",
        labels="",
        show_landmarks=False,
    )
    prompt["31"] = show(["30", 1])
    prompt["32"] = show(["30", 2])
    prompt["5"]["inputs"]["references"] = ["30", 0]
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    assert len(pictures(host, run, "31")) == 4 + 2, "the fifth has strength 0"
    (chart,) = pictures(host, run, "32")
    assert chart.std() > 0.05
    assert len(pictures(host, run, "8")) == 2


def test_a_list_of_pictures_is_one_set_of_references(host):
    prompt = five_stages(frames=1)
    prompt["20"] = node("RebatchImages", images=["1", 0], batch_size=1)
    prompt["3"]["inputs"]["images.image0"] = ["20", 0]
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    assert len(pictures(host, run, "3")) == 4
    assert run.executed.count("5") == 1


def test_pictures_with_alpha_use_what_is_opaque(host):
    prompt = five_stages(frames=1)
    prompt["20"] = node("SolidMask", value=0.0, width=350, height=350)
    prompt["21"] = node("JoinImageWithAlpha", image=["1", 0], alpha=["20", 0])
    prompt["3"]["inputs"]["images.image0"] = ["21", 0]
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    assert len(pictures(host, run, "3")) >= 1


def test_wrong_strengths_are_explained(host):
    prompt = five_stages(frames=1)
    prompt["3"]["inputs"]["strengths"] = "1, many"
    assert "numbers separated by commas" in failing(host, prompt)[1]
    prompt["3"]["inputs"]["strengths"] = "1, 2"
    assert "2 numbers for 4 pictures" in failing(host, prompt)[1]


def test_warped_pictures_confidence_and_flow_come_on_request(host):
    """Every reference of every frame; the flow leads back to the reference's own pixels."""
    prompt = five_stages(frames=2)
    prompt["5"]["inputs"]["all_pictures"] = True
    prompt["20"] = show(["5", 1])
    prompt["21"] = node("MaskToImage", mask=["5", 2])
    prompt["22"] = show(["21", 0])
    prompt["23"] = show(["5", 3])
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    warped, sure, flow = (pictures(host, run, number) for number in ("20", "22", "23"))
    assert len(warped) == len(sure) == len(flow) == 2 * 4
    assert all(picture.shape == (SIZE, SIZE, 3) for picture in (*warped, *sure, *flow))
    assert min(mask.std() for mask in sure) > 0.01
    across, down = flow[0][SIZE // 2, :, 0], flow[0][:, SIZE // 2, 1]
    assert across[-20] > across[SIZE // 2] > across[20]
    assert down[-20] > down[SIZE // 2] > down[20]
