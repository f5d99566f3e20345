"""Stage 4 as a whole: chunks, prior, smoothing over time."""

from __future__ import annotations

import pytest
import torch

from reenact_core.decoding import decode
from reenact_core.errors import ReenactError
from reenact_core.fusing import FusedChunk, Smoothing, fuse_references
from reenact_core.fusion import strategy_class, strategy_names
from reenact_core.steadiness import follow, weight_flicker
from reenact_core.types import Evidence
from reenact_core.warping import Memo, WarpedReferences

from .faces import GivenEvidence, moving, posed_faces, random_evidence, still, texture, turned

FRAMES, SIZE, GRID, CHUNK = 10, 64, 16, 4


def prepared(evidence: Evidence, boxes: torch.Tensor | None = None, rate: int = 25, memo: int = 0) -> WarpedReferences:
    """A stage-3 value whose frames have the given evidence."""
    frames, count = evidence.distance.shape
    if boxes is None:
        boxes = torch.tensor([[10, 10, 128]]).repeat(frames, 1)
    faces = posed_faces([turned(0)] * frames)._replace(score=torch.arange(frames).float())
    references = still([texture(64, 64)] * count, posed_faces([turned(0)] * count))
    model = GivenEvidence(evidence, boxes)
    return WarpedReferences(model, references, moving(faces, rate=rate), references, boxes, SIZE, Memo(memo), CHUNK)


def run(warped: WarpedReferences, name: str = "confidence", memory: float = 0.0, hysteresis: float = 0.0) -> FusedChunk:
    smoothing = Smoothing(memory, hysteresis)
    chunks = list(fuse_references(warped, strategy_class(name)(), smoothing).chunks())
    assert [c.start for c in chunks] == list(range(0, FRAMES, CHUNK))
    assert chunks[-1].stop == FRAMES
    return FusedChunk(0, FRAMES, *(torch.cat([c[i] for c in chunks]) for i in (2, 3, 4)))


@pytest.fixture(scope="module")
def evidence():
    return random_evidence(FRAMES, 3, SIZE, GRID)


@pytest.mark.parametrize("name", strategy_names())
def test_smoothed_weights_stay_a_partition_of_unity(name, evidence):
    boxes = torch.tensor([[10 + 9 * t, 10 - 5 * t, 128] for t in range(FRAMES)])
    result = run(prepared(evidence, boxes), name, memory=0.9)
    assert (result.weights >= -1e-6).all()
    assert torch.allclose(result.weights.sum(1), torch.ones_like(result.weights[:, 0]), atol=1e-4)
    assert result.features.isfinite().all()
    assert result.confidence.min() >= 0
    assert result.confidence.max() <= 1 + 1e-5


def test_without_memory_frames_are_fused_as_the_strategy_says(evidence):
    result = run(prepared(evidence), memory=0.0)
    strategy = strategy_class("confidence")()
    weights = strategy.weights(evidence)
    assert torch.allclose(result.weights, weights, atol=1e-6)
    assert torch.allclose(result.features, strategy.fuse(evidence, weights), atol=1e-6)


def test_smoothing_is_a_recursive_average_across_chunks(evidence):
    result = run(prepared(evidence), memory=0.6).weights
    raw = strategy_class("confidence")().weights(evidence)
    assert torch.allclose(result[0], raw[0], atol=1e-6)
    for t in range(1, FRAMES):
        assert torch.allclose(result[t], 0.6 * result[t - 1] + 0.4 * raw[t], atol=1e-5)


def test_smoothing_begins_anew_after_a_cut(evidence):
    warped = prepared(evidence)
    warped = warped._replace(motion=warped.motion._replace(shots=(torch.arange(FRAMES) >= 5).long()))
    chunks = list(fuse_references(warped, strategy_class("confidence")(), Smoothing(0.9)).chunks())
    assert [(c.start, c.stop) for c in chunks] == [(0, 4), (4, 5), (5, 9), (9, 10)]
    raw = strategy_class("confidence")().weights(evidence)
    assert torch.allclose(chunks[2].weights[0], raw[5], atol=1e-6)
    assert not torch.allclose(chunks[1].weights[0], raw[4], atol=1e-2)


