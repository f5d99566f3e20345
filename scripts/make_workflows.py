"""Write the example graphs of `workflows/`, in the format of the front end.

    python scripts/make_workflows.py

Saved widget values are positional. Hosts without dynamic inputs show the parameters of all strategies, so the choice
of the strategy comes last, and the examples use strategies whose parameters may be left at their defaults.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parents[1] / "workflows"
BLUEPRINTS = Path(__file__).resolve().parents[1] / "subgraphs"
COLOURS = {"input": "#3f789e", "stages": "#8a6d3b", "output": "#4a7a4a"}
SCALE = 0.6  # of the view; hosts leave out the text of widgets that are much smaller
PITCH, WIDTH, FRAME = 358, 316, 350  # pixels: from column to column, of a node, of the frame around a column
TOP, HEIGHT = -45, 1180  # of most frames: a graph is flat, so that a host that shows all of it still shows its text
BARS = (80, 150)  # pixels of the window at the left and at the top that the host covers
GRAPH_ID = uuid.UUID("6f0f6f6e-7265-4565-8e61-637400000000")

# Outputs of the node types used here: (name, type).
OUTPUTS: dict[str, list[tuple[str, str]]] = {
    "ReenactSample": [("references", "IMAGE"), ("driving", "VIDEO")],
    "ReenactLoadModel": [("model", "REENACT_MODEL")],
    "ReenactLoadReferences": [("references", "REENACT_REFERENCES"), ("pictures", "IMAGE"), ("coverage", "IMAGE")],
    "ReenactEncodeMotion": [("motion", "REENACT_MOTION"), ("plot", "IMAGE"), ("frame_rate", "FLOAT")],
    "ReenactLoadMotion": [("motion", "REENACT_MOTION"), ("plot", "IMAGE"), ("frame_rate", "FLOAT")],
    "ReenactEditMotion": [("motion", "REENACT_MOTION"), ("plot", "IMAGE"), ("frame_rate", "FLOAT")],
    "ReenactExpression": [("motion", "REENACT_MOTION"), ("mesh", "IMAGE")],
    "ReenactSaveMotion": [],
    "ReenactWarpPerReference": [
        ("warped", "REENACT_WARPED"),
        ("warped pictures", "IMAGE"),
        ("confidence", "MASK"),
        ("flow", "IMAGE"),
    ],
    "ReenactFuseReferences": [("fused", "REENACT_FUSED"), ("attribution", "IMAGE"), ("confidence", "MASK")],
    "ReenactCompare": [("images", "IMAGE"), ("table", "STRING"), ("frame_rate", "FLOAT")],
    "ReenactFusionPreview": [
        ("attribution", "IMAGE"),
        ("weights", "IMAGE"),
        ("disagreement", "IMAGE"),
        ("seams", "IMAGE"),
        ("mask", "MASK"),
    ],
    "ReenactDecode": [("images", "IMAGE"), ("mask", "MASK"), ("frame_rate", "FLOAT")],
    "ReenactVideo": [("video", "VIDEO")],
    "GetVideoComponents": [("images", "IMAGE"), ("audio", "AUDIO"), ("fps", "FLOAT")],
    "CreateVideo": [("VIDEO", "VIDEO")],
    "SaveVideo": [],
    "PreviewImage": [],
    "PreviewAny": [],
    "ImageScaleBy": [("IMAGE", "IMAGE")],
    "ImageCompositeMasked": [("IMAGE", "IMAGE")],
    "MarkdownNote": [],
}
LIVE_PORTRAIT_FILES = (
    "appearance_feature_extractor",
    "motion_extractor",
    "warping_module",
    "spade_generator",
    "stitching_retargeting_module",
)
# Of the inner nodes, on the blueprint. As inputs: front ends give inner nodes other numbers when it is placed twice.
SETTINGS_OUTSIDE = (
    ("transfer", "COMBO", "warp"),
    ("size", "INT", "warp"),
    ("smoothing", "FLOAT", "fuse"),
    ("strategy", "COMBO", "fuse"),
)
Link = tuple[int, int]  # node, output slot


class Graph:
    """A graph under construction, whose nodes are numbered from `first` on.

    Each example has numbers of its own: where two share them, older hosts take results of the one for the other and
    do not show the pictures that belong to them.
    """

    def __init__(self, name: str, first: int = 1) -> None:
        self.name = name
        self.first = first
        self.nodes: list[dict[str, Any]] = []
        self.links: list[list[Any]] = []
        self.groups: list[dict[str, Any]] = []

    def add(
        self,
        kind: str,
        place: tuple[int, int],
        size: tuple[int, int],
        links: dict[str, Link] | None = None,
        widgets: tuple[Any, ...] = (),
        title: str | None = None,
    ) -> int:
        """Add a node; `links` maps its inputs to outputs of earlier nodes. Its number."""
        number = self.first + len(self.nodes)
        inputs = []
        for slot, (name, (origin, output)) in enumerate((links or {}).items()):
            kind_of_link = OUTPUTS[self.node(origin)["type"]][output][1]
            link = len(self.links) + 1
            self.links.append([link, origin, output, number, slot, kind_of_link])
            self.node(origin)["outputs"][output]["links"].append(link)
            entry: dict[str, Any] = {"name": name, "type": kind_of_link, "link": link}
            if name == "fps":
                entry["widget"] = {"name": name}
            inputs.append(entry)
        node: dict[str, Any] = {
            "id": number,
            "type": kind,
            "pos": list(place),
            "size": list(size),
            "flags": {},
            "order": len(self.nodes),
            "mode": 0,
            "inputs": inputs,
            "outputs": [{"name": name, "type": type_, "links": []} for name, type_ in OUTPUTS[kind]],
            "properties": {} if kind == "MarkdownNote" else {"Node name for S&R": kind},
            "widgets_values": list(widgets),
        }
        if title:
            node["title"] = title
        if kind == "MarkdownNote":
            node |= {"color": "#432", "bgcolor": "#653"}
        self.nodes.append(node)
        return number

    def node(self, number: int) -> dict[str, Any]:
        """A node that was added."""
        return self.nodes[number - self.first]

    def group(self, title: str, first: int, last: int, colour: str, height: int = HEIGHT) -> None:
        """Draw a titled frame around the columns `first` to `last`."""
        number, box = len(self.groups) + 1, [first * PITCH, TOP, (last - first) * PITCH + FRAME, height]
        entry = {"id": number, "title": title, "bounding": box, "color": COLOURS[colour], "font_size": 24}
        self.groups.append(entry | {"flags": {}})

    def as_dict(self) -> dict[str, Any]:
        """The graph as the front end saves it."""
        return {
            "id": str(uuid.uuid5(GRAPH_ID, self.name)),
            "revision": 0,
            "last_node_id": self.nodes[-1]["id"],
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": self.groups,
            "config": {},
            "extra": {"ds": {"scale": SCALE, "offset": self._offset()}},
            "version": 0.4,
        }

    def _offset(self) -> list[int]:
        """By how much the view is moved: the frames lie below the host's bars and beside its buttons."""
        left, top = (min(group["bounding"][axis] for group in self.groups) for axis in (0, 1))
        return [round(BARS[0] / SCALE - left), round(BARS[1] / SCALE - top)]

    # The nodes, with the widget values in the order of their schemas; each goes into a column, `top` pixels from above.

    def place(
        self,
        kind: str,
        column: int,
        top: int,
        height: int,
        links: dict[str, Link] | None = None,
        widgets: tuple[Any, ...] = (),
        title: str | None = None,
    ) -> int:
        return self.add(kind, (column * PITCH + 17, top), (WIDTH, height), links, widgets, title)

    def sample(self, column: int, top: int, driving: str = "same person", title: str | None = None) -> int:
        return self.place("ReenactSample", column, top, 110, None, (driving,), title)

    def model(self, column: int, top: int, value: str = "face_mesh") -> int:
        return self.place("ReenactLoadModel", column, top, 230, None, (value,))

    def references(self, column: int, links: dict[str, Link], pick: int = 4, top: int = 40) -> int:
        return self.place("ReenactLoadReferences", column, top, 700, links, (pick, "1", "", True))

    def motion(self, column: int, model: int, video: Link, top: int = 40) -> int:
        links = {"model": (model, 0), "video": video}
        return self.place("ReenactEncodeMotion", column, top, 460, links, (25.0, 0, True, -1))

    def warp(self, column: int, model: int, references: int, motion: int, transfer: str, top: int = 545) -> int:
        links = {"model": (model, 0), "references": (references, 0), "motion": (motion, 0)}
        return self.place("ReenactWarpPerReference", column, top, 575, links, (transfer, 0, False))

    def coverage(self, column: int, references: int) -> int:
        links = {"images": (references, 2)}
        return self.place("PreviewImage", column, 800, 300, links, title="Coverage of the references")

    def fuse(self, column: int, warped: int, strategy: str = "auto", title: str | None = None) -> int:
        """Nothing lies below it: its panel comes with the first run, and some hosts show every strategy's settings."""
        links = {"warped": (warped, 0)}
        return self.place("ReenactFuseReferences", column, 40, 880, links, (True, 0.6, strategy), title)

    def decode(self, column: int, fused: int) -> int:
        return self.place("ReenactDecode", column, 40, 450, {"fused": (fused, 0)}, (True, 0.08))

    def video(self, column: int, images: Link, rate: Link, name: str, top: int = 530) -> int:
        """Create Video and Save Video, one below the other."""
        made = self.place("CreateVideo", column, top, 100, {"images": images, "fps": rate}, (25.0,))
        return self.save(column, (made, 0), name, top + 145)

    def save(self, column: int, video: Link, name: str, top: int = 40) -> int:
        return self.place("SaveVideo", column, top, 400, {"video": video}, (f"reenact/{name}", "auto", "auto"))

    def note(self, height: int, text: str) -> int:
        """In Markdown without code spans: some front ends give them a colour that cannot be read on a note."""
        return self.place("MarkdownNote", 0, 40, height, None, (text,), "About this graph")

    def stages(self, model: int, references: int, motion: int, transfer: str, first: int) -> int:
        """Warp below the motion, then fuse and decode, one column each from `first` on."""
        warped = self.warp(first, model, references, motion, transfer)
        return self.decode(first + 2, self.fuse(first + 1, warped))


