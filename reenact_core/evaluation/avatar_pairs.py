"""Pairs of CC0 avatars that perform the same motion, for evaluation with known truth."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..training.avatars import AvatarData, Controls, random_controls, random_identity, random_scene, render_motion
from ..training.avatars.renderer import Renderer
from .exact import FrameClip, Performance

_RATE = 15  # frames per second
_FRAMES = 60
_BLEND = 25  # frames from rest into the motion; quicker ones look like a cut
_LARGEST_YAW = 30.0  # degrees
_FACE = 0.45  # height of the face in picture heights


def avatar_pairs(folder: Path, count: int, references: int, size: int = 320, seed: int = 0) -> Iterator[Performance]:
    """`count` pairs of avatars of their own, each with so many references, rendered one after another.

    A pair shares controls and camera. The driver has another scene around it than the person; the person's references
    show the scene of the truth, the first one at rest, the others at moments of another performance.

    Args:
        folder: with the data of the heads.
    Raises:
        ReenactError: the data, moderngl or an EGL driver is missing.
    """
    data, renderer = AvatarData(folder), Renderer()
    times = np.arange(_FRAMES) / _RATE
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        scene = random_scene((size, size), _FACE * size, rng)
        elsewhere = random_scene((size, size), _FACE * size, rng)
        apart = replace(elsewhere, focal=scene.focal, distance=scene.distance, middle=scene.middle)
        driver, person = random_identity(data, rng), random_identity(data, rng)
        motion = _from_rest(random_controls(data.shape_names, times, _LARGEST_YAW, rng))
        other = _from_rest(random_controls(data.shape_names, times, _LARGEST_YAW + 10, rng))
        shown = [0, *np.linspace(_FRAMES // references, _FRAMES - 1, references - 1).round().astype(int).tolist()]
        rate = Fraction(_RATE)
        yield Performance(
            name=f"avatars {number + 1}",
            driver=FrameClip("driver", render_motion(data, driver, motion, apart, renderer).frames, rate),
            truth=FrameClip("truth", render_motion(data, person, motion, scene, renderer).frames, rate),
            references=tuple(render_motion(data, person, other.at(shown[:references]), scene, renderer).frames),
        )


def _from_rest(controls: Controls) -> Controls:
    """The same performance, beginning at rest: frame 0 without any motion, blended in slowly."""
    share = np.clip(np.arange(len(controls.shapes)) / _BLEND, 0, 1)[:, None].astype(np.float32)
    return Controls(*(field * share for field in controls))
