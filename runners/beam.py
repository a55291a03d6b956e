"""How Beam runs inside a process of ours. Imports nothing."""

from __future__ import annotations

# The in-process engine of Beam's DirectRunner. By its own name, because "DirectRunner" first tries to download Prism.
# The name of an image, which nothing asks for, keeps TFX from packing itself up for workers elsewhere in each node.
# To be handed on as a list of one's own: an executor of TFX 1.21 adds labels to the one that it is given, and whatever
# the same process runs next would have another cache key.
BEAM_ARGS = (
    "--runner=FnApiRunner",
    "--direct_running_mode=in_memory",
    "--direct_num_workers=1",
    "--sdk_container_image=none",
)
