"""What avatars do: head turns, speech, blinks and gaze that look plausible."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

# What mouths do while they speak: shapes of a few vowels and consonants with typical strength.
SYLLABLES: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.55, "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2},
    {
        "jawOpen": 0.35,
        "mouthStretchLeft": 0.35,
        "mouthStretchRight": 0.35,
        "mouthUpperUpLeft": 0.2,
        "mouthUpperUpRight": 0.2,
    },
    {
        "jawOpen": 0.18,
        "mouthSmileLeft": 0.35,
        "mouthSmileRight": 0.35,
        "mouthLowerDownLeft": 0.3,
        "mouthLowerDownRight": 0.3,
    },
    {"jawOpen": 0.3, "mouthFunnel": 0.6},
    {"jawOpen": 0.15, "mouthPucker": 0.7},
    {"mouthPressLeft": 0.4, "mouthPressRight": 0.4, "mouthRollLower": 0.3},
    {"jawOpen": 0.1, "mouthRollLower": 0.4, "mouthUpperUpLeft": 0.3, "mouthUpperUpRight": 0.3},
    {},
)
MOODS: tuple[dict[str, float], ...] = (
    {},
    {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4},
    {"mouthSmileLeft": 0.35, "mouthSmileRight": 0.2, "browOuterUpLeft": 0.5},
    {"browInnerUp": 0.7, "browOuterUpLeft": 0.5, "browOuterUpRight": 0.5, "eyeWideLeft": 0.4, "eyeWideRight": 0.4},
    {"browDownLeft": 0.6, "browDownRight": 0.6, "eyeSquintLeft": 0.3, "eyeSquintRight": 0.3, "noseSneerLeft": 0.2},
    {"mouthFrownLeft": 0.5, "mouthFrownRight": 0.5, "browInnerUp": 0.5, "mouthShrugLower": 0.3},
    {"cheekPuff": 0.5, "mouthPressLeft": 0.3, "mouthPressRight": 0.3},
)
GAZE_REACH = 25.0  # degrees at which the looking shapes are fully on


class Controls(NamedTuple):
    """One performance; any identity can perform it."""

    shapes: np.ndarray  # [T,52] strengths of the ARKit shapes, 0..1, in the data's order
    head: np.ndarray  # [T,3] yaw, pitch, roll of the head against the torso, degrees; yaw > 0 to the person's left
    torso: np.ndarray  # [T,3] the same of the torso
    place: np.ndarray  # [T,3] shift of the whole body, mesh units

    def at(self, index: slice | list[int]) -> Controls:
        """The frames of an index of the T axis."""
        return Controls(*(field[index] for field in self))


def rotations(degrees: np.ndarray) -> np.ndarray:
    """Matrices [...,3,3] that turn by yaw, pitch, roll [...,3]: yaw first, then pitch, then roll, all about fixed axes.

    Positive yaw turns to the person's left (the picture's right), positive pitch down, positive roll towards the
    person's left shoulder.
    """
    yaw, pitch, roll = np.moveaxis(np.radians(degrees), -1, 0)
    one, nil = np.ones_like(yaw), np.zeros_like(yaw)

    def stack(*rows: tuple[np.ndarray, ...]) -> np.ndarray:
        return np.stack([np.stack(row, -1) for row in rows], -2)

    about_y = stack((np.cos(yaw), nil, np.sin(yaw)), (nil, one, nil), (-np.sin(yaw), nil, np.cos(yaw)))
    about_x = stack((one, nil, nil), (nil, np.cos(pitch), -np.sin(pitch)), (nil, np.sin(pitch), np.cos(pitch)))
    about_z = stack((np.cos(roll), np.sin(roll), nil), (-np.sin(roll), np.cos(roll), nil), (nil, nil, one))
    return about_z @ about_x @ about_y


def random_controls(names: tuple[str, ...], times: np.ndarray, largest_yaw: float, rng: random.Random) -> Controls:
    """A performance at `times` [T] (seconds).

    Args:
        names: of the 52 shapes.
        largest_yaw: degrees to either side that the head, torso included, may turn.
    """
    yaw = _wander(times, lambda: rng.uniform(-largest_yaw, largest_yaw), (0.3, 0.9), (0.3, 0.8), rng)
    limits = (min(18.0, 0.4 * largest_yaw + 6), min(14.0, 0.3 * largest_yaw + 5))
    pitch, roll = (_wander(times, lambda b=b: rng.gauss(0, b / 2), (0.2, 0.8), (0.3, 0.7), rng) for b in limits)
    share = rng.uniform(0.1, 0.3)  # of the turn that the torso follows
    head = np.stack([(1 - share) * yaw, pitch.clip(-25, 25), roll.clip(-20, 20)], -1)
    sway = np.stack([_wander(times, lambda: rng.gauss(0, 1.5), (0.3, 1.0), (0.8, 1.6), rng) for _ in range(2)], -1)
    torso = np.concatenate([share * yaw[:, None], sway], -1)
    place = np.stack(
        [_wander(times, lambda s=s: rng.gauss(0, s), (0.5, 1.5), (0.8, 1.6), rng) for s in (0.05, 0.03, 0.06)], -1
    )
    shapes = _speech(names, times, rng) + _mood(names, times, rng)
    shapes = shapes + _looks(names, times, rng)
    return Controls(shapes.clip(0, 1).astype(np.float32), head, torso, place)


def _wander(times: np.ndarray, draw, hold: tuple[float, float], move: tuple[float, float], rng) -> np.ndarray:
    """A track [T] that rests at random values and glides from one to the next."""
    keys, values, now = [], [], float(times[0]) - rng.uniform(0, sum(hold))
    while now < times[-1] + move[1]:
        value = draw()
        keys += [now, now + rng.uniform(*hold)]
        values += [value, value]
        now = keys[-1] + rng.uniform(*move)
    left = np.searchsorted(keys, times, "right").clip(1, len(keys) - 1)
    start, end = np.array(keys)[left - 1], np.array(keys)[left]
    share = ((times - start) / np.maximum(end - start, 1e-6)).clip(0, 1)
    glide = share**3 * (10 - 15 * share + 6 * share**2)  # minimum jerk
    before, after = np.array(values)[left - 1], np.array(values)[left]
    return before + glide * (after - before)


def _blend(names: tuple[str, ...], poses: list[dict[str, float]], shares: np.ndarray) -> np.ndarray:
    """Shapes [T,52] of poses mixed by shares [T,P]."""
    table = np.zeros((len(poses), len(names)))
    for row, pose in zip(table, poses):
        for name, strength in pose.items():
            row[names.index(name)] = strength
    return shares @ table


def _speech(names: tuple[str, ...], times: np.ndarray, rng: random.Random) -> np.ndarray:
    """Syllables at about four a second, with pauses."""
    beats, now = [], float(times[0])
    while now < times[-1] + 0.5:
        beats.append(now)
        now += rng.uniform(0.16, 0.3) if rng.random() < 0.85 else rng.uniform(0.4, 1.0)
    strength = np.array([rng.uniform(0.5, 1.2) for _ in beats])
    shares = np.exp(-(((times[:, None] - np.array(beats)) / 0.09) ** 2)) * strength
    return _blend(names, [rng.choice(SYLLABLES) for _ in beats], shares)


def _mood(names: tuple[str, ...], times: np.ndarray, rng: random.Random) -> np.ndarray:
    """Two expressions that come and go."""
    chosen = [rng.choice(MOODS), rng.choice(MOODS)]
    shares = [_wander(times, lambda: max(0.0, rng.uniform(-0.6, 1.0)), (0.3, 1.0), (0.3, 0.7), rng) for _ in chosen]
    return 0.8 * _blend(names, chosen, np.stack(shares, -1))


def _looks(names: tuple[str, ...], times: np.ndarray, rng: random.Random) -> np.ndarray:
    """Gaze in saccades, lids that follow it, and blinks."""
    side = _wander(times, lambda: rng.gauss(0, 9), (0.3, 1.2), (0.04, 0.08), rng) / GAZE_REACH
    up = _wander(times, lambda: rng.gauss(0, 6), (0.3, 1.2), (0.04, 0.08), rng) / GAZE_REACH
    blink, now = np.zeros(len(times)), float(times[0]) + rng.uniform(0, 1.5)
    while now < times[-1] + 0.3:
        blink = np.maximum(blink, np.exp(-(((times - now) / 0.09) ** 2)))
        now += rng.uniform(0.8, 3.0)
    lids = np.maximum(blink, 0.35 * np.maximum(-up, 0))
    tracks = {
        "eyeLookOutLeft": side,
        "eyeLookInRight": side,
        "eyeLookInLeft": -side,
        "eyeLookOutRight": -side,
        "eyeLookUpLeft": up,
        "eyeLookUpRight": up,
        "eyeLookDownLeft": -up,
        "eyeLookDownRight": -up,
        "eyeBlinkLeft": lids,
        "eyeBlinkRight": lids,
    }
    shares = np.stack([track.clip(0, 1) for track in tracks.values()], -1)
    return _blend(names, [{name: 1.0} for name in tracks], shares)