def test_smoothing_lasts_equally_long_at_every_frame_rate(evidence):
    double = Evidence(*(None if f is None else f.repeat_interleave(2, 0) for f in evidence))
    slow = run(prepared(evidence, rate=25), memory=0.6).weights
    warped = prepared(double, rate=50)
    chunks = list(fuse_references(warped, strategy_class("confidence")(), Smoothing(0.6, 0)).chunks())
    fast = torch.cat([chunk.weights for chunk in chunks])
    # Twice the rate and every frame twice: the second of each pair is where the slow clip is one step on.
    for t in range(1, FRAMES):
        expected = 0.6 * fast[2 * t - 1] + 0.4 * strategy_class("confidence")().weights(evidence)[t]
        assert torch.allclose(fast[2 * t + 1], expected, atol=1e-5)
    assert slow.shape[0] == FRAMES


def test_hysteresis_slows_small_changes_more_than_large_ones():
    smoothing = Smoothing(0.5, 0.2)
    kept = torch.tensor([0.5, 0.5])[:, None, None, None]
    speeds = []
    for change in (0.05, 0.2, 0.5):
        wanted = kept + torch.tensor([change, -change])[:, None, None, None]
        result = smoothing.step(kept, wanted, 25.0)
        assert result.sum() == pytest.approx(1)
        speeds.append(float((result - kept)[0]) / change)
    assert speeds == pytest.approx([0.5 * change / (change + 0.2) for change in (0.05, 0.2, 0.5)])
    assert torch.allclose(Smoothing(0.5, 0.2).step(kept, kept, 25.0), kept)


def test_flicker_counts_what_turns_back_and_not_what_moves_on():
    ramp = torch.linspace(0, 1, 11)[:, None, None, None, None]
    assert weight_flicker(torch.cat([ramp, 1 - ramp], 1)) == pytest.approx(0, abs=1e-6)
    spike = torch.zeros(5, 1, 1, 2, 2)
    spike[2] = 1
    assert weight_flicker(torch.cat([spike, 1 - spike], 1)) == pytest.approx((1 + 2 + 1) / 3)


@pytest.mark.parametrize("name", ["nearest", "confidence", "learned"])
def test_hysteresis_and_memory_calm_the_weights(evidence, name):
    plain, smooth, held = (
        weight_flicker(run(prepared(evidence), name, *settings).weights)
        for settings in ((0.0, 0.0), (0.6, 0.0), (0.6, 0.3))
    )
    assert held < 0.8 * smooth < 0.8 * 0.8 * plain


def test_still_evidence_is_not_changed_by_smoothing(evidence):
    constant = Evidence(*(None if f is None else f[:1].expand(FRAMES, *f.shape[1:]) for f in evidence))
    smoothed, plain = (run(prepared(constant), memory=m) for m in (0.9, 0.0))
    assert torch.allclose(smoothed.features, plain.features, atol=1e-5)


def test_weights_follow_the_moving_box():
    """A place on the canvas keeps its weight when the box moves by whole cells."""
    weights = texture(GRID, GRID)[None].softmax(1).transpose(0, 1)  # [R=3,1,y,x]
    cell = 128 // GRID
    old, new = torch.tensor([40, 40, 128]), torch.tensor([40 + 3 * cell, 40 - 2 * cell, 128])
    moved = follow(weights, old, new)
    assert torch.allclose(moved[:, :, 2:, :-3], weights[:, :, :-2, 3:], atol=1e-5)
    assert torch.allclose(moved.sum(0), torch.ones(1, GRID, GRID), atol=1e-5)
    assert torch.equal(follow(weights, old, old), weights)
    whole = weights[:, :, :1, :1]
    assert torch.equal(follow(whole, old, new), whole)


@pytest.mark.parametrize("hysteresis", [-0.1, 1.01, float("nan")])
def test_hysteresis_out_of_range(hysteresis):
    with pytest.raises(ReenactError, match=r"hysteresis.*1\.0"):
        Smoothing(0.5, hysteresis)


@pytest.mark.parametrize("memory", [-0.1, 0.96, float("nan"), float("inf")])
def test_memory_out_of_range(memory):
    with pytest.raises(ReenactError, match=r"memory.*0\.95"):
        Smoothing(memory)


