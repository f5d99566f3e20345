"""Where long work can be ended early.

Between its steps, on whatever thread they run, it calls `may_stop`. A program around it that has a Cancel button hands
`ask_between_steps` a question, which raises to end the work; without one nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

OFTEN = 0.1  # seconds between two questions during a call that asks none itself

Result = TypeVar("Result")

_questions: list[Callable[[], None]] = []


def ask_between_steps(question: Callable[[], None]) -> None:
    """Have `question` called between the steps of all long work; what it raises ends the work."""
    if question not in _questions:
        _questions.append(question)


def may_stop() -> None:
    """Between two steps: the work ends here if somebody wants it to."""
    for question in _questions:
        question()


def watched(call: Callable[[], Result]) -> Result:
    """`call()` for one long call into another library, which asks nothing itself.

    It is made on a thread of its own, which is left to itself if the work ends early.
    """
    if not _questions:
        return call()
    pool = ThreadPoolExecutor(1, "reenact-call")
    made = pool.submit(call)
    pool.shutdown(wait=False)
    while not wait([made], OFTEN).done:
        may_stop()
    return made.result()
