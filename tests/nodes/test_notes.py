from __future__ import annotations

import logging

import pytest

pytestmark = pytest.mark.host


def test_warnings_of_the_core_are_heard_once_and_only_meanwhile(pack):
    core = pack("reenact_core.references").log
    with pack("nodes.notes").heard() as notes:
        core.warning("No face found in %s: left out.", "reference 2")
        core.warning("No face found in %s: left out.", "reference 2")
        core.info("nothing to say")
        logging.getLogger("other").warning("somebody else's")
    core.warning("later")
    assert notes == ["No face found in reference 2: left out."]


def test_notes_are_one_text_and_nothing_where_there_are_none(pack):
    noted = pack("nodes.notes").noted
    assert noted(["a", "b"]) == {"text": ["a\nb"]}
    assert noted([]) == noted([""]) == {}
