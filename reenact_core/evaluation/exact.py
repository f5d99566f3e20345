"""Motion transfer between people whose truth is known: the same motion performed by two of them.

With rendered avatars one can let person B perform exactly what driver A does. References of B come from another
performance; every generated frame is compared with B's true one, in all metrics of the self-reconstruction protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from torch import Tensor

from ..errors import ReenactError
from ..pose import pose_distance
from .measuring import count_triples
from .networks import MetricNetworks
from .prepared import PreparedClip, read_truth
from .result import ClipRecord
from .settings import Settings, select_frames
from .stages import Clip, Stages


class FrameClip(NamedTuple):
    """Frames in memory as a clip."""

    name: str
    images: Tensor  # [T,3,H,W] in [0,1]
    frame_rate: Fraction

    def chunks(self) -> Iterator[Tensor]:
        """All frames, eight at a time."""
        yield from self.images.split(8)

    def frames(self, indices: Sequence[int]) -> Iterator[Tensor]:
        """The frames at `indices`."""
        yield from (self.images[i] for i in indices)


class Performance(NamedTuple):
    """Driver and person doing the same. In frame 0 both rest, and so does the person in the first reference."""

    name: str
    driver: Clip
    truth: Clip
    references: tuple[Tensor, ...]  # of the person, [3,H,W] in [0,1]


def prepare_performance(
    performance: Performance,
    stages: Stages,
    settings: Settings,
    networks: MetricNetworks,
    most_references: int,
    step: Callable[[str], None],
) -> PreparedClip:
    """What `prepared.prepare_clip` does for a clip that is rebuilt from itself, for `protocol.evaluate`.

    Frames are chosen from the whole performance. Frame 0 is the neutral one. `stages.reconstruct` must transfer the
    motion to the person of the references.
    """
    step("tracking")
    motion = stages.encode_motion(performance.driver.chunks(), performance.driver.frame_rate)
    own = stages.encode_motion(performance.truth.chunks(), performance.truth.frame_rate).faces.cpu()
    if len(own.found) != len(motion.faces.found):
        raise ReenactError(f"driver and truth have {len(motion.faces.found)} and {len(own.found)} frames.")
    motion = motion._replace(
        neutral=motion.faces.at([0]),
        neutral_code=None if motion.code is None else motion.code[[0]],
        floating=False,
    )
    found = motion.faces.found.cpu() & own.found
    selection = select_frames(found.tolist(), settings, whole=True)
    if not selection.indices:
        raise ReenactError("no sampled frame shows a face in both performances.")
    references = performance.references[:most_references]
    step("reading the truth")
    wanted = own.at(list(selection.indices))
    image = references[0]
    return PreparedClip(
        record=ClipRecord(
            name=performance.name,
            frames=len(found),
            width=image.shape[2],
            height=image.shape[1],
            frame_rate=float(performance.driver.frame_rate),
            step=selection.step,
            sampled=tuple(i for i, mark in zip(selection.indices, selection.sampled, strict=True) if mark),
            flicker_triples=count_triples(selection.indices),
            references=tuple(range(len(references))),
            without_face=selection.without_face,
        ),
        motion=motion._replace(canvas=(image.shape[1], image.shape[2])),
        references=references,
        distance=pose_distance(wanted, stages.track(list(references)).cpu()),
        truth=read_truth(performance.truth, selection, wanted, stages, networks, settings.full_side),
    )
