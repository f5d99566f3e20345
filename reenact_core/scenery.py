"""The background of a driving video: how the camera moved, and features that tell where a reference was taken.

Corners of the background are followed from a key frame on (Lucas and Kanade 1981, in pyramids), and one rotation,
scale and shift is fitted to them. Where too few agree, the features of the first frame are looked for, and the next
key frame begins.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .scene_features import SceneFeatures, away_from, find_features, fit_camera, moved_apart, register_features
from .stopping import may_stop
from .tracking import PersonMatte
from .types import Scene

SIDE = 256  # pixels of the longer side of the pictures in which corners are followed
FEATURE_SIDE = 640  # the same of the pictures in which features are found
CORNERS, FEATURES = 120, 600  # at most
FEWEST = 16  # corners that have to agree on a movement
BELIEVED, PLENTY = 0.3, 0.5  # share of the key frame's corners that has to agree; below the second a new one begins
STANDING = 0.15  # share of the corners that may stand still while the camera is said to move
REACH = 0.7  # pixels of the small picture by which corners that agree may differ
STILL = 0.006  # largest movement, in shares of the longer side, that counts as none
KNOWN = 0.8  # share of frames in which the camera has to be found
OFTEN = 8  # frames between two looks for the first frame's features, which cost more than all the rest
PATIENCE = 8  # frames in a row without it, after which nobody looks any further


class CameraFollower:
    """Watches the frames of one video in order; `result` says what they tell."""

    def __init__(self, matte: PersonMatte | None = None) -> None:
        self._matte = matte or PersonMatte.load()
        self._maps: list[np.ndarray] = []  # [3,3] pixels of each frame -> of the first, both in small pictures
        self._found: list[bool] = []
        self._size = (0, 0)  # (H, W) of a frame
        self._first: SceneFeatures | None = None
        self._missed = 0  # frames in a row without a known camera
        self._looked = 0  # the last frame in which features were looked for
        self._key = np.zeros((0, 0), np.uint8)
        self._key_map = np.eye(3)
        self._corners = self._places = np.zeros((0, 2), np.float32)  # in the key frame, and where they were seen last

    def watch(self, chunk: Tensor) -> None:
        """Takes the next frames [n,3,H,W] in [0,1]."""
        self._size = (chunk.shape[-2], chunk.shape[-1])
        for frame in chunk:
            may_stop()
            place = self._locate(frame) if self._missed < PATIENCE else None
            self._missed = self._missed + 1 if place is None else 0
            self._found.append(place is not None)
            self._maps.append(self._maps[-1] if place is None else place)

    def result(self) -> Scene:
        """What the frames told; the camera is not known where too few of them show it."""
        assert self._first is not None
        if sum(self._found) < KNOWN * len(self._found):
            return Scene(None, self._first)
        camera = torch.from_numpy(np.stack(self._maps)[:, :2]).float()
        camera[:, :, 2] /= self._factor(SIDE)
        still = torch.eye(2, 3).repeat(len(camera), 1, 1)
        if moved_apart(camera, still, self._size) < STILL * max(self._size):
            camera = still  # nothing shall tremble before a camera that stands still
        return Scene(camera, self._first)

    def _locate(self, frame: Tensor) -> np.ndarray | None:
        """Where the background of a frame [3,H,W] lies in the first one: [3,3], or None."""
        small = self._reduced(frame, SIDE)
        if self._first is None:
            self._first = self._features(frame)
            self._begin(frame, small, np.eye(3))
            return self._key_map
        moved, share = self._follow(small)
        if moved is not None and share >= PLENTY:
            return self._key_map @ moved
        place = None if moved is None else self._key_map @ moved
        if place is None or len(self._maps) - self._looked >= OFTEN:  # what is counted from key to key drifts
            self._looked = len(self._maps)
            again = self._recognise(frame)
            place = place if again is None else again
        self._begin(frame, small, self._maps[-1] if place is None else place)
        return place

    def _begin(self, frame: Tensor, small: np.ndarray, place: np.ndarray) -> None:
        """Makes this frame the key frame."""
        corners = cv2.goodFeaturesToTrack(small, CORNERS, 0.01, 5, mask=self._away(frame, small))
        self._corners = self._places = np.zeros((0, 2), np.float32) if corners is None else corners[:, 0]
        self._key, self._key_map = small, place

    def _follow(self, small: np.ndarray) -> tuple[np.ndarray | None, float]:
        """The movement [3,3] from this frame to the key frame on which corners agree, and which share of them does."""
        if len(self._corners) < FEWEST:
            return None, 0.0
        places, seen, _ = cv2.calcOpticalFlowPyrLK(
            self._key, small, self._corners, self._places.copy(), winSize=(15, 15), maxLevel=3,
            flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )  # fmt: skip
        kept = seen[:, 0] > 0
        if kept.sum() < FEWEST:
            return None, 0.0
        moved, agreeing = fit_camera(places[kept] + 0.5, self._corners[kept] + 0.5, REACH)
        share = float(agreeing.sum()) / len(self._corners)
        if moved is None or agreeing.sum() < FEWEST or share < BELIEVED:
            return None, share
        away = np.linalg.norm(places - self._corners, axis=1)[kept]
        if np.median(away[agreeing]) > 2 * REACH and (away < REACH).sum() > STANDING * len(self._corners):
            moved = np.eye(2, 3)  # clothes and hair move; the scene stands still, if some of it does
        self._places = places
        return np.vstack([moved, [0, 0, 1]]), share

    def _recognise(self, frame: Tensor) -> np.ndarray | None:
        """The place [3,3] of a frame from the features that it shares with the first."""
        assert self._first is not None
        affine = register_features(self._features(frame), self._first)
        if affine is None:
            return None
        affine[:, 2] *= self._factor(SIDE)
        return np.vstack([affine.numpy(), [0, 0, 1]])

    def _features(self, frame: Tensor) -> SceneFeatures:
        """Background features of a frame [3,H,W], in its pixels."""
        picture = self._reduced(frame, FEATURE_SIDE)
        found = find_features(picture, self._away(frame, picture), FEATURES)
        return found._replace(points=found.points / self._factor(FEATURE_SIDE))

    def _factor(self, side: int) -> float:
        """Size of a picture with at most `side` pixels on its longer side, against the frame's."""
        return min(1.0, side / max(self._size))

    def _reduced(self, frame: Tensor, side: int) -> np.ndarray:
        """A frame [3,H,W] as a small picture [h,w] uint8. Green is nearly as good as grey, and is there already."""
        green, factor = frame[1].float().cpu().numpy(), self._factor(side)
        if factor < 1:
            height, width = (max(8, round(length * factor)) for length in green.shape)
            green = cv2.resize(green, (width, height), interpolation=cv2.INTER_AREA)
        return (green * 255).astype(np.uint8)

    @torch.inference_mode()
    def _away(self, frame: Tensor, picture: np.ndarray) -> np.ndarray:
        """Where a frame [3,H,W] shows nobody, as a mask of a smaller picture [h,w] of it."""
        size = (picture.shape[0], picture.shape[1])
        reduced = F.interpolate(frame[None].float().cpu(), size=size, mode="bilinear", antialias=True)
        return away_from(self._matte.matte(reduced)[0], size)
