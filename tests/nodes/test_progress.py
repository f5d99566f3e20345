from __future__ import annotations

import pytest
import torch

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


def test_large_pictures_are_reduced_before_the_host_shows_them(pack):
    smaller = pack("nodes.progress")._smaller
    picture = torch.rand(3, 1201, 1800)
    small = smaller(picture)
    assert small.shape == (3, 400, 600)
    assert torch.allclose(small, torch.nn.functional.avg_pool2d(picture[None], 3)[0], atol=1e-5)
    assert smaller(picture[:, :600, :900]).shape == (3, 600, 900)
