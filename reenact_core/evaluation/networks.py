"""Metric networks: LPIPS (perceptual distance) and SFace (identity). Both are optional files.

LPIPS: Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", version
0.1 with the AlexNet backbone. SFace: Zhong et al. 2021, run by OpenCV.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import CheckpointError, ImageError
from .array_pickle import load_arrays
from .landmark_metrics import alignment_points
from .metrics import masked_mean

LPIPS_FILE = "lpips_alexnet.ckpt"
IDENTITY_FILE = "face_recognition_sface_2021dec.onnx"
SMALLEST_LPIPS_SIDE = 31  # px; below, the backbone's poolings leave nothing
_WIDTHS = (3, 64, 192, 384, 256, 256)
# Where the eyes, nose tip and mouth corners belong in the 112 px crop that ArcFace-like networks are trained
# on (the image's left eye first); published with them, first pixel's centre at 0.
_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


class Lpips(nn.Module):
    """LPIPS 0.1 with AlexNet; differentiable in both images, its own weights are frozen."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        kernels = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(_WIDTHS[i], _WIDTHS[i + 1], size, stride, padding)
            for i, (size, stride, padding) in enumerate(kernels)
        )
        self.weights = nn.ParameterList(torch.zeros(1, width, 1, 1) for width in _WIDTHS[1:])
        self.register_buffer("mean", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
        """Distance of images [N,3,H,W] in [0,1]; [N] >= 0, 0 = same.

        `mask` [N,1,H,W] weighs the pixels: each layer's map is averaged over the mask reduced to its size.
        Raises ImageError below `SMALLEST_LPIPS_SIDE`.
        """
        return self.by_mask(a, b, [mask])[0]

    def by_mask(self, a: Tensor, b: Tensor, masks: Sequence[Tensor | None]) -> list[Tensor]:
        """`forward` with each of several masks, for the price of one."""
        return self.between(self.features(a), self.features(b), masks)

    def between(self, a: Sequence[Tensor], b: Sequence[Tensor], masks: Sequence[Tensor | None]) -> list[Tensor]:
        """`by_mask` of pictures whose `features` are known."""
        totals = [a[0].new_zeros(len(a[0])) for _ in masks]
        for one, two, weight in zip(a, b, self.weights, strict=True):
            gap = ((one - two).square() * weight).sum(dim=1, keepdim=True)
            for number, mask in enumerate(masks):
                inner = None if mask is None else F.interpolate(mask, size=gap.shape[-2:], mode="area")
                totals[number] = totals[number] + masked_mean(gap, inner)
        return totals

    def features(self, images: Tensor) -> list[Tensor]:
        """Five maps of unit-length features of [N,3,H,W] images in [0,1]."""
        if min(images.shape[-2:]) < SMALLEST_LPIPS_SIDE:
            seen = f"{images.shape[-1]}x{images.shape[-2]}"
            raise ImageError(f"LPIPS needs at least {SMALLEST_LPIPS_SIDE} px per side, got {seen}. Use larger images.")
        values = (images.clamp(0, 1) * 2 - 1 - self.mean) / self.deviation
        maps = []
        for index, convolution in enumerate(self.convolutions):
            if index in (1, 2):
                values = F.max_pool2d(values, 3, 2)
            values = F.relu(convolution(values))
            maps.append(F.normalize(values, dim=1, eps=1e-10))
        return maps


def load_lpips(path: Path) -> Lpips:
    """LPIPS with the weights of `lpips_alexnet.ckpt`. Raises CheckpointError when the file does not fit."""
    arrays = load_arrays(path)
    state: dict[str, Tensor] = {}
    for index in range(len(_WIDTHS) - 1):
        names = {
            f"convolutions.{index}.weight": f"AlexNet_0/Conv_{index}/kernel",
            f"convolutions.{index}.bias": f"AlexNet_0/Conv_{index}/bias",
            f"weights.{index}": f"NetLinLayer_{index}/Conv_0/kernel",
        }
        for ours, theirs in names.items():
            if theirs not in arrays:
                raise CheckpointError(f"{path} has no array {theirs!r}, so it is no LPIPS-AlexNet file.")
            values = torch.from_numpy(arrays[theirs].astype(np.float32))
            state[ours] = values.permute(3, 2, 0, 1) if values.ndim == 4 else values  # HWIO -> OIHW
    network = Lpips()
    try:
        network.load_state_dict(state | {"mean": network.mean, "deviation": network.deviation})
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit LPIPS-AlexNet: {error}") from error
    return network.eval()


class IdentityEmbedder:
    """SFace: unit-length 128-d embeddings of faces, whose dot product is the identity similarity."""

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError when the file is missing or not the SFace ONNX model."""
        if not path.is_file():
            raise CheckpointError(f"No identity network at {path}. Give the SFace ONNX file.")
        try:
            self._network = cv2.FaceRecognizerSF.create(str(path), "")
        except cv2.error as error:
            raise CheckpointError(f"{path} is not an ONNX model OpenCV can run: {error}") from error

    def __call__(self, images: Tensor, landmarks: Tensor) -> Tensor:
        """Embeddings [N,128] of images [N,3,H,W] in [0,1] with landmarks [N,478,3] in their pixels."""
        faces = align(images, landmarks)
        embeddings = [self._network.feature(face).flatten() for face in faces]
        if not embeddings:
            return torch.zeros(0, 128)
        return F.normalize(torch.from_numpy(np.stack(embeddings)), dim=1)


def align(images: Tensor, landmarks: Tensor) -> np.ndarray:
    """Faces turned, scaled and cut to the 112 px template; images [N,3,H,W] -> uint8 BGR [N,112,112,3]."""
    pictures = images.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).flip(-1).cpu().numpy()
    points = alignment_points(landmarks).cpu().double().numpy() - 0.5  # to first pixel's centre at 0
    faces = np.zeros((len(pictures), 112, 112, 3), np.uint8)
    for face, picture, source in zip(faces, pictures, points, strict=True):
        cv2.warpAffine(np.ascontiguousarray(picture), _similarity_transform(source), (112, 112), dst=face)
    return faces


def _similarity_transform(points: np.ndarray) -> np.ndarray:
    """Least-squares rotation, scale and shift of [5,2] points onto the template, as a [2,3] matrix."""
    source, target = points @ (1, 1j), _TEMPLATE @ (1, 1j)
    centre, aim = source.mean(), target.mean()
    factor = np.vdot(source - centre, target - aim) / np.vdot(source - centre, source - centre).real
    shift = aim - factor * centre
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


class MetricNetworks(NamedTuple):
    """The metric networks that were found; None where the file was absent."""

    lpips: Lpips | None = None
    identity: IdentityEmbedder | None = None
    notes: tuple[str, ...] = ()  # a sentence per absent network, for the report


def load_metric_networks(folder: Path | None) -> MetricNetworks:
    """The networks in `folder`, by their published file names; an absent file is a note, not an error.

    Raises CheckpointError when the folder does not exist or a file in it is damaged.
    """
    if folder is None:
        hint = "no metrics folder was given, so LPIPS and identity similarity were not measured"
        return MetricNetworks(notes=(hint,))
    if not folder.is_dir():
        raise CheckpointError(f"The metrics folder {folder} does not exist. Give a folder with {LPIPS_FILE}.")
    lpips_path, identity_path = folder / LPIPS_FILE, folder / IDENTITY_FILE
    notes = []
    if not lpips_path.is_file():
        notes.append(f"{LPIPS_FILE} is not in the metrics folder, so LPIPS was not measured")
    if not identity_path.is_file():
        notes.append(f"{IDENTITY_FILE} is not in the metrics folder, so identity similarity was not measured")
    return MetricNetworks(
        lpips=load_lpips(lpips_path) if lpips_path.is_file() else None,
        identity=IdentityEmbedder(identity_path) if identity_path.is_file() else None,
        notes=tuple(notes),
    )
