"""References of the face-mesh model: scaled to the canvas, matched in colour, and laid on its background, once."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import geometry
from ..colour_match import colour_gains
from ..stopping import may_stop
from ..tracking import PersonMatte, canonical_mesh
from ..types import DrivingMotion, Faces, References
from . import mesh_flows
from .background import align_backgrounds
from .camera import CameraMaps
from .mesh_flows import FINER, MESH_POINTS
from .mesh_lookup import pixel_by_pixel
from .mesh_network import GRID
from .mesh_plate import continue_scene, reach_of


class EncodedReferences(NamedTuple):
    """R references at working scale, padded to one size."""

    images: Tensor  # [R,3,H,W] in [0,1], colour matched to the first
    coarse: Tensor  # [R,3,h,w] the same, one pixel per grid cell
    fine: Tensor  # [R,3,y,x] the same, one pixel per fine cell
    usable: Tensor  # [R,1,h,w] in [0,1] the user's masks; 0 in the padding
    person: Tensor  # [R,1,h,w] in [0,1] matte, 1 = person
    faces: Faces  # in pixels of `images`
    background: Tensor  # [R,2,3] canvas pixels -> pixels of `images`
    facing: Tensor  # [R,468] cosine of the view of each vertex, <= 0 where hidden
    sharpness: Tensor  # [R] 0..1 relative to the sharpest
    strengths: Tensor  # [R]
    camera: CameraMaps | None = None  # how it moved; None = it stood still
    plate: Tensor | None = None  # [3,H,W] the still scene on the canvas; training needs none
    shared: Tensor | None = None  # [R] bool, which references show the first one's scene; training needs none
    pixels: Tensor | None = None  # [R,H,W,4] the images pixel by pixel, for quick look-ups; training needs none
    extent: Tensor | None = None  # [R,2] shares (x, y) of the padded picture that each fills; training needs none

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of `images`."""
        return self.images.shape[-2], self.images.shape[-1]


def encode(
    references: References, motion: DrivingMotion, matte: PersonMatte, side: int, size: int, device: torch.device
) -> EncodedReferences:
    """References for driving frames whose boxes have `side` canvas pixels, computed with `size`."""
    scaled = [_rescale(references, r, motion, size / side) for r in range(len(references.images))]
    height = max(image.shape[-2] for image, _, _ in scaled)
    width = max(image.shape[-1] for image, _, _ in scaled)
    may_stop()
    images = torch.stack([_pad(image, height, width, "replicate") for image, _, _ in scaled]).to(device)
    masks = torch.stack([_pad(mask, height, width, "constant") for _, mask, _ in scaled]).to(device)
    factors = torch.tensor([factor for _, _, factor in scaled])
    faces = references.faces._replace(landmarks=references.faces.landmarks * factors[:, None, None])
    cell = size / GRID
    person = coarsen(matte.matte(images), cell)
    sizes = [(image.shape[-2], image.shape[-1]) for image, _, _ in scaled]
    background, shared, camera = align_backgrounds(images, person, faces, sizes, motion)
    may_stop()
    facing = visible_vertices(faces.landmarks)
    gains = colour_gains(images, faces.landmarks[:, :MESH_POINTS], facing.clamp_min(0))
    images = (images * gains[:, :, None, None].to(images)).clamp(0, 1)
    may_stop()
    extent = torch.tensor([(w / images.shape[-1], h / images.shape[-2]) for h, w in sizes]).to(images)
    plate = _lay(references, motion, background[:1], sizes[0]).to(device)
    reach = reach_of(geometry.affine_grid(background[:1], motion.canvas, sizes[0]), torch.ones(2))
    plate = continue_scene(plate, reach, images, background[None], extent, shared)[0]
    may_stop()
    pixels = pixel_by_pixel(images)
    return EncodedReferences(
        images=images if pixels is None else pixels[..., :3].movedim(-1, 1),  # not held twice
        coarse=coarsen(images, cell),
        fine=coarsen(images, cell / FINER),
        usable=coarsen(masks, cell),
        person=person,
        faces=faces,
        background=background,
        camera=camera,
        facing=facing,
        sharpness=_sharpness(images, faces.landmarks),
        strengths=references.strengths,
        plate=plate,
        shared=shared,
        pixels=pixels,
        extent=extent,
    )


