"""The values on the sockets of the warp and fusion nodes, and the memo between them.

A value that waits in the host's cache lies in main memory; it is brought to the model's device for as long as a
node works with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import comfy.model_management as management
import torch
import torch.nn.functional as F

from ..reenact_core.fusing import FusedChunk
from ..reenact_core.types import Evidence
from ..reenact_core.warping import Memo, WarpedReferences
from .networks import MotionNetwork, mapped, park, total_bytes, unpark

MEMO_SHARE, MEMO_MOST = 0.25, 8 << 30  # of the free main memory; bytes
CHUNK_ON_CPU = 2  # frames at most; Cancel is heard between chunks at the latest


def memo_budget() -> int:
    """Bytes that the warps of one node may keep in main memory."""
    free = management.get_free_memory(torch.device("cpu"))
    return int(min(free * MEMO_SHARE, MEMO_MOST))


def in_short_chunks(warped: WarpedReferences) -> WarpedReferences:
    """The same in chunks that are over soon, so that Cancel and the progress bar are in time on slow devices."""
    if management.get_torch_device().type != "cpu":
        return warped
    return warped._replace(chunk=min(warped.chunk, CHUNK_ON_CPU))


class HostMemo(Memo):
    """Evidence kept in main memory until the budget is used up.

    Every run walks over all frames in order. Dropping the oldest, as the core does, would then throw each chunk
    away shortly before it is asked for again; here the first ones stay.
    """

    def __init__(self, budget: int) -> None:
        super().__init__(0)
        self._left = budget
        self._kept: dict[tuple[int, int], Evidence] = {}

    def get(self, key: tuple[int, int]) -> Evidence | None:
        kept = self._kept.get(key)
        return None if kept is None else unpark(kept, management.get_torch_device())

    def put(self, key: tuple[int, int], evidence: Evidence) -> None:
        size = total_bytes(evidence)
        if key not in self._kept and size <= self._left:
            self._left -= size
            self._kept[key] = park(evidence)

    def __contains__(self, key: tuple[int, int]) -> bool:
        return key in self._kept

    def frames(self) -> int:
        """How many frames from the first one on are kept without a gap."""
        end = 0
        for start, stop in sorted(self._kept):
            if start > end:
                break
            end = max(end, stop)
        return end

    def frame(self, number: int) -> Evidence | None:
        """The kept evidence of one frame, T = 1, in main memory whatever the model's device."""
        for (start, stop), kept in list(self._kept.items()):
            if start <= number < stop:
                evidence: Evidence = unpark(kept, torch.device("cpu"))
                return evidence.at(slice(number - start, number - start + 1))
        return None


class HostWarped(NamedTuple):
    """What travels on a REENACT_WARPED socket."""

    network: MotionNetwork
    warped: WarpedReferences  # `encoded` is parked

    @classmethod
    def of(cls, network: MotionNetwork, warped: WarpedReferences) -> HostWarped:
        memo = HostMemo(memo_budget())
        return cls(network, in_short_chunks(warped)._replace(encoded=park(warped.encoded), memo=memo))

    def awake(self) -> WarpedReferences:
        """The core's value with everything on the model's device."""
        count, size = len(self.warped.references.images), self.warped.size
        chunk_bytes = 6 * self.warped.chunk * count * 3 * size * size * 4  # deformations, features, and copies of them
        model = self.network.ready(chunk_bytes)
        return self.warped._replace(encoded=unpark(self.warped.encoded, model.device))


class HostFused(NamedTuple):
    """What travels on a REENACT_FUSED socket: frames that are fused already."""

    source: HostWarped
    parts: tuple[FusedChunk, ...]  # on the host's intermediate device
    label: str = "fusion"  # the strategy, for comparisons


class FusedEarlier(NamedTuple):
    """Fused frames as decoding wants them."""

    warped: WarpedReferences
    parts: tuple[FusedChunk, ...]

    def tasks(self) -> Iterator[Callable[[], FusedChunk]]:
        """What brings each chunk to the model's device, in order."""
        device = self.warped.model.device
        for part in self.parts:
            yield partial(mapped, lambda tensor: tensor.to(device), part)


def light(chunk: FusedChunk) -> FusedChunk:
    """A chunk to be kept: its weights, which may be as large as all references, at the size of confidence."""
    size = (chunk.confidence.shape[-2], chunk.confidence.shape[-1])
    share = chunk.weights.mean(2, keepdim=True).float()
    if share.shape[-2:] != (1, 1):
        share = F.adaptive_avg_pool2d(share.flatten(0, 1), size).unflatten(0, share.shape[:2])
    device = management.intermediate_device()
    return mapped(lambda tensor: tensor.to(device), chunk._replace(weights=share))
