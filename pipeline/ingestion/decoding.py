"""From the bytes of a picture file to a small picture and what is known of it, in threads."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
"""What is decoded, told by the content. Not all that Pillow knows: its EPS reader, say, starts Ghostscript."""

MAX_PIXELS = 100_000_000
"""Pixels beyond which a picture is refused: its decoded size says more of an attack than of a photo."""

WINDOW = 2
"""Files in memory for each decoding thread: one being decoded, one waiting."""


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
      digest: sha256 of its full-size upright pixels: the same for copies with the very same pixels, and only these.
      width: pixels of the original, upright.
      height: the same.
      gray: PNG of the luminance, [size, size].
      colour: PNG of red, green and blue, [size, size].
      mean_luminance: 0 black to 1 white.
      colourfulness: of Hasler and Suesstrunk 2003.
      cb: mean chroma, -.5 to .5.
      cr: the same.
    """

    digest: str
    width: int
    height: int
    gray: bytes
    colour: bytes
    mean_luminance: float
    colourfulness: float
    cb: float
    cr: float


def decode_all(
    files: Iterable[tuple[str, bytes | str]], size: int, threads: int | None = None
) -> Iterator[tuple[str, Picture | str]]:
    """Yields name, and picture or reason, of each file, in the order of the files.

    Only a window of the files is in memory at a time, and only one full-size picture a thread. Pillow decodes
    and resizes without Python's lock, so that threads do.

    Args:
      files: as `read_files` yields them.
      size: pixels on each side.
      threads: that decode; one for each core that this process may use if None.
    """
    threads = threads or _cores()
    waiting: deque[tuple[str, Future[Picture | str]]] = deque()
    with quiet(), ThreadPoolExecutor(threads) as pool:
        for name, data in files:
            waiting.append((name, pool.submit(decode, data, size)))
            if len(waiting) >= WINDOW * threads:
                name, future = waiting.popleft()
                yield name, future.result()
        for name, future in waiting:
            yield name, future.result()


def decode(data: bytes | str, size: int) -> Picture | str:
    """Returns a picture brought to a size, or the reason why there is none; see `upright_rgb`.

    Args:
      data: the file's content; a text that says why there is none is passed on.
      size: pixels on each side.
    """
    rgb = data if isinstance(data, str) else upright_rgb(data)
    return rgb if isinstance(rgb, str) else _picture(rgb, size)


def upright_rgb(data: bytes) -> Image.Image | str:
    """Returns the picture of a file as people see it, at its own size, or the reason why there is none.

    The first frame of an animation; upright by its EXIF orientation; on white where it is transparent; deep grays
    scaled to 8 bits. Colour profiles are ignored: the numbers in the file are taken for sRGB.
    """
    if not data:
        return "no picture: an empty file"
    try:
        return _rgb(_upright(data))
    except _NoPicture as reason:
        return f"no picture: {reason}"
    except Exception as error:  # Pillow raises whatever the content of a damaged file leads it to.
        kind = "truncated" if "truncated" in str(error).lower() else "damaged"
        return f"no picture: {kind}, received {str(error) or type(error).__name__}"


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _NoPicture(Exception):
    """Why a file is no picture."""


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes it upright."""


def is_picture(data: bytes) -> bool:
    """Returns whether a file has the header of a picture; the rest of it may yet be damaged."""
    try:
        _open(data)
    except _NoPicture:
        return False
    except Exception:  # A picture whose header is damaged: the decoder will say in which way.
        return True
    return True


def _open(data: bytes) -> Image.Image:
    """Reads the header."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise _NoPicture(f"none of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise _NoPicture(f"more than {MAX_PIXELS:,} pixels, received {error}") from error
    if image.width * image.height > MAX_PIXELS:
        raise _NoPicture(f"more than {MAX_PIXELS:,} pixels, received {image.width} x {image.height}")
    return image


def _upright(data: bytes) -> Image.Image:
    image = _open(data)
    image.load()
    try:
        # Pillow's own exif_transpose also writes the metadata back, which fails on some.
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Damaged metadata: the picture is as good as without any.
        turn = None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise _NoPicture("floating-point pixels, for which there is no agreed white")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    elif image.has_transparency_data:
        # By way of RGBA, since transparency may be of a palette or of one colour.
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scales 0 .. 65535 to 0 .. 255, where Pillow's convert would clip."""
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise _NoPicture("32-bit pixels, for which there is no agreed white")
    # Where a PNG says that one level is transparent: white.
    levels = np.where(levels == image.info.get("transparency", -1), 65535, levels)
    return Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _picture(rgb: Image.Image, size: int) -> Picture:
    # Bicubic, with Pillow's antialiasing, is the very kernel of tf.image.resize(method="bicubic", antialias=True),
    # which a server can use; Lanczos leaves stronger halos at edges.
    small = rgb.resize((size, size), Image.Resampling.BICUBIC)
    red, green, blue = np.moveaxis(np.asarray(small, np.float64), -1, 0)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue  # BT.601, full range.
    return Picture(
        digest=_digest(rgb),
        width=rgb.width,
        height=rgb.height,
        gray=_png(Image.fromarray(np.rint(luminance).astype(np.uint8))),
        colour=_png(small),
        mean_luminance=float(luminance.mean() / 255),
        colourfulness=_colourfulness(red, green, blue),
        cb=float((blue - luminance).mean() / 1.772 / 255),
        cr=float((red - luminance).mean() / 1.402 / 255),
    )


def _digest(rgb: Image.Image) -> str:
    state = hashlib.sha256(f"{rgb.width}x{rgb.height}:".encode())
    state.update(rgb.tobytes())
    return state.hexdigest()


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _colourfulness(red: NDArray[Any], green: NDArray[Any], blue: NDArray[Any]) -> float:
    """Hasler and Suesstrunk, Measuring colourfulness in natural images, 2003, equation for M^(3)."""
    first, second = red - green, (red + green) / 2 - blue
    spread = np.hypot(first.std(), second.std())
    return float(spread + 0.3 * np.hypot(first.mean(), second.mean()))


@contextmanager
def quiet() -> Iterator[None]:
    """Silences what Pillow says about strange files: what matters becomes a reason.

    Filters of warnings hold for all threads, so that they are set around the decoding and not in it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\b")
        yield
