"""Candidate flows: what geometry says about every pixel."""

from __future__ import annotations

import pytest
import torch

from reenact_core import geometry
from reenact_core.images import read_image
from reenact_core.motion_models import mesh_flows
from reenact_core.motion_models.mesh_flows import BACKGROUND, HEAD, MESH, MESH_POINTS, TORSO
from reenact_core.motion_models.mesh_references import visible_vertices

from ..faces import posed_faces, shared, turned

GRID = 64
BOX = torch.tensor([[28.0, 18.0, 200.0]])
SAME = torch.eye(2, 3)[None]


def flows_between(driving, reference, background=SAME, box=BOX):
    count = len(reference.score)
    return mesh_flows.compute_flows(
        driving,
        reference,
        background.expand(count, -1, -1),
        box.expand(len(driving.score), -1),
        GRID,
        visible_vertices(reference.landmarks),
    )


def at_points(field, points, box=BOX[0]):
    """A map [C,G,G] read at canvas points [P,2]: [P,C]."""
    unit = ((points - box[:2]) / box[2] * 2 - 1)[None, None]
    return geometry.sample(field[None], unit)[0, :, 0].T


def positions_at(flows, candidate, points, t=0, r=0):
    return at_points(flows.positions[t, r, candidate].permute(2, 0, 1), points)


def test_the_same_face_is_not_moved():
    face = posed_faces([turned(20, 5, -8)])
    flows = flows_between(face, face)
    own_places = BOX[0, :2] + geometry.pixel_grid(GRID, GRID) / GRID * BOX[0, 2]
    for candidate in range(mesh_flows.COUNT):
        assert torch.allclose(flows.positions[0, 0, candidate], own_places, atol=0.02), candidate
    assert flows.residual.max() < 1e-4
    assert flows.angle.max() < 0.1
    assert flows.turn.abs().max() < 1e-3


def test_the_mesh_carries_every_visible_vertex_to_its_own():
    driving, reference = posed_faces([turned(-15, 5, 0)]), posed_faces([turned(10, -5, 12)], (140, 120), 130, 0.1)
    flows = flows_between(driving, reference)
    seen = (visible_vertices(driving.landmarks)[0] > 0.4).nonzero().flatten()
    # The eyes' openings carry an extra shift for the irises.
    eyes = torch.cat([driving.landmarks[0, [468, 473], :2]])
    seen = seen[torch.cdist(driving.landmarks[0, seen, :2], eyes).amin(1) > 14]
    assert len(seen) > 150
    arrived = positions_at(flows, MESH, driving.landmarks[0, seen, :2])
    error = (arrived - reference.landmarks[0, seen, :2]).norm(dim=1)
    assert error.median() < 0.5
    assert error.quantile(0.9) < 2.5


def test_the_irises_arrive_at_the_irises():
    driving, reference = posed_faces([turned(0)]), posed_faces([turned(0)])
    reference.landmarks[0, 468:] += torch.tensor([3.0, 0.5, 0.0])  # looks elsewhere, lids as they are
    flows = flows_between(driving, reference)
    irises = [468, 473]
    error = positions_at(flows, MESH, driving.landmarks[0, irises, :2]) - reference.landmarks[0, irises, :2]
    assert error.norm(dim=1).max() < 0.8
    cheek = driving.landmarks[0, [50, 280], :2]
    assert (positions_at(flows, MESH, cheek) - cheek).norm(dim=1).max() < 0.1


@pytest.mark.parametrize("angles", [(25, 0, 0), (-40, 0, 0), (0, 20, 0), (0, 0, 35), (20, -10, 15)])
def test_angle_and_axis_between_heads(angles):
    driving, reference = posed_faces([turned(0)]), posed_faces([turned(*angles)])
    flows = flows_between(driving, reference)
    rotation = turned(*angles)
    expected = torch.rad2deg(torch.acos((rotation.trace() - 1) / 2))
    assert flows.angle[0, 0] == pytest.approx(float(expected), abs=0.2)
    axis = torch.linalg.eig(rotation)
    real = axis.eigenvectors[:, (axis.eigenvalues - 1).abs().argmin()].real
    turn = torch.nn.functional.normalize(flows.turn[0, 0], dim=0)
    assert (turn @ real).abs() > 0.999
    assert torch.allclose(turned(*angles) @ turn, turn, atol=1e-2)


def test_rigid_candidates_are_exact_at_their_depth():
    driving, reference = posed_faces([turned(0)]), posed_faces([turned(30, 5, -10)], (120, 130), 120)
    flows = flows_between(driving, reference)
    rigid = geometry.fit_similarity(driving.landmarks[:, :MESH_POINTS], reference.landmarks[:, :MESH_POINTS])
    height = mesh_flows.face_height(driving.landmarks)
    points = torch.tensor([[128.0, 128.0], [100.0, 90.0], [60.0, 100.0]])
    for depth, candidate in zip(mesh_flows.HEAD_DEPTHS, range(HEAD.start, HEAD.stop)):
        z = driving.landmarks[0, :MESH_POINTS, 2].mean() + depth * height
        solid = torch.cat([points, z.expand(3, 1)], 1)
        expected = geometry.apply_affine(rigid, solid[None])[0, :, :2]
        assert torch.allclose(positions_at(flows, candidate, points), expected, atol=0.3)


