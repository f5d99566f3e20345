"""Chunks computed ahead: order, exceptions, bounds, and the caller's thread count."""

import threading
from collections.abc import Iterator

import pytest
import torch

from reenact_core.parallel import MOST_WORKERS, ahead, aside, prefetched, undivided

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 8])
def threads(request) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_order(threads):
    assert list(ahead(lambda number: number**2, range(50), CPU)) == [number**2 for number in range(50)]
    assert torch.get_num_threads() == threads


def test_an_exception_comes_out_in_its_place(threads):
    seen = []
    with pytest.raises(ZeroDivisionError):
        seen.extend(ahead(lambda number: 6 // (3 - number), range(9), CPU))
    assert seen == [2, 3, 6]
    assert torch.get_num_threads() == threads


def test_no_more_than_a_few_items_are_ahead_of_the_consumer(threads):
    taken = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = ahead(lambda number: number, items(), CPU)
    for number, result in enumerate(results):
        assert result == number
        assert len(taken) <= number + 2 + min(threads, MOST_WORKERS)
        if number == 5:
            results.close()
    assert len(taken) < 12
    assert torch.get_num_threads() == threads


def test_workers_do_not_split_operations(threads):
    names = threading.Barrier(min(threads, MOST_WORKERS), timeout=30)

    def work(_: int) -> tuple[int, str]:
        names.wait()  # as many at the same time as there may be
        return torch.get_num_threads(), threading.current_thread().name

    results = list(ahead(work, range(8), CPU))
    assert {count for count, _ in results} == {1}
    assert len({name for _, name in results}) == min(threads, MOST_WORKERS)


def test_other_devices_get_no_threads():
    caller = threading.current_thread()
    assert list(ahead(lambda _: threading.current_thread() is caller, range(3), torch.device("meta"))) == [True] * 3


def test_items_are_fetched_ahead_one_at_a_time(threads):
    taken = []

    def items() -> Iterator[int]:
        for number in range(5):
            taken.append((number, threading.current_thread().name))
            yield number
        raise ZeroDivisionError

    fetched = prefetched(items())
    assert [next(fetched) for _ in range(5)] == list(range(5))
    assert all("fetch" in name for _, name in taken)
    with pytest.raises(ZeroDivisionError):
        next(fetched)
    assert torch.get_num_threads() == threads


def test_threads_are_given_back_after_undivided_work(threads):
    with undivided(CPU) as allowed:
        assert (torch.get_num_threads(), allowed) == (1, threads)
    assert torch.get_num_threads() == threads


def test_work_aside_is_in_order_complete_and_elsewhere(threads):
    seen, where = [], set()

    def work(number: int) -> None:
        seen.append(number)
        where.add(threading.get_ident())

    with aside(work) as hand:
        for number in range(20):
            hand(number)
            assert len(seen) >= number, "at most one is held"
    assert seen == list(range(20))
    assert len(where) == 1
    assert threading.get_ident() not in where
    assert torch.get_num_threads() == threads


def test_an_exception_aside_comes_out():
    with pytest.raises(ZeroDivisionError), aside(lambda number: 1 // number) as hand:
        hand(0)