def five_stages() -> Graph:
    graph = Graph("five_stages")
    graph.note(
        320,
        "## The five stages\nFour pictures of one person follow a clip of the same person. Press **Run**; nothing is "
        "downloaded.\n\n- Change **strategy** on *Fuse References* and run again: only the last two stages run.\n- For "
        "another's clip set **driving** to *other person* and **transfer** to *relative*.\n- Replace *Reenact Sample* "
        "by *Load Image* and *Load Video* for your own files. Use pictures of people who agree to it.",
    )
    sample, model = graph.sample(0, 430), graph.model(0, 610)
    references = graph.references(1, {"images.image0": (sample, 0)})
    motion = graph.motion(2, model, (sample, 1))
    graph.coverage(1, references)
    decoded = graph.stages(model, references, motion, "absolute", 2)
    graph.video(4, (decoded, 0), (decoded, 2), "five_stages")
    graph.group("Input", 0, 0, "input")
    graph.group("1 References", 1, 1, "stages")
    graph.group("2 Motion, 3 warp", 2, 2, "stages")
    graph.group("4 Fuse", 3, 3, "stages")
    graph.group("5 Decode, and the result", 4, 4, "output")
    return graph


def compare_strategies() -> Graph:
    graph = Graph("compare_strategies", 21)
    graph.note(
        320,
        "## Strategies side by side\nBoth *Fuse References* nodes use the same warps, so the second costs little. "
        "First what suits the model best, then the one reference that is nearest in pose and expression. Choose others "
        "and run again, or connect a third node.\n\n*Compare Fusions* also shows wipes and amplified differences, and "
        "measures every result against the true frames. *Fusion Preview* shows whose pixel is where.",
    )
    sample, model = graph.sample(0, 430), graph.model(0, 610)
    references = graph.references(1, {"images.image0": (sample, 0)})
    graph.coverage(1, references)
    motion = graph.motion(2, model, (sample, 1))
    truth = graph.place("GetVideoComponents", 0, 910, 90, {"video": (sample, 1)})
    warped = graph.warp(2, model, references, motion, "absolute")
    first = graph.fuse(3, warped, "auto", "Fuse References: first")
    second = graph.fuse(4, warped, "nearest", "Fuse References: second")
    links: dict[str, Link] = {"fusions.fused0": (first, 0), "fusions.fused1": (second, 0), "truth": (truth, 0)}
    compared = graph.place("ReenactCompare", 5, 40, 710, links, ("grid", 4.0, 0.5, 5, ""))
    graph.place("PreviewAny", 5, 810, 280, {"source": (compared, 1)}, title="Measured against the truth")
    graph.video(6, (compared, 0), (compared, 2), "compare_strategies", 40)
    graph.place("ReenactFusionPreview", 6, 710, 390, {"fused": (first, 0)}, (1,))
    graph.group("Input, and the truth", 0, 0, "input")
    graph.group("1 to 3, computed once", 1, 2, "stages")
    graph.group("4, first", 3, 3, "stages")
    graph.group("4, second", 4, 4, "stages")
    graph.group("5 and comparison", 5, 6, "output")
    return graph


