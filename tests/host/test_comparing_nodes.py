"""Compare Fusions and Fusion Preview, hysteresis and fusion space, in the real host."""

from __future__ import annotations

import pytest
from graphs import SIZE, five_stages, node, pictures, show

pytestmark = pytest.mark.host

FRAMES = 3


def two_fusions() -> dict:
    """Nodes 6 and 16 fuse the same warps."""
    prompt = five_stages(frames=FRAMES)
    prompt["16"] = node(
        "ReenactFuseReferences",
        warped=["5", 0],
        all_pictures=False,
        smoothing=0.6,
        hysteresis=0.2,
        space="images",
        strategy="mean",
    )
    return prompt


def test_fusions_are_compared_and_measured(host):
    prompt = two_fusions()
    prompt["20"] = node(
        "ReenactCompare", fusions__fused0=["6", 0], fusions__fused1=["16", 0], truth=["11", 0], layout="grid", every=1
    )
    prompt["21"] = show(["20", 0])
    prompt["30"] = node("ReenactFusionPreview", fused=["16", 0], reference=2)
    prompt["31"] = node("MaskToImage", mask=["30", 4])
    for number, link in {"32": ["30", 0], "33": ["30", 1], "34": ["30", 2], "35": ["30", 3], "36": ["31", 0]}.items():
        prompt[number] = show(link)
    run = host.client.run(prompt)
    assert run.status == "success", run.error
    grid = pictures(host, run, "21")
    assert len(grid) == FRAMES
    assert grid[0].shape[1] == 2 * 350
    table = run.outputs["20"]["text"][0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert rows == ["learned", "mean"]
    assert float(table.splitlines()[2].split("|")[3]) > 15, "PSNR"
    shown = {number: pictures(host, run, number) for number in ("32", "33", "34", "35", "36")}
    assert all(len(found) == FRAMES for found in shown.values())
    assert shown["33"][0].shape == (SIZE, 4 * SIZE, 3)
    assert all(shown[number][0].shape == (350, 350, 3) for number in ("32", "34", "35", "36"))
    assert shown["34"][0].std() > 0.02, "references contradict each other somewhere"
    assert 0.1 < shown["36"][0].max() < 0.9, "the mean gives each a share"


@pytest.mark.parametrize(
    ("change", "message"),
    [({"layout": "wipe"}, "wipe shows two"), ({"truth": ["1", 0]}, "`truth` has 4 frames")],
)
def test_comparisons_that_make_no_sense_are_explained(host, change, message):
    prompt = two_fusions()
    links = {"fusions__fused0": ["6", 0], "fusions__fused1": ["16", 0]}
    if "layout" in change:
        links["fusions__fused2"] = ["6", 0]
    prompt["20"] = node("ReenactCompare", **links, **change)
    prompt["21"] = show(["20", 0])
    run = host.client.run(prompt)
    assert run.status == "error"
    assert message in run.error["exception_message"]


@pytest.mark.parametrize("space", ["features", "both"])
def test_a_space_that_the_model_lacks_is_explained(host, space):
    prompt = five_stages(frames=FRAMES)
    prompt["6"]["inputs"]["space"] = space
    run = host.client.run(prompt)
    assert run.status == "error"
    assert "face_mesh fuses images" in run.error["exception_message"]
