"""All five stages in one, from video to video, for clips of any length: frames are never all in memory."""

from __future__ import annotations

import uuid
import wave
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import Input, InputImpl, io
from torch import Tensor

from ..reenact_core.decoding import decode
from ..reenact_core.fusing import fuse_references
from ..reenact_core.types import References
from ..reenact_core.video import VideoWriter
from ..reenact_core.warping import warp_per_reference
from . import sockets
from .clips import Audio, Clip, open_clip
from .earlier import kept
from .encode_motion import track
from .features import schema
from .folders import CATEGORY
from .naming import from_input
from .networks import MotionNetwork
from .notes import heard, noted
from .progress import Progress
from .ranges import within_ranges
from .stage_inputs import feather_input, neutral_of, tracking_inputs, transfer_of, warp_inputs, working_size
from .stages import in_short_chunks
from .strategies import chosen_smoothing, chosen_space, chosen_strategy, strategy_inputs
from .widgets import one_of

FORMATS = ("mp4", "webm")


class ReenactVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactVideo",
            display_name="Reenact Video",
            category=CATEGORY,
            description="Makes the person of the references follow a video of any length. The frames are streamed, the "
            "sound is kept. The same as the five stages in a row, without their previews.",
            search_aliases=["face reenactment", "portrait animation", "long video", "talking head", "puppet"],
            inputs=[
                sockets.Model.Input("model", tooltip="The motion model."),
                sockets.References.Input("references", tooltip="The person to be moved."),
                io.Video.Input("video", tooltip="The driving video."),
                *warp_inputs(),
                *tracking_inputs(),
                feather_input(),
                io.Combo.Input(
                    "format",
                    options=list(FORMATS),
                    default="mp4",
                    tooltip="mp4 holds H.264 and AAC, webm VP9 and Opus.",
                ),
                *strategy_inputs(),
            ],
            shows_output=True,
            outputs=[io.Video.Output("video_out", display_name="video", tooltip="The result, with the driving sound.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_ranges
    def execute(
        cls, model: MotionNetwork, references: References, video: Input.Video, **arguments: Any
    ) -> io.NodeOutput:
        network, node_id = model.ready(), cls.hidden.unique_id
        strategy, smoothing = chosen_strategy(arguments, network), chosen_smoothing(arguments)
        space = chosen_space(arguments)
        space.on(network)  # fails now rather than after the tracking
        transfer = transfer_of(arguments["transfer"])
        neutral, size = neutral_of(arguments["neutral_frame"]), working_size(arguments["size"])
        path = _new_file(one_of("format", arguments["format"], FORMATS))
        with ExitStack() as stack:
            with heard() as notes:
                with from_input("video"):
                    clip = stack.enter_context(open_clip(video))
                    motion = track(clip, model, arguments["face_index"], neutral, arguments["smooth"], node_id)
                network = model.ready()
                warped = in_short_chunks(warp_per_reference(references, motion, network, transfer, size))
            progress = Progress(len(warped.boxes), node_id)
            with (
                _sound_file(clip, path) as sound,
                VideoWriter(path, motion.frame_rate, warped.motion.canvas, sound) as writer,
            ):
                for chunk in decode(fuse_references(warped, strategy, smoothing, space), arguments["feather"]):
                    writer.write(chunk.images.cpu())
                    progress.advance(chunk.stop - chunk.start, chunk.images[0])
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=kept(noted(notes), cls))


def _new_file(kind: str) -> Path:
    """A name in the host's temporary folder, which it empties when it starts."""
    folder = Path(folder_paths.get_temp_directory())
    return folder / f"reenact_{uuid.uuid4().hex[:12]}.{kind}"


@contextmanager
def _sound_file(clip: Clip, beside: Path) -> Iterator[Path | None]:
    """A file with the clip's sound: the one it comes from, else a temporary one; None where it is silent."""
    if clip.source is not None:
        yield clip.source
        return
    audio = clip.audio()
    if audio is None:
        yield None
        return
    path = beside.with_suffix(".wav")
    try:
        _write_wave(path, audio)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _write_wave(path: Path, audio: Audio) -> None:
    """The first sound of the batch with 16 bits."""
    sound: Tensor = audio["waveform"][0]  # [C,S]
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(sound))
        file.setsampwidth(2)
        file.setframerate(audio["sample_rate"])
        for piece in sound.cpu().float().clamp(-1, 1).split(1 << 20, 1):
            file.writeframes((piece * 32767).round().short().T.contiguous().numpy().tobytes())
