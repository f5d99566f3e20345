"""52 expression coefficients from 146 of the 478 landmarks: a four-block MLP mixer.

Converted from the blendshape network of the MediaPipe face landmarker (Apache-2.0). It sees the points' x and
y only, centred and scaled by their mean distance from the centre, so any unit and offset will do.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..stopping import may_stop
from .graph import read_weights
from .regions import regions_of_landmarks

READ_AT_ONCE = 256  # faces; their intermediate values are some hundred times larger

# fmt: off
NAMES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft",
    "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)

POINTS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70,
    78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149,
    150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195,
    197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300,
    308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375,
    377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454,
    466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
)
# fmt: on


class _Block(nn.Module):
    """Mixes the 97 tokens, then the 64 channels of each, both as residuals."""

    def __init__(self, epsilon: float):
        super().__init__()
        self.tokens_norm = nn.LayerNorm(64, epsilon, bias=False)
        self.tokens_in, self.tokens_out = nn.Linear(97, 384), nn.Linear(384, 97)
        self.channels_norm = nn.LayerNorm(64, epsilon, bias=False)
        self.channels_in, self.channels_out = nn.Linear(64, 256), nn.Linear(256, 64)

    def forward(self, x: Tensor, kept: int = 97) -> Tensor:
        """Tokens [N,97,64] -> the first `kept` of them, mixed with all."""
        tokens = F.relu(self.tokens_in(self.tokens_norm(x).transpose(1, 2)))
        mixed = F.linear(tokens, self.tokens_out.weight[:kept], self.tokens_out.bias[:kept])
        x = x[:, :kept] + mixed.transpose(1, 2)
        return x + self.channels_out(F.relu(self.channels_in(self.channels_norm(x))))


class BlendshapeNet(nn.Module):
    """forward: points [N,146,2] in any unit, y down -> coefficients [N,52] in 0..1, ordered as `NAMES`."""

    token: Tensor
    scale: Tensor

    def __init__(self, epsilon: float):
        super().__init__()
        self.points = nn.Linear(146, 96)
        self.features = nn.Linear(2, 64)
        self.blocks = nn.ModuleList(_Block(epsilon) for _ in range(4))
        self.head = nn.Linear(64, 52)
        self.register_buffer("token", torch.zeros(1, 1, 64))
        self.register_buffer("scale", torch.ones(()))

    @classmethod
    def load(cls) -> BlendshapeNet:
        """The network with its weights. Raises CheckpointError."""
        weights, _ = read_weights("blendshapes")
        net = cls(float(weights.pop("epsilon")))
        net.load_state_dict(weights)
        return net.eval().requires_grad_(False)

    def forward(self, points: Tensor) -> Tensor:
        centred = points - points.mean(1, keepdim=True)
        size = centred.norm(dim=2, keepdim=True).mean(1, keepdim=True).clamp_min(1e-9)
        centred = centred / size * self.scale
        x = self.features(self.points(centred.transpose(1, 2)).transpose(1, 2))
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        for block in self.blocks[:-1]:
            x = block(x)
        x = self.blocks[-1](x, kept=1)  # the head reads the first token alone
        return torch.sigmoid(self.head(x[:, 0]))


@torch.inference_mode()
def read_blendshapes(net: BlendshapeNet, landmarks: Tensor) -> Tensor:
    """Coefficients [N,52] of faces given by landmarks [N,478,3], on the device of the network."""
    angle = regions_of_landmarks(landmarks).angle
    points = upright(landmarks[:, list(POINTS), :2], angle)
    parts = []
    for part in points.split(READ_AT_ONCE):
        may_stop()
        parts.append(net(part))
    return torch.cat(parts).clone()


def upright(points: Tensor, angle: Tensor) -> Tensor:
    """Points [N,P,2] turned back by the roll of the head [N]: expressions are learnt from upright faces."""
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    return points @ turn
