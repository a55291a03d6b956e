"""Generated sample pictures, for demonstrations and tests: drawn shapes in front of simple landscapes, no photographs.

There is something to learn from them: an object's colour follows from its shape and its shade (a dark circle is red,
a bright one orange; a dark leaf is bottle green, a bright one lime), the background's from its texture and its shade.
Both can be seen in the luminance alone, and no single tint comes near.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from pipeline.contract import UserError

PICTURES = 500
GRAY_EVERY = 101
"""One picture in so many is gray, as an old photo among new ones; no multiple of the classes, so that all have some."""

Floats = NDArray[np.float64]
Files = Iterable[tuple[str, bytes]]
Ramp = tuple[tuple[int, int, int], tuple[int, int, int]]
"""Red, green and blue, 0 to 255, of the darkest and of the brightest shade; those between are mixed."""

# fmt: off
_OBJECTS: dict[str, Ramp] = {
    "Circle":   ((150, 22, 30), (255, 186, 84)),
    "Square":   ((26, 50, 150), (126, 216, 236)),
    "Star":     ((134, 80, 12), (255, 232, 96)),
    "Leaf":     ((14, 74, 44), (178, 222, 92)),
    "Heart":    ((140, 14, 88), (255, 168, 186)),
}
_SKY: Ramp = (84, 150, 216), (164, 208, 244)
_SEA: Ramp = (16, 72, 108), (44, 116, 148)
_GRASS: Ramp = (42, 92, 34), (134, 176, 70)
_SAND: Ramp = (176, 144, 100), (238, 214, 164)
_WALL: Ramp = (222, 206, 186), (250, 242, 228)
_WOOD: Ramp = (92, 56, 34), (176, 122, 76)
_LANDSCAPES: tuple[tuple[Ramp, Ramp, tuple[float, float]], ...] = (
    (_SKY, _GRASS, (2, 12)), (_SKY, _SEA, (28, 4)), (_SEA, _SAND, (3, 3)), (_WALL, _WOOD, (60, 5)),
)
"""What is far, what is near, and the grain of the near: width and height of its spots in pixels."""
_SIZES = ((96, 96), (128, 96), (96, 96), (96, 128), (112, 112))
_FORMATS = ("png", "jpeg", "png", "png", "webp", "png")
# fmt: on
_FINE = 3
"""Outlines are drawn so many times larger, so that their edges come out soft."""
_DATE = (2012, 1, 1, 0, 0, 0)
"""Of every file in a .zip, so that the same pictures give the same bytes."""


class _Thing(NamedTuple):
    """An object to draw: its shape, shade 0 dark to 1 bright, radius and centre in pixels, turn in radians."""

    kind: str
    shade: float
    radius: float
    x: float
    y: float
    turn: float


def write_sample(path: Path, seed: int = 7, pictures: int = PICTURES) -> None:
    """Writes sample pictures as a `.zip`, a `.tar`, or a folder if the path has no ending.

    The names tell the class, which is the largest object: `Star_003.png`. The same seed gives the same bytes on the
    same machine; elsewhere, other versions of the codecs may round differently.

    Args:
      path: what to write, the folder it lies in included; an existing file is replaced, a folder's other files stay.
      seed: of every random choice.
      pictures: how many, in turn of each class.

    Raises:
      UserError: the path has another ending.
    """
    _check_ending(path)
    _write(path, _drawn(seed, pictures))


def spoil(source: Path, target: Path) -> None:
    """Copies a sample with all pictures turned gray, as an export does that converts to grayscale.

    Every picture still decodes, and names and sizes are as before; but nothing of colour is left to learn, and the
    data gate must refuse the copy.

    Args:
      source: a sample as `.zip`, `.tar` or folder.
      target: where the spoilt copy goes, in any of these forms.

    Raises:
      UserError: one of the paths has another ending.
    """
    _check_ending(source)
    _check_ending(target)
    _write(target, ((name, _grayed(content)) for name, content in _read(source)))


# --- files ---------------------------------------------------------------------------------------


def _check_ending(path: Path) -> None:
    if path.suffix not in ("", ".zip", ".tar"):
        raise UserError(
            expected="a sample of pictures as .zip, .tar or a folder without an ending",
            received=path.name,
            todo="choose one of these endings",
        )


def _write(path: Path, files: Files) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:  # stored: the pictures are compressed already
            for name, content in files:
                archive.writestr(zipfile.ZipInfo(name, _DATE), content)
    elif path.suffix == ".tar":
        with tarfile.open(path, "w") as tape:
            for name, content in files:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tape.addfile(entry, io.BytesIO(content))
    else:
        path.mkdir(exist_ok=True)
        for name, content in files:
            (path / name).write_bytes(content)


def _read(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield name, archive.read(name)
    elif path.suffix == ".tar":
        with tarfile.open(path) as tape:
            for entry in tape:
                file = tape.extractfile(entry)
                yield entry.name, file.read() if file else b""
    else:
        for picture in sorted(path.iterdir()):
            yield picture.name, picture.read_bytes()


def _grayed(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as image:
        return _encoded(image.convert("L"), str(image.format))


def _encoded(image: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, quality=92, compress_level=2)  # the latter of PNG: grain hardly gets smaller
    return buffer.getvalue()


# --- pictures ------------------------------------------------------------------------------------


def _drawn(seed: int, pictures: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents. What a picture is called does not depend on the seed."""
    kinds = list(_OBJECTS)
    # PCG64's stream is fixed by numpy (NEP 19), and the draws below are those that numpy 1.26 and 2 share.
    draw = np.random.Generator(np.random.PCG64(seed))
    for number in range(pictures):
        kind = kinds[number % len(kinds)]
        image = _picture(draw, kind, *_SIZES[number // len(kinds) % len(_SIZES)])
        if number % GRAY_EVERY == GRAY_EVERY // 2:
            image = image.convert("L")
        form = _FORMATS[number % len(_FORMATS)]
        yield f"{kind}_{number:03d}.{form.replace('jpeg', 'jpg')}", _encoded(image, form)


def _picture(draw: np.random.Generator, kind: str, width: int, height: int) -> Image.Image:
    """A landscape, up to two small objects, and in front of them the one that gives the picture its name."""
    scene = _landscape(draw, width, height)
    others = [list(_OBJECTS)[i] for i in draw.integers(0, len(_OBJECTS), draw.integers(0, 3))]
    for other in others:
        scene = _with(scene, _placed(draw, other, width, height, 0.13, 0.21))
    scene = _with(scene, _placed(draw, kind, width, height, 0.26, 0.36))
    scene = scene * _sun(draw, width, height) + 0.008 * draw.standard_normal((height, width, 1))
    return Image.fromarray(np.rint(255 * np.clip(scene, 0, 1)).astype(np.uint8))


def _landscape(draw: np.random.Generator, width: int, height: int) -> Floats:
    """Red, green and blue, [height, width, 3], 0 to 1: smooth and far above, grainy and near below."""
    far, near, grain = _LANDSCAPES[draw.integers(0, len(_LANDSCAPES))]
    down = np.linspace(0, 1, height)[:, None] * np.ones(width)
    horizon = 0.35 + 0.3 * draw.random()
    smooth = _mixed(far, down / horizon + 0.25 * _grain(draw, width, height, 40, 12))
    rough = _mixed(near, 0.25 + 0.5 * down + 0.4 * _grain(draw, width, height, *grain))
    edge = np.clip((down - horizon) * height / 2 + 0.5, 0, 1)[..., None]
    scene: Floats = smooth * (1 - edge) + rough * edge
    return scene


def _grain(draw: np.random.Generator, width: int, height: int, across: float, along: float) -> Floats:
    """Spots of about `across` times `along` pixels, [height, width], -1 to 1 (value noise)."""
    rows, columns = int(height / along) + 3, int(width / across) + 3
    coarse = Image.fromarray((2 * draw.random((rows, columns)) - 1).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)


def _sun(draw: np.random.Generator, width: int, height: int) -> Floats:
    """How bright the light is, [height, width, 1]: about 1, from a side that differs."""
    turn = 2 * np.pi * draw.random()
    across, down = np.linspace(-1, 1, width)[None, :], np.linspace(-1, 1, height)[:, None]
    light: Floats = 1 + 0.08 * (np.cos(turn) * across + np.sin(turn) * down)
    return light[..., None]


def _placed(draw: np.random.Generator, kind: str, width: int, height: int, least: float, most: float) -> _Thing:
    """An object at random: `least` and `most` bound its radius, as shares of the shorter side."""
    shade, size, x, y, turn = draw.random(5).tolist()
    radius = (least + (most - least) * size) * min(width, height)
    x, y = (radius + at * (side - 2 * radius) for at, side in ((x, width), (y, height)))
    return _Thing(kind, shade, radius, x, y, 2 * np.pi * turn)


def _with(scene: Floats, thing: _Thing) -> Floats:
    """The scene with an object and the shadow that it casts, [height, width, 3]."""
    shape = _silhouette(thing, *scene.shape[:2])
    away = thing._replace(x=thing.x + 0.14 * thing.radius, y=thing.y + 0.14 * thing.radius)
    shadow = _blurred(_silhouette(away, *shape.shape), 0.12 * thing.radius)
    scene = scene * (1 - 0.45 * shadow[..., None])
    # Lit from the upper left: the slope of a soft copy of the shape makes it look rounded.
    slope: Floats = np.sum(np.gradient(_blurred(shape, 0.3 * thing.radius)), axis=0)
    light = 1 + 0.16 * thing.radius * slope
    painted = _mixed(_OBJECTS[thing.kind], np.array(thing.shade)) * light[..., None]
    covered: Floats = scene * (1 - shape[..., None]) + painted * shape[..., None]
    return covered


def _mixed(ramp: Ramp, shade: Floats) -> Floats:
    """The ramp's colours, [..., 3], for shades [...], which are cut to 0 to 1."""
    dark, bright = np.array(ramp) / 255
    mixed: Floats = dark + (bright - dark) * np.clip(shade, 0, 1)[..., None]
    return mixed


def _silhouette(thing: _Thing, height: int, width: int) -> Floats:
    """How much of each pixel the object covers, [height, width], 0 to 1."""
    cos, sin = np.cos(thing.turn), np.sin(thing.turn)
    points = thing.radius * _outline(thing.kind) @ np.array([[cos, sin], [-sin, cos]]) + (thing.x, thing.y)
    large = Image.new("L", (width * _FINE, height * _FINE))
    ImageDraw.Draw(large).polygon([(x, y) for x, y in (points * _FINE).tolist()], fill=255)
    return _levels(large.reduce(_FINE))


def _outline(kind: str) -> Floats:
    """Corners of a shape that just fits into the unit circle, [corners, 2]."""
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    cos, sin = np.cos(turn), np.sin(turn)
    if kind == "Square":
        return np.stack([0.85 * np.sign(wave) * np.abs(wave) ** 0.3 for wave in (cos, sin)], axis=1)
    if kind == "Star":
        radius = np.tile([1.0, 0.45], 5)
        return np.stack([radius * cos[::6], radius * sin[::6]], axis=1)
    if kind == "Leaf":
        return np.stack([cos, 0.55 * sin * np.abs(sin)], axis=1)
    if kind == "Heart":
        lobes = 13 * cos - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
        return np.stack([16 / 17 * sin**3, -lobes / 17], axis=1)
    return np.stack([cos, sin], axis=1)


def _blurred(shape: Floats, radius: float) -> Floats:
    image = Image.fromarray(np.rint(255 * shape).astype(np.uint8))
    return _levels(image.filter(ImageFilter.GaussianBlur(radius)))


def _levels(image: Image.Image) -> Floats:
    levels: Floats = np.asarray(image, np.float64) / 255
    return levels
