import json
from pathlib import Path

import numpy as np
import pytest

from reenact_core.errors import ReenactError
from reenact_core.evaluation.result import (
    COLUMNS,
    NEAREST_COPY,
    ONE_REFERENCE,
    ClipRecord,
    EvaluationResult,
    Method,
    Row,
    bootstrap,
    read_json,
    summarise,
    to_json,
    write_json,
)

BASE = Method(ONE_REFERENCE, "baseline", 1)
FUSED = Method("mean", "strategy", 4)


def rows() -> list[Row]:
    found = []
    for number, clip in enumerate("abc"):
        found.append(Row(clip, FUSED, "head", 5, {"psnr": 22.0 + number, "akd": None}))
        found.append(Row(clip, BASE, "head", 5, {"psnr": 20.0 + number, "akd": 1.0}))
    found.append(Row("d", FUSED, "head", 5, {"psnr": 40.0, "akd": None}))
    found.append(Row("a", Method(NEAREST_COPY, "baseline", 4), "full", 5, {"psnr": 15.0}))
    return found


def result() -> EvaluationResult:
    clip = ClipRecord("a", 40, 96, 80, 25.0, 5, (22, 27), 6, (1, 4), 0)
    return EvaluationResult(
        {"references": [4], "strategies": ["mean"]}, {"model": "m"}, COLUMNS[:2], (clip,), tuple(rows()),
        summarise(rows()), ("a note",),
    )  # fmt: skip


def test_bootstrap_against_the_normal_approximation():
    values = np.random.default_rng(3).normal(10, 2, 400)
    interval = bootstrap(values.tolist())
    half = 1.96 * values.std() / np.sqrt(400)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)
    assert interval == bootstrap(values.tolist())


def test_one_clip_has_no_interval():
    interval = bootstrap([3.0])
    assert (interval.mean, interval.low, interval.high, interval.clips) == (3.0, None, None, 1)


def test_gains_are_paired_by_clip():
    line = next(line for line in summarise(rows()) if line.method == FUSED)
    assert line.values["psnr"].mean == pytest.approx((22 + 23 + 24 + 40) / 4)
    gain = line.gains["psnr"]  # clip d has no baseline; the others differ by exactly 2
    assert (gain.mean, gain.low, gain.high, gain.clips) == pytest.approx((2, 2, 2, 3))
    assert "akd" not in line.values
    assert "akd" not in line.gains


def test_table_order_is_regions_then_baselines_then_strategies():
    order = [(line.region, line.method.name) for line in summarise(rows())]
    assert order == [("full", NEAREST_COPY), ("head", ONE_REFERENCE), ("head", "mean")]


def test_json_round_trip(tmp_path):
    path = tmp_path / "new" / "r.json"
    write_json(result(), path)
    assert read_json(path) == result()
    assert [file.name for file in path.parent.iterdir()] == ["r.json"]
    tree = json.loads(path.read_text())
    assert tree["schema"] == "reenact-evaluation/1"
    assert "pictures" not in tree
    assert tree["rows"][0]["values"] == {"psnr": 22.0, "akd": None}


def test_json_has_the_documented_fields():
    documented = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")

    def names(tree):
        if isinstance(tree, dict):
            for key, value in tree.items():
                yield key
                yield from names(value)
        elif isinstance(tree, list):
            for item in tree:
                yield from names(item)

    missing = [name for name in set(names(json.loads(to_json(result())))) if f"`{name}`" not in documented]
    assert not missing
    assert all(f"`{column.key}`" in documented for column in COLUMNS)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": "reenact-evaluation/0"}'])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(ReenactError, match="Run the evaluation"):
        read_json(path)


def test_unwritable_place_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReenactError, match="cannot be written"):
        write_json(result(), tmp_path / "file" / "r.json")
