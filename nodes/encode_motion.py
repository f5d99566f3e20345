"""Stage 2: driving frames, or landmarks found by the host's own face tracker, become motion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from comfy_api.latest import Input, io
from torch import Tensor

from ..reenact_core.errors import ReenactError
from ..reenact_core.mesh_import import TrackedMesh, faces_of_meshes
from ..reenact_core.motion import encode_motion, motion_of_faces
from ..reenact_core.types import DrivingMotion
from . import sockets
from .clips import Clip, clip_of_images, frame_rate_of, open_clip
from .features import schema
from .folders import CATEGORY
from .naming import from_input
from .networks import MotionNetwork, face_tracker
from .notes import heard
from .progress import Progress
from .ranges import within_ranges
from .shown import motion_outputs, shown_motion
from .stage_inputs import neutral_of, tracking_inputs

CHUNK = 8  # frames


class EncodeMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReenactEncodeMotion",
            display_name="Encode Motion",
            category=CATEGORY,
            description="Follows the driving face through a clip. Only its motion is kept, nothing of its looks.",
            search_aliases=["driving video", "face tracking", "expression", "head pose", "landmarks"],
            shows_output=True,
            inputs=[
                sockets.Model.Input("model", tooltip="The motion model; some have a motion code of their own."),
                io.Video.Input(
                    "video", optional=True, tooltip="The driving video. It is streamed, so its length does not matter."
                ),
                io.Image.Input("images", optional=True, tooltip="Driving frames, in place of a video."),
                sockets.FaceLandmarks.Input(
                    "landmarks",
                    optional=True,
                    tooltip="Faces found by ComfyUI's own face landmark node, in place of a video.",
                ),
                io.Float.Input(
                    "frame_rate",
                    default=25.0,
                    min=1.0,
                    max=240.0,
                    step=0.001,
                    tooltip="Frames per second of `images` or `landmarks`. A video brings its own.",
                ),
                *tracking_inputs(),
            ],
            outputs=motion_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @within_ranges
    def execute(
        cls,
        model: MotionNetwork,
        frame_rate: float = 25.0,
        face_index: int = 0,
        smooth: bool = True,
        neutral_frame: int = -1,
        video: Input.Video | None = None,
        images: Tensor | None = None,
        landmarks: Mapping[str, Any] | None = None,
    ) -> io.NodeOutput:
        given = [
            name
            for name, value in (("video", video), ("images", images), ("landmarks", landmarks))
            if value is not None
        ]
        if len(given) != 1:
            raise ReenactError(
                f"Encode Motion needs one source of motion, got {' and '.join(given) or 'none'}. "
                "Connect either `video`, `images` or `landmarks`."
            )
        neutral = neutral_of(neutral_frame)
        rate = frame_rate_of(frame_rate)
        with heard() as notes, from_input(*given):
            if landmarks is not None:
                motion = _from_landmarks(landmarks, rate, face_index, neutral, smooth)
            else:
                source = open_clip(video) if images is None else nullcontext(clip_of_images(images, rate))
                with source as clip:
                    motion = track(clip, model, face_index, neutral, smooth, cls.hidden.unique_id)
        return shown_motion(motion, cls, notes)


def track(
    clip: Clip, model: MotionNetwork, face_index: int, neutral: int | None, smooth: bool, node_id: str | None
) -> DrivingMotion:
    """The motion of a clip, with progress on the node `node_id`.

    Raises:
        ReenactError: there is no frame `neutral`, or what `encode_motion` raises.
    """
    if neutral is not None and clip.frame_count is not None and neutral >= clip.frame_count:
        raise ReenactError(
            f"`neutral_frame` is {neutral}, but there are the frames 0 to {clip.frame_count - 1}. Choose one of them, "
            "or -1 to have one found."
        )
    tracker, network = face_tracker().ready(), model.ready()
    progress = Progress(clip.frame_count or 0, node_id)

    def watched() -> Iterator[Tensor]:
        for chunk in clip.chunks(CHUNK):
            yield chunk.to(network.device)
            progress.advance(len(chunk))

    return encode_motion(watched(), clip.frame_rate, tracker, network, face_index, neutral, smooth)


def _from_landmarks(
    landmarks: Mapping[str, Any], rate: Any, face_index: int, neutral: int | None, smooth: bool
) -> DrivingMotion:
    """Motion of the host's FACE_LANDMARKS, whose frames list their faces in the order they were found."""
    frames, size = (landmarks.get(key) if isinstance(landmarks, Mapping) else None for key in ("frames", "image_size"))
    if not frames or size is None:
        raise ReenactError(
            "`landmarks` holds no frames. Connect ComfyUI's own face landmark node, and give it pictures."
        )
    faces = faces_of_meshes([_mesh(_by_size(found), face_index) for found in frames])
    return motion_of_faces(faces, (int(size[0]), int(size[1])), rate, neutral, smooth)


def _by_size(found: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The faces of one frame, the largest first."""

    def height(face: Mapping[str, Any]) -> float:
        points = torch.as_tensor(face["landmarks_xy"])
        return float((points.amax(0) - points.amin(0)).amax())

    return sorted(found, key=height, reverse=True)


def _mesh(found: list[Mapping[str, Any]], index: int) -> TrackedMesh | None:
    if index >= len(found):
        return None
    face = found[index]
    return TrackedMesh(
        torch.as_tensor(face["landmarks_xy"]).float(),
        torch.as_tensor(face["landmarks_3d"]).float(),
        face.get("blendshapes") or {},
        float(face.get("score", 1.0)),
    )
