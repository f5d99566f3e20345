"""Stage 5: fused features become pictures on the full canvas."""

from .decode import DecodedChunk, decode

__all__ = ["DecodedChunk", "decode"]
