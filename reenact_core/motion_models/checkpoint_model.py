"""What models with public checkpoints share when they become motion models: crops, placement, priors, precision.

Such a model sees every image as a square crop of one size around the face and paints one square. Driving frames are
cropped by one still square per clip, each reference by its own; motion is composed once, onto the first reference,
and every reference is warped to it with keypoints of its own. Relative motion paints the first reference's square on
its picture, absolute motion the driving square on a canvas into which the first reference is laid.
"""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import geometry
from ..errors import CheckpointError, ReenactError
from ..face_regions import region_differences, region_maps
from ..pose import pose_distance
from ..types import DrivingMotion, Evidence, Faces, References, Transfer
from .base import MotionModel
from .crops import Framing, cut
from .layers import dtype_of
from .sampling import resize_grids, sample_2d

log = logging.getLogger(__name__)

_CONVERTING = threading.RLock()

Value = TypeVar("Value")


class CheckpointReferences(NamedTuple):
    """R references, encoded once."""

    network: Any  # what the network itself keeps of them
    code: Tensor  # [R,D] motion codes, float32
    pictures: Tensor  # [R,3,resolution,resolution] the crops in [0,1]
    usable: Tensor  # [R,1,resolution,resolution] the user's masks in [0,1]; 0 beyond the image
    faces: Faces  # axis R
    strengths: Tensor  # [R]
    plate: Tensor  # [3,H,W] the first reference, laid into the canvas


class DrivingCodes(NamedTuple):
    """The motion of T frames as the networks want it, on their device."""

    code: Tensor  # [T,D]
    neutral: Tensor  # [1,D]
    relative: bool  # whether the change since the neutral frame is transferred, or the motion itself
    faces: Faces  # axis T, on the output canvas; on the CPU


class Warp(NamedTuple):
    """References warped to T frames by a network."""

    features: Tensor  # [T,R,C,H,W]
    visibility: Tensor  # [T,R,1,h,w] 0..1
    deformation: Tensor  # [T,R,h,w,2] sampling grid xy, in the convention of `layers`
    levels: tuple[Tensor, ...] | None = None  # further features [T,R,C,H,W]


