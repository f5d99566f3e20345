"""Multi-reference face reenactment: encode, warp each reference, fuse, decode. Start at `pipeline`."""
