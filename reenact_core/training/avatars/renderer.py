"""Draws avatars with OpenGL off screen and says which triangle every pixel shows.

Needs the optional package `moderngl` and an EGL driver; Mesa's software driver is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import ReenactError
from ..exact_truth import CELL, ExactTruth, compact
from .heads import AvatarData, Head, Identity, Material
from .motion import Controls
from .scene import Scene
from .shaders import LOOK, NAME, VERTEX

NEAR, FAR = 0.5, 200.0  # mesh units in front of the camera
SAMPLES = 4  # per pixel, against jagged edges


class Rendering(NamedTuple):
    """A performance of one identity before a still camera."""

    frames: Tensor  # [T,3,H,W] in [0,1]
    alpha: Tensor  # [T,1,H,W] in [0,1], 1 = the person
    truth: ExactTruth  # which point of the person every cell shows, and where all points are


class Renderer:
    """An OpenGL context of its own; one at a time is enough.

    Raises:
        ReenactError: moderngl or a driver is missing.
    """

    def __init__(self) -> None:
        try:
            import moderngl
        except ImportError as error:
            raise ReenactError('Avatars are drawn with moderngl: pip install "reenact[avatars]".') from error
        try:
            self._context = moderngl.create_context(standalone=True, backend="egl")  # pyright: ignore[reportArgumentType]
        except Exception as error:  # what is raised depends on the driver
            raise ReenactError(
                f"No OpenGL driver was found ({error}). "
                "On Debian and Ubuntu: apt-get install libegl1 libgl1-mesa-dri libegl-mesa0."
            ) from error
        context = self._context
        context.gc_mode = "auto"  # buffers and textures go when nothing refers to them
        context.enable(moderngl.DEPTH_TEST)
        context.front_face = "cw"  # the picture is drawn upside down
        over = (moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA, moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA)
        context.blend_func = over  # pyright: ignore[reportAttributeAccessIssue]
        self._blend = moderngl.BLEND
        self._look = context.program(vertex_shader=VERTEX, fragment_shader=LOOK)
        self._name = context.program(vertex_shader=VERTEX, fragment_shader=NAME)

    def render(self, data: AvatarData, identity: Identity, controls: Controls, scene: Scene) -> Rendering:
        """All frames of a performance, and the exact truth."""
        head = Head(data, identity)
        model, canvas = _Model(self._context, self._look, self._name, head), _Canvas(self._context, scene.size)
        self._set_scene(scene, identity, head)
        backdrop = scene.backdrop()
        frames, alphas, triangles, vertices = [], [], [], []
        for t in range(len(controls.shapes)):
            posed = head.posed(controls, t) - np.array([0, 0, scene.distance], np.float32)
            model.place(posed)
            raw = canvas.picture(lambda: self._draw_looks(model), self._blend)
            frames.append(raw[..., :3] + (1 - raw[..., 3:]) * backdrop)
            alphas.append(raw[..., 3:])
            triangles.append(canvas.numbers(lambda: self._draw_names(model)) - 1)
            vertices.append(_project(posed, scene))
        part = np.repeat(np.arange(len(head.counts)), head.counts)
        truth = compact(np.stack(triangles), np.stack(vertices), head.triangles, part, scene.focal)
        return Rendering(_tensor(frames), _tensor(alphas), truth)

    def _set_scene(self, scene: Scene, identity: Identity, head: Head) -> None:
        height, width = scene.size
        for program in (self._look, self._name):
            program["focal"] = (2 * scene.focal / width, 2 * scene.focal / height)
            program["middle"] = (2 * scene.middle[0] / width - 1, 2 * scene.middle[1] / height - 1)
            program["depths"] = ((FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR))
        values = {
            "shirt": tuple(c / 255 for c in identity.shirt),
            "stripes": identity.stripes,
            "neckline": identity.neckline,
            "mouth_low": tuple(head.mouth[0].tolist()),
            "mouth_high": tuple(head.mouth[1].tolist()),
            "key": _unit(scene.key),
            "key_colour": scene.key_colour,
            "fill": _unit(scene.fill),
            "fill_colour": scene.fill_colour,
            "ambient": scene.ambient,
        }
        for field, value in values.items():
            self._look[field] = value

    def _draw_looks(self, model: _Model) -> None:
        program = self._look
        for number, (material, first, count) in enumerate(model.parts()):
            program["cut"], program["shine"], program["gloss"] = material.cut, material.shine, material.gloss
            program["body"] = number == 0
            model.look.render(vertices=count * 3, first=first * 3)

    def _draw_names(self, model: _Model) -> None:
        for material, first, count in model.parts():
            self._name["least"], self._name["first"] = max(material.cut, 0.5), first
            model.name.render(vertices=count * 3, first=first * 3)


class _Model:
    """One head's vertices and textures on the graphics side."""

    def __init__(self, context, look, name, head: Head) -> None:
        import moderngl

        corners, self._source, order = _unshared(head)
        self._triangles, self._materials, self._counts = head.triangles, head.materials, head.counts
        self._moving = context.buffer(reserve=len(self._source) * 24)
        still = context.buffer(np.concatenate([corners, head.rest[self._source]], 1).astype(np.float32).tobytes())
        index = context.buffer(order.astype(np.int32).tobytes())
        layout = [(self._moving, "3f 3f", "place", "normal"), (still, "2f 3f", "uv", "rest")]
        self.look = context.vertex_array(look, layout, index)
        # The second program does not use normals and rest positions.
        layout = [(self._moving, "3f 12x", "place"), (still, "2f 12x", "uv")]
        self.name = context.vertex_array(name, layout, index)
        self._textures = []
        for material in head.materials:
            rows = np.ascontiguousarray(material.texture[::-1])  # v runs upwards
            texture = context.texture(rows.shape[1::-1], 4, rows.tobytes())
            texture.build_mipmaps()
            texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
            self._textures.append(texture)

    def place(self, posed: np.ndarray) -> None:
        """Move the vertices to [V,3], camera coordinates."""
        both = np.concatenate([posed, _normals(posed, self._triangles)], 1)[self._source]
        self._moving.write(both.astype(np.float32).tobytes())

    def parts(self) -> Iterator[tuple[Material, int, int]]:
        """Material, first triangle and number of triangles of each part, whose texture is bound meanwhile."""
        first = 0
        for material, texture, count in zip(self._materials, self._textures, self._counts):
            texture.use()
            yield material, first, count
            first += count