class CheckpointModel(MotionModel):
    """A network loaded from a user's checkpoint, as a motion model."""

    ships_weights = False
    fuses_images = False
    title: ClassVar[str]  # as in messages
    reference_framing: ClassVar[Framing]
    driving_framing: ClassVar[Framing]
    beyond: ClassVar[str]  # of a crop that reaches beyond the image, see `cut`
    magnification: ClassVar[int]  # painted pixels per pixel of a crop
    pair_bytes: ClassVar[int]  # about the memory that warping one reference to one frame takes
    resolution: int = 256  # pixels per side of a crop
    align_corners: bool  # of the sampler that warps

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @classmethod
    def load(cls) -> MotionModel:
        raise CheckpointError(
            f"{cls.title} does not ship with weights. Give the path of its checkpoint instead of {cls.name!r}; "
            "docs/models.md says which files."
        )

    @abstractmethod
    def motion_code(self, crops: Tensor) -> Tensor:
        """Motion codes [N,D] float32 of crops [N,3,resolution,resolution]."""

    @abstractmethod
    def appearance(self, crops: Tensor) -> Any:
        """What the network keeps of reference crops [R,3,resolution,resolution]: nested tuples of tensors."""

    @abstractmethod
    def warp_network(self, encoded: CheckpointReferences, driving: DrivingCodes) -> Warp:
        """Every reference warped to every frame."""

    @abstractmethod
    def paint(self, features: Tensor, levels: tuple[Tensor, ...] | None) -> Tensor:
        """Pictures [T,3,n,n] in [0,1] of fused features, n = resolution x magnification."""

    def working_size(self, side: int, size: int | None) -> int:
        own = self.resolution * self.magnification
        if size not in (None, own):
            log.warning("%s always paints %d x %d pixels; a working size of %d is ignored.", self.title, own, own, size)
        return own

    def bytes_per_pair(self, size: int) -> int:
        return self.pair_bytes

    def driving_box(self, faces: Faces) -> Tensor:
        return self.driving_framing.box(faces.landmarks[faces.found])

    @torch.inference_mode()
    def encode_driving(self, frames: Tensor, box: Tensor) -> Tensor:
        crops = cut(frames.to(self.device, torch.float32), box, self.resolution, self.beyond)
        return self._checked(lambda: self.motion_code(crops)).cpu()

    def place(self, motion: DrivingMotion) -> Tensor:
        if motion.code is None or motion.code_box is None:
            raise ReenactError(
                f"{self.title} reads motion from the driving frames themselves, but this motion has only landmarks. "
                "Encode the driving video with this model."
            )
        relative = motion.transfer is Transfer.RELATIVE
        box = self.reference_framing.box(motion.neutral.landmarks) if relative else motion.code_box
        return box.expand(len(motion.code), 3)

    def encode_references(
        self, references: References, motion: DrivingMotion, side: int, size: int
    ) -> CheckpointReferences:
        boxes = [self.reference_framing.box(references.faces.landmarks[[r]]) for r in range(len(references.images))]
        pairs = [(image.to(self.device, torch.float32), box) for image, box in zip(references.images, boxes)]
        crops = torch.cat([cut(image[None], box, self.resolution, self.beyond) for image, box in pairs])
        masks = [
            cut(mask[None].to(crops), box, self.resolution, "constant") for mask, box in zip(references.masks, boxes)
        ]
        code = self._checked(lambda: self.motion_code(crops))
        if motion.code is None or motion.code.shape[1] != code.shape[1]:
            raise ReenactError(
                f"The driving motion was encoded by another model than {self.title}. "
                "Encode the driving video with the model that warps."
            )
        return CheckpointReferences(
            network=self._checked(lambda: self.appearance(crops)),
            code=code,
            pictures=crops,
            usable=torch.cat(masks),
            faces=references.faces,
            strengths=references.strengths,
            plate=_lay(pairs[0][0], boxes[0], motion),
        )

    def warp(self, encoded: CheckpointReferences, motion: DrivingMotion, boxes: Tensor, size: int) -> Evidence:
        assert motion.code is not None
        assert motion.neutral_code is not None
        codes = (motion.code.to(self.device), motion.neutral_code.to(self.device))
        driving = DrivingCodes(*codes, motion.transfer is Transfer.RELATIVE, motion.faces)

        def compute() -> Warp:
            dtype = dtype_of(self.network)
            own = encoded._replace(network=_each(encoded.network, lambda tensor: tensor.to(dtype)))
            return self.warp_network(own, driving)

        warped = self._checked(compute)
        usable = self.sample(encoded.usable, warped.deformation, warped.visibility.shape[-1])
        return Evidence(
            features=warped.features,
            confidence=warped.visibility.float(),
            distance=pose_distance(motion.faces, encoded.faces).to(self.device),
            prior=usable * (encoded.strengths > 0).to(usable)[:, None, None, None],
            strengths=encoded.strengths.to(usable).expand(len(boxes), -1),
            levels=warped.levels,
            pictures=self.sample(encoded.pictures, warped.deformation, self.resolution),
            regions=region_maps(motion.faces.landmarks, boxes, warped.visibility.shape[-1]).to(usable),
            differences=region_differences(motion.faces, encoded.faces).to(usable),
        )

    def decode(
        self,
        encoded: CheckpointReferences,
        features: Tensor,
        motion: DrivingMotion,
        boxes: Tensor,
        levels: tuple[Tensor, ...] | None = None,
    ) -> Tensor:
        return self._checked(lambda: self.paint(features, levels)).float()

    def plate(self, encoded: CheckpointReferences, motion: DrivingMotion) -> Tensor:
        return encoded.plate[None]

    def sample(self, maps: Tensor, deformation: Tensor, size: int) -> Tensor:
        """Maps [R,C,H,W] warped by a deformation [T,R,h,w,2] of another size: [T,R,C,size,size]."""
        grids = resize_grids(deformation, (size, size), align_corners=self.align_corners)
        return sample_2d(maps, grids, align_corners=self.align_corners)

    def _checked(self, compute: Callable[[], Value]) -> Value:
        """What `compute` returns; where half precision overflows, computed again in float32, which then stays."""
        with _CONVERTING:  # chunks are computed side by side, and none may meet a network that is half converted
            dtype = dtype_of(self.network)
            if dtype != torch.float32:
                value = compute()
                if _is_finite(value):
                    return value
                log.warning("%s exceeds the range of %s here; it goes on in float32.", self.title, dtype)
                self.network.float()
        return compute()


def _lay(image: Tensor, box: Tensor, motion: DrivingMotion) -> Tensor:
    """The first reference [3,H,W] on the canvas: as it is, or so that its square covers the driving one."""
    if motion.transfer is Transfer.RELATIVE or motion.code_box is None:
        return image
    left, top, side = motion.code_box.tolist()
    ratio = int(box[2]) / side  # pixels of the image per pixel of the canvas
    shrink = min(1.0, 1 / ratio)
    small = image[None]
    if shrink < 1:
        size = [max(1, round(length * shrink)) for length in image.shape[-2:]]
        small = F.interpolate(small, size=size, mode="bilinear", antialias=True)
    positions = (geometry.pixel_grid(*motion.canvas) - torch.tensor([left, top])) * ratio + box[:2]
    grid = geometry.normalise(positions, (image.shape[-2], image.shape[-1]))
    return geometry.sample(small, grid[None])[0]


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Nested tuples with every tensor changed."""
    if isinstance(value, tuple):
        parts = [_each(part, change) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return change(value)


def _is_finite(value: Any) -> bool:
    """Whether all numbers in nested tuples of tensors are finite; None counts as finite."""
    if isinstance(value, tuple):
        return all(map(_is_finite, value))
    return value is None or bool(value.isfinite().all())
