"""Video in and out as a stream of chunks: memory does not grow with the length of the clip."""

from __future__ import annotations

from .reader import VideoInfo, VideoReader, is_video
from .writer import VideoWriter

__all__ = ["VideoInfo", "VideoReader", "VideoWriter", "is_video"]