class _Canvas:
    """What is drawn on: a smooth picture, and the numbers of triangles at the cells' centres."""

    def __init__(self, context, size: tuple[int, int]) -> None:
        height, width = size
        cells = (width // CELL, height // CELL)
        self._context, self._size, self._cells = context, size, cells
        self._fine = context.framebuffer(
            [context.renderbuffer((width, height), 4, samples=SAMPLES)],
            context.depth_renderbuffer((width, height), samples=SAMPLES),
        )
        self._resolved = context.simple_framebuffer((width, height))
        self._named = context.framebuffer(
            [context.renderbuffer(cells, 1, dtype="i4")], context.depth_renderbuffer(cells)
        )

    def picture(self, draw: Callable[[], None], blend: int) -> np.ndarray:
        """[H,W,4] in [0,1], colours multiplied by alpha."""
        self._fine.use()
        self._context.enable(blend)
        self._fine.clear(0, 0, 0, 0)
        draw()
        self._context.disable(blend)
        self._context.copy_framebuffer(self._resolved, self._fine)
        raw = np.frombuffer(self._resolved.read(components=4), np.uint8)
        return raw.reshape(*self._size, 4) / np.float32(255)

    def numbers(self, draw: Callable[[], None]) -> np.ndarray:
        """[h,w] int, 0 where nothing is drawn."""
        self._named.use()
        self._named.clear(0)
        draw()
        raw = np.frombuffer(self._named.read(components=1, dtype="i4"), np.int32)
        return raw.reshape(self._cells[::-1])


def render_motion(
    data: AvatarData, identity: Identity, controls: Controls, scene: Scene, renderer: Renderer | None = None
) -> Rendering:
    """One identity performs a motion before a known camera.

    Transfer with known truth: render identity A and identity B with the same `controls` and `scene`. B's frames are
    what a perfect transfer of A's motion to B shows, and any other rendering of B supplies the references.

    Args:
        renderer: to be shared between many renderings; a new one is made where it is None.
    Raises:
        ReenactError: moderngl or an EGL driver is missing.
    """
    return (renderer or Renderer()).render(data, identity, controls, scene)


def _unshared(head: Head) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices that differ in uv are kept apart: uv [U,2], vertex of each [U], and corners in drawing order [F*3]."""
    corner = head.triangles.reshape(-1)
    keys = np.concatenate([corner[:, None].astype(np.float32), head.uv_corners.reshape(-1, 2)], 1)
    unique, order = np.unique(keys, axis=0, return_inverse=True)
    return unique[:, 1:], unique[:, 0].astype(int), order.reshape(-1)


def _normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals [V,3], outwards for the base mesh's winding."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    normals = np.stack(
        [sum(np.bincount(triangles[:, k], flat[:, d], len(vertices)) for k in range(3)) for d in range(3)], -1
    )
    return normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9)


def _project(posed: np.ndarray, scene: Scene) -> np.ndarray:
    """Pixel x, y and distance from the camera [V,3] of vertices in camera coordinates."""
    far = -posed[:, 2]
    x = scene.middle[0] + scene.focal * posed[:, 0] / far
    y = scene.middle[1] - scene.focal * posed[:, 1] / far
    return np.stack([x, y, far * scene.focal / scene.distance], -1)


def _unit(vector: tuple[float, ...]) -> tuple[float, ...]:
    return tuple((np.array(vector) / np.linalg.norm(vector)).tolist())


def _tensor(pictures: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures).astype(np.float32)).permute(0, 3, 1, 2).clamp(0, 1).contiguous()
