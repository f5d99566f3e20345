"""Several CPU cores at once: whole chunks side by side, instead of every small operation split over the cores.

Most operations of the pipeline take well under a millisecond, and splitting one costs almost as much as it gains.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

MOST_WORKERS = 4  # chunks that are computed, and so held in memory, at the same time

_END: Any = object()

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def undivided(device: torch.device) -> Iterator[int]:
    """Operations of the calling thread on a CPU are not split over threads inside; gives how many were allowed."""
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    if threads > 1:
        torch.set_num_threads(1)
    try:
        yield threads
    finally:
        if threads > 1:
            torch.set_num_threads(threads)


def prefetched(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each fetched on a thread while the one before is in use."""
    source = iter(items)
    with ThreadPoolExecutor(1, "reenact-fetch", torch.set_num_threads, (1,)) as pool:
        following = pool.submit(lambda: next(source, _END))
        try:
            while (item := following.result()) is not _END:
                following = pool.submit(lambda: next(source, _END))
                yield item
        finally:
            torch.set_num_threads(torch.get_num_threads())  # threads that are begun later shall not take after that one


@contextmanager
def aside(work: Callable[[Item], Any]) -> Iterator[Callable[[Item], None]]:
    """Gives a function that hands items to `work`, which takes them in order on a thread of its own.

    A call waits until the item before is done, so that at most one is held. All are done when the context ends; an
    exception of `work` comes out at the next call or there.
    """
    pool = ThreadPoolExecutor(1, "reenact-aside", torch.set_num_threads, (1,))
    handed: list[Future[Any]] = []

    def hand(item: Item) -> None:
        for before in handed:
            before.result()
        handed[:] = [pool.submit(work, item)]

    try:
        yield hand
        for last in handed:
            last.result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch.get_num_threads())  # threads that are begun later shall not take after that one


def ahead(work: Callable[[Item], Result], items: Iterable[Item], device: torch.device) -> Generator[Result, None, None]:
    """`work(item)` of every item, in order; on a CPU some are computed ahead on threads.

    There are as many threads as torch may use, at most MOST_WORKERS. None of them splits an operation any further,
    and neither does the calling thread while this runs, or they would be in each other's way. The results are the
    same as those of `map`; an exception comes out in its place. Other devices work ahead by themselves.
    """
    with undivided(device) as threads:
        if threads == 1:
            yield from map(work, items)
            return
        waiting: deque[Future[Result]] = deque()
        workers = min(threads, MOST_WORKERS)
        pool = ThreadPoolExecutor(workers, "reenact", torch.set_num_threads, (1,))
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
