"""References that do not fit the others: who is at odds with whom, and what is done about it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reenact_core.evaluation.added_reference import blurred, lit_from_one_side
from reenact_core.plausibility import LOWERED, at_odds, compare_faces, find_doubts, weigh_references
from reenact_core.references import encode_references
from reenact_core.retargeting import Transfer
from reenact_core.types import References
from reenact_core.video import VideoReader
from reenact_core.warping import warp_per_reference

from .faces import ROOT, GivenEvidence, moving, random_evidence


def apart(count: int, *pairs: tuple[int, int]) -> Tensor:
    """[R,R] bool, True for these pairs."""
    table = torch.zeros(count, count, dtype=torch.bool)
    for a, b in pairs:
        table[a, b] = table[b, a] = True
    return table


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        (apart(1), []),
        (apart(2), []),
        (apart(2, (0, 1)), [1]),  # nobody can say: the first counts as right
        (apart(3, (0, 2), (1, 2)), [2]),
        (apart(3, (0, 1), (0, 2)), [0]),
        (apart(4, (0, 2), (0, 3), (1, 2), (1, 3)), [2, 3]),  # two against two
        (apart(5, (0, 4)), []),  # a profile unlike one of four others
        (apart(4, *[(a, b) for a in range(4) for b in range(a)]), []),  # four occasions: nobody can say
    ],
    ids=str,
)
def test_most_of_those_that_go_together_are_right(table, wrong):
    assert at_odds(table).nonzero().flatten().tolist() == wrong


def test_those_without_a_say_are_not_asked():
    table = apart(3, (0, 1), (0, 2))
    assert at_odds(table, torch.tensor([True, True, False])).tolist() == [False, True, False]


def frames(name: str, *numbers: int) -> list[Tensor]:
    with VideoReader(ROOT / "samples" / name) as reader:
        return list(reader.frames(list(numbers)))


@pytest.fixture(scope="module")
def good(tracker) -> References:
    """Four pictures of one person, turned and speaking."""
    return encode_references(frames("other_person.mp4", 0, 12, 24, 36), tracker, labels=["a", "b", "c", "d"])


@pytest.fixture(scope="module")
def stranger(tracker) -> References:
    return encode_references(frames("driving.mp4", 0), tracker)


def replaced(references: References, index: int, image: Tensor) -> References:
    """The same faces with another picture at one place."""
    images = list(references.images)
    images[index] = image
    return references._replace(images=tuple(images))


def of(references: References, *indices: int) -> References:
    """Some of the references."""
    return References(
        images=tuple(references.images[i] for i in indices),
        masks=tuple(references.masks[i] for i in indices),
        faces=references.faces.at(list(indices)),
        strengths=references.strengths[list(indices)],
        labels=tuple(references.labels[i] for i in indices),
    )


def test_good_references_stay_as_they_are(good):
    for references in (good, of(good, 0, 3), of(good, 2)):
        assert weigh_references(references) == (references, ())


def test_comparison_is_symmetric_and_blind_to_exposure(good):
    found = compare_faces(good)
    for table in found:
        assert torch.allclose(table, table.T, atol=1e-4)
        assert (table.diagonal() < 0.1).all()
    darker = compare_faces(replaced(good, 1, good.images[1] * 0.7))
    assert torch.allclose(darker.shading, found.shading, atol=0.02)
    assert torch.allclose(darker.strangeness, found.strangeness, atol=0.05)


SPOILED: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str]] = {
    "blurred": (blurred, "is out of focus beside"),
    "warm light from one side": (lit_from_one_side, "is in another light than"),
    "half in shadow": (
        lambda image, face: image * (0.5 + 0.5 * torch.sigmoid((torch.arange(image.shape[2]) - face[1, 0]) / 20)),
        "is in another light than",
    ),
    "another contrast": (lambda image, face: image**0.6, "is in another light than"),
}


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("indices", [(0, 1), (0, 1, 2), (2, 1, 0, 3)], ids=["of two", "of three", "of four"])
def test_spoiled_pictures_are_held_back_and_named(good, kind, indices):
    spoil, words = SPOILED[kind]
    references = of(good, *indices)
    last = len(indices) - 1
    bad = replaced(references, last, spoil(references.images[last], references.faces.landmarks[last]))
    weighed, (note,) = weigh_references(bad)
    others = references.labels[0] if last == 1 else "the others"
    assert note == f"{bad.labels[last]} {words} {others}: used only where nothing else shows a pixel."
    assert weighed.labels == bad.labels
    assert weighed.strengths.tolist() == pytest.approx([1.0] * last + [LOWERED])


@pytest.mark.parametrize("indices", [(0,), (0, 3), (0, 1, 2, 3)], ids=["of two", "of three", "of five"])
def test_a_stranger_is_left_out(good, stranger, indices):
    references = of(good, *indices)
    mixed = References(
        images=references.images + stranger.images,
        masks=references.masks + stranger.masks,
        faces=type(good.faces)(*(torch.cat(pair) for pair in zip(references.faces, stranger.faces))),
        strengths=torch.cat([references.strengths, stranger.strengths]),
        labels=(*references.labels, "x"),
    )
    weighed, (note,) = weigh_references(mixed)
    assert note.startswith("x shows somebody else than ")
    assert note.endswith(": left out.")
    assert weighed.labels == references.labels
    assert weighed.faces.landmarks.shape[0] == len(weighed.strengths) == len(indices)


def test_the_first_is_the_canvas_and_stays(good, stranger):
    faces = type(good.faces)(*(torch.cat(pair) for pair in zip(stranger.faces, good.faces)))
    mixed = References(
        stranger.images + good.images, stranger.masks + good.masks, faces, torch.ones(5), ("x", *good.labels)
    )
    weighed, (note,) = weigh_references(mixed)
    assert note.startswith("x shows somebody else than the others")
    assert note.endswith(": used only where nothing else shows a pixel.")
    assert weighed.strengths.tolist() == pytest.approx([LOWERED, 1, 1, 1, 1])


def test_two_spoiled_pictures_of_four_are_found(good):
    bad = good
    for index in (1, 3):
        bad = replaced(bad, index, blurred(good.images[index], good.faces.landmarks[index]))
    assert set(find_doubts(bad)) == {1, 3}


def test_warping_weighs_unless_told_otherwise(good, stranger, caplog):
    faces = type(good.faces)(*(torch.cat(pair) for pair in zip(good.faces, stranger.faces)))
    mixed = References(good.images + stranger.images, good.masks + stranger.masks, faces, torch.ones(5), tuple("abcdx"))
    model = GivenEvidence(random_evidence(), torch.tensor([[0, 0, 64]]))
    motion = moving(good.faces)
    warped = warp_per_reference(mixed, motion, model, Transfer.ABSOLUTE)
    assert warped.references.labels == warped.encoded.labels == tuple("abcd")
    assert warped.notes[0] in caplog.text
    plain = warp_per_reference(mixed, motion, model, Transfer.ABSOLUTE, weigh=False)
    assert (plain.references.labels, plain.notes) == (tuple("abcdx"), ())
