"""Rendered talking heads: training clips and evaluation sequences whose motion is known exactly.

`render_motion` is the verb to know: one identity performs given controls in a given scene. The heads are those of
`AvatarData` (MakeHuman base mesh and ARKit shapes, CC0); nothing here is needed to run a trained model.
"""

from .heads import AvatarData, Identity, random_identity
from .motion import Controls, random_controls
from .performances import AvatarConfig, load_avatars
from .renderer import Rendering, render_motion
from .scene import Scene, random_scene

__all__ = [
    "AvatarConfig",
    "AvatarData",
    "Controls",
    "Identity",
    "Rendering",
    "Scene",
    "load_avatars",
    "random_controls",
    "random_identity",
    "random_scene",
    "render_motion",
]
