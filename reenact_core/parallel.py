"""Several CPU cores at once: whole chunks side by side, instead of every small operation split over the cores.

Most operations of the pipeline take well under a millisecond, and splitting one costs almost as much as it gains.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

MOST_WORKERS = 4  # chunks that are computed, and so held in memory, at the same time

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(work: Callable[[Item], Result], items: Iterable[Item], device: torch.device) -> Generator[Result, None, None]:
    """`work(item)` of every item, in order; on a CPU some are computed ahead on threads.

    There are as many threads as torch may use, at most MOST_WORKERS. None of them splits an operation any further,
    and neither does the calling thread while this runs, or they would be in each other's way. The results are the
    same as those of `map`; an exception comes out in its place. Other devices work ahead by themselves.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    if threads == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    workers = min(threads, MOST_WORKERS)
    pool = ThreadPoolExecutor(workers, "reenact", torch.set_num_threads, (1,))
    try:
        torch.set_num_threads(1)
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
