"""The still scene around the box: the first reference, and where it ends what other references show of the scene.

A camera that moves or zooms soon shows more than the first reference does. Its edge pixels alone would be stripes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import geometry
from ..stopping import may_stop

FADE = 0.04  # width of a picture's soft rim, in shares of the picture


def continue_scene(
    first: Tensor, reach: Tensor, images: Tensor, maps: Tensor, extent: Tensor, shared: Tensor
) -> Tensor:
    """Pictures [T,3,H,W] of the scene, continued where they end.

    Args:
        first: [T,3,H,W] the first reference on the canvas, its edges repeated.
        reach: [T,1,H,W] from `reach_of`: where it really shows something.
        images: [R,3,h,w] the references. maps: [T,R,2,3] canvas pixels -> theirs. extent: [R,2] as for `reach_of`.
        shared: [R] bool, which references show the first one's scene.
    """
    if bool((reach > 0).all()):
        return first
    canvas, size = (first.shape[-2], first.shape[-1]), (images.shape[-2], images.shape[-1])
    reach = reach.to(first)
    result, left = first * reach, 1 - reach
    for r in shared.nonzero()[1:, 0].tolist():
        may_stop()
        grid = geometry.affine_grid(maps[:, r], canvas, size).to(images)
        share = left * reach_of(grid, extent[r]).to(left)
        if bool((share > 0).any()):
            seen = geometry.sample(images[r].expand(len(grid), -1, -1, -1), grid)
            result, left = result.addcmul_(share, seen.to(result)), left - share
    return result.addcmul_(left, first)


def reach_of(grid: Tensor, extent: Tensor) -> Tensor:
    """Where positions [T,H,W,2], normalised in a padded picture, lie in the picture itself: [T,1,H,W], 0 outside and up
    to its edge, 1 well inside.

    Args:
        extent: [2] shares (x, y) of the padded picture that it fills.
    """
    x, y = ((axis + 1) / (2 * filled) for axis, filled in zip(grid.unbind(-1), extent.tolist()))
    inside = torch.minimum(torch.minimum(x, 1 - x), torch.minimum(y, 1 - y))
    return inside.div_(FADE).clamp_(0, 1)[:, None]