def references_from_video() -> Graph:
    graph = Graph("references_from_video", 41)
    graph.note(
        280,
        "## References from a video\n*Load References* looks through a video of the person and picks the frames that "
        "together show most poses and expressions (**pick**). The coverage picture shows which head turns and mouth "
        "openings they cover.\n\nSomebody else drives here, so the motion is *relative*: the change since a neutral "
        "frame is applied to the first reference.",
    )
    person = graph.sample(0, 390, title="The person: a video")
    other, model = graph.sample(0, 570, "other person", "Who drives"), graph.model(0, 750)
    references = graph.references(1, {"video": (person, 1)}, 6)
    motion = graph.motion(2, model, (other, 1))
    graph.coverage(1, references)
    decoded = graph.stages(model, references, motion, "relative", 2)
    graph.video(4, (decoded, 0), (decoded, 2), "references_from_video")
    graph.group("Input", 0, 0, "input")
    graph.group("Picked references", 1, 1, "stages")
    graph.group("Motion, warp, fuse", 2, 3, "stages")
    graph.group("Result", 4, 4, "output")
    return graph


def composite_and_upscale() -> Graph:
    graph = Graph("composite_and_upscale", 61)
    graph.note(
        280,
        "## Together with other nodes\nFrames are ordinary IMAGE batches, masks ordinary MASKs. Here the head is "
        "laid over the driving video with the mask of *Decode*, then enlarged.\n\nReplace *Upscale Image By* with "
        "*Upscale Image (using Model)*, or send the mask to an inpainting graph.",
    )
    sample, model = graph.sample(0, 390), graph.model(0, 570)
    frames = graph.place("GetVideoComponents", 0, 870, 90, {"video": (sample, 1)})
    references = graph.references(1, {"images.image0": (sample, 0)})
    graph.coverage(1, references)
    motion = graph.motion(2, model, (sample, 1))
    decoded = graph.stages(model, references, motion, "absolute", 2)
    links: dict[str, Link] = {"destination": (frames, 0), "source": (decoded, 0), "mask": (decoded, 1)}
    laid = graph.place("ImageCompositeMasked", 5, 40, 170, links, (0, 0, False))
    larger = graph.place("ImageScaleBy", 5, 280, 100, {"image": (laid, 0)}, ("lanczos", 2.0))
    graph.video(5, (larger, 0), (decoded, 2), "composite_and_upscale", 450)
    graph.group("Input", 0, 0, "input")
    graph.group("The five stages", 1, 4, "stages")
    graph.group("Composite, enlarge, save", 5, 5, "output")
    return graph


