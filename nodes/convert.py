"""Pictures and masks between the host's layout and the core's; the only place that knows both.

The host: IMAGE [B,H,W,C] with 3 or 4 channels, MASK [B,H,W] or [H,W], any float type, any device.
The core: images [T,3,H,W], masks [1,H,W], float32 in [0,1] on the CPU; models move what they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import comfy.model_management
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..reenact_core.decoding.paste_back import lay_on_black
from ..reenact_core.errors import ImageError


def to_core(image: Tensor, name: str = "image") -> Tensor:
    """IMAGE [B,H,W,C] or one picture [H,W,C] as core images [B,3,H,W]; grey is repeated, alpha left out.

    The result may share memory with `image`, which belongs to the host: never write into it.

    Raises:
        ImageError: another shape, no picture, NaN or infinity; `name` says where.
    """
    return _core(_as_batch(image, name), f"`{name}`")


def alpha_of(image: Tensor, name: str = "image") -> Tensor | None:
    """The alpha channel of an IMAGE as [B,1,H,W], or None where it has none."""
    image = _as_batch(image, name)
    if image.shape[-1] != 4:
        return None
    return _in_range(image[..., 3:].movedim(-1, 1).to("cpu", torch.float32), f"`{name}`")


def separate(images: Sequence[Tensor]) -> list[Tensor]:
    """The single pictures [1,H,W,C] of a list of IMAGE batches, which may differ in size, in order."""
    return [picture for image in images for picture in _as_batch(image, "image").split(1)]


def chunks_of(image: Tensor, size: int, name: str = "image") -> Iterator[Tensor]:
    """An IMAGE batch as consecutive core chunks [n,3,H,W], n = `size` or less, converted one at a time."""
    batch = _as_batch(image, name)
    for start in range(0, len(batch), size):
        yield _core(batch[start : start + size], f"`{name}` from frame {start} on")


def to_host(images: Tensor) -> Tensor:
    """Core images [T,3,H,W] as IMAGE [T,H,W,3] on the device the host keeps results on."""
    device = comfy.model_management.intermediate_device()
    return images.movedim(1, -1).to(device, torch.float32).clamp(0, 1).contiguous()


def to_pil(picture: Tensor) -> Image.Image:
    """A core picture [3,H,W] for files and previews."""
    pixels = picture.detach().float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous().cpu()
    return Image.fromarray(pixels.numpy())


class FrameCollector:
    """Collects chunks of finished frames in an IMAGE of known length, without ever holding them twice."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._filled = 0
        self._frames = torch.empty(0)  # the first chunk says of what size

    def add(self, chunk: Tensor) -> None:
        """Append core images [n,C,H,W], all of one size."""
        count, channels, height, width = chunk.shape
        room = self._next(count, channels, height, width)
        if channels == 3 and chunk.stride(-1) == 1 and {room.device.type, chunk.device.type} == {"cpu"}:
            for image, frame in zip(chunk.float().numpy(), room.numpy()):
                cv2.merge(list(image), frame)  # three times as fast as torch
        else:
            room.copy_(chunk.movedim(1, -1))
        room.clamp_(0, 1)

    def add_on_black(self, crops: Tensor, boxes: Tensor, canvas: tuple[int, int]) -> None:
        """Append crops [n,C,side,side] in [0,1] where their boxes [n,3] lie on a black canvas (H, W)."""
        room = self._next(len(crops), crops.shape[1], *canvas)
        lay_on_black(crops, boxes, canvas, room.zero_().movedim(-1, 1))

    def result(self) -> Tensor:
        """The IMAGE [T,H,W,C] of all frames added so far."""
        return self._frames[: self._filled]

    def mask(self) -> Tensor:
        """The same as MASK [T,H,W], where the frames have one channel."""
        return self.result()[..., 0]

    def _next(self, count: int, channels: int, height: int, width: int) -> Tensor:
        """Room [count,H,W,C] for the next frames."""
        if self._filled == 0:
            device = comfy.model_management.intermediate_device()
            shape = self._count, height, width, channels
            # From NumPy: it asks for large pages, so that filling them is interrupted less often.
            cpu = device.type == "cpu"
            self._frames = torch.from_numpy(np.empty(shape, np.float32)) if cpu else torch.empty(shape, device=device)
        start = self._filled
        self._filled += count
        return self._frames[start : self._filled]


def resized_masks(mask: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """MASK [B,H,W], [B,1,H,W] or [H,W] as one core mask [1,H_i,W_i] for each of the `sizes`.

    Masks and pictures often differ in size: the host hands out 64x64 zeros for a picture without alpha.
    A single mask serves all pictures.

    Raises:
        ImageError: several masks, but not one per picture; another shape; NaN or infinity.
    """
    if mask.shape[:1] == (0,):
        raise ImageError("The batch holds no mask. Check the node that made it.")
    if mask.ndim == 4 and mask.shape[1] == 1:
        mask = mask[:, 0]
    if mask.ndim == 2:
        mask = mask[None]
    if mask.ndim != 3 or 0 in mask.shape:
        raise ImageError(f"A mask must be [B,H,W], got {list(mask.shape)}. Connect a MASK output.")
    if len(mask) not in (1, len(sizes)):
        raise ImageError(
            f"There are {len(mask)} masks for {len(sizes)} pictures. Give one mask for all or one for each."
        )
    mask = _in_range(mask.to("cpu", torch.float32), "The mask")
    each = mask.expand(len(sizes), -1, -1)
    return [_resized(one[None], size) for one, size in zip(each, sizes)]


def usable_masks(left_out: Tensor | None, sizes: Sequence[tuple[int, int]]) -> list[Tensor | None]:
    """From a MASK of what to leave out to the core's masks of what may be used, one per picture.

    None means that all of it may be used: without a mask, or where the mask marks nothing.
    """
    if left_out is None:
        return [None] * len(sizes)
    return [1 - mask if mask.any() else None for mask in resized_masks(left_out, sizes)]


def _resized(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask [1,H,W] in another size."""
    if mask.shape[-2:] == size:
        return mask
    return F.interpolate(mask[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0]


def _core(batch: Tensor, what: str) -> Tensor:
    """An IMAGE [B,H,W,C] as core images [B,3,H,W]."""
    colours = batch[..., :3] if batch.shape[-1] >= 3 else batch[..., :1].expand(*batch.shape[:-1], 3)
    return _in_range(colours.movedim(-1, 1).to("cpu", torch.float32), what)


def _as_batch(image: Tensor, name: str) -> Tensor:
    if image.ndim == 3:
        image = image[None]
    if image.ndim == 4 and len(image) == 0:
        raise ImageError(f"`{name}` holds no picture. Check the node that made it.")
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise ImageError(f"`{name}` must be [B,H,W,C] with 3 or 4 channels, got {list(image.shape)}. Connect an IMAGE.")
    return image


def _in_range(values: Tensor, what: str) -> Tensor:
    """`values` clipped to [0,1]: upscalers overshoot. The same tensor where nothing has to be clipped."""
    low, high = values.aminmax()
    if not (low.isfinite() and high.isfinite()):
        raise ImageError(f"{what} holds NaN or infinite values. Check the node that made it.")
    return values if low >= 0 and high <= 1 else values.clamp(0, 1)
