"""The extension: all nodes in the order in which a graph uses them."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from ..reenact_core.stopping import ask_between_steps
from . import folders, naming, panel_routes
from .compare import Compare
from .decode import Decode
from .edit_motion import EditMotion
from .encode_motion import EncodeMotion
from .expression import ExpressionEditor
from .fuse_references import FuseReferences
from .fusion_preview import FusionPreview
from .load_model import LoadModel
from .load_references import LoadReferences
from .make_motion import MakeMotion
from .networks import heed_cancel
from .retarget import Retarget
from .sample import Sample
from .stored_motion import LoadMotion, SaveMotion
from .stored_references import LoadSavedReferences, SaveReferences
from .video import ReenactVideo
from .warp_per_reference import WarpPerReference


class ReenactExtension(ComfyExtension):
    """What the host asks for the nodes of this pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            Sample,
            LoadModel,
            LoadReferences,
            EncodeMotion,
            MakeMotion,
            EditMotion,
            ExpressionEditor,
            Retarget,
            WarpPerReference,
            FuseReferences,
            FusionPreview,
            Decode,
            Compare,
            ReenactVideo,
            SaveMotion,
            LoadMotion,
            SaveReferences,
            LoadSavedReferences,
        ]


async def comfy_entrypoint() -> ReenactExtension:
    folders.register()  # older hosts have no hook for it
    panel_routes.register()
    naming.name_errors_shortly()
    ask_between_steps(heed_cancel)
    return ReenactExtension()