def visible_vertices(landmarks: Tensor) -> Tensor:
    """Cosine of the view of each vertex [R,468], made negative where another part of the face hides it."""
    cosine = -mesh_flows.vertex_normals(landmarks)[..., 2]
    _, triangles = canonical_mesh()
    resolution = 96
    local = landmarks[:, :MESH_POINTS].clone()
    low, high = local[..., :2].amin(1, keepdim=True), local[..., :2].amax(1, keepdim=True)
    factor = (resolution - 2) / (high - low).amax(-1, keepdim=True).clamp_min(1e-3)
    local[..., :2] = (local[..., :2] - low) * factor + 1
    local[..., 2:] = local[..., 2:] * factor
    triangle, weights = geometry.rasterise(local, triangles, resolution)
    corners = torch.gather(local[..., 2], 1, triangles[triangle.clamp_min(0)].flatten(1)).unflatten(
        1, (*triangle.shape[1:], 3)
    )
    depth = torch.where(triangle >= 0, (corners * weights).sum(-1), torch.inf)
    cell = local[..., :2].long().clamp(0, resolution - 1)
    front = torch.gather(depth.flatten(1), 1, cell[..., 1] * resolution + cell[..., 0])
    hidden = local[..., 2] > front + 0.04 * resolution
    return torch.where(hidden, -cosine.abs(), cosine)


def _rescale(references: References, index: int, motion: DrivingMotion, size: float) -> tuple[Tensor, Tensor, float]:
    """Image, mask and the factor by which both were shrunk, so that sampling never skips pixels."""
    image, mask = references.images[index], references.masks[index]
    wanted = mesh_flows.face_height(motion.faces.landmarks).median() * size
    factor = float(wanted / mesh_flows.face_height(references.faces.landmarks[index : index + 1])[0])
    if factor > 0.8:
        return image, mask, 1.0
    height, width = (max(1, round(side * factor)) for side in image.shape[-2:])
    return _resize(image, height, width), _resize(mask, height, width), factor


def _lay(references: References, motion: DrivingMotion, background: Tensor, size: tuple[int, int]) -> Tensor:
    """The first reference on the canvas [1,3,H,W], at the canvas's resolution whatever the working size.

    Args:
        background: [1,2,3] canvas pixels -> pixels of the reference shrunk to `size` (H, W).
    """
    image, _, _ = _rescale(references, 0, motion, 1.0)
    return geometry.sample(image[None], geometry.affine_grid(background, motion.canvas, size))


def coarsen(images: Tensor, cell: float) -> Tensor:
    """Images [R,C,H,W] with about one pixel per `cell` x `cell` pixels, antialiased."""
    height, width = (max(1, round(side / cell)) for side in images.shape[-2:])
    return F.interpolate(images, size=(height, width), mode="bilinear", antialias=True, align_corners=False)


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(image[None], size=(height, width), mode="bilinear", antialias=True, align_corners=False)[0]


def _pad(image: Tensor, height: int, width: int, mode: str) -> Tensor:
    missing = (0, width - image.shape[-1], 0, height - image.shape[-2])
    return F.pad(image[None], missing, mode=mode)[0]


def _sharpness(images: Tensor, landmarks: Tensor) -> Tensor:
    """Detail of each face [R], 0..1 relative to the sharpest: mean absolute Laplacian at the mesh vertices."""
    grey = images.mean(1, keepdim=True)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=images.device, dtype=images.dtype)
    edges = F.avg_pool2d(F.conv2d(grey, kernel[None, None], padding=1).abs(), 5, 1, 2)
    grid = geometry.normalise(landmarks[:, :MESH_POINTS, :2], (images.shape[-2], images.shape[-1]))
    detail = geometry.sample(edges, grid[:, None]).mean((1, 2, 3)).float().cpu()
    return detail / detail.max().clamp_min(1e-6)
