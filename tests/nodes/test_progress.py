from __future__ import annotations

import pytest

pytestmark = pytest.mark.host


@pytest.fixture
def seen(host_modules, monkeypatch) -> list[tuple]:
    """What the host is told: (value, total, node id)."""
    import comfy.utils

    calls = []
    hook = lambda value, total, preview, node_id=None: calls.append((value, total, node_id))  # noqa: E731
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    return calls


def test_bar_counts_frames_for_its_node(pack, seen):
    progress = pack("nodes.progress").Progress(20, "7")
    progress.advance(8)
    progress.advance(12)
    assert seen == [(8, 20, "7"), (20, 20, "7")]


def test_unknown_length_shows_no_false_bar(pack, seen):
    pack("nodes.progress").Progress(0, "7").advance(8)
    assert seen == []


def test_cancel_ends_the_run(pack, seen):
    import comfy.model_management as management

    progress = pack("nodes.progress").Progress(20, "7")
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        progress.advance(8)
    assert seen == []
    management.interrupt_current_processing(False)  # as the host does before the next run
    progress.advance(8)
    assert seen == [(8, 20, "7")]
