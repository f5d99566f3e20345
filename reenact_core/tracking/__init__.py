"""Face tracking in plain torch: detector, landmarks, blendshapes, head pose, smoothing, person matte."""

from .blendshapes import NAMES as BLENDSHAPE_NAMES
from .blendshapes import BlendshapeNet, read_blendshapes
from .matte import PersonMatte
from .mesh import canonical_mesh
from .smoothing import smooth_faces
from .tracker import FaceTracker

__all__ = [
    "BLENDSHAPE_NAMES",
    "BlendshapeNet",
    "FaceTracker",
    "PersonMatte",
    "canonical_mesh",
    "read_blendshapes",
    "smooth_faces",
]
