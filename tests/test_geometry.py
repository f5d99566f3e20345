"""Coordinates, rigid fits and the rasteriser, which a slow loop over pixels and triangles checks."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reenact_core import geometry
from reenact_core.tracking import canonical_mesh

from .faces import posed_faces, texture, turned


def random_rotation(dimension: int, seed: int) -> Tensor:
    q, r = torch.linalg.qr(torch.randn(dimension, dimension, generator=torch.Generator().manual_seed(seed)))
    q = q * r.diagonal().sign()
    q[:, 0] *= torch.linalg.det(q).sign()
    return q


def oracle(vertices: Tensor, triangles: Tensor, size: int) -> tuple[list, list]:
    """Per pixel the nearest triangle and its depth, None where nothing is seen, and how sure that is.

    Plain loops with half-plane tests; "unsure" where a pixel centre is almost on an edge or two depths almost tie.
    """
    nearest = [[None] * size for _ in range(size)]
    unsure = [[False] * size for _ in range(size)]
    points = vertices.double().tolist()
    for row in range(size):
        for column in range(size):
            x, y = column + 0.5, row + 0.5
            hits = []
            for number, (i, j, k) in enumerate(triangles.tolist()):
                (ax, ay, az), (bx, by, bz), (cx, cy, cz) = points[i], points[j], points[k]
                whole = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
                if abs(whole) < 1e-6:
                    continue
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / whole
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / whole
                w = 1 - u - v
                if min(u, v, w) > -1e-4:
                    hits.append((u * az + v * bz + w * cz, number))
                if abs(min(u, v, w)) < 1e-4:
                    unsure[row][column] = True
            if hits:
                hits.sort()
                nearest[row][column] = hits[0]
                if len(hits) > 1 and hits[1][0] - hits[0][0] < 1e-3:
                    unsure[row][column] = True
    return nearest, unsure


def check_against_oracle(vertices: Tensor, triangles: Tensor, size: int) -> int:
    """Compares one image; returns how many pixels were covered."""
    triangle, weights = geometry.rasterise(vertices[None], triangles, size)
    nearest, unsure = oracle(vertices, triangles, size)
    covered = 0
    for row in range(size):
        for column in range(size):
            if unsure[row][column]:
                continue
            expected = nearest[row][column]
            seen = int(triangle[0, row, column])
            assert seen == (-1 if expected is None else expected[1]), (row, column)
            share = weights[0, row, column]
            if expected is None:
                assert not share.any()
                continue
            covered += 1
            corners = vertices[triangles[seen]]
            point = (share[:, None] * corners).sum(0)
            assert torch.allclose(point[:2], torch.tensor([column + 0.5, row + 0.5]), atol=2e-3)
            assert math.isclose(float(point[2]), expected[0], abs_tol=2e-3)
    return covered


def test_pixel_centres_and_edges():
    grid = geometry.pixel_grid(3, 5)
    assert grid.shape == (3, 5, 2)
    assert grid[0, 0].tolist() == [0.5, 0.5]
    assert grid[2, 4].tolist() == [4.5, 2.5]
    corners = geometry.normalise(torch.tensor([[0.0, 0.0], [5.0, 3.0], [2.5, 1.5]]), (3, 5))
    assert torch.allclose(corners, torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]]))


@pytest.mark.parametrize("size", [(7, 12), (13, 6)])
def test_sampling_at_the_pixels_own_places_changes_nothing(size):
    image = texture(*size)[None]
    same = geometry.sample(image, geometry.normalise(geometry.pixel_grid(*size), size)[None])
    assert torch.allclose(same, image, atol=1e-5)


def test_a_shift_by_one_pixel_looks_one_pixel_to_the_right():
    image = texture(8, 8)[None]
    points = geometry.pixel_grid(8, 8) + torch.tensor([1.0, 0.0])
    moved = geometry.sample(image, geometry.normalise(points, (8, 8))[None])
    assert torch.allclose(moved[..., :-1], image[..., 1:], atol=1e-6)


@pytest.mark.parametrize("dimension", [2, 3])
def test_affine_maps_compose_and_invert(dimension):
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(4, dimension, dimension + 1, generator=generator) for _ in range(2))
    points = torch.randn(4, 6, dimension, generator=generator)
    one_by_one = geometry.apply_affine(second, geometry.apply_affine(first, points))
    assert torch.allclose(geometry.apply_affine(geometry.compose_affine(second, first), points), one_by_one, atol=1e-4)
    back = geometry.apply_affine(geometry.invert_affine(first), geometry.apply_affine(first, points))
    assert torch.allclose(back, points, atol=1e-3)


def test_a_grid_of_an_affine_map_holds_every_pixels_place():
    affine = torch.tensor([[[1.1, 0.2, 3], [-0.3, 0.9, 5]], [[1, 0, 0], [0, 1, 0]]])
    places = geometry.apply_affine(affine, geometry.pixel_grid(7, 9).flatten(0, 1))
    grid = geometry.affine_grid(affine, (7, 9), (20, 30))
    assert torch.allclose(grid, geometry.normalise(places, (20, 30)).unflatten(1, (7, 9)), atol=1e-6)


@pytest.mark.parametrize("size", [(20, 30), (10, 15), (4, 6), (7, 11), (13, 16)])
def test_shrunk_maps_are_means_over_equal_parts(size):
    maps = torch.rand(2, 3, 20, 30)
    fine = maps.repeat_interleave(size[0], 2).repeat_interleave(size[1], 3)  # of which each part is a whole number
    means = F.avg_pool2d(fine, (20, 30))
    for kind in (maps, maps.clone().requires_grad_()):  # by OpenCV, and by torch
        assert torch.allclose(geometry.shrink(kind, size), means, atol=1e-5)


def test_widened_maps_hold_the_largest_value_around():
    maps = torch.randn(2, 3, 9, 12) - 1
    assert torch.equal(geometry.widen(maps), F.max_pool2d(maps, 3, 1, 1))
    strided = maps.movedim(1, -1).contiguous().movedim(-1, 1)
    assert torch.equal(geometry.widen(strided), F.max_pool2d(maps, 3, 1, 1))


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_similarity_fit_recovers_the_transform(dimension, seed):
    generator = torch.Generator().manual_seed(seed)
    rotation, scale = random_rotation(dimension, seed), 0.3 + 2 * float(torch.rand(1, generator=generator))
    shift = 50 * torch.randn(dimension, generator=generator)
    source = 20 * torch.randn(1, 15, dimension, generator=generator) + 100
    fitted = geometry.fit_similarity(source, scale * source @ rotation.T + shift)
    found_scale, found_rotation, _ = geometry.split_similarity(fitted)
    assert torch.allclose(found_rotation[0], rotation, atol=1e-4)
    assert math.isclose(float(found_scale), scale, rel_tol=1e-4)
    assert torch.allclose(geometry.join_similarity(*geometry.split_similarity(fitted)), fitted, atol=1e-4)
    assert torch.allclose(geometry.apply_affine(fitted, source)[0], scale * source[0] @ rotation.T + shift, atol=1e-2)


@pytest.mark.parametrize("dimension", [2, 3])
def test_similarity_fit_never_reflects(dimension):
    source = torch.randn(1, 12, dimension, generator=torch.Generator().manual_seed(2))
    mirrored = source.clone()
    mirrored[..., 0] *= -1
    fitted = geometry.fit_similarity(source, mirrored)
    assert float(torch.linalg.det(fitted[0, :, :-1])) > 0
    # The best rotation is still better than none: compare with keeping the points where they are.
    error = (geometry.apply_affine(fitted, source) - mirrored).square().sum()
    assert error <= (source - mirrored).square().sum() + 1e-4


def test_similarity_fit_of_flat_points_is_a_rotation():
    source = torch.cat([torch.randn(1, 10, 2, generator=torch.Generator().manual_seed(3)), torch.zeros(1, 10, 1)], 2)
    rotation = turned(30, 20, 10)
    fitted = geometry.fit_similarity(source, source @ rotation.T)
    assert torch.allclose(fitted[0, :, :3], rotation, atol=1e-4)


def test_points_of_no_weight_do_not_count():
    source = torch.randn(1, 10, 3, generator=torch.Generator().manual_seed(4))
    rotation = turned(-25, 10, 5)
    destination = source @ rotation.T
    destination[:, 7:] += 100
    weights = torch.tensor([1.0] * 7 + [0.0] * 3)
    fitted = geometry.fit_similarity(source, destination, weights)
    assert torch.allclose(fitted[0, :, :3], rotation, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_rasteriser_agrees_with_the_slow_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    vertices = torch.rand(14, 3, generator=generator) * torch.tensor([34.0, 34.0, 20.0]) - torch.tensor([5.0, 5.0, 0])
    triangles = torch.randint(0, 14, (25, 3), generator=generator)  # some have equal corners: degenerate
    assert check_against_oracle(vertices, triangles, 24) > 100


def test_rasteriser_agrees_with_the_slow_loop_on_a_turned_face():
    _, triangles = canonical_mesh()
    vertices = posed_faces([turned(50, 10, 5)], (14, 14), 22).landmarks[0, :468]
    assert check_against_oracle(vertices, triangles, 28) > 150


def test_images_of_a_batch_do_not_mix():
    _, triangles = canonical_mesh()
    near = posed_faces([turned(0)], (16, 16), 20).landmarks[:, :468]
    far = near + torch.tensor([4.0, -3.0, 500.0])
    both = geometry.rasterise(torch.cat([near, far]), triangles, 32)
    for n, vertices in enumerate((near, far)):
        alone = geometry.rasterise(vertices, triangles, 32)
        assert (alone[0][0] == both[0][n]).float().mean() > 0.99  # depth levels differ a little in the last bit
        assert torch.equal(alone[0][0] >= 0, both[0][n] >= 0)


@pytest.mark.parametrize("shift", [(100.0, 0.0), (-100.0, 0.0), (0.0, 100.0), (0.0, -100.0), (1e6, 1e6)])
def test_a_mesh_outside_the_image_is_not_seen(shift):
    _, triangles = canonical_mesh()
    vertices = posed_faces([turned(10)], (16, 16), 20).landmarks[:, :468] + torch.tensor([*shift, 0.0])
    triangle, weights = geometry.rasterise(vertices, triangles, 32)
    assert (triangle == -1).all()
    assert not weights.any()


def test_a_mesh_partly_outside_is_cut_at_the_edge():
    _, triangles = canonical_mesh()
    whole = posed_faces([turned(0)], (32, 32), 40).landmarks[:, :468]
    full, _ = geometry.rasterise(whole, triangles, 64)
    cut, _ = geometry.rasterise(whole - torch.tensor([30.0, 30.0, 0.0]), triangles, 34)
    assert (cut == full[:, 30:, 30:]).float().mean() > 0.99


def test_degenerate_triangles_are_harmless():
    point, line = [[5.3, 5.3, 1.0]] * 3, [[1.0, 1.2, 0.0], [9.0, 9.2, 0.0], [5.0, 5.2, 0.0]]
    triangle, weights = geometry.rasterise(torch.tensor([point + line]), torch.tensor([[0, 1, 2], [3, 4, 5]]), 12)
    assert (triangle == -1).all()
    assert weights.isfinite().all()


def test_normals_follow_the_winding():
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]])
    normals = geometry.triangle_normals(vertices, torch.tensor([[0, 1, 2], [0, 2, 1], [0, 0, 1]]))
    assert torch.allclose(normals[0], torch.tensor([[0.0, 0, 1], [0, 0, -1], [0, 0, 0]]))


@pytest.mark.parametrize("size", [(16, 16), (13, 21), (64, 64)])
def test_filling_outwards_keeps_what_is_known_and_stays_within_its_range(size):
    values = texture(*size)[None] - 0.5
    known = torch.zeros(1, 1, *size)
    known[..., 3:9, 4:11] = 1
    filled = geometry.fill_outwards(values * known, known)
    assert torch.equal(filled * known, values * known)
    inside = values[..., 3:9, 4:11]
    for channel in range(3):
        assert filled[0, channel].min() >= inside[0, channel].min() - 1e-5
        assert filled[0, channel].max() <= inside[0, channel].max() + 1e-5


def test_filling_outwards_continues_a_constant_and_follows_the_nearest_side():
    known = torch.zeros(1, 1, 32, 32)
    known[..., 12:20, 2:8] = 1
    known[..., 12:20, 24:30] = 1
    sides = torch.where(torch.arange(32) < 16, 1.0, 3.0).expand(1, 1, 32, 32)
    filled = geometry.fill_outwards(sides * known, known)
    assert torch.allclose(geometry.fill_outwards(2 * known, known), torch.full_like(known, 2.0), atol=1e-5)
    assert filled[0, 0, 16, 0] < 1.2
    assert filled[0, 0, 16, 31] > 2.8
    assert filled[0, 0, 16].diff().min() > -0.05  # smooth and rising from one side to the other


def test_filling_where_nothing_is_known_is_finite():
    assert geometry.fill_outwards(torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8)).isfinite().all()


@pytest.mark.parametrize("size", [(30, 50), (64, 64), (5, 7)])
def test_resizing_by_opencv_and_by_torch_agree(size):
    maps = torch.rand(2, 3, 10, 14, generator=torch.Generator().manual_seed(0))
    quick = geometry.enlarge(maps, size)
    with_gradients = geometry.enlarge(maps.clone().requires_grad_(), size)
    assert with_gradients.requires_grad
    torch.testing.assert_close(quick, with_gradients.detach(), atol=1e-4, rtol=0)
    torch.testing.assert_close(geometry.enlarge(maps.expand(4, 2, 3, 10, 14)[1], size), quick)
