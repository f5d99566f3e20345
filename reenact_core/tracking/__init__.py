"""Face tracking in plain torch: detector, landmarks, blendshapes, head pose, smoothing, person matte."""

from .blendshapes import NAMES as BLENDSHAPE_NAMES
from .matte import PersonMatte
from .mesh import canonical_mesh
from .smoothing import smooth_faces
from .tracker import FaceTracker

__all__ = ["BLENDSHAPE_NAMES", "FaceTracker", "PersonMatte", "canonical_mesh", "smooth_faces"]
