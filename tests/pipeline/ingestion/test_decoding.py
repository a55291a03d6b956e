"""Decoding: every odd kind of file becomes the picture that a person would see, or a reason in plain words."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from photos import encoded, photo
from PIL import Image

from pipeline.ingestion.decoding import Picture, decode, decode_all, is_picture

SIZE = 32


def decoded(data: bytes) -> Picture:
    """The picture; a refusal fails the test."""
    picture = decode(data, SIZE)
    assert isinstance(picture, Picture), picture
    return picture


def colours(data: bytes) -> NDArray[np.float64]:
    """The small picture, red, green and blue."""
    return np.asarray(Image.open(io.BytesIO(decoded(data).colour)), np.float64)


def small(image: Image.Image) -> NDArray[np.float64]:
    """What an upright 8-bit picture should become."""
    return np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float64)


def reason(data: bytes | str) -> str:
    """Why it is refused."""
    answer = decode(data, SIZE)
    assert isinstance(answer, str), answer
    return answer


def on_white(image: Image.Image, alpha: int) -> Image.Image:
    """The picture, partly transparent, in front of white."""
    return Image.blend(Image.new("RGB", image.size, "white"), image, alpha / 255)


# --- the same picture in many forms ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("PPM", {}, 0),
        ("JPEG", {"quality": 95}, 8),
        ("JPEG", {"quality": 95, "progressive": True}, 8),
        ("WEBP", {"quality": 95}, 12),
        ("GIF", {}, 40),
    ],
)
def test_formats(kind: str, options: dict[str, object], tolerance: float) -> None:
    np.testing.assert_allclose(colours(encoded(photo(), kind, **options)), small(photo()), atol=tolerance)


def test_copies_with_the_very_same_pixels_have_the_same_digest() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    forms = [
        encoded(photo()),
        encoded(photo(), exif=exif, compress_level=1),
        encoded(photo(), "BMP"),
        encoded(photo(), "WEBP", lossless=True),
        encoded(photo().convert("RGBA")),
    ]
    expected = hashlib.sha256(b"60x40:" + photo().tobytes()).hexdigest()
    assert [decoded(form).digest for form in forms] == [expected] * 5
    assert decoded(encoded(photo(1))).digest != expected


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_shown_on_white(mode: str) -> None:
    image = photo().convert("L").convert("RGB") if mode == "LA" else photo()
    transparent = image.convert("RGBA")
    transparent.putalpha(102)
    np.testing.assert_allclose(colours(encoded(transparent.convert(mode))), small(on_white(image, 102)), atol=2)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palette_with_a_transparent_colour(kind: str) -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 200, 30, 60])
    image.paste(1, (4, 0, 8, 8))
    found = colours(encoded(image, kind, transparency=0))
    np.testing.assert_array_equal(found[:, 1], [[255, 255, 255]] * SIZE)
    np.testing.assert_array_equal(found[:, -2], [[200, 30, 60]] * SIZE)


def test_a_palette_without_one() -> None:
    paletted = photo().quantize(256)
    np.testing.assert_array_equal(colours(encoded(paletted)), small(paletted))


def test_one_colour_of_rgb_can_be_transparent() -> None:
    data = encoded(Image.new("RGB", (4, 4), (10, 20, 30)), transparency=(10, 20, 30))
    np.testing.assert_array_equal(colours(data), np.full((SIZE, SIZE, 3), 255))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    # Pillow writes CMYK JPEGs as Adobe does: inverted.
    data = encoded(photo().convert("CMYK"), kind, **({"quality": 98} if kind == "JPEG" else {}))
    np.testing.assert_allclose(colours(data), small(photo()), atol=10)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_gray_is_scaled_and_not_clipped(kind: str) -> None:
    levels = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    expected = small(Image.fromarray(np.rint(levels / 257).astype(np.uint8)))
    np.testing.assert_allclose(colours(encoded(Image.fromarray(levels), kind)), expected, atol=1)


def test_16_bit_gray_of_a_big_endian_tiff() -> None:
    levels = np.tile(np.linspace(0, 65535, 64).astype(">u2"), (64, 1))
    data = encoded(Image.frombytes("I;16B", (64, 64), levels.tobytes()), "TIFF")
    expected = small(Image.fromarray(np.rint(levels / 257).astype(np.uint8)))
    np.testing.assert_allclose(colours(data), expected, atol=1)


def test_16_bit_gray_with_a_transparent_level_is_shown_on_white() -> None:
    levels = np.repeat(np.array([[1000, 2000]], np.uint16), 4, axis=1).repeat(8, axis=0)
    data = encoded(Image.fromarray(levels))
    header = data.index(b"IDAT") - 4
    found = colours(data[:header] + chunk(b"tRNS", struct.pack(">H", 1000)) + data[header:])
    np.testing.assert_array_equal(found[:, 1], [[255] * 3] * SIZE)
    np.testing.assert_array_equal(found[:, -2], [[8] * 3] * SIZE)


def test_16_bit_colour_is_scaled_and_not_clipped() -> None:
    # Pillow writes none: raw samples of 16 bits in a PNG made by hand.
    levels = np.asarray(photo(), np.uint16) * 257
    np.testing.assert_allclose(colours(png_of_16_bits(levels)), small(photo()), atol=1)


def png_of_16_bits(levels: NDArray[Any]) -> bytes:
    """A PNG of [height, width, 3] samples of 16 bits."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    return png_header(levels.shape[1], levels.shape[0], 16) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_header(width: int, height: int, bits: int = 8) -> bytes:
    """How a PNG of red, green and blue begins."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))


def chunk(name: bytes, content: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_one_bit() -> None:
    image = photo().convert("1")
    np.testing.assert_array_equal(colours(encoded(image)), small(image))


def test_gray_stays_gray() -> None:
    picture = decoded(encoded(photo().convert("L"), "JPEG"))
    red, green, blue = np.moveaxis(colours(encoded(photo().convert("L"), "JPEG")), -1, 0)
    np.testing.assert_array_equal(red, green)
    np.testing.assert_array_equal(red, blue)
    assert picture.colourfulness == pytest.approx(0)
    assert (picture.cb, picture.cr) == pytest.approx((0, 0))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_the_first_of_several_frames(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(colours(data), small(frames[0]), atol=2)


TURNED = {
    1: [],
    2: [Image.Transpose.FLIP_LEFT_RIGHT],
    3: [Image.Transpose.ROTATE_180],
    4: [Image.Transpose.FLIP_TOP_BOTTOM],
    5: [Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90],
    6: [Image.Transpose.ROTATE_90],
    7: [Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_270],
    8: [Image.Transpose.ROTATE_270],
}
"""EXIF orientation -> how a camera that was held so stores an upright picture, in the standard's words: 6 is
"the 0th row is the visual right-hand side", that is, stored turned to the left."""


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_a_camera_held_sideways(kind: str, orientation: int) -> None:
    stored = photo()
    for turn in TURNED[orientation]:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif)

    assert (decoded(data).width, decoded(data).height) == (60, 40)
    np.testing.assert_allclose(colours(data), small(photo()), atol=12 if kind == "JPEG" else 0)


def test_damaged_metadata_does_not_cost_the_picture() -> None:
    data = encoded(photo(), "JPEG", exif=b"Exif\0\0nonsense that no reader understands")
    np.testing.assert_allclose(colours(data), small(photo()), atol=40)


def test_colour_profiles_are_ignored() -> None:
    np.testing.assert_array_equal(colours(encoded(photo(), icc_profile=b"\0" * 200)), small(photo()))


def test_the_smallest_and_the_narrowest_picture() -> None:
    np.testing.assert_array_equal(
        colours(encoded(Image.new("RGB", (1, 1), "red"))), small(Image.new("RGB", (1, 1), "red"))
    )
    assert decoded(encoded(Image.new("RGB", (5000, 1), "red"))).width == 5000


# --- what is measured ------------------------------------------------------------------------------


def test_one_colour_measured_by_hand() -> None:
    picture = decoded(encoded(Image.new("RGB", (10, 20), (204, 102, 51))))
    luminance = 0.299 * 0.8 + 0.587 * 0.4 + 0.114 * 0.2

    assert (picture.width, picture.height) == (10, 20)
    assert picture.mean_luminance == pytest.approx(luminance)
    assert picture.cb == pytest.approx((0.2 - luminance) / 1.772)
    assert picture.cr == pytest.approx((0.8 - luminance) / 1.402)
    # Without spread there remain .3 of the means of red - green and of yellow - blue.
    assert picture.colourfulness == pytest.approx(0.3 * np.hypot(102, 102))
    gray = Image.open(io.BytesIO(picture.gray))
    assert (gray.mode, gray.size, gray.getextrema()) == ("L", (SIZE, SIZE), (round(luminance * 255),) * 2)


def test_colourfulness_of_opposite_halves() -> None:
    image = Image.new("RGB", (SIZE, SIZE), (100, 100, 100))
    image.paste((140, 100, 100), (0, 0, SIZE, SIZE // 2))
    # Red - green is 40 or 0, (red + green) / 2 - blue is 20 or 0: spread (20, 10), mean (20, 10).
    assert decoded(encoded(image)).colourfulness == pytest.approx(1.3 * np.hypot(20, 10))


def test_white_and_black_are_the_ends() -> None:
    ends = [decoded(encoded(Image.new("RGB", (4, 4), name))) for name in ("black", "white")]
    assert [picture.mean_luminance for picture in ends] == pytest.approx([0, 1])


def test_shrinking_is_antialiased() -> None:
    # Lines of one pixel: picking every 16th would give all black or all white.
    stripes = np.zeros((512, 512), np.uint8)
    stripes[:, ::2] = 255
    found = colours(encoded(Image.fromarray(stripes)))
    assert found.min() > 120
    assert found.max() < 135


# --- what is no picture ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_truncated_files(kind: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    data = encoded(noise, kind)
    assert reason(data[: int(share * len(data))]).startswith(("no picture: truncated", "no picture: damaged"))


def test_truncated_photos_are_called_so() -> None:
    for kind in ("JPEG", "PNG"):
        data = encoded(photo(0, 600, 400), kind)
        assert reason(data[: len(data) // 2]).startswith("no picture: truncated, received ")


def test_a_damaged_file() -> None:
    data = bytearray(encoded(photo()))
    data[data.index(b"IDAT") + 6 : -20] = b"\xaa" * (len(data) - 20 - data.index(b"IDAT") - 6)
    assert reason(bytes(data)).startswith("no picture: damaged, received ")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no picture: an empty file"),
        (b"Breed,File\nPug,1.jpg\n", "no picture: none of JPEG, PNG, GIF, WEBP, BMP, TIFF, PPM"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "no picture: none of JPEG, PNG, GIF, WEBP, BMP, TIFF, PPM",
        ),
        (b"\xff\xd8\xff", "no picture: none of JPEG, PNG, GIF, WEBP, BMP, TIFF, PPM"),
        ("no picture: encrypted", "no picture: encrypted"),
    ],
)
def test_other_files(data: bytes | str, message: str) -> None:
    assert reason(data) == message


def test_numbers_without_a_white_are_refused() -> None:
    floats = Image.fromarray(np.full((4, 4), 3.5, np.float32))
    deep = Image.fromarray(np.full((4, 4), 70_000, np.int32))
    assert reason(encoded(floats, "TIFF")) == "no picture: floating-point pixels, for which there is no agreed white"
    assert reason(encoded(deep, "TIFF")) == "no picture: 32-bit pixels, for which there is no agreed white"


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        (9_500, 10_000, "no picture: truncated, received "),
        (10_001, 10_000, "no picture: more than 100,000,000 pixels, received 10001 x 10000"),
        (30_000, 30_000, "no picture: more than 100,000,000 pixels, received "),
    ],
)
def test_a_decompression_bomb_is_refused_by_its_header(width: int, height: int, message: str) -> None:
    """Pillow itself warns from 89 million pixels on, and raises from twice as many."""
    data = png_header(width, height) + chunk(b"IDAT", b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ((_, answer),) = decode_all([("big.png", data)], SIZE)
    assert str(answer).startswith(message)


def test_only_headers_of_pictures_make_candidates() -> None:
    data = encoded(photo(), "JPEG")
    assert [is_picture(content) for content in (data, data[:-100], b"text", b"")] == [True, True, False, False]


# --- many of them ----------------------------------------------------------------------------------


def test_answers_come_in_the_order_of_the_files() -> None:
    files = [(f"{seed}.png", encoded(photo(seed, 40 + 400 * (seed % 2)))) for seed in range(30)]
    answers = list(decode_all(files, SIZE, threads=4))

    assert [name for name, _ in answers] == [name for name, _ in files]
    assert [answer for _, answer in answers] == [decode(data, SIZE) for _, data in files]


def test_only_a_window_of_files_is_read_ahead() -> None:
    read: list[int] = []

    def files() -> Iterator[tuple[str, bytes | str]]:
        for number in range(20):
            read.append(number)
            yield f"{number}.png", encoded(photo(number))

    answers = decode_all(files(), SIZE, threads=2)
    for taken in range(1, 21):
        next(answers)
        assert len(read) <= taken + 4


PEAK = """
import resource, sys
from photos import encoded, photo
from pipeline.ingestion.decoding import decode_all
data = encoded(photo(0, 2000, 1500), "JPEG")
answers = [answer for _, answer in decode_all(((str(n), data + b" " * n) for n in range(int(sys.argv[1]))), 32, 2)]
assert not any(isinstance(answer, str) for answer in answers)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def test_memory_does_not_grow_with_the_number_of_photos() -> None:
    """A decoded photo of 2000 x 1500 takes 12 MB; 32 more of them take less than two."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    peaks = [
        float(subprocess.check_output([sys.executable, "-c", PEAK, count], env=environment)) for count in ("8", "40")
    ]
    assert peaks[1] - peaks[0] < 24
