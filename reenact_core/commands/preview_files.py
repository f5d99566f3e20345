"""`reenact run --previews`: what fusion did, as videos or frames beside the result."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from ..fusing import FusedChunk, FusedFrames
from ..fusion_pictures import WatchedFusion, fusion_pictures
from ..types import Evidence
from ..video import VideoWriter


class PreviewFiles:
    """One file (or folder of frames, like the result) per kind of picture; nothing is left where the run fails."""

    def __init__(self, folder: Path, result: Path, fused: FusedFrames) -> None:
        """
        Args:
            folder: made where it is missing. result: path of the run's result, whose suffix the previews get.
        """
        self.watched = WatchedFusion(fused, self._add)
        self._folder, self._suffix = folder, result.suffix
        self._rate = fused.warped.motion.frame_rate
        self._files = ExitStack()
        self._writers: dict[str, VideoWriter] = {}

    def __enter__(self) -> PreviewFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def _add(self, chunk: FusedChunk, evidence: Evidence) -> None:
        """Write the pictures of one chunk."""
        for name, pictures in fusion_pictures(self.watched.warped, evidence, chunk.weights).shown().items():
            if name not in self._writers:
                size = (pictures.shape[-2], pictures.shape[-1])
                writer = VideoWriter((self._folder / name).with_suffix(self._suffix), self._rate, size)
                self._writers[name] = self._files.enter_context(writer)
            self._writers[name].write(pictures.cpu())
