"""Multi-reference face reenactment: encode, warp each reference, fuse, decode. Start at `pipeline`."""

import os

# Fresh memory for large pictures comes in large pages where the system grants them, which spares some of the
# time of rendering. torch reads this at its first allocation; who has set it already is heeded.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
