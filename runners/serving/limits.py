"""What is looked at before a model is asked: bodies as they arrive, pictures before they are decoded."""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from PIL import Image
from starlette.requests import ClientDisconnect, Request

from runners.serving.loaded import Columns, quiet_tensorflow, rows_of
from runners.serving.refusals import Refused, busy
from runners.serving.settings import ServeSettings

LARGE = 64 * 1024
"""Bodies of so many bytes are looked at in a thread, between whose steps others get a turn (reading JSON is one)."""
PNG_HEAD = 24

JPEG_XL = "JPEG XL"
"""TensorFlow 2.21 decodes it; what it would decode to, nothing here can tell."""

MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"RIFF": "WEBP",
    b"\xff\x0a": JPEG_XL,
    b"\x00\x00\x00\x0cJXL ": JPEG_XL,
}
"""How compressed pictures begin that some TensorFlow decodes. (A BMP must hold all its pixels, or is refused.)"""


class Bodies:
    """Reads bodies of requests, within limits of size and time."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.held = 0

    @contextmanager
    def holding(self) -> Iterator[_Held]:
        """Counts what is read within it as in flight until its end."""
        held = _Held(self)
        try:
            yield held
        finally:
            self.held -= held.bytes


class _Held:
    def __init__(self, bodies: Bodies) -> None:
        self.bodies, self.bytes = bodies, 0

    async def json(self, request: Request) -> Any:
        """Returns the JSON of a body.

        Raises:
          Refused: the body is too large, too slow, or no JSON.
        """
        body = await self.read(request)
        request.state.bytes = len(body)
        try:
            return await asyncio.to_thread(orjson.loads, body) if len(body) > LARGE else orjson.loads(body)
        except (orjson.JSONDecodeError, RecursionError) as error:
            raise Refused(400, f"expected JSON, UTF-8 without NaN and Infinity: {error}") from None

    async def read(self, request: Request) -> bytes:
        """Returns a body; see `json`."""
        settings = self.bodies.settings
        told = request.headers.get("content-length", "0")
        if told.isdigit() and int(told) > settings.max_body_bytes:
            raise _too_large(settings)
        try:
            return await asyncio.wait_for(self._all(request), settings.body_timeout_s)
        except asyncio.TimeoutError:
            raise Refused(
                408, f"expected the body within {settings.body_timeout_s:g} s", {"Connection": "close"}
            ) from None
        except ClientDisconnect:
            raise Refused(400, "the client left before its body was whole") from None

    async def _all(self, request: Request) -> bytes:
        settings = self.bodies.settings
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            self.bytes += len(chunk)
            self.bodies.held += len(chunk)
            if len(body) > settings.max_body_bytes:
                raise _too_large(settings)
            if self.bodies.held > settings.max_bytes_in_flight:
                raise busy(f"requests under way hold {settings.max_bytes_in_flight} bytes already")
        return bytes(body)


def _too_large(settings: ServeSettings) -> Refused:
    return Refused(413, f"expected a body of at most {settings.max_body_bytes} bytes; ask in several requests")


def check_size(columns: Columns, settings: ServeSettings, max_rows: int) -> None:
    """Sees to it that a batch is not too much for the model.

    Raises:
      Refused: it has too many rows, numbers or pixels, or a picture whose header cannot be read.
    """
    if rows_of(columns) > max_rows:
        raise Refused(413, f"expected at most {max_rows} instances a request, received {rows_of(columns)}")
    values = sum(array.size for array in columns.values() if array.dtype != object)
    if values > settings.max_values:
        raise Refused(413, f"expected at most {settings.max_values} numbers a request, received {values}")
    pixels = sum(_pixels(value) for array in columns.values() if array.dtype == object for value in array.flat)
    if pixels > settings.max_pixels:
        raise Refused(413, f"expected at most {settings.max_pixels} pixels a request, received {pixels}")


def _pixels(value: bytes) -> int:
    """Pixels of an encoded picture, or of those in a tf.Example; 0 of anything else."""
    kind = _kind(value)
    if kind:
        return _pixels_of(value, kind)
    if any(magic in value for magic in MAGIC):
        example = quiet_tensorflow().train.Example()
        try:
            example.ParseFromString(value)
        except Exception:  # No tf.Example: protobuf's implementations differ in what they raise.
            return 0
        found = [one for feature in example.features.feature.values() for one in feature.bytes_list.value]
        return sum(_pixels_of(one, kind) for one in found if (kind := _kind(one)))
    return 0


def _kind(value: bytes) -> str | None:
    kind = next((name for magic, name in MAGIC.items() if value.startswith(magic)), None)
    return None if kind == "WEBP" and value[8:12] != b"WEBP" else kind


def _pixels_of(picture: bytes, kind: str) -> int:
    if kind == JPEG_XL:
        raise Refused(400, "pictures in JPEG XL are not taken; PNG, JPEG, GIF and BMP are")
    if kind == "PNG" and picture[12:16] == b"IHDR" and len(picture) >= PNG_HEAD:  # At once, however many chunks follow.
        width, height = struct.unpack(">II", picture[16:PNG_HEAD])
        return int(width * height)
    try:
        with Image.open(io.BytesIO(picture), formats=[kind]) as opened:
            if kind == "GIF" and getattr(opened, "is_animated", False):
                # TensorFlow makes room for all frames, each as large as the largest, whatever the first one's size.
                raise Refused(400, "animated pictures are not taken")
            return opened.width * opened.height
    except Refused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refused(413, "a picture of too many pixels") from None
    except Exception:  # Pillow raises what it likes for a broken file.
        raise Refused(400, f"a picture that begins like {kind} and is none") from None
