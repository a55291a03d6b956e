"""Names of the colorizer's features and of what its signatures take and answer; the one source for all of them."""

from __future__ import annotations

GRAY = "gray"
COLOUR = "colour"
FILE = "file"
CLASS = "class"
WIDTH = "width"
HEIGHT = "height"
LUMINANCE = "mean_luminance"
BAND = "luminance_band"
COLOURFULNESS = "colourfulness"
CHROMA = "chroma"
TRAIN_CB = "train_cb"
TRAIN_CR = "train_cr"

INPUTS = (GRAY,)
"""What a server is told of an example."""

RGB = "rgb"
"""Output of `serving_default` and `serving_examples`: red, green and blue, [n, h, w, 3], -1 to 1."""
ENCODED = "image_bytes"
"""Input of `serving_bytes`: encoded pictures, [n]. TensorFlow Serving and Vertex decode base64 in `{"b64": ...}`."""
PNG = "png_bytes"
"""Output of `serving_bytes`: PNG files, [n]. By the protocol of both servers, names of bytes end with `_bytes`."""
