"""The pictures of a run, looked at before anything is learnt from them. Imports no TensorFlow."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.colorizer import features
from pipeline.contract import Exhibit, Plot, Sheet, Shown

TRAIN = "train"
PICTURES = 12
"""On the sheet."""
SIDE = 128
"""Pixels of a picture on the sheet at most: a report is to be passed round."""
MOST_CLASSES = 50
"""Classes that have bars."""
MOST_POINTS = 2000
LONGEST_NAME = 28
"""Letters of a class beside its bar."""
MODERATE = 33
"""Colourfulness that people call moderate, by Hasler and Suesstrunk 2003."""

Values = Mapping[str, NDArray[Any]]
"""Split -> a feature of its pictures."""


class _Share(NamedTuple):
    """A class, and its share of each split's pictures."""

    name: str
    shares: Mapping[str, float]


def data(shown: Shown) -> Iterator[Exhibit]:
    """Yields a sheet of training pictures, their classes, their original sizes, colourfulness and luminance."""
    tables = {split: table for split, table in shown.tables.items() if len(table)}
    if not tables:
        return
    yield from _sheet(tables.get(TRAIN))
    yield from _classes(_values(tables, features.CLASS))
    yield _sizes(_values(tables, features.WIDTH), _values(tables, features.HEIGHT))
    yield _looks(_values(tables, features.COLOURFULNESS), _values(tables, features.LUMINANCE))


def _values(tables: Mapping[str, Any], feature: str) -> Values:
    return {split: table[feature].to_numpy() for split, table in tables.items()}


# --- pictures ------------------------------------------------------------------------------------------


def _sheet(table: Any) -> Iterator[Sheet]:
    """Pictures of the training split, as many of each class as of any other, as far as there are."""
    if table is None:
        return
    wanted = [features.FILE, features.CLASS, features.WIDTH, features.HEIGHT, features.GRAY, features.COLOUR]
    rows = [row for row in table.select(wanted).to_pylist() if row[features.COLOUR] is not None]
    chosen = _by_turns(rows)[:PICTURES]
    if chosen:
        says = (
            f"{len(chosen)} pictures of the training split, of each class in turn: gray is what the model is given, "
            "colour what it is to answer. Look for pictures that are no photos, turned, cut off, or gray on both "
            f"sides. Shown are the classes {', '.join(sorted({row[features.CLASS] for row in chosen}))}."
        )
        yield Sheet("Pictures that it learns from", says, ("gray", "colour"), tuple(map(_cell, chosen)))


