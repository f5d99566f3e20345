"""Pictures of references, of their coverage and of driving motion show what they say."""

from __future__ import annotations

import pytest
import torch

from reenact_core.coverage import coverage, coverage_picture
from reenact_core.landmark_pictures import reference_pictures
from reenact_core.motion_plot import motion_plot
from reenact_core.previews import PALETTE
from reenact_core.tracking import BLENDSHAPE_NAMES

from .faces import moving, posed_faces, still, texture, turned


def shows(picture: torch.Tensor, colour: tuple[float, ...]) -> int:
    """Number of pixels of about that colour."""
    return int(((picture - torch.tensor(colour)[:, None, None]).abs().amax(0) < 0.02).sum())


def test_coverage_falls_with_distance():
    faces = posed_faces([turned(20, 0)])
    yaw = torch.tensor([20.0, 10.0, -20.0])
    values = coverage(yaw, torch.zeros(3), torch.zeros(3), faces)
    assert values[0] > 0.99
    assert values[0] > values[1] > values[2]
    assert coverage(yaw[:1], torch.zeros(1), torch.ones(1), faces)[0] < 0.1, "the mouth is closed in the reference"


def test_coverage_picture_has_a_dot_per_face_in_its_panel():
    faces = posed_faces([turned(-30), turned(30)])
    faces.blendshapes[1, BLENDSHAPE_NAMES.index("jawOpen")] = 0.6
    picture = coverage_picture(faces, ("left", "right"))
    third = picture.shape[-1] // 3
    above = picture[:, : picture.shape[-2] - 90]
    assert shows(above[:, :, :third], PALETTE[0]) > 50
    assert shows(above[:, :, 2 * third :], PALETTE[1]) > 50
    assert shows(above[:, :, third : 2 * third], PALETTE[0]) == 0


def test_references_of_any_shape_become_squares_with_points():
    image, wide = texture(100, 60), texture(60, 200)
    faces = posed_faces([turned(0)] * 2, centre=(30, 40), height=40)
    references = still([image, wide], faces)
    plain, marked = (reference_pictures(references, landmarks, 128) for landmarks in (False, True))
    assert plain.shape == (2, 3, 128, 128)
    assert plain[0, :, :, :20].max() == 0
    assert plain[1, :, :30].max() == 0
    changed = (plain - marked).abs().amax(1) > 0.05
    assert 100 < int(changed[0].sum()) < 4000


def test_masked_parts_are_darkened():
    mask = torch.ones(1, 64, 64)
    mask[:, :, :20] = 0
    references = still([torch.ones(3, 64, 64)], posed_faces([turned(0)], (40, 30), 20), [mask])
    picture = reference_pictures(references, True, 64)[0]
    assert picture[:, 30, 5].max() == pytest.approx(0.3, abs=0.01)


def test_motion_plot_draws_turns_and_shades_gaps():
    faces = posed_faces([turned(yaw) for yaw in range(0, 40, 4)])
    plot = motion_plot(moving(faces))
    red = (230 / 255, 90 / 255, 65 / 255)
    rows = [(plot[:, :, x] - torch.tensor(red)[:, None]).abs().amax(0)[30:185].argmin() for x in (120, 650)]
    assert rows[1] < rows[0], "turning right, the yaw curve rises"
    lost = faces._replace(found=torch.tensor([True] * 5 + [False] * 5))
    shade = (70 / 255, 34 / 255, 34 / 255)
    assert shows(motion_plot(moving(lost)), shade) > 1000
    assert shows(plot, shade) < 200, "only where red lines fade out"
    assert motion_plot(moving(faces.at([0]))).shape == plot.shape
