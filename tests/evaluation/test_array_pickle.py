import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from reenact_core.errors import CheckpointError
from reenact_core.evaluation.array_pickle import load_arrays


class Attack:
    """Runs a command when a careless reader loads it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_attack_works_on_a_careless_reader(tmp_path):
    marker = tmp_path / "ran"
    pickle.loads(pickle.dumps(Attack(marker)))
    assert marker.exists()


@pytest.mark.parametrize("place", ["root", "value", "key"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, place):
    marker = tmp_path / "ran"
    attack = Attack(marker)
    tree = {"root": attack, "value": {"a": {"b": attack}}, "key": {attack: np.zeros(2)}}[place]
    file = tmp_path / "evil.ckpt"
    file.write_bytes(pickle.dumps(tree))
    with pytest.raises(CheckpointError, match=r"asks for (posix|nt)\.system"):
        load_arrays(file)
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "builtins.getattr", "numpy.load", "numpy.core.multiarray.frombuffer"]
)
def test_other_names_are_refused_even_from_known_modules(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    file = tmp_path / "evil.ckpt"
    file.write_bytes(f"c{module}\n{attribute}\n(S'1'\ntR.".encode())
    with pytest.raises(CheckpointError, match="refused"):
        load_arrays(file)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_plain_arrays_come_back(tmp_path, protocol):
    tree = {
        "net": {
            "a": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
            "f": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
            "big": np.arange(5, dtype=">i4"),
        },
        "byte": np.array([1, 255], np.uint8),
    }
    file = tmp_path / "arrays.ckpt"
    file.write_bytes(pickle.dumps(tree, protocol=protocol))
    arrays = load_arrays(file)
    assert list(arrays) == ["net/a", "net/f", "net/big", "byte"]
    for path, expected in zip(arrays, [*tree["net"].values(), tree["byte"]], strict=True):
        assert np.array_equal(arrays[path], expected)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"a": np.array([None, {}], object)}, "type"),
        ({"a": np.array(["x"])}, "type"),
        ({"a": 3.0}, "float"),
        ([np.zeros(2)], "list"),
    ],
)
def test_anything_but_plain_arrays_is_refused(tmp_path, content, reason):
    file = tmp_path / "other.ckpt"
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match=reason):
        load_arrays(file)


def test_damage_is_reported(tmp_path):
    file = tmp_path / "cut.ckpt"
    whole = pickle.dumps({"a": np.zeros(100)})
    for content in (b"", whole[:-50], b"not a pickle", os.urandom(300)):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"cut\.ckpt"):
            load_arrays(file)
    with pytest.raises(CheckpointError, match="Cannot read"):
        load_arrays(tmp_path / "absent.ckpt")
