"""Person or background, per pixel. Network converted from MediaPipe's selfie segmentation (Apache-2.0)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .graph import GraphNet


class PersonMatte(nn.Module):
    """Soft silhouettes of people in the foreground."""

    def __init__(self, net: GraphNet):
        super().__init__()
        self.net = net

    @classmethod
    def load(cls, device: str | torch.device = "cpu") -> PersonMatte:
        """The matte network with the weights that ship beside it. Raises CheckpointError."""
        return cls(GraphNet.load("matte")).eval().requires_grad_(False).to(device)

    def matte(self, images: Tensor) -> Tensor:
        """Images [N,3,H,W] in [0,1] -> [N,1,H,W] in [0,1], 1 = person; on the images' device.

        The network sees 256 px squares, so edges are no finer than 1/256 of the image.
        """
        side = self.net.size
        home = images.device
        with torch.inference_mode():
            images = images.to(next(self.net.buffers()).device, torch.float32)
            small = F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)
            (person,) = self.net(small)
            person = F.interpolate(person, images.shape[-2:], mode="bilinear", align_corners=False)
        return person.clamp(0, 1).clone().to(home)

    def forward(self, images: Tensor) -> Tensor:
        return self.matte(images)
