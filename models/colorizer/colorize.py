"""The command `pipelines colorize`: paints people's own pictures with a pushed model."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple, Optional

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.markup import escape

from models.colorizer import features
from models.colorizer.sheet import contact_sheet, small_copy
from pipeline.contract import Lent, UserError

COLOURED = "-colour.png"
"""How the name of a colour picture ends, so that no file of another name is ever replaced."""
SHEET = "contact-sheet.png"
SHEET_ROWS = 48
"""Only the first so many files are on the sheet, so that it can still be looked at."""
SHEET_SIDE = 160
"""Pixels of a picture on the sheet."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff")
"""What counts as a picture in a folder; a file that is named itself may have any ending."""
GRAY_SPREAD = 2.0
"""A picture is gray whose red, green and blue differ by less than so many of 255 levels on average."""

Read = Callable[[bytes], Image.Image | str]
"""As `pipeline.contract.Lent.read_picture`."""
Paint = Callable[[bytes], bytes]
"""Answers an encoded gray picture with the PNG of a coloured one."""


class _Outcome(NamedTuple):
    """Small copies of gray, predicted and true (None if the input was gray) for the sheet, or why there are none."""

    source: Path
    copies: tuple[Image.Image | None, ...] = ()
    problem: str = ""


def colorize(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures, or folders of pictures.")],
    out: Annotated[Path, typer.Option(help="Folder for the colour pictures (NAME-colour.png) and a contact sheet.")],
    model: Annotated[
        Optional[str],  # noqa: UP045 -- typer reads the annotation at run time, on Python 3.10 too
        typer.Option(
            metavar="VERSION|FOLDER", help="Version, or folder of one; the newest of any data line if left out."
        ),
    ] = None,
    root: Annotated[Path, typer.Option(help="Folder that receives everything that runs write.")] = Path("runs"),
) -> None:
    """Paints pictures at their own size with a pushed model; outputs of an earlier call are replaced.

    Raises:
      UserError: there is no such version, no picture, or no place to write to; or, after all others were painted, some
        pictures cannot be read.
    """
    console = Console()
    targets = _targets(images, out)
    lent: Lent = context.obj
    folder = lent.find_pushed(root, model)
    painter = f"{folder.parent.name}, version {folder.name}"
    console.print(f"Painting with {escape(painter)}. Loading it takes about ten seconds.", soft_wrap=True)
    paint = _load(folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
        outcomes = list(_paint_all(targets, lent.read_picture, paint, console))
        _write_sheet(outcomes, out / SHEET, console)
    except OSError as error:
        raise UserError(expected="a place to write to", received=str(error), todo="choose another --out") from error
    _report(outcomes)


# --- what to paint, and where to ------------------------------------------------------------------


def _targets(images: list[Path], out: Path) -> dict[Path, Path]:
    """Each picture and the file that receives its colours; of one name, the second gets `-2`.

    Raises:
      UserError: there is no picture, or one would be overwritten by its own colours.
    """
    sources = {path.resolve(): path for given in images for path in _pictures(given)}
    if not sources:
        raise UserError(
            expected=f"pictures, or folders with files that end in {', '.join(SUFFIXES)}",
            received=f"none in {', '.join(map(str, images))}",
            todo="name the pictures themselves",
        )
    taken: set[str] = set()
    targets = {source: out / f"{_free_stem(source.stem, taken)}{COLOURED}" for source in sources.values()}
    for target in (*targets.values(), out / SHEET):
        if target.resolve() in sources:
            raise UserError(
                expected="an --out folder that holds none of the pictures to paint",
                received=f"{target}, which would be overwritten",
                todo="choose another --out",
            )
    return targets


def _pictures(given: Path) -> list[Path]:
    """The path itself, or the pictures that lie in it if it is a folder; not those in folders below."""
    if not given.is_dir():
        return [given]
    return sorted(path for path in given.iterdir() if path.is_file() and path.suffix.lower() in SUFFIXES)


def _free_stem(stem: str, taken: set[str]) -> str:
    """The stem, or the first of `stem-2`, `stem-3`, ... that is free, whichever case the file system minds."""
    free, count = stem, 1
    while free.casefold() in taken:
        count += 1
        free = f"{stem}-{count}"
    taken.add(free.casefold())
    return free


# --- painting --------------------------------------------------------------------------------------


def _load(folder: Path) -> Paint:
    """Returns the pushed model's way of painting one picture."""
    # What TensorFlow, and Google's libraries about Python's version, say as they load is of no use here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="google")
        import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))

    def paint(gray: bytes) -> bytes:
        answer = loaded.signatures["serving_bytes"](**{features.ENCODED: tf.constant([gray])})
        coloured: bytes = answer[features.PNG].numpy()[0]
        return coloured

    return paint


def _paint_all(targets: dict[Path, Path], read: Read, paint: Paint, console: Console) -> Iterator[_Outcome]:
    """Paints picture after picture, and says what was written and what cannot be read."""
    for number, (source, target) in enumerate(targets.items()):
        colour = _read(source, read)
        if isinstance(colour, str):
            console.print(f"  cannot read {escape(str(source))}: {escape(colour)}", soft_wrap=True)
            yield _Outcome(source, problem=colour)
            continue
        gray = colour.convert("L")
        coloured = paint(_png(gray))
        target.write_bytes(coloured)
        console.print(f"  wrote {escape(str(target))}", soft_wrap=True)
        versions = (gray, Image.open(io.BytesIO(coloured)), None if _is_gray(colour) else colour)
        yield _Outcome(source, tuple(map(_small, versions)) if number < SHEET_ROWS else ())


def _read(path: Path, read: Read) -> Image.Image | str:
    """The picture of a file, or why there is none."""
    try:
        return read(path.read_bytes())
    except OSError as error:
        return error.strerror or str(error)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _small(image: Image.Image | None) -> Image.Image | None:
    """A copy for the sheet, so that no picture stays in memory at its full size."""
    return image and small_copy(image, SHEET_SIDE)


def _is_gray(colour: Image.Image) -> bool:
    return bool(np.ptp(np.asarray(_small(colour)), axis=-1).mean() < GRAY_SPREAD)


def _write_sheet(outcomes: list[_Outcome], path: Path, console: Console) -> None:
    shown = [outcome for outcome in outcomes if outcome.copies]
    if shown:
        names = [outcome.source.name for outcome in shown]
        contact_sheet([outcome.copies for outcome in shown], ("gray", "predicted", "true"), names, SHEET_SIDE).save(
            path
        )
        which = f" of the first {SHEET_ROWS}" if len(outcomes) > SHEET_ROWS else ""
        console.print(f"  wrote {escape(str(path))}{which}", soft_wrap=True)


def _report(outcomes: list[_Outcome]) -> None:
    failed = [outcome for outcome in outcomes if outcome.problem]
    if failed:
        raise UserError(
            expected="pictures that can be read",
            received=f"{len(failed)} of {len(outcomes)} that cannot: "
            + "; ".join(f"{outcome.source} ({outcome.problem})" for outcome in failed),
            todo="repair them or leave them out; all others are painted",
        )
