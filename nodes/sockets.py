"""The pack's own socket types, one per value that travels between stages."""

from __future__ import annotations

from comfy_api.latest import io

Model = io.Custom("REENACT_MODEL")
References = io.Custom("REENACT_REFERENCES")
Motion = io.Custom("REENACT_MOTION")
Warped = io.Custom("REENACT_WARPED")
Fused = io.Custom("REENACT_FUSED")

FaceLandmarks = io.Custom("FACE_LANDMARKS")  # the host's own, from its face landmark nodes
