"""Irises lie where the driving eyes have them; closed lids leave no slit."""

from __future__ import annotations

import pytest
import torch

from reenact_core import geometry
from reenact_core.contact import LIDS
from reenact_core.motion_models import mesh_flows
from reenact_core.motion_models.mesh_eyes import close_lids, place_irises
from reenact_core.motion_models.mesh_lookup import places_at
from reenact_core.motion_models.mesh_references import visible_vertices
from reenact_core.motion_models.mesh_refiner import MeshRefiner
from reenact_core.motion_models.mesh_seams import redraw_seams
from reenact_core.types import Faces

from ..faces import posed_faces, turned

BOX = torch.tensor([[28.0, 18.0, 200.0]])
SIZE, CANVAS = 800, 256
IRISES = {"right": range(468, 473), "left": range(473, 478)}


def face(gaze: tuple[float, float] = (0, 0), opening: float = 1, yaw: float = 0) -> Faces:
    """A face that looks `gaze` pixels aside, whose eyes are open by a factor."""
    faces = posed_faces([turned(yaw)])
    landmarks = faces.landmarks.clone()
    for upper, lower in (*LIDS[0], *LIDS[1]):
        middle = landmarks[:, [upper, lower]].mean(1, keepdim=True)
        landmarks[:, [upper, lower]] = middle + opening * (landmarks[:, [upper, lower]] - middle)
    landmarks[:, 468:, :2] += torch.tensor(gaze)
    return faces._replace(landmarks=landmarks)


def looked_up(driving: Faces, reference: Faces, share: float = 1.0) -> list[torch.Tensor]:
    """Where the pixels of the box look in the reference [S,S,2], in its pixels: by mesh and seams, and with eyes."""
    facing = visible_vertices(reference.landmarks)
    flows = mesh_flows.compute_flows(driving, reference, torch.eye(2, 3)[None], BOX, 64, facing)
    shares = torch.full((1, 1, 64, 64), share)
    before = places_at(geometry.normalise(flows.mesh, (CANVAS, CANVAS)), (CANVAS, CANVAS), SIZE)
    local = flows.vertices * SIZE
    after = before.clone()
    redraw_seams(before, flows.moved, flows.drawn, shares, local)
    redraw_seams(after, close_lids(flows.moved, local), flows.drawn, shares, local)
    place_irises(after, reference.landmarks, shares, local)
    return [places[0, 0] for places in (before, after)]


def pixels(faces: Faces, points) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns of landmarks in the box."""
    column, row = ((faces.landmarks[0, list(points), :2] - BOX[0, :2]) / BOX[0, 2] * SIZE - 0.5).round().long().T
    return row, column


@pytest.mark.parametrize("eye", IRISES)
@pytest.mark.parametrize("gaze", [(2.0, 0.0), (-1.5, 0.7)])
def test_an_iris_is_seen_where_the_driving_eye_has_it_and_keeps_its_size(eye, gaze):
    driving, reference = face(gaze), face(opening=1.3, yaw=5)
    _, after = looked_up(driving, reference)
    centre, right, _, left, _ = IRISES[eye]
    points = (centre, right, left)
    found = after[pixels(driving, points)]
    torch.testing.assert_close(found, reference.landmarks[0, points, :2], atol=0.35, rtol=0)


def test_nothing_folds_beside_an_iris_that_moved():
    """From corner to corner, however far the iris moved, every pixel looks further to the right than the one before."""
    driving = face((2.5, 0))
    _, after = looked_up(driving, face((-2.0, 0)))
    (row, _, _), (_, outer, inner) = pixels(driving, [468, 33, 133])
    assert bool((after[row, int(outer) + 2 : int(inner) - 1, 0].diff() > 0).all())


def test_the_same_eyes_stay_as_they_are():
    same = face((1.0, 0.3), yaw=10)
    before, after = looked_up(same, same)
    torch.testing.assert_close(after, before, atol=0.1, rtol=0)


def test_a_closed_eye_shows_no_slit():
    """Between closed lids the rim of the upper one is seen, and beneath them no rim of the lower one."""
    driving, reference = face(opening=0.1), face(opening=1.3)
    before, after = looked_up(driving, reference)
    top, bottom = reference.landmarks[0, [159, 145], 1].tolist()
    (upper, lower), (column, _) = pixels(driving, [159, 145])
    opening = slice(int(upper) + 1, int(lower))

    def slit(places):  # pixels that show what lies between the reference's lids, rims included
        looked = places[int(upper) - 6 : int(lower) + 7, column, 1]
        return int(((looked > top + 0.7) & (looked < bottom + 0.5)).sum())

    assert slit(before) >= 2
    assert slit(after) <= 1
    assert bool(((after[opening, column, 1] - top).abs() < 0.7).all())


@pytest.mark.parametrize(("opening", "share"), [(0.05, 1.0), (1.0, 0.0)], ids=["closed reference", "no share"])
def test_nothing_changes_where_there_is_no_iris_to_place(opening, share):
    before, after = looked_up(face((2.0, 0)), face(opening=opening), share)
    torch.testing.assert_close(after, before)


def test_the_refiner_changes_no_colour_in_eyes_and_nothing_where_it_must_not():
    torch.manual_seed(0)
    refiner = MeshRefiner(16).eval()
    torch.nn.init.normal_(refiner.leave.weight, std=0.1)
    pictures, context = torch.full((1, 3, 256, 256), 0.5), torch.randn(1, 27, 128, 128)
    reserve = torch.zeros(1, 2, 128, 128)
    reserve[:, 0, :40], reserve[:, 1, 60:] = 1, 1
    with torch.inference_mode():
        change = refiner(pictures, context, reserve) - pictures
    spread = change.amax(1) - change.amin(1)
    assert float(change[..., :76, :].abs().max()) == 0
    assert float(spread[:, 90:110].mean()) > 0.01
    assert float(spread[:, 126:].max()) < 1e-6 < float(change[..., 126:, :].abs().mean())
