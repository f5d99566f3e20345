"""The inside of a mouth that opens further than in a reference."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from reenact_core import geometry
from reenact_core.face_regions import LIP_PAIRS
from reenact_core.motion_models import mesh_flows
from reenact_core.motion_models.mesh_flows import in_boxes
from reenact_core.motion_models.mesh_lookup import places_at
from reenact_core.motion_models.mesh_mouth import (
    DARK,
    between_lips,
    close_lips,
    darken,
    from_one,
    hold_teeth,
    shows_inside,
    unknown_share,
)
from reenact_core.motion_models.mesh_references import visible_vertices
from reenact_core.types import Faces

from ..faces import posed_faces, turned

BOX = torch.tensor([[28.0, 18.0, 200.0]])
SIZE, CANVAS = 800, (256, 256)
UPPER, LOWER = 13, 14
UPPERS = [upper for upper, _ in LIP_PAIRS]


def joined(*faces: Faces) -> Faces:
    return Faces(*(torch.cat(fields) for fields in zip(*faces)))


def face(gap: float, yaw: float = 0) -> Faces:
    """A face whose lips are `gap` pixels further apart than at rest; all below the upper lip has moved down."""
    faces = posed_faces([turned(yaw)])
    lower = faces.landmarks[0, :, 1] > faces.landmarks[0, UPPER, 1] + 0.01
    lower[list(UPPERS)] = False
    faces.landmarks[0, lower, 1] += gap
    return faces


def held(driving: Faces, references: Faces, share: float = 1.0):
    """Where the pixels of the box look in each reference [R,S,S,2], in its pixels, before and after, and the hollow."""
    count = len(references.score)
    facing = visible_vertices(references.landmarks)
    flows = mesh_flows.compute_flows(driving, references, torch.eye(2, 3).repeat(count, 1, 1), BOX, 64, facing)
    before = places_at(geometry.normalise(flows.mesh, CANVAS), CANVAS, SIZE)
    after = before.clone()
    shares = torch.full((1, count, 64, 64), share)
    hollow = hold_teeth(after, driving.landmarks, references.landmarks, shares, flows.vertices * SIZE)
    return [places[0] for places in (before, after)], hollow


def pixel(faces: Faces, vertex: int) -> tuple[int, int]:
    """Column and row of a vertex in the box."""
    column, row = ((faces.landmarks[0, vertex, :2] - BOX[0, :2]) / BOX[0, 2] * SIZE).round().int().tolist()
    return column, row


def test_teeth_keep_their_size_and_place_below_the_lip():
    driving, reference = face(30), face(8)
    (before, after), hollow = held(driving, reference)
    assert hollow is not None
    column, top = pixel(driving, UPPER)
    bottom = pixel(driving, LOWER)[1]
    wanted = (pixel(reference, LOWER)[1] - pixel(reference, UPPER)[1]) / (bottom - top)
    assert wanted < 0.5
    for row, step in ((top + 8, 1), (bottom - 8, -1)):  # beside either lip
        pace = [
            float(places[0, row + 4 * step, column, 1] - places[0, row, column, 1]) * step for places in (before, after)
        ]
        assert pace[0] < 0.6  # stretched: a pixel of the box, 1/4 of the canvas's, is far less of the reference
        assert pace[1] == pytest.approx(1.0, abs=0.25)
    unknown = hollow.unknown[0, 0, 0]
    x, y = hollow.corner[0].tolist()
    middle = unknown[(top + bottom) // 2 - y, column - x]
    assert float(middle) == 1
    assert float(unknown[top + 3 - y, column - x]) == 0
    assert float(unknown[bottom - 3 - y, column - x]) == 0


@pytest.mark.parametrize(("driving", "reference"), [(12, 12), (5, 20), (0.3, 0)], ids=["as far", "less", "hardly"])
def test_mouths_that_open_no_further_stay_as_they_are(driving, reference):
    (before, after), hollow = held(face(driving), face(reference))
    assert hollow is None
    assert torch.equal(before, after)


def test_where_the_mesh_has_no_share_nothing_changes():
    (before, after), hollow = held(face(30), face(2), share=0.0)
    assert hollow is not None
    assert float(hollow.unknown.max()) == 0
    assert torch.equal(before, after)


def test_each_reference_for_itself():
    driving, wide, narrow = face(30, 5), face(30), face(2, 10)
    (before, after), hollow = held(driving, joined(wide, narrow))
    assert hollow is not None
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])
    shares = unknown_share(hollow, SIZE, 100)
    assert float(shares[:, 0].max()) == 0
    assert float(shares[:, 1].max()) == pytest.approx(1, abs=0.01)
    assert float(shares[:, 1].mean()) == pytest.approx(float(hollow.unknown[:, 1].sum()) / SIZE**2, rel=0.1)


def test_only_what_is_not_known_turns_dark():
    driving, reference = face(30), face(5)
    _, hollow = held(driving, reference)
    assert hollow is not None
    features = torch.full((1, 1, 3, SIZE, SIZE), 0.6)
    darken(features, hollow, torch.full((1, 3, 64, 64), 0.8), torch.zeros(1, 2, 2))
    share = unknown_share(hollow, SIZE, SIZE)
    wanted = 0.6 + share * (0.8 * torch.tensor(DARK)[:, None, None] - 0.6)
    assert torch.allclose(features, wanted, atol=1e-5)
    assert 0 < float((features < 0.6).float().mean()) < 0.05


def scored(driving: Faces, *references: Faces, liked: Sequence[float] | None = None, masked: Sequence[int] = ()):
    """Shares [R,3,128,128] after `from_one`, of references liked alike or as `liked` says; and the mask.

    Those whose numbers are in `masked` may not be used.
    """
    many = joined(*references)
    flows = mesh_flows.compute_flows(
        driving, many, torch.eye(2, 3).repeat(len(references), 1, 1), BOX, 64, visible_vertices(many.landmarks)
    )
    scores = torch.zeros(1, len(references), 3, 128, 128)
    if liked is not None:
        scores += 15 * torch.tensor(liked)[:, None, None, None]
    mask = between_lips(flows.vertices * 128, 128)[0, 0]
    prior = torch.ones(1, len(references), 1, 128, 128)
    prior[:, list(masked)] = 0
    return from_one(scores, flows, many.landmarks, prior)[0].softmax(0), mask


@pytest.mark.parametrize(
    ("driving", "suits", "others"),
    [(30, 25, [4, 80]), (0, 0, [30, 15]), (12, 14, [0, 50])],
    ids=["open", "closed", "a little"],
)
def test_the_mouth_comes_from_the_one_that_opens_alike(driving, suits, others):
    shares, mask = scored(face(driving), face(others[0]), face(suits), face(others[1]))
    assert float(mask.max()) == 1, "closed lips have a seam too"
    inside = shares[:, :, mask == 1]
    assert float(inside[1].min()) > 0.99, "in every band and pixel"
    outside = shares[:, :, mask == 0]
    assert torch.allclose(outside, torch.full_like(outside, 1 / 3)), "elsewhere the network has decided"


def test_of_two_like_mouths_the_one_seen_from_the_same_side_is_shown():
    shares, mask = scored(face(20), face(20, 40), face(20, 0))
    assert float(shares[1, :, mask == 1].min()) > 0.99


def test_of_two_like_mouths_the_one_that_the_network_likes_is_shown():
    shares, mask = scored(face(20), face(20), face(20), liked=(0.0, 0.1))
    assert float(shares[1, :, mask == 1].min()) > 0.99
    shares, mask = scored(face(20), face(20), face(2), liked=(0.0, 0.1))
    assert float(shares[0, :, mask == 1].min()) > 0.99, "but a little more liking does not open a closed mouth"
    shares, mask = scored(face(20), face(20), face(30), liked=(0.0, 0.5))
    assert float(shares[0, :, mask == 1].min()) > 0.99, "nor does much more open one farther"


def test_a_mouth_that_may_not_be_used_is_not_chosen():
    shares, mask = scored(face(20), face(20), face(2), masked=[0])
    assert float(shares[1, :, mask == 1].min()) > 0.99


def test_nothing_is_painted_into_wide_open_mouths_that_a_reference_shows():
    references = torch.cat([face(30).landmarks, face(0).landmarks])
    for gap, wanted in ((30, [1, 0]), (1, [0, 0])):
        wide = face(gap).landmarks
        corners = wide[:, [78, 308], 0].mean(1)
        wide[..., 0] = corners + 6 * (wide[..., 0] - corners)  # six times as wide: not round
        assert shows_inside(wide, references).tolist() == [wanted]
    assert shows_inside(face(60).landmarks, references).tolist() == [[1, 1]], "nor into round ones"


def test_between_closed_lips_lies_the_upper_ones_rim():
    closed, parted, wide = face(-2.8), face(0), face(30)  # at rest they are a little open
    before = torch.rand(1, 2, SIZE, SIZE, 2)
    for driving, changed in ((closed, [False, True]), (parted, [False, False])):
        after = before.clone()
        shares = torch.ones(1, 2, 64, 64)
        close_lips(
            after, driving.landmarks, joined(closed, wide).landmarks, shares, in_boxes(driving.landmarks, BOX) * SIZE
        )
        assert [not torch.equal(before[:, n], after[:, n]) for n in range(2)] == changed
        if any(changed):
            # Beside the lower lip's rim: up by most of the reference's opening, as far as a pixel's centre is off it.
            column, row = pixel(closed, LOWER)
            window = (after - before)[0, 1, row - 4 : row + 4, column - 4 : column + 4, 1]
            opening = wide.landmarks[0, LOWER, 1] - wide.landmarks[0, UPPER, 1]
            assert -1.25 * opening < window.min() < -0.6 * opening
