"""Lips and lids at the picture's own resolution: no ramp where they meet."""

from __future__ import annotations

import pytest
import torch

from reenact_core import geometry
from reenact_core.contact import LIDS
from reenact_core.face_regions import LIP_PAIRS
from reenact_core.motion_models import mesh_flows
from reenact_core.motion_models.mesh_lookup import places_at
from reenact_core.motion_models.mesh_references import visible_vertices
from reenact_core.motion_models.mesh_seams import redraw_seams

from ..faces import posed_faces, turned

BOX = torch.tensor([[28.0, 18.0, 200.0]])
SIZE, CANVAS = 800, (256, 256)
SEAMS = {"lips": (13, 14), "right lids": (159, 145), "left lids": (386, 374)}


def shut(faces):
    """The faces with lips and lids closed."""
    landmarks = faces.landmarks.clone()
    for upper, lower in (*LIP_PAIRS, *LIDS[0], *LIDS[1]):
        landmarks[:, [upper, lower]] = landmarks[:, [upper, lower]].mean(1, keepdim=True)
    return faces._replace(landmarks=landmarks)


def looked_up(driving, reference, share=1.0):
    """Where the pixels of the box look in the reference [S,S,2], in its pixels, before and after."""
    flows = mesh_flows.compute_flows(
        driving, reference, torch.eye(2, 3)[None], BOX, 64, visible_vertices(reference.landmarks)
    )
    before = places_at(geometry.normalise(flows.mesh, CANVAS), CANVAS, SIZE)
    after = before.clone()
    redraw_seams(after, flows.moved, flows.drawn, torch.full((1, 1, 64, 64), share), flows.vertices * SIZE)
    return [places[0, 0] for places in (before, after)]


@pytest.mark.parametrize("seam", SEAMS)
def test_lips_and_lids_that_meet_show_nothing_between(seam):
    upper, lower = SEAMS[seam]
    driving, reference = shut(posed_faces([turned(8, 4, 6)])), posed_faces([turned(0)], opening=0.2)
    before, after = looked_up(driving, reference)
    column, row = ((driving.landmarks[0, upper, :2] - BOX[0, :2]) / BOX[0, 2] * SIZE).tolist()
    rows = slice(int(row) - 9, int(row) + 10)
    top, bottom = reference.landmarks[0, upper, 1], reference.landmarks[0, lower, 1]

    def between(places):  # pixels across the seam that show what lies between the reference's lips
        looked = places[rows, int(column), 1]
        return int(((looked > top + 1) & (looked < bottom - 1)).sum())

    assert between(before) >= 2
    assert between(after) <= 1


def test_the_same_face_stays_as_it_is():
    face = posed_faces([turned(10, 5, -8)], opening=0.05)
    before, after = looked_up(face, face)
    torch.testing.assert_close(after, before, atol=0.02, rtol=0)


def test_where_the_mesh_has_no_share_nothing_changes():
    driving, reference = shut(posed_faces([turned(0)])), posed_faces([turned(0)], opening=0.2)
    before, after = looked_up(driving, reference, share=0.0)
    assert torch.equal(after, before)


def test_only_lips_and_lids_change():
    driving, reference = shut(posed_faces([turned(0)])), posed_faces([turned(20)], opening=0.2)
    before, after = looked_up(driving, reference)
    changed = (after - before).norm(dim=-1) > 1e-3
    assert 0 < float(changed.float().mean()) < 0.12
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert not changed[corner]


def test_closed_lips_show_no_rim_of_the_open_ones():
    """Next to the seam the lips themselves are seen, a tenth of the way that they closed beyond the tracked rims."""
    driving, reference = shut(posed_faces([turned(0)])), posed_faces([turned(0)], opening=0.2)
    _, after = looked_up(driving, reference)
    column, row = ((driving.landmarks[0, 13, :2] - BOX[0, :2]) / BOX[0, 2] * SIZE).round().long().tolist()
    top, bottom = reference.landmarks[0, [13, 14], 1]
    rim = 0.1 * float(bottom - top)
    above, below = after[row - 2, column, 1], after[row + 1, column, 1]
    assert above < top - 0.5 * rim
    assert below > bottom + 0.5 * rim
