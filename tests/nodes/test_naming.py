from __future__ import annotations

import pytest

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    ("names", "message", "expected"),
    [
        (("images",), "No face was found.", "`images`: No face was found."),
        (("image0", "video"), "No face was found.", "`image0`, `video`: No face was found."),
        (("image0", "video"), "`video` has no frames.", "`video` has no frames."),
        (("file",), "`file` is empty.", "`file` is empty."),
        ((), "No face was found.", "No face was found."),
    ],
)
def test_errors_name_the_input_once(pack, names, message, expected):
    errors = pack("reenact_core.errors")
    with pytest.raises(errors.FaceError) as caught, pack("nodes.naming").from_input(*names):
        raise errors.FaceError(message)
    assert str(caught.value) == expected


def test_other_exceptions_pass(pack):
    with pytest.raises(KeyError), pack("nodes.naming").from_input("images"):
        raise KeyError("images")
