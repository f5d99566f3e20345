"""Lips and lids that keep to the driver's gap."""

from __future__ import annotations

import pytest
import torch

from reenact_core.canonical_shape import average_shape
from reenact_core.contact import LIDS, keep_contacts
from reenact_core.face_regions import LIP_PAIRS


def mouth(gap: float) -> torch.Tensor:
    """A face [1,478,3] whose lips are `gap` apart all along, in face heights."""
    shape = average_shape()[None].clone()
    for upper, lower in LIP_PAIRS:
        middle = (shape[0, upper] + shape[0, lower]) / 2
        shape[0, upper], shape[0, lower] = middle, middle + torch.tensor([0.0, gap, 0.0])
    return shape


def gaps(shape: torch.Tensor) -> torch.Tensor:
    return torch.stack([shape[0, lower, 1] - shape[0, upper, 1] for upper, lower in LIP_PAIRS])


def test_closed_lips_close_and_open_ones_come_nearer_to_the_drivers_gap():
    rest, ours = average_shape(), mouth(0.15)
    closed = gaps(keep_contacts(ours, mouth(0.0), rest, rest))
    assert closed.abs().amax() < 1e-5
    opened = gaps(keep_contacts(ours, mouth(0.05), rest, rest))
    assert opened.mean().item() == pytest.approx(0.15 - 0.6 * (0.15 - 0.05), abs=1e-4)
    assert (gaps(keep_contacts(ours, mouth(0.15), rest, rest)) - 0.15).abs().amax() < 1e-5


def lids(share: float) -> torch.Tensor:
    """A face [1,478,3] whose eyes are open by a share of what they are at rest."""
    shape = average_shape()[None].clone()
    for upper, lower in [pair for eye in LIDS for pair in eye]:
        shape[0, upper] = shape[0, lower] + share * (shape[0, upper] - shape[0, lower])
    return shape


def test_lids_close_farther_than_the_drivers_and_open_as_far():
    rest = average_shape()
    resting, half, shut, wide = (
        keep_contacts(rest[None], lids(share), rest, rest)[0, [159, 145], 1].diff() for share in (1.0, 0.59, 0.18, 1.2)
    )
    assert float(resting) == pytest.approx(float(rest[145, 1] - rest[159, 1]), abs=1e-5)
    assert float(half / resting) == pytest.approx(0.5 - 0.15 * 0.5, abs=1e-3)
    assert float(shut) == pytest.approx(0, abs=1e-5)
    assert float(wide / resting) == pytest.approx(1 + 0.2 / 0.82, abs=1e-3)
