"""Stage 1: pictures of one person, from images, from a longer sequence, or from a video."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from typing import Any

from comfy_api.latest import Input, io
from torch import Tensor

from ..reenact_core.errors import ImageError, ReenactError
from ..reenact_core.references import encode_references, join_references, pick_from_stream
from . import convert, sockets
from .clips import Clip, clip_of_images, open_clip
from .features import schema
from .folders import CATEGORY
from .naming import from_input
from .networks import face_tracker
from .notes import heard
from .progress import Progress
from .ranges import within_ranges
from .shown import landmarks_input, references_outputs, shown_references
from .widgets import growing_inputs, grown

CHUNK = 8  # frames


class LoadReferences(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        image = io.Image.Input(
            "image", optional=True, tooltip="Pictures of the person, of any size; every picture of a batch counts."
        )
        return schema(
            node_id="ReenactLoadReferences",
            display_name="Load References",
            category=CATEGORY,
            description="Gathers pictures of one person and finds the face in each. Chain several of these nodes to "
            "give pictures masks, weights or names of their own.",
            search_aliases=["reference images", "source image", "identity", "portrait", "pick frames"],
            shows_output=True,
            is_input_list=True,
            inputs=[
                sockets.References.Input(
                    "references",
                    optional=True,
                    tooltip="References to extend: those of another Load References node. They stay first.",
                ),
                *growing_inputs(image, "images", "image", 0, 50),
                io.Image.Input(
                    "frames",
                    optional=True,
                    tooltip="A longer sequence of one size, from which the most useful frames are picked.",
                ),
                io.Video.Input(
                    "video",
                    optional=True,
                    tooltip="A video of the person, from which the most useful frames are picked.",
                ),
                io.Mask.Input(
                    "left_out",
                    optional=True,
                    tooltip="What must not be used, such as hands or other people: one mask for all pictures of this "
                    "node or one for each. An empty mask leaves nothing out.",
                ),
                io.Int.Input(
                    "pick",
                    default=4,
                    min=1,
                    max=64,
                    tooltip="How many frames to pick from `frames` and from `video`: those that together show most "
                    "poses and expressions.",
                ),
                io.String.Input(
                    "strengths",
                    default="1",
                    tooltip="How much each picture counts: one number for all, or one for each, as in 1, 0.5, 2. "
                    "0 leaves a picture out.",
                ),
                io.String.Input(
                    "labels", default="", tooltip="Names for previews and messages, separated by commas; may be empty."
                ),
                landmarks_input(),
            ],
            outputs=references_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_ranges
    def execute(cls, **arguments: Any) -> io.NodeOutput:
        single = {key: values[0] for key, values in arguments.items() if isinstance(values, list) and values}
        tracker = face_tracker().ready()
        pictures_by_socket = grown("images", "image", arguments)
        images, masks = _still_pictures(pictures_by_socket)
        sources = list(pictures_by_socket)
        with ExitStack() as stack:
            for name, clip in _clips(arguments, stack):
                with from_input(name):
                    frames = _picked(clip, single["pick"], cls.hidden.unique_id)
                images += frames
                masks += [None] * len(frames)
                sources.append(name)
        before = [value for value in arguments.get("references") or [] if value is not None]
        if not images and not before:
            raise ImageError("No references: connect pictures to `image0`, a sequence to `frames`, or a `video`.")
        parts, notes = list(before), []
        if images:
            with from_input("left_out"):
                masks = _with_left_out(masks, arguments.get("left_out"), images)
            labels = _labels(single.get("labels") or "", sum(len(part.images) for part in before), len(images))
            strengths = _strengths(single.get("strengths") or "1", len(images))
            with heard() as notes, from_input(*dict.fromkeys(sources)):
                parts.append(encode_references(images, tracker, masks, strengths, labels))
        result = parts[0]
        for more in parts[1:]:
            result = join_references(result, more)
        return shown_references(result, single.get("show_landmarks", True), cls, notes)


def _still_pictures(sockets: dict[str, Any]) -> tuple[list[Tensor], list[Tensor | None]]:
    """Core images of the batches at each socket and, where they have alpha, masks of what may be used."""
    images: list[Tensor] = []
    masks: list[Tensor | None] = []
    for name, batches in sockets.items():
        for batch in batches if isinstance(batches, list) else [batches]:
            if batch is None:
                continue
            alpha = convert.alpha_of(batch, name)
            images += list(convert.to_core(batch, name))
            masks += [None] * (len(images) - len(masks)) if alpha is None else list(alpha)
    return images, masks


def _clips(arguments: dict[str, Any], stack: ExitStack) -> Iterator[tuple[str, Clip]]:
    """The sequences from which frames are picked, with the names of their sockets."""
    for images in arguments.get("frames") or []:
        if images is not None:
            yield "frames", clip_of_images(images, Fraction(25), name="frames")
    videos: list[Input.Video | None] = arguments.get("video") or []
    for video in videos:
        if video is not None:
            with from_input("video"):
                clip = stack.enter_context(open_clip(video))
            yield "video", clip


def _picked(clip: Clip, count: int, node_id: str | None) -> list[Tensor]:
    """The most useful frames of a clip [3,H,W], found in one walk and fetched in a second."""
    progress = Progress(clip.frame_count or 0, node_id)

    def watched() -> Iterator[Tensor]:
        for chunk in clip.chunks(CHUNK):
            yield chunk
            progress.advance(len(chunk))

    chosen = pick_from_stream(watched(), count, face_tracker().ready(), "the sequence of references")
    found: dict[int, Tensor] = {}
    start = 0
    for chunk in clip.chunks(CHUNK):
        found |= {start + i: chunk[i].clone() for i in range(len(chunk)) if start + i in chosen}
        start += len(chunk)
        if len(found) == len(chosen):
            break
    return [found[number] for number in chosen]


def _with_left_out(
    masks: list[Tensor | None], left_out: list[Tensor] | None, images: list[Tensor]
) -> list[Tensor | None]:
    """The masks of what may be used, without what the user wants left out."""
    given = [mask for mask in left_out or [] if mask is not None]
    if not given:
        return masks
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    if len(given) == 1:
        usable = convert.usable_masks(given[0], sizes)
    elif len(given) == len(sizes):
        usable = [convert.usable_masks(mask, [size])[0] for mask, size in zip(given, sizes)]
    else:
        raise ImageError(
            f"`left_out` is a list of {len(given)} masks for {len(sizes)} pictures. "
            "Give one mask for all or one for each."
        )
    for number, mask in enumerate(usable, 1):
        if mask is not None and not mask.any():
            raise ImageError(
                f"The mask covers all of picture {number}, so that nothing of it may be used. White is what is left "
                "out: invert the mask, or mask less."
            )
    return [own if more is None else more if own is None else own * more for own, more in zip(masks, usable)]


def _strengths(text: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ReenactError(f"`strengths` is {text!r}; it must be numbers separated by commas, as in 1, 0.5.") from None
    if not all(0 <= number < math.inf for number in numbers) or not any(numbers):
        raise ReenactError(f"`strengths` is {text!r}; its numbers must be 0 or more, and not all of them 0.")
    if len(numbers) == 1:
        return numbers * count
    if len(numbers) != count:
        raise ReenactError(f"`strengths` names {len(numbers)} numbers for {count} pictures. Give one, or one for each.")
    return numbers


def _labels(text: str, before: int, count: int) -> list[str]:
    names = [part.strip() for part in text.split(",")]
    numbered = [f"reference {before + i + 1}" for i in range(count)]
    return [names[i] if i < len(names) and names[i] else name for i, name in enumerate(numbered)]
