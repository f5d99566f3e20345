"""Long work ends where it is asked to, on whatever thread it runs, and never waits for what will not come."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from reenact_core import stopping
from reenact_core.decoding import decode
from reenact_core.fusing import Smoothing, fuse_references
from reenact_core.fusion import strategy_class
from reenact_core.stopping import ask_between_steps, may_stop, watched

from .faces import random_evidence
from .test_fusing import FRAMES, GRID, SIZE, prepared


class StoppedError(Exception):
    """What a Cancel button raises."""


class Button:
    """Raises from the n-th question on."""

    def __init__(self) -> None:
        self.asked, self.limit = 0, 1 << 30

    def __call__(self) -> None:
        self.asked += 1
        if self.asked > self.limit:
            raise StoppedError


@pytest.fixture
def button(monkeypatch) -> Button:
    monkeypatch.setattr(stopping, "_questions", [])
    button = Button()
    ask_between_steps(button)
    return button


def test_nothing_is_asked_without_a_question(monkeypatch):
    monkeypatch.setattr(stopping, "_questions", [])
    may_stop()
    assert watched(threading.get_ident) == threading.get_ident()


def test_a_question_is_asked_once_however_often_it_is_given(button):
    ask_between_steps(button)
    may_stop()
    assert button.asked == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_work_ends_wherever_it_is_stopped(button, threads):
    """A chunk waits for the weights of the one before it; one that ended early must not be waited for."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        fused = fuse_references(prepared(random_evidence(FRAMES, 3, SIZE, GRID)), strategy_class("mean")(), Smoothing())
        assert len(list(decode(fused))) == 3
        for limit in range(button.asked):
            button.asked, button.limit = 0, limit
            with pytest.raises(StoppedError):
                list(decode(fused))
    finally:
        torch.set_num_threads(before)


def test_a_long_call_of_another_library_is_left_alone(button):
    button.limit = 0
    over = threading.Event()
    started = time.monotonic()
    with pytest.raises(StoppedError):
        watched(lambda: over.wait(120))
    assert time.monotonic() - started < 60
    over.set()


def test_results_and_errors_of_a_long_call_come_through(button):
    assert watched(lambda: 6 // 3) == 2
    with pytest.raises(ZeroDivisionError):
        watched(lambda: 6 // 0)