def _by_turns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first picture of each class, then the second of each, and so on."""
    seen: Counter[str] = Counter()
    turns = []
    for row in rows:
        turns.append((seen[row[features.CLASS]], row))
        seen[row[features.CLASS]] += 1
    return [row for _, row in sorted(turns, key=lambda turn: (turn[0], turn[1][features.CLASS]))]


def _cell(row: Mapping[str, Any]) -> tuple[str, tuple[bytes, ...]]:
    name = f"{row[features.FILE]}: {row[features.CLASS]}, {row[features.WIDTH]} x {row[features.HEIGHT]} pixels"
    return name, (_small(row[features.GRAY]), _small(row[features.COLOUR]))


def _small(png: bytes) -> bytes:
    with Image.open(io.BytesIO(png)) as picture:
        if max(picture.size) <= SIDE:
            return png
        picture.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        picture.save(file, "PNG")
    return file.getvalue()


# --- classes -------------------------------------------------------------------------------------------


def _classes(classes: Values) -> Iterator[Plot]:
    """A bar for each class and split; nothing where all pictures are of one class."""
    found = _shares(classes)
    if len(found) < 2:
        return
    first = next(iter(classes))
    least, most = found[-1], found[0]
    some = f" Bars for the {MOST_CLASSES} most frequent of {len(found)}." if len(found) > MOST_CLASSES else ""
    lacking = [f"{share.name} ({split})" for share in found for split in classes if not share.shares[split]]
    says = (
        "A class that has few pictures is learnt badly, and one that a split lacks is not judged there; bars of one "
        f"class should be about equally long. Of {len(found)} classes, {most.name} has most of the {first} split "
        f"({most.shares[first]:.0%}) and {least.name} least ({least.shares[first]:.0%}). "
        f"{'No split lacks any.' if not lacking else 'Lacking: ' + _listed(lacking) + '.'}{some}"
    )
    shown = found[:MOST_CLASSES]
    yield Plot("Classes by split", says, partial(_bars, shown[::-1]), height=1.0 + 0.28 * len(shown))


def _shares(classes: Values) -> list[_Share]:
    """The class that is most frequent in the first split comes first."""
    counts = {split: Counter(map(str, values)) for split, values in classes.items()}
    names = sorted(set().union(*counts.values()), key=lambda name: (*(-count[name] for count in counts.values()), name))
    return [
        _Share(name, {split: count[name] / len(classes[split]) for split, count in counts.items()}) for name in names
    ]


def _listed(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _bars(found: list[_Share], figure: Any) -> None:
    axes = figure.add_subplot()
    places = np.arange(len(found))
    splits = list(found[0].shares)
    height = 0.8 / len(splits)
    for number, split in enumerate(splits):
        lengths = [100 * share.shares[split] for share in found]
        middle = places + 0.4 - height * (number + 0.5)
        axes.barh(middle, lengths, height=height, color=f"C{number}", alpha=0.8, label=split)
    # Names of classes are people's own: a dollar sign begins no formula.
    axes.set_yticks(places, [_cut(share.name) for share in found], fontsize=8, parse_math=False)
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("percent of the split's pictures")
    figure.legend(loc="outside upper right", ncols=len(splits))


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


# --- sizes and looks -----------------------------------------------------------------------------------


def _sizes(widths: Values, heights: Values) -> Plot:
    wide, high = (np.concatenate(list(values.values())) for values in (widths, heights))
    says = (
        "Each spot is a size that pictures had before they were cut and made small; the larger the spot, the more "
        "there are. Tiny ones are blurred when they are made larger. Found: "
        f"{wide.min()} x {high[wide.argmin()]} pixels is the narrowest, {wide.max()} x {high[wide.argmax()]} the "
        f"widest, the median is {np.median(wide):.0f} x {np.median(high):.0f}; {np.mean(wide > high):.0%} are wider "
        f"than high, {np.mean(high > wide):.0%} higher than wide."
    )
    sizes, counts = np.unique(np.stack([wide, high]), axis=1, return_counts=True)
    step = -(-len(counts) // MOST_POINTS)
    some = f" {len(counts[::step]):,} of {len(counts):,} sizes are drawn, evenly chosen." if step > 1 else ""
    return Plot("Original sizes", says + some, partial(_spots, sizes[:, ::step], counts[::step]), height=3.5)


def _spots(sizes: NDArray[Any], counts: NDArray[Any], figure: Any) -> None:
    axes = figure.add_subplot()
    end = 1.15 * sizes.max()
    axes.plot([0, end], [0, end], color="C5", linewidth=0.8)
    axes.annotate("as wide as high", (end, end), (-40, -4), textcoords="offset points", ha="right", va="top")
    axes.scatter(*sizes, s=8 + 150 * (counts - 1) / max(counts.max() - 1, 1), color="C0", alpha=0.6, linewidth=0)
    axes.set(xlim=(0, end), ylim=(0, end), xlabel="width, pixels", ylabel="height, pixels")


def _looks(colourfulness: Values, luminance: Values) -> Plot:
    first = next(iter(colourfulness))
    pale = np.mean(colourfulness[first] < MODERATE)
    says = (
        "Pale pictures teach pale colours, and splits that differ are judged unfairly: the lines should run together. "
        f"Colourfulness: 0 is gray, {MODERATE} moderate, 109 extreme (Hasler and Süsstrunk 2003); luminance: 0 black, "
        f"1 white. Found: median colourfulness {_medians(colourfulness)}, median luminance {_medians(luminance)}; "
        f"{pale:.0%} of the {first} split are paler than moderate."
    )
    return Plot("Colourfulness and luminance", says, partial(_histograms, colourfulness, luminance), height=3.3)


def _medians(values: Values) -> str:
    return ", ".join(f"{np.median(found):.3g} in {split}" for split, found in values.items())


def _histograms(colourfulness: Values, luminance: Values, figure: Any) -> None:
    left, right = figure.subplots(1, 2)
    end = max(MODERATE, *(float(values.max()) for values in colourfulness.values()))
    for axes, values, edges in (
        (left, colourfulness, np.linspace(0, end, 25)),
        (right, luminance, np.linspace(0, 1, 25)),
    ):
        for number, (split, found) in enumerate(values.items()):
            shares = 100 * np.histogram(found, edges)[0] / len(found)
            axes.stairs(shares, edges, color=f"C{number}", fill=not number, alpha=0.4 if not number else 1, label=split)
        axes.set_ylabel("percent of the split's pictures")
    left.set_xlabel("colourfulness")
    right.set_xlabel("mean luminance")
    right.legend()
