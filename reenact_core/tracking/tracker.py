"""The face tracker: 478 landmarks, 52 blendshapes and head pose in photos and video."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..parallel import undivided
from ..types import Faces
from .blendshapes import NAMES, POINTS, BlendshapeNet, upright
from .detector import Detections, FaceDetector
from .graph import GraphNet
from .pose import head_rotation
from .regions import Regions, crop, overlap, regions_of_detections, regions_of_landmarks, to_image

PRESENT = -2.2  # logit (a score of 0.1) from which a crop counts as a face; profiles beyond 70 degrees are below 0
SURE = 12.0  # logit of a face that is not read the wrong way round: those read so were below 11 in 40 photos
UPSIDE_DOWN = 2.0  # by how much the logit of a crop turned by quarters must be better to be believed
SAME_PERSON = 0.4  # overlap of successive regions below which the track counts as lost
DRIFT = 0.02  # how far (in sides of the region) a face may be off its crop before the crop is renewed
TURN = 0.03  # the same for the roll, in radians
BATCH = 16  # frames of video read at once, with one crop while the head is calm; one by one on the CPU, where
# the larger intermediate values would be slower (page faults) than the calls they save
SEARCH_EVERY = 15  # frames between two thorough searches while nobody is seen
SETTLED = 3  # readings of a photo, each in the crop that the one before leads to: after two, the crop still remembers
# where the detector put it, and half a degree of the head's turning with it


class Reading(NamedTuple):
    """What the landmark network says about N crops."""

    landmarks: Tensor  # [N,478,3] px of the image
    scores: Tensor  # [N] logits of "this is a face"
    regions: Regions  # where each of these faces lies, to be used for the next frame

    def at(self, index) -> Reading:
        return Reading(self.landmarks[index], self.scores[index], self.regions.at(index))

    def replace_at(self, index: Tensor, other: Reading) -> None:
        """Overwrites the crops at `index` (LongTensor) with those of another reading."""
        self.landmarks[index], self.scores[index] = other.landmarks, other.scores
        for target, source in zip(self.regions, other.regions):
            target[index] = source


class FaceTracker(nn.Module):
    """Tracks faces on the device it is moved to; `track_video` keeps what it remembers to itself."""

    def __init__(self, detector: FaceDetector, mesh: GraphNet, blendshapes: BlendshapeNet):
        super().__init__()
        self.detector, self.mesh, self.blendshapes = detector, mesh, blendshapes

    @classmethod
    def load(cls, device: str | torch.device = "cpu") -> FaceTracker:
        """The tracker with the weights that ship beside it. Raises CheckpointError."""
        tracker = cls(FaceDetector.load(), GraphNet.load("landmarks"), BlendshapeNet.load())
        return tracker.eval().requires_grad_(False).to(device)

    @property
    def device(self) -> torch.device:
        return next(self.blendshapes.parameters()).device

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[Detections]:
        """Faces in each of the images [N,3,H,W] in [0,1], largest first; heads not too far from upright."""
        return self.detector(images.to(self.device, torch.float32))

    def track_images(self, images: Sequence[Tensor], face_index: int | None = None) -> Faces:
        """One face in each of independent photos [3,H,W] in [0,1], of any sizes.

        face_index: which face, in order of size, 0 or None = the largest. `found` is False where an image shows
        no such face; its landmarks then are zero.
        """
        with torch.inference_mode():
            readings = [self._look(image.to(self.device, torch.float32), face_index or 0) for image in images]
        return self._faces(readings)

    def track_video(self, chunks: Iterable[Tensor], face_index: int | None = None) -> Iterator[Faces]:
        """Follows one person through the frames of chunks [n,3,H,W] in [0,1]; yields the faces of each chunk.

        face_index: who, in order of size in the first frame that shows so many faces; 0 or None = the largest.
        After a loss the face nearest to the last place is taken up again. Memory: one chunk.
        """
        region: Regions | None = None  # where the person was seen last
        lost = 0  # frames since then
        largest = 1 if self.device.type == "cpu" else BATCH
        batch = largest
        for chunk in chunks:
            frames = chunk.to(self.device, torch.float32)
            readings: list[Reading | None] = []
            position = 0
            with torch.inference_mode(), undivided(self.device):
                while position < len(frames):
                    reading, calm = None, False
                    if region is not None and not lost:
                        reading, calm = self._follow(frames[position : position + batch], region)
                    if reading is None:
                        thorough = lost % SEARCH_EVERY == 0
                        reading = self._look(frames[position], face_index or 0, region, thorough)
                    readings.append(reading)
                    lost = lost + 1 if reading is None else 0
                    if reading is not None:
                        region = reading.regions.at(slice(-1, None))
                        batch = min(largest, 2 * batch) if calm else max(1, len(reading.scores))
                    position += 1 if reading is None else len(reading.scores)
                faces = self._faces(readings)
            yield faces

    def _read(self, frames: Tensor, regions: Regions) -> Reading:
        """Landmarks of frames [N,3,H,W] in N regions, or in one that all share."""
        if len(regions.side) == 1:
            regions = Regions(*(field.expand(len(frames), *field.shape[1:]) for field in regions))
        size = self.mesh.size
        points, presence, _ = self.mesh(crop(frames, regions, size))
        landmarks = to_image(points.reshape(len(frames), -1, 3), regions, size)
        return Reading(landmarks, presence.reshape(-1), regions_of_landmarks(landmarks))

    def _follow(self, frames: Tensor, region: Regions) -> tuple[Reading | None, bool]:
        """Reads the frames up to the first that loses the face; None if that is the first of all.

        All are read in one batch with one region; those whose face has moved off it are read again with their
        own. The flag says that no second reading was needed.
        """
        reading = self._read(frames, region)
        moved = (reading.regions.centre - region.centre).norm(dim=1) > DRIFT * region.side
        moved |= (reading.regions.side / region.side).log().abs() > DRIFT
        moved |= (reading.regions.angle - region.angle).cos() < math.cos(TURN)
        again = moved.nonzero()[:, 0]
        if len(again):
            reading.replace_at(again, self._read(frames[again], reading.regions.at(again)))
        before = Regions(*(torch.cat([one, many[:-1]]) for one, many in zip(region, reading.regions)))
        good = (reading.scores > PRESENT) & (overlap(before, reading.regions) > SAME_PERSON)
        kept = int(good.cumprod(0).sum())
        return (reading.at(slice(0, kept)) if kept else None), len(again) == 0

    def _look(self, image: Tensor, index: int, near: Regions | None = None, thorough: bool = True) -> Reading | None:
        """The face of an image [3,H,W] that is number `index` in size, or the one nearest to a region."""
        for found in self.detector.search(image):
            if len(found.scores):
                reading = self._confirm(image, regions_of_detections(found.boxes, found.keypoints), thorough)
                reading = reading.at(reading.scores > PRESENT)
                if near is not None and len(reading.scores):
                    apart = (reading.regions.centre - near.centre).norm(dim=1) / near.side
                    apart = apart + (reading.regions.side / near.side).log().abs()
                    nearest = int(apart.argmin())
                    return reading.at(slice(nearest, nearest + 1))
                if len(reading.scores) > index:
                    chosen = reading.regions.side.argsort(descending=True)[index : index + 1]
                    return reading.at(chosen)
            if not thorough:
                return None
        return None

    def _confirm(self, image: Tensor, regions: Regions, thorough: bool) -> Reading:
        """Reads detected regions and those they lead to; a thorough look also tries them turned by quarters.

        Detectors mistake the eyes of strongly rolled heads; the landmark network then sees a poor face. A good face is
        left as it is, because a wrong turn can score even higher than the right one.
        """
        frames = image.expand(len(regions.side), -1, -1, -1)
        reading = self._settle(frames, regions)
        doubtful = (reading.scores < SURE).nonzero()[:, 0]
        if len(doubtful) == 0:
            return reading
        for quarters in (2, 1, 3) if thorough else ():
            turned = regions.at(doubtful)
            turned = turned._replace(angle=turned.angle + quarters * torch.pi / 2)
            other = self._settle(frames[doubtful], turned)
            better = other.scores > reading.scores[doubtful] + UPSIDE_DOWN
            reading.replace_at(doubtful[better], other.at(better))
        return reading

    def _settle(self, frames: Tensor, regions: Regions) -> Reading:
        """Reads frames [N,3,H,W] in N regions, then in those that the readings lead to."""
        reading = self._read(frames, regions)
        for _ in range(SETTLED - 1):
            reading = self._read(frames, reading.regions)
        return reading

    def _faces(self, readings: list[Reading | None]) -> Faces:
        """Joins readings (None = one frame without a face) and adds blendshapes and pose."""
        lengths = [1 if reading is None else len(reading.scores) for reading in readings]
        found = torch.tensor([reading is not None for reading in readings], dtype=torch.bool)
        found = found.repeat_interleave(torch.tensor(lengths, dtype=torch.long)).to(self.device)
        count = len(found)
        landmarks = torch.zeros(count, 478, 3, device=self.device)
        blendshapes = torch.zeros(count, len(NAMES), device=self.device)
        rotation = torch.eye(3, device=self.device).repeat(count, 1, 1)
        score = torch.zeros(count, device=self.device)
        seen = [reading for reading in readings if reading is not None]
        if seen:
            with torch.inference_mode():
                points = torch.cat([reading.landmarks for reading in seen]).float()
                angle = torch.cat([reading.regions.angle for reading in seen])
                expression = self.blendshapes(upright(points[:, list(POINTS), :2], angle))
                turned = head_rotation(points)
                certainty = torch.cat([reading.scores for reading in seen]).sigmoid()
            landmarks[found], blendshapes[found], rotation[found], score[found] = (
                value.clone() for value in (points, expression, turned, certainty)
            )
        return Faces(landmarks, blendshapes, rotation, score, found)