def test_chunks_cover_odd_lengths_and_come_twice_the_same(evidence):
    fused = fuse_references(prepared(evidence), strategy_class("learned")(), Smoothing(0.5))
    first, second = ([c.features for c in fused.chunks()] for _ in range(2))
    assert sum(map(len, first)) == FRAMES
    assert all(torch.equal(a, b) for a, b in zip(first, second))


def test_the_memo_spares_the_second_warp(evidence):
    warped = prepared(evidence, memo=1 << 30)
    run(warped, "mean")
    calls = len(warped.model.calls)
    run(warped, "confidence")
    assert len(warped.model.calls) == calls


def test_the_memo_keeps_its_budget(evidence):
    size = sum(f.nbytes for f in evidence if f is not None)
    memo = Memo(int(2.5 * size))
    for start in range(4):
        memo.put((start, start + 1), evidence)
    kept = [start for start in range(4) if memo.get((start, start + 1)) is not None]
    assert kept == [2, 3]
    small = Memo(size - 1)
    small.put((0, 1), evidence)
    assert small.get((0, 1)) is None


def test_out_of_memory_halves_the_chunk(evidence):
    warped = prepared(evidence)
    whole = warped.model.warp

    def tight(encoded, motion, boxes, size):
        if len(boxes) > 2:
            raise torch.OutOfMemoryError("no room for that many")
        return whole(encoded, motion, boxes, size)

    warped.model.warp = tight
    assert torch.allclose(run(warped).features, run(prepared(evidence)).features)
    assert max(warped.model.calls) == 2


def tight_at(most: int, work):
    """`work(*arguments)` for which there is no room where an argument holds more than `most` frames."""

    def limited(*arguments, **others):
        frames = next(len(part) for part in arguments if isinstance(part, torch.Tensor))
        if frames > most:
            raise torch.OutOfMemoryError("no room for that many")
        return work(*arguments, **others)

    return limited


@pytest.mark.parametrize("where", ["weights", "features", "decoder"])
def test_out_of_memory_while_fusing_or_painting_halves_the_chunk(evidence, monkeypatch, where):
    """Weights, fused features and painted frames are what they are with room for all."""
    warped = prepared(evidence)
    fused = fuse_references(warped, strategy_class("confidence")(), Smoothing(0.0, 0.0))
    expected, painted = next(fused.chunks()), torch.cat([chunk.images for chunk in decode(fused)])
    if where == "decoder":
        warped.model.decode = tight_at(2, warped.model.decode)
    else:
        strategy = type(fused.strategy)
        name = {"weights": "weights", "features": "fuse"}[where]
        own = getattr(strategy, name)

        def limited(self, evidence, *others):
            return tight_at(2, lambda _: own(self, evidence, *others))(evidence.features)

        monkeypatch.setattr(strategy, name, limited)
    ours = next(fused.chunks())
    for one, other in zip(ours, expected):
        assert one is other is None or torch.allclose(torch.as_tensor(one), torch.as_tensor(other))
    assert torch.allclose(torch.cat([chunk.images for chunk in decode(fused)]), painted)


def test_out_of_memory_with_one_frame_is_reported(evidence):
    warped = prepared(evidence)

    def never(encoded, motion, boxes, size):
        raise torch.OutOfMemoryError("no room at all")

    warped.model.warp = never
    with pytest.raises(torch.OutOfMemoryError):
        run(warped)


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_threads_change_no_result(evidence):
    results = []
    for count in (1, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        results.append(run(prepared(evidence), "learned", 0.8, 0.1))
        torch.set_num_threads(before)
    assert torch.equal(results[0].features, results[1].features)
    assert torch.equal(results[0].weights, results[1].weights)


def test_a_chunk_that_fails_holds_up_nobody(evidence, threads):
    """Those that wait for its weights end too, and its own error comes out."""
    warped = prepared(evidence)
    whole = warped.model.warp

    def broken(encoded, motion, boxes, size):
        if float(motion.faces.score[0]) == CHUNK:
            raise ZeroDivisionError("the second chunk")
        return whole(encoded, motion, boxes, size)

    warped.model.warp = broken
    chunks = fuse_references(warped, strategy_class("mean")(), Smoothing(0.5)).chunks()
    assert next(chunks).stop == CHUNK
    with pytest.raises(ZeroDivisionError, match="second"):
        next(chunks)
    assert torch.get_num_threads() == threads
