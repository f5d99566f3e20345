"""A rule by which a moved mouth reads as the driver's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reenact_core.mouth_calibration import READ, calibrate_mouth
from reenact_core.tracking import BLENDSHAPE_NAMES

JAW, *SMILES = (BLENDSHAPE_NAMES.index(name) for name in READ)
CHIN, CORNER = 152, 61


def driver(frames: int = 40) -> Tensor:
    """Blendshapes of a driver who talks and smiles, each in its own rhythm."""
    time = torch.arange(float(frames))
    shapes = torch.zeros(frames, 52)
    shapes[:, JAW] = 0.35 + 0.3 * torch.sin(time)
    shapes[:, SMILES] = (0.3 + 0.25 * torch.sin(0.37 * time))[:, None]
    return shapes


def reader(driving: Tensor, some: Tensor, gain: float, offset: float):
    """A face whose jaw reads with another gain and offset, and the more shut the more it smiles."""

    def read(additions: Tensor) -> Tensor:
        shapes = driving[some].clone()
        shut = 0.3 * shapes[:, SMILES[0]]
        shapes[:, JAW] = gain * shapes[:, JAW] + offset - shut + 8.0 * additions[:, CHIN, 1]
        shapes[:, SMILES] -= 8.0 * additions[:, [CORNER], 1]
        return shapes

    return read


def test_a_jaw_that_reads_otherwise_is_made_to_read_like_the_drivers():
    driving, some = driver(), torch.arange(0, 40, 2)
    read = reader(driving, some, gain=0.8, offset=-0.1)
    before = read(torch.zeros(len(some), 478, 3))[:, JAW] - driving[some, JAW]
    added = calibrate_mouth(read, driving, some)
    after = read(added[some])[:, JAW] - driving[some, JAW]
    assert added.shape == (40, 478, 3)
    assert after.abs().mean() < 0.2 * before.abs().mean()
    assert after.std() < 0.3 * before.std()  # what varies is corrected as well as the mean


def test_a_mouth_that_reads_right_is_left_alone():
    driving, some = driver(), torch.arange(0, 40, 2)

    def read(additions: Tensor) -> Tensor:
        shapes = driving[some].clone()
        shapes[:, JAW] += 2.0 * additions[:, CHIN, 1]
        return shapes

    assert not calibrate_mouth(read, driving, some).any()


def test_readings_that_leap_to_and_fro_do_not_shake_the_mouth():
    driving, some = driver(), torch.arange(0, 40, 2)
    shaken = driving.clone()
    shaken[:, JAW] += 0.1 * (-1.0) ** torch.arange(40)
    calm, restless = (
        calibrate_mouth(reader(shapes, some, gain=0.5, offset=0.0), shapes, some)[1:-1] for shapes in (driving, shaken)
    )
    unrest = [(added[2:] - 2 * added[1:-1] + added[:-2])[:, CHIN, 1].abs().mean() for added in (calm, restless)]
    assert calm[:, CHIN, 1].std() > 0.002
    assert unrest[1] < 1.5 * unrest[0]


def test_a_driver_who_hardly_moves_is_followed_as_well():
    driving, some = driver(), torch.arange(0, 40, 2)
    driving[:, JAW] = 0.05 + 0.15 * (driving[:, JAW] - 0.35)  # varies by .03
    driving[:, SMILES] *= 0.2
    read = reader(driving, some, gain=0.4, offset=0.0)

    def alike(additions: Tensor) -> float:
        return float(torch.corrcoef(torch.stack([read(additions)[:, JAW], driving[some, JAW]]))[0, 1])

    added = calibrate_mouth(read, driving, some)[some]
    error, before = (read(more)[:, JAW] - driving[some, JAW] for more in (added, torch.zeros_like(added)))
    assert error.std() < 0.2 * before.std()
    assert alike(added) > 0.99


@pytest.mark.parametrize("answer", [50.0, 150.0, 500.0])
def test_a_face_that_answers_suddenly_and_to_and_fro_does_not_come_to_read_worse(answer: float):
    driving, some = driver(), torch.arange(0, 40, 2)

    def read(additions: Tensor) -> Tensor:
        shapes = driving[some].clone()
        shapes[:, JAW] = 0.5 + 0.4 * torch.sin(3 * driving[some, JAW] + answer * additions[:, CHIN, 1])
        return shapes

    added = calibrate_mouth(read, driving, some)[some]
    after, before = (
        (read(more)[:, JAW] - driving[some, JAW]).square().mean() for more in (added, torch.zeros_like(added))
    )
    assert after <= before


def test_additions_keep_within_reason():
    driving, some = driver(), torch.arange(0, 40, 2)
    added = calibrate_mouth(reader(driving, some, gain=-4.0, offset=3.0), driving, some)
    assert added.norm(dim=-1).amax() < 0.2  # of the face's height
