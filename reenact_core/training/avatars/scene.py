"""Camera, light and background of a rendered clip. All of them stay still while the person moves."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import cv2
import numpy as np

FACE_UNITS = 1.48  # height of the tracked face in mesh units


@dataclass(frozen=True)
class Scene:
    """What surrounds the person."""

    size: tuple[int, int]  # (H, W) pixels
    focal: float  # pixels
    distance: float  # of the camera from the point between the eyes, mesh units
    middle: tuple[float, float]  # x, y in pixels where that point appears while the body is at rest
    key: tuple[float, float, float]  # direction towards the main light
    key_colour: tuple[float, float, float]  # linear RGB
    fill: tuple[float, float, float]
    fill_colour: tuple[float, float, float]
    ambient: tuple[float, float, float]
    background: int  # seed of the picture behind
    kind: str  # plain, gradient or picture

    def backdrop(self) -> np.ndarray:
        """The background as [H,W,3] float 0..1."""
        return _BACKDROPS[self.kind](self.size, np.random.default_rng(self.background))


def random_scene(size: tuple[int, int], face_pixels: float, rng: random.Random) -> Scene:
    """A scene in which a face is about `face_pixels` high."""
    focal = size[0] / 2 / math.tan(math.radians(rng.uniform(20, 42)) / 2)
    warm, bright = rng.uniform(-0.12, 0.12), rng.uniform(0.75, 1.15)
    side = rng.choice((-1, 1))
    tint, opposite = (1 + warm, 1.0, 1 - warm), (1 - warm, 1.0, 1 + warm)
    key = bright * rng.uniform(0.7, 1.1)
    return Scene(
        size=size,
        focal=focal,
        distance=focal * FACE_UNITS / (face_pixels * rng.uniform(0.95, 1.05)),
        middle=(size[1] * (0.5 + rng.uniform(-0.03, 0.03)), size[0] * (0.40 + rng.uniform(-0.02, 0.03))),
        key=(side * rng.uniform(0.1, 1.0), rng.uniform(0.1, 0.8), 1.0),
        key_colour=_scaled(tint, key),
        fill=(-side * rng.uniform(0.6, 1.5), rng.uniform(-0.1, 0.4), 0.6),
        fill_colour=_scaled(opposite, bright * rng.uniform(0.1, 0.4)),
        ambient=_scaled(opposite, bright * rng.uniform(0.16, 0.3)),
        background=rng.getrandbits(31),
        kind=rng.choice(("plain", "gradient", "picture", "picture")),
    )


def _scaled(colour: tuple[float, float, float], by: float) -> tuple[float, float, float]:
    red, green, blue = colour
    return by * red, by * green, by * blue


def _colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """Muted colours [count,3]."""
    grey = rng.uniform(0.08, 0.92, (count, 1))
    return (grey + rng.normal(0, 0.09, (count, 3))).clip(0.02, 0.98)


def _plain(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A wall: one colour that grows darker towards the corners."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size) - 0.5
    return (_colours(rng, 1)[0] * (1 - 0.5 * (x**2 + y**2))[..., None]).astype(np.float32)


def _gradient(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Two colours across a random direction."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size) - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    share = (0.5 + np.cos(angle) * x + np.sin(angle) * y).clip(0, 1)[..., None]
    low, high = _colours(rng, 2)
    return (low + share * (high - low)).astype(np.float32)


def _picture(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A room: upright and lying rectangles, round things, all a little out of focus."""
    picture = _gradient(size, rng)
    for _ in range(int(rng.integers(12, 40))):
        colour = tuple(float(c) for c in _colours(rng, 1)[0])
        x, y = int(rng.integers(-40, size[1])), int(rng.integers(-40, size[0]))
        if rng.random() < 0.75:
            w, h = (int(v) for v in rng.integers(6, max(size) // 3, 2) * rng.choice([[0.3, 1.5], [1.5, 0.3], [1, 1]]))
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, -1)
        else:
            cv2.circle(picture, (x, y), int(rng.integers(4, max(size) // 8)), colour, -1, cv2.LINE_AA)
    texture = cv2.resize(rng.normal(0, 1, (48, 48)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
    picture = picture * (1 + 0.03 * texture[..., None])
    return cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.7, 3.5))).clip(0, 1)


_BACKDROPS = {"plain": _plain, "gradient": _gradient, "picture": _picture}
