"""The network of the face mesh: what it is told, and that the order of references does not matter."""

from __future__ import annotations

import torch

from reenact_core import geometry
from reenact_core.motion_models.mesh_flows import COUNT
from reenact_core.motion_models.mesh_network import FINE, GRID, INPUTS, NetworkInputs, follow_low_band, stretch
from reenact_core.motion_models.mesh_weights import new_networks

WHOLE = torch.full((2, 1, 1, 2), 2.0)  # one box side spans the whole reference


def identity(side: int) -> torch.Tensor:
    return geometry.normalise(geometry.pixel_grid(side, side), (side, side)).expand(1, 2, -1, -1, -1)


def test_stretch_is_zero_for_the_identity_and_counts_area_and_length():
    place = identity(FINE)
    assert stretch(place, WHOLE).abs().max() < 1e-4
    squeezed = place * torch.tensor([1.0, 0.5])  # half the height of the reference fills the box
    area, length = stretch(squeezed, WHOLE)[0, 0, :, 8, 8]
    assert torch.allclose(area, torch.tensor(0.5).log(), atol=1e-4)
    assert torch.allclose(length, torch.tensor(1.25 / 2).log() / 2, atol=1e-4)
    turned = place.flip(-1) * torch.tensor([-1.0, 1.0])  # a quarter turn pulls nothing apart
    assert stretch(turned, WHOLE).abs().max() < 1e-4
    assert stretch(-place * torch.tensor([1.0, -1.0]), WHOLE)[:, :, 0].max() < -4  # mirrored: shows nothing real


def random_inputs(count: int) -> NetworkInputs:
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    grids = identity(GRID)[:, :1, None] + 0.05 * noise(1, count, COUNT, GRID, GRID, 2)
    mesh = identity(FINE)[:, :1] + 0.05 * noise(1, count, FINE, FINE, 2)
    openings = (noise(1, 2, FINE, FINE) > 1).float()
    per_box = torch.full((count, 1, 1, 2), 2.0)
    return NetworkInputs(noise(1, count, INPUTS, GRID, GRID), grids, mesh, openings, noise(count, 3, 96, 96), per_box)


def shuffled(inputs: NetworkInputs, order: list[int]) -> NetworkInputs:
    return NetworkInputs(
        inputs.maps[:, order], inputs.grids[:, order], inputs.mesh[:, order],
        inputs.openings, inputs.pictures[order], inputs.per_box[order],
    )  # fmt: skip


def test_permuting_references_permutes_every_decision():
    torch.manual_seed(0)
    network = new_networks(8, 8).motion.eval()
    for head in (network.first, network.second):
        torch.nn.init.normal_(head.weight, std=0.1)
    inputs, order = random_inputs(3), [2, 0, 1]
    with torch.no_grad():
        plain, moved = network(inputs), network(shuffled(inputs, order))
    for name, one, other in zip(plain._fields, plain, moved):
        assert torch.allclose(one[:, order], other, atol=1e-3 * float(one.abs().max())), name
    assert not torch.allclose(plain.scores, moved.scores, atol=1e-2)


def test_decisions_are_bounded_whatever_comes_in():
    torch.manual_seed(0)
    network = new_networks(8, 8).motion.eval()
    for head in (network.first, network.second):
        torch.nn.init.normal_(head.weight, std=5.0)
    with torch.no_grad():
        out = network(random_inputs(2))
    assert torch.allclose(out.contributions.sum(2), torch.ones(1, 2, GRID, GRID), atol=1e-4)
    assert out.shift.abs().max() < 0.1
    assert out.confidence.min() >= 0
    assert out.confidence.max() <= 1
    assert all(value.isfinite().all() for value in out)


def test_detail_comes_from_where_the_coarse_picture_does_if_references_disagree():
    """Without that, the outline of one reference stands beside that of another."""
    scores = torch.tensor([[3.0, 0.0, -400.0], [0.0, 50.0, 0.0]])  # [R,BANDS]: coarse from the first, detail not
    scores = scores[None, ..., None, None].expand(1, 2, 3, 9, 9)
    apart = torch.zeros(1, 2, 1, 9, 9)
    assert torch.equal(follow_low_band(scores, apart), scores)
    apart[..., 4, 4] = 0.05
    weights = follow_low_band(scores, apart).softmax(1)[0, 0]
    torch.testing.assert_close(weights[0, 0, 0], scores.softmax(1)[0, 0, 0, 0, 0])
    assert 1 - weights[0, 4, 4] < 0.1 * (1 - weights[0, 0, 0])  # the mean of two outlines is a shadow
    assert float(weights[1:, 3:6, 3:6].min()) > 0.99  # and one cell around
    assert float(weights[1:, :, :2].max()) < 0.01
