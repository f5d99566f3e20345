"""The values that travel between the stages.

All are immutable named tuples of tensors. Axes keep their letters everywhere: T driving frames,
R references, N images of either kind, K keypoints, G regions, C channels, D depth, H W height and width; h w a
coarser height and width. Coordinates follow the Convention block of `geometry`.
"""

from __future__ import annotations

from enum import Enum
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor

from .scene_features import SceneFeatures


class Transfer(Enum):
    """How driving motion is applied."""

    ABSOLUTE = "absolute"  # the head goes exactly where the driving head is; the canvas is the driving one
    RELATIVE = "relative"  # the change since the neutral frame is applied to the first reference, on its canvas


class Faces(NamedTuple):
    """One tracked face in each of N images."""

    landmarks: Tensor  # [N,478,3] xyz in pixels of the image; z in the same unit, smaller is nearer
    blendshapes: Tensor  # [N,52] 0..1, order of `tracking.blendshapes.NAMES`
    rotation: Tensor  # [N,3,3] head coordinates -> camera coordinates; identity looks into the camera
    score: Tensor  # [N] 0..1, how sure the tracker is that this is a face
    found: Tensor  # [N] bool; False where nothing was seen (landmarks then are interpolated or zero)

    def at(self, index) -> Faces:
        """The faces at `index` (slice, list or LongTensor) of the N axis, as a new value."""
        return Faces(*(field[index] for field in self))

    def cpu(self) -> Faces:
        """The same on the CPU, where geometry runs."""
        return Faces(*(field.cpu() for field in self))


class References(NamedTuple):
    """R images of one person, of any sizes, each with its tracked face."""

    images: tuple[Tensor, ...]  # R x [3,H_r,W_r] in [0,1]
    masks: tuple[Tensor, ...]  # R x [1,H_r,W_r] in [0,1], 1 = this pixel may be used
    faces: Faces  # axis R, each in the pixels of its own image
    strengths: Tensor  # [R] >= 0, the user's weight of each reference
    labels: tuple[str, ...]  # R names for messages and previews


class Scene(NamedTuple):
    """The still background of T driving frames, so that their camera can be followed and found again."""

    camera: Tensor | None  # [T,2,3] affine, pixels of each frame -> pixels of the first that show the same; None =
    # not known
    features: SceneFeatures  # of the first frame, in its pixels

    def at(self, index) -> Scene:
        """The frames at `index` (slice or LongTensor) of the T axis, as a new value."""
        return self._replace(camera=None if self.camera is None else self.camera[index])


class DrivingMotion(NamedTuple):
    """What moves, frame by frame, without any of the driving person's appearance."""

    faces: Faces  # axis T, in pixels of `canvas`
    canvas: tuple[int, int]  # (H, W) of the frames the faces live in
    frame_rate: Fraction  # frames per second
    neutral: Faces  # axis 1, the frame from which relative motion is counted
    code: Tensor | None = None  # [T,D] the motion model's own code of each frame, where it has one
    neutral_code: Tensor | None = None  # [1,D] the same for the neutral frame
    code_box: Tensor | None = None  # [3] long, left top side of the square in the driving frames that was encoded
    floating: bool = False  # True: nobody asked for this neutral frame; relative transfer may choose a better one
    transfer: Transfer = Transfer.ABSOLUTE  # RELATIVE once the faces are this person's, on the first reference
    shots: Tensor | None = None  # [T] long, number of the shot each frame belongs to; None = all are one shot
    scene: Scene | None = None  # what stands still behind the driving person; None = nobody looked

    def at(self, index: slice | Tensor) -> DrivingMotion:
        """The frames at `index` (slice or LongTensor) of the T axis, as a new value."""
        code = None if self.code is None else self.code[index]
        shots = None if self.shots is None else self.shots[index]
        scene = None if self.scene is None else self.scene.at(index)
        return self._replace(faces=self.faces.at(index), code=code, shots=shots, scene=scene)

    def shot_spans(self) -> list[slice]:
        """The frames of each shot, in order."""
        return shot_spans(self.shots, len(self.faces.score))


def shot_spans(shots: Tensor | None, count: int) -> list[slice]:
    """Runs of equal numbers in `shots` [T]; all `count` frames where it is None."""
    cuts = [] if shots is None else ((shots.diff() != 0).nonzero()[:, 0] + 1).tolist()
    return [slice(start, stop) for start, stop in pairwise([0, *cuts, count])]


class Evidence(NamedTuple):
    """What every reference shows of T driving frames: the input of fusion."""

    features: Tensor  # [T,R,C,H,W] warped appearance; RGB in [0,1] where a model fuses images
    confidence: Tensor  # [T,R,1,h,w] 0..1, 1 = this reference shows this pixel well; (h,w) divides (H,W)
    distance: Tensor  # [T,R] >= 0, pose and expression distance between driving frame and reference
    prior: Tensor  # [T,R,1,h,w] >= 0, warped masks; multiplies any strategy's weights; 0 where a strength is 0
    scores: Tensor | None = None  # [T,R,B,h,w] the model's own fusion logits for B bands, where it has them
    levels: tuple[Tensor, ...] | None = None  # further features [T,R,C,H,W], each of a size of its own; same weights
    pictures: Tensor | None = None  # [T,R,3,y,x] in [0,1], for previews, where the features are no pictures
    places: Tensor | None = None  # [T,R,2,h,w] where in its reference each pixel is read: x, y in shares of its size
    regions: Tensor | None = None  # [T,G,h,w] 0..1, sum over G 1: which of `face_regions.REGIONS` a pixel belongs to
    differences: Tensor | None = None  # [T,R,G] >= 0, how unlike the driving frame the reference is in each region
    strengths: Tensor | None = None  # [T,R] >= 0, the user's weight of each reference, in every frame the same; None: 1

    def at(self, index: slice) -> Evidence:
        """The frames of a slice of the T axis, as a new value that shares memory."""
        return Evidence(*(frames_of(field, index) for field in self))

    def of(self, references: list[int]) -> Evidence:
        """Some of the references, in this order."""
        some = self._replace(regions=None)  # which have no axis R
        return Evidence(*(_of(field, references) for field in some))._replace(regions=self.regions)

    @property
    def claims(self) -> Tensor:
        """How much each reference has to say about a pixel, whatever the strategy: [T,R,1,h,w] >= 0."""
        claims = self.confidence * self.prior
        return claims if self.strengths is None else claims * self.strengths[:, :, None, None, None].to(claims)

    @property
    def nbytes(self) -> int:
        """Memory of all tensors."""
        parts = [part for field in self for part in (field if isinstance(field, tuple) else (field,))]
        return sum(part.nbytes for part in parts if part is not None)


def _of(field: Tensor | tuple[Tensor, ...] | None, references: list[int]) -> Any:
    if isinstance(field, tuple):
        return tuple(part[:, references] for part in field)
    return None if field is None else field[:, references]


def frames_of(field: Tensor | tuple[Tensor, ...] | None, index: slice) -> Any:
    """A slice of the T axis of a field."""
    if isinstance(field, tuple):
        return tuple(part[index] for part in field)
    return None if field is None else field[index]