def save_and_reuse_motion() -> Graph:
    graph = Graph("save_and_reuse_motion", 81)
    graph.note(
        280,
        "## Save and reuse motion\nOn the left a clip is tracked once and its motion saved; the file holds no picture "
        "of the driving person. On the right motion that was saved before drives a person, without a clip. After a run "
        "press **R** to refresh the lists; your own file then appears in *Load Motion*.",
    )
    other, model = graph.sample(0, 390, "other person", "Who drives"), graph.model(0, 570)
    motion = graph.motion(1, model, (other, 1))
    graph.place("ReenactSaveMotion", 1, 550, 120, {"motion": (motion, 0)}, ("reenact/motion",))
    person = graph.sample(2, 40, title="The person")
    references = graph.references(2, {"images.image0": (person, 0)}, top=220)
    sample = "driving.motion.safetensors [sample]"
    saved = graph.place("ReenactLoadMotion", 3, 40, 300, None, (sample,))
    decoded = graph.stages(model, references, saved, "absolute", 3)
    graph.video(5, (decoded, 0), (decoded, 2), "reused_motion")
    graph.group("Track once and save", 0, 1, "input")
    graph.group("Use saved motion", 2, 4, "stages")
    graph.group("Result", 5, 5, "output")
    return graph


def edit_expression() -> Graph:
    graph = Graph("edit_expression", 101)
    graph.note(
        300,
        "## Edit motion and expression\nSaved motion drives the person. *Edit Motion* runs it backwards with three "
        "quarters of the head's turn; *Expression* adds a smile and a wink to the later frames. Everything at its "
        "default changes nothing.\n\nReplace *Load Motion* by *Make Motion* for a face that idles, or for a CSV file "
        "of Live Link Face.",
    )
    sample, model = graph.sample(0, 410), graph.model(0, 590)
    references = graph.references(1, {"images.image0": (sample, 0)})
    saved = graph.place("ReenactLoadMotion", 1, 810, 390, None, ("driving.motion.safetensors [sample]",))
    edits = ("append", 0.5, 0.0, 0, -1, True, 1.0, 0.0, 0.0, False, 0.0, 1, 0)
    gains = (0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    edited = graph.place("ReenactEditMotion", 2, 40, 860, {"motion": (saved, 0)}, (*edits, *gains))
    smile = ("none", 1.0, 0.4, *(0.0,) * 14, 0.8, *(0.0,) * 7, "", 10, -1, 0.2)
    expression = graph.place("ReenactExpression", 3, 40, 1140, {"motion": (edited, 0)}, smile)
    warped = graph.warp(4, model, references, expression, "absolute", 40)
    decoded = graph.decode(6, graph.fuse(5, warped))
    graph.video(6, (decoded, 0), (decoded, 2), "edit_expression")
    high = 1310  # some hosts show the picture of the expression larger
    graph.group("Input", 0, 0, "input", high)
    graph.group("References and motion", 1, 1, "stages", high)
    graph.group("Edit", 2, 3, "stages", high)
    graph.group("Warp, fuse", 4, 5, "stages", high)
    graph.group("Result", 6, 6, "output", high)
    return graph


def one_node_video() -> Graph:
    graph = Graph("one_node_video", 121)
    graph.note(
        200,
        "## One node, for long clips\n*Reenact Video* runs the five stages as a stream from video to video: memory "
        "does not grow with the length, and the sound is kept.",
    )
    sample, model = graph.sample(0, 310, "other person"), graph.model(0, 490)
    references = graph.references(1, {"images.image0": (sample, 0)})
    links: dict[str, Link] = {"model": (model, 0), "references": (references, 0), "video": (sample, 1)}
    widgets = ("relative", 0, 0, True, -1, 0.08, "mp4", 0.6, "auto")
    video = graph.place("ReenactVideo", 2, 40, 700, links, widgets)
    graph.save(3, (video, 0), "one_node_video")
    graph.coverage(1, references)
    graph.group("Input", 0, 0, "input")
    graph.group("References", 1, 1, "stages")
    graph.group("Video to video", 2, 3, "output")
    return graph


class PublicModel(NamedTuple):
    """A graph for a checkpoint that users have."""

    name: str
    title: str
    value: str  # of the loader's `model`
    note: str
    models: tuple[str, ...] = ()  # files the front end may offer to download, in `directory`
    directory: str = ""
    url: str = ""  # of the folder they lie in


PUBLIC_MODELS = (
    PublicModel(
        "first_order",
        "First Order Motion Model",
        "reenact/vox-adv-cpk.pth.tar",
        "Put **vox-adv-cpk.pth.tar** or **vox-cpk.pth.tar** of the authors "
        "([first-order-model](https://github.com/AliaksandrSiarohin/first-order-model)) into **models/reenact**.",
    ),
    PublicModel(
        "thin_plate",
        "Thin-Plate Spline Motion Model",
        "reenact/vox.pth.tar",
        "Put **vox.pth.tar** of the authors "
        "([Thin-Plate-Spline-Motion-Model](https://github.com/yoyo-nb/Thin-Plate-Spline-Motion-Model)) "
        "into **models/reenact**.",
    ),
    PublicModel(
        "live_portrait",
        "LivePortrait",
        "liveportrait/",
        "Put the five files, as **.safetensors** or **.pth**, into **models/liveportrait**; if another pack put them "
        "there, nothing is missing. They are published by the authors "
        "([LivePortrait](https://github.com/KwaiVGI/LivePortrait)) and, converted, "
        "[here](https://huggingface.co/Kijai/LivePortrait_safetensors).",
        tuple(f"{stem}.safetensors" for stem in LIVE_PORTRAIT_FILES),
        "liveportrait",
        "https://huggingface.co/Kijai/LivePortrait_safetensors/resolve/main/",
    ),
)


def public_model(model: PublicModel) -> Graph:
    graph = Graph(model.name, 141 + 20 * PUBLIC_MODELS.index(model))
    graph.note(
        380,
        f"## {model.title} with several references\n{model.note} Then press **R** and choose it in the loader. "
        "Nothing is downloaded when the graph runs.\n\nEvery picture is warped by the network; what they show is fused "
        "inside it, and each frame is painted once. The first picture gives the canvas and the resting face. A GPU is "
        "advisable: on a CPU a frame takes seconds.",
    )
    sample, loader = graph.sample(0, 490, "other person"), graph.model(0, 670, model.value)
    if model.models:
        graph.node(loader)["properties"]["models"] = [
            {"name": name, "url": model.url + name, "directory": model.directory} for name in model.models
        ]
    references = graph.references(1, {"images.image0": (sample, 0)})
    graph.coverage(1, references)
    motion = graph.motion(2, loader, (sample, 1))
    decoded = graph.stages(loader, references, motion, "relative", 2)
    graph.video(4, (decoded, 0), (decoded, 2), model.name)
    graph.group("Input", 0, 0, "input")
    graph.group("1 References", 1, 1, "stages")
    graph.group("2 Motion, 3 warp", 2, 2, "stages")
    graph.group("4 Fuse", 3, 3, "stages")
    graph.group("5 Decode, and the result", 4, 4, "output")
    return graph


def blueprint() -> dict[str, Any]:
    """The five stages as one subgraph: pictures and a video in, frames, attribution and frame rate out."""
    inner = Graph("Reenact five stages", 1001)  # where a graph has the same numbers, front ends lose its widgets
    model = inner.model(0, 40)
    references = inner.references(1, {"images.image0": (model, 0)})
    motion = inner.motion(2, model, (model, 0))
    warped = inner.warp(2, model, references, motion, "relative")
    fused = inner.fuse(3, warped)
    decoded = inner.decode(4, fused)
    outside: dict[int, int] = {}  # links that come from the subgraph's own inputs
    for node, slot in ((references, 0), (motion, 1)):
        entry = inner.node(node)["inputs"][slot]
        entry["type"] = ("IMAGE", "VIDEO")[slot]
        inner.links[entry["link"] - 1][5] = entry["type"]
        inner.node(model)["outputs"][0]["links"].remove(entry["link"])
        inner.links[entry["link"] - 1][1:3] = [-10, slot]
        outside[slot] = entry["link"]
    inputs = [("references", "IMAGE"), ("driving", "VIDEO")]
    # Links are by slot, so that a widget before those that are linked needs its place.
    before = {"name": "all_pictures", "type": "BOOLEAN", "link": None, "widget": {"name": "all_pictures"}}
    inner.node(fused)["inputs"].append(before)
    for name, kind, node in SETTINGS_OUTSIDE:
        number, slot, target = len(inner.links) + 1, len(inputs), {"warp": warped, "fuse": fused}[node]
        entries = inner.node(target)["inputs"]
        inner.links.append([number, -10, slot, target, len(entries), kind])
        entries.append({"name": name, "type": kind, "link": number, "widget": {"name": name}})
        inputs.append((name, kind))
        outside[slot] = number
    outputs = [("images", "IMAGE", decoded, 0), ("attribution", "IMAGE", fused, 1), ("frame_rate", "FLOAT", decoded, 2)]
    for slot, (_, kind, node, output) in enumerate(outputs):
        number = len(inner.links) + 1
        inner.links.append([number, node, output, -20, slot, kind])
        inner.node(node)["outputs"][output]["links"].append(number)
    last = len(inner.links) - len(outputs)
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    number = str(uuid.uuid5(GRAPH_ID, inner.name))
    definition = {
        "id": number,
        "version": 1,
        "state": {
            "lastGroupId": 0,
            "lastNodeId": inner.nodes[-1]["id"],
            "lastLinkId": len(inner.links),
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": inner.name,
        "inputNode": {"id": -10, "bounding": [-220, 40, 120, 80]},
        "outputNode": {"id": -20, "bounding": [1860, 40, 120, 100]},
        "inputs": [
            {
                "id": str(uuid.uuid5(GRAPH_ID, f"input {slot}")),
                "name": name,
                "type": kind,
                "linkIds": [outside[slot]],
                "pos": [-120, 20 * slot + 60],
            }
            for slot, (name, kind) in enumerate(inputs)
        ],
        "outputs": [
            {
                "id": str(uuid.uuid5(GRAPH_ID, f"output {slot}")),
                "name": name,
                "type": kind,
                "linkIds": [last + slot + 1],
                "pos": [1880, 20 * slot + 60],
            }
            for slot, (name, kind, _, _) in enumerate(outputs)
        ],
        "widgets": [],
        "nodes": inner.nodes,
        "groups": [],
        "links": [dict(zip(names, link)) for link in inner.links],
        "extra": {},
    }
    node = {
        "id": 1,
        "type": number,
        "pos": [0, 0],
        "size": [330, 240],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [
            {"name": name, "type": kind, "link": None} | ({"widget": {"name": name}} if slot >= 2 else {})
            for slot, (name, kind) in enumerate(inputs)
        ],
        "outputs": [{"name": name, "type": kind, "links": []} for name, kind, _, _ in outputs],
        "properties": {},
        "widgets_values": ["relative", 0, 0.6, "auto"],
        "title": inner.name,
    }
    return {
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [node],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [definition]},
        "extra": {
            "BlueprintDescription": "Pictures of one person follow a driving video: frames, whose pixel is where, and "
            "the frame rate. Open it to change any of the five stages.",
            "BlueprintSearchAliases": ["face reenactment", "portrait animation", "puppet", "driving video"],
        },
    }


def main() -> None:
    """Write all graphs."""
    BLUEPRINTS.mkdir(exist_ok=True)
    text = json.dumps(blueprint(), indent=1, ensure_ascii=False)
    (BLUEPRINTS / "Reenact five stages.json").write_text(text + "\n", encoding="utf-8")
    FOLDER.mkdir(exist_ok=True)
    makers = (
        five_stages, compare_strategies, references_from_video,
        composite_and_upscale, save_and_reuse_motion, edit_expression, one_node_video,
    )  # fmt: skip
    for graph in (*(make() for make in makers), *map(public_model, PUBLIC_MODELS)):
        text = json.dumps(graph.as_dict(), indent=1, ensure_ascii=False)
        (FOLDER / f"{graph.name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