def test_background_and_torso():
    driving, reference = posed_faces([turned(0)]), posed_faces([turned(0)], (148, 118))
    affine = torch.tensor([[[0.5, 0, 10], [0, 0.5, 20]]])
    flows = flows_between(driving, reference, affine)
    points = torch.tensor([[50.0, 60.0], [200.0, 180.0]])
    assert torch.allclose(positions_at(flows, BACKGROUND, points), points / 2 + torch.tensor([10.0, 20.0]), atol=0.1)
    plain = flows_between(driving, reference)
    drift = positions_at(plain, TORSO, points) - points
    assert torch.allclose(drift, mesh_flows.TORSO_DAMPING * torch.tensor([[20.0, -10.0]]).expand(2, 2), atol=0.2)


def test_covered_pixels_and_normals():
    face = posed_faces([turned(0)])
    flows = flows_between(face, face)
    area = float(flows.inside.mean()) * 200**2
    outline = face.landmarks[0, :MESH_POINTS, :2]
    box = (outline.amax(0) - outline.amin(0)).prod()
    assert 0.55 * box < area < 0.95 * box
    inside = flows.inside[0, 0] > 0
    normals = flows.normals[0].permute(1, 2, 0)
    assert (normals[inside][:, 2] < 0.3).float().mean() > 0.95  # they look at the camera
    assert not normals[~inside].any()
    nose = at_points(flows.normals[0], outline[[4]])
    assert nose[0, 2] < -0.7


def test_residual_is_zero_where_only_the_head_moved_and_not_at_an_opened_mouth():
    driving, reference = posed_faces([turned(0)]), posed_faces([turned(15)], opening=0.15)
    flows = flows_between(driving, reference)
    points = driving.landmarks[0, [10, 152], :2] + torch.tensor([[0.0, 6.0], [0.0, -4.0]])
    forehead, chin = at_points(flows.residual[0, 0], points)[:, 0]
    assert forehead < 0.02
    assert chin > 0.08


def test_head_coordinates_follow_the_head():
    face = posed_faces([turned(0, 0, 30)], (110, 140))
    flows = flows_between(face, face)
    landmarks = face.landmarks[0, :MESH_POINTS, :2]
    head = at_points(flows.head[0], torch.stack([landmarks.mean(0), landmarks[10], landmarks[152]]))
    assert torch.allclose(head[0], torch.zeros(2), atol=0.01)
    assert torch.allclose(head[2] - head[1], torch.tensor([0.0, 1.0]), atol=0.05)


def test_pairs_do_not_mix():
    driving = posed_faces([turned(0), turned(25)])
    reference = posed_faces([turned(-20), turned(10), turned(40)])
    together = flows_between(driving, reference)
    for t in range(2):
        for r in range(3):
            alone = flows_between(driving.at([t]), reference.at([r]))
            for name in ("positions", "residual", "facing", "angle", "turn"):
                assert torch.allclose(getattr(alone, name)[0, 0], getattr(together, name)[t, r], atol=2e-3), name


def test_a_face_outside_its_box_is_survived():
    far = posed_faces([turned(0)], (-5000, 3000))
    flows = flows_between(far, posed_faces([turned(0)]))
    assert not flows.inside.any()
    assert all(field.isfinite().all() for field in flows)


def test_normals_look_at_the_camera_whatever_the_winding():
    normals = mesh_flows.vertex_normals(posed_faces([turned(0), turned(40), turned(-40)]).landmarks)
    assert torch.allclose(normals.norm(dim=-1), torch.ones(3, MESH_POINTS), atol=1e-4)
    assert (normals[..., 2].mean(1) < 0).all()
    assert normals[0, 4, 2] < -0.7
    left, right = 234, 454  # in the image
    assert normals[0, left, 0] < -0.4
    assert normals[0, right, 0] > 0.4


@pytest.mark.parametrize(("yaw", "hidden", "seen"), [(50, 454, 234), (-50, 234, 454)])
def test_the_far_cheek_of_a_turned_head_is_hidden(yaw, hidden, seen):
    facing = visible_vertices(posed_faces([turned(yaw)]).landmarks)[0]
    assert facing[hidden] <= 0
    assert facing[seen] > 0.3
    assert facing[4] > 0.2  # the nose tip is always seen
    frontal = visible_vertices(posed_faces([turned(0)]).landmarks)[0]
    assert (frontal > 0).float().mean() > 0.85


def test_the_far_cheek_is_hidden_on_a_real_photo(tracker):
    """Photo 2 shows a woman turned 34 degrees to the image's right, so the cheek at the image's right is far."""
    image = read_image(shared("photos/emotions_a") / "2.jpg")
    image = torch.nn.functional.interpolate(image[None], scale_factor=0.4, mode="area")[0]
    faces = tracker.track_images([image, image.flip(-1)])
    facing = visible_vertices(faces.landmarks)
    near, far = (234, 227, 116), (454, 447, 345)  # three points of each cheek's outer edge
    assert facing[0, list(near)].min() > 0.3
    assert facing[0, list(far)].max() < 0.2
    assert facing[1, list(far)].min() > 0.3  # in the mirror image they change roles
    assert facing[1, list(near)].max() < 0.2
    assert ((facing[0] > 0).float().mean() - (facing[1] > 0).float().mean()).abs() < 0.08


def test_a_reference_of_another_scale_is_looked_up_at_that_scale():
    """Everywhere, also far from the face, where the nearest skin's movement continues."""
    driving, reference = posed_faces([turned(10)]), posed_faces([turned(-15, 5)])
    smaller = reference._replace(landmarks=reference.landmarks * 0.5)
    large, small = flows_between(driving, reference), flows_between(driving, smaller, SAME * 0.5)
    assert torch.allclose(small.positions, large.positions / 2, atol=0.05)
    assert torch.allclose(small.mesh, large.mesh / 2, atol=0.05)
