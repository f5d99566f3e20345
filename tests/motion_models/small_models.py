"""Small variants of the public models with random weights: same code, hardly any channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from reenact_core.motion_models.backbones import ConvNeXtConfig
from reenact_core.motion_models.first_order import AffineKeypoints, FirstOrder, FirstOrderConfig
from reenact_core.motion_models.head_motion import keypoints
from reenact_core.motion_models.layers import HourglassConfig
from reenact_core.motion_models.live_portrait import LivePortrait
from reenact_core.motion_models.live_portrait_config import LivePortraitConfig
from reenact_core.motion_models.spade import SpadeConfig
from reenact_core.motion_models.thin_plate import DisentanglerConfig, ThinPlate, ThinPlateConfig

SIZE = 64  # of the images; thumbnails are a quarter of it, so hourglasses have four blocks at most

FIRST_ORDER = FirstOrderConfig(
    keypoints=3,
    jacobian_maps=3,
    detector=HourglassConfig(3, (6, 8), (7, 5)),
    motion=HourglassConfig(16, (6, 8, 10), (9, 7, 5)),
    widths=(5, 6, 7),
    residual_blocks=2,
    blur_kernel=13,
)
THIN_PLATE = ThinPlateConfig(
    plates=2,
    detector=(4, 5, 6, 7),
    motion=HourglassConfig(20, (6, 8, 10), (9, 7, 5)),
    up=(6, 4),
    widths=(4, 5, 6, 7),
    blur_kernel=13,
    background=(3, 4, 5, 6),
    disentangler=DisentanglerConfig((20, 6, 7, 8, 9), (18, 7, 6, 5, 20)),
)
LIVE_PORTRAIT = LivePortraitConfig(
    keypoints=21,
    widths=(4, 5, 6),
    channels=3,
    depth=4,
    volume_blocks=2,
    motion_extractor=ConvNeXtConfig((4, 5, 6, 7), (1, 1, 2, 1)),
    pose_bins=66,
    compressed=2,
    motion=HourglassConfig(66, (6, 8), (7, 5)),
    warped=10,
    decoder=SpadeConfig(condition=10, hidden=6, middle=2, widths=(9, 7, 5), outputs=12),
    stitching=(126, 8, 7, 6, 65),
    lip=(65, 8, 7, 6, 63),
    eye=(66, 8, 8, 7, 7, 6, 63),
)


@dataclass(frozen=True)
class SmallModel:
    """One of them, with what differs between the models' calls."""

    name: str
    config: Any
    build: type[nn.Module]

    def make(self, config: Any = None) -> nn.Module:
        """The model in evaluation mode, filled with reproducible random weights."""
        model = self.build(config or self.config)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for key, tensor in model.state_dict().items():
                if not tensor.is_floating_point():
                    tensor.zero_()
                    continue
                noise = torch.randn(tensor.shape, generator=generator)
                if key.endswith("running_var"):
                    tensor.copy_(1 + noise**2)
                elif tensor.ndim > 1:
                    tensor.copy_(noise * 1.5 / tensor[0].numel() ** 0.5)
                else:
                    tensor.copy_(0.3 * noise + (1 if key.endswith("weight") else 0))
        return model.eval().requires_grad_(False)

    def motion(self, model: Any, images: torch.Tensor) -> Any:
        """Keypoints of images as `warp` takes those of the references."""
        motion = model.encode_motion(images)
        return keypoints(motion) if self.name == "live_portrait" else motion

    def pairs(self, motion: Any, references: int) -> Any:
        """Driving keypoints [T,...], the same for each of R references: [T,R,...]."""
        if isinstance(motion, AffineKeypoints):
            return AffineKeypoints(*(self.pairs(field, references) for field in motion))
        return motion[:, None].expand(-1, references, *[-1] * (motion.ndim - 1))

    def fusable(self, warp: Any) -> list[torch.Tensor]:
        """The maps [T,R,C,h,w] a pipeline fuses."""
        return list(warp.levels) if self.name == "thin_plate" else [warp.features]

    def decode(self, model: Any, fused: list[torch.Tensor]) -> torch.Tensor:
        return model.decode(fused if self.name == "thin_plate" else fused[0])


SMALL_MODELS = (
    SmallModel("first_order", FIRST_ORDER, FirstOrder),
    SmallModel("thin_plate", THIN_PLATE, ThinPlate),
    SmallModel("live_portrait", LIVE_PORTRAIT, LivePortrait),
)


def images(count: int, seed: int = 0) -> torch.Tensor:
    """Smooth random pictures [count,3,SIZE,SIZE] in [0,1]."""
    noise = torch.rand(count, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(noise, size=(SIZE, SIZE), mode="bicubic").clamp(0, 1)
