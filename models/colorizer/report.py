"""What the colorizer adds to the reports of its runs. Imports no TensorFlow: a report is made in a moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.colorizer import features, metrics
from pipeline.contract import Exhibit, Listing, Plot, Rows, Sheet, Shown

Columns = Mapping[str, NDArray[Any]]

# --- evaluation ----------------------------------------------------------------------------------------

JUDGED = "eval"
SPLITS = (JUDGED, "test", "train")
RIVALS = {"colorizer": metrics.ERROR, "left gray": metrics.GRAY_ERROR, "one tint": metrics.TINT_ERROR}
"""Who colours -> the column of the mean squared error."""
BY_HEART = 1.5
"""So many times the error of the pictures that it was trained on is more than chance and other classes make of it."""
MOST_GROUPS = 40
"""Classes that a plot has bars for."""
MOST_POINTS = 2000
LONGEST_NAME = 28
"""Letters of a class beside its bar."""
UNIT = "mean squared error of red, green and blue, each from -1 to 1 (less is better)"
KINDS = {
    "best": "where the answer is nearest to the truth",
    "median": "what to expect: as many pictures are better as are worse",
    "worst": "where it is furthest off",
}


def evaluation(shown: Shown) -> Iterator[Exhibit]:
    """Yields errors against gray and one tint, pictures, errors by class and by brightness, colourfulness."""
    splits = {name: _columns(shown.tables[name]) for name in SPLITS if name in shown.tables}
    splits = {name: columns for name, columns in splits.items() if len(columns[metrics.ERROR])}
    if not splits:
        return
    yield _errors(splits)
    yield from _sheets(shown.illustrations)
    name, judged = next(iter(splits.items()))
    yield from _by_class(_groups(judged, features.CLASS), name)
    yield from _by_brightness(_groups(judged, features.BAND), name)
    yield _colourfulness(judged, name)


def _columns(table: Any) -> Columns:
    return {name: table[name].to_numpy() for name in table.column_names}


def _errors(splits: Mapping[str, Columns]) -> Listing:
    """The rule's table: whom the colorizer must beat, by how much it does, and whether it learnt pictures by heart."""
    name, judged = next(iter(splits.items()))
    found = [f"On the {name} split the colorizer's error is {_against(judged)}."]
    if "train" in splits and name != "train":
        found.append(_fitted(*(float(np.mean(columns[metrics.ERROR])) for columns in (judged, splits["train"]))))
    return Listing(
        "Error against gray and one tint",
        "Left gray is no colouring at all; one tint pours the training split's mean colour over every picture. "
        "Mean squared error of red, green and blue from -1 to 1: less is better. PSNR says the same in decibels: more "
        "is better, and 3 dB are half the error. " + " ".join(found),
        ("split", "pictures asked", *(f"error, {who}" for who in RIVALS), *(f"PSNR, {who} (dB)" for who in RIVALS)),
        tuple(_row(name, columns) for name, columns in splits.items()),
    )


def _row(name: str, columns: Columns) -> tuple[str | float | None, ...]:
    rivals = [_rows({**columns, metrics.ERROR: columns[error]}) for error in RIVALS.values()]
    errors = [metrics.mse(rows) for rows in rivals]
    return name, len(columns[metrics.ERROR]), *errors, *(round(metrics.psnr(rows), 2) for rows in rivals)


def _rows(columns: Columns) -> Rows:
    nothing = np.empty((len(columns[metrics.ERROR]), 0))
    return Rows(nothing, nothing, nothing, np.ones(len(nothing)), columns)


def _fitted(new: float, trained: float) -> str:
    by_heart = new > BY_HEART * trained
    learnt = (
        "it knows those by heart rather than what colours things have" if by_heart else "new ones are as easy to it"
    )
    return f"On the pictures that it was trained on it is {trained:.3g}: {learnt}."


def _against(columns: Columns) -> str:
    """Says an error, and how it compares with the rivals'."""
    ours, gray, tint = (float(np.mean(columns[error])) for error in RIVALS.values())
    return f"{ours:.3g}, {_less(ours, gray)} than left gray and {_less(ours, tint)} than one tint"


def _less(ours: float, theirs: float) -> str:
    if not theirs:
        return "more"
    return f"{abs(1 - ours / theirs):.0%} {'less' if ours <= theirs else 'more'}"


# --- pictures ------------------------------------------------------------------------------------------


def _sheets(pictures: Any) -> Iterator[Sheet]:
    """Best, median and worst pictures; their names and columns are those of `pipeline.illustrations`."""
    if pictures is None:
        return
    names = tuple(pictures.column_names[pictures.column_names.index("kind") + 1 :])
    rows = pictures.to_pylist()
    for kind, meaning in KINDS.items():
        chosen = [row for row in rows if row["kind"] == kind]
        if chosen:
            yield Sheet(
                f"Pictures: the {kind} {len(chosen)} of the {JUDGED} split",
                f"{meaning.capitalize()}. From left to right: {', '.join(names)}. {_worth(chosen)}",
                names,
                tuple((_caption(row), tuple(row[name] for name in names)) for row in chosen),
            )


def _worth(chosen: list[dict[str, Any]]) -> str:
    better = sum(row[metrics.ERROR] < row[metrics.TINT_ERROR] for row in chosen)
    return f"Nearer to the truth than one tint: {better} of {len(chosen)}."


def _caption(row: Mapping[str, Any]) -> str:
    return f"{row[features.FILE]}: error {row[metrics.ERROR]:.3g} (gray {row[metrics.GRAY_ERROR]:.3g})"


# --- by class and brightness ---------------------------------------------------------------------------


class _Group(NamedTuple):
    """Pictures that have a feature's value in common, and their mean errors in the order of `RIVALS`."""

    name: str
    pictures: int
    errors: tuple[float, ...]


def _by_class(groups: list[_Group], split: str) -> Iterator[Plot]:
    """A bar for each class, the worst on top; nothing where all pictures are of the same."""
    if len(groups) < 2:
        return
    listed = sorted(groups, key=lambda group: -group.pictures)[:MOST_GROUPS]
    listed.sort(key=lambda group: group.errors[0])
    some = f" Bars for the {MOST_GROUPS} that have most pictures." if len(groups) > MOST_GROUPS else ""
    yield Plot(
        f"Error by class, {split} split",
        "A bar that ends left of both marks is better than no colour and than one tint. Few pictures, in brackets, say "
        f"little. {_found(groups)}{some}",
        partial(_bars, listed),
        height=1.1 + 0.22 * len(listed),
    )


def _by_brightness(groups: list[_Group], split: str) -> Iterator[Listing]:
    """The same for the three bands of brightness, as a table."""
    if len(groups) < 2:
        return
    yield Listing(
        f"Error by brightness of the pictures, {split} split",
        f"Of few pictures the error says little. {_found(groups)}",
        ("brightness", "pictures", *(f"error, {who}" for who in RIVALS)),
        tuple((group.name, group.pictures, *group.errors) for group in sorted(groups, key=lambda g: -g.errors[0])),
    )


def _groups(columns: Columns, feature: str) -> list[_Group]:
    values, places = np.unique(columns[feature].astype(str), return_inverse=True)
    counts = np.bincount(places)
    means = [np.bincount(places, weights=columns[error]) / counts for error in RIVALS.values()]
    return [
        _Group(str(value) or "(no class)", int(count), tuple(float(mean[place]) for mean in means))
        for place, (value, count) in enumerate(zip(values, counts, strict=True))
    ]


def _found(groups: list[_Group]) -> str:
    worst, best = (choose(groups, key=lambda group: group.errors[0]) for choose in (max, min))
    lost = [group for group in groups if group.errors[0] > group.errors[2]]
    furthest = max(lost, key=lambda group: group.errors[0] - group.errors[2], default=None)
    most = f", most of all for {furthest.name}" if furthest else ""
    return (
        f"Error is greatest for {worst.name} ({worst.errors[0]:.3g}) and least for {best.name} ({best.errors[0]:.3g}); "
        f"one tint is better for {len(lost)} of {len(groups)}{most}."
    )


def _bars(groups: list[_Group], figure: Any) -> None:
    axes = figure.add_subplot()
    places = np.arange(len(groups))
    ours, gray, tint = ([group.errors[rival] for group in groups] for rival in range(len(RIVALS)))
    axes.barh(places, ours, height=0.6, color="C0", alpha=0.5, label="colorizer")
    for errors, colour, mark, label in ((gray, "C5", "|", "left gray"), (tint, "C1", "D", "one tint")):
        axes.plot(errors, places, mark, color=colour, markersize=9 if mark == "|" else 4, mew=2, label=label)
    # Names of classes are people's own: a dollar sign begins no formula.
    labels = [f"{_cut(group.name)} ({group.pictures})" for group in groups]
    axes.set_yticks(places, labels, fontsize=8, parse_math=False)
    axes.set_ylim(-0.6, len(groups) - 0.4)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(UNIT)
    drawn, names = axes.get_legend_handles_labels()
    figure.legend(drawn[-1:] + drawn[:-1], names[-1:] + names[:-1], loc="outside upper right", ncols=len(RIVALS))


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


# --- colourfulness -------------------------------------------------------------------------------------


def _colourfulness(columns: Columns, split: str) -> Plot:
    ours, true = columns[metrics.COLOURFULNESS], columns[metrics.TRUE_COLOURFULNESS]
    paler = float(np.mean(ours < true))
    step = -(-len(ours) // MOST_POINTS)
    some = f" {len(ours[::step]):,} of {len(ours):,} pictures are drawn, evenly chosen." if step > 1 else ""
    return Plot(
        f"Colourfulness, {split} split",
        "A point is a picture: on the line as colourful as the truth, below it paler, above it more garish; 0 is gray, "
        f"33 moderate, 109 extreme (Hasler and Süsstrunk 2003). {paler:.0%} of the pictures are paler than the truth; "
        f"all together are {_ratio(ours, true)} as colourful.{some}",
        partial(_scatter, true[::step], ours[::step]),
        height=4.5,
    )


def _ratio(ours: NDArray[Any], true: NDArray[Any]) -> str:
    return f"{ours.sum() / true.sum():.0%}" if true.sum() else "not comparably"


def _scatter(true: NDArray[Any], ours: NDArray[Any], figure: Any) -> None:
    axes = figure.add_subplot()
    end = 1.05 * max(float(true.max()), float(ours.max()), 1.0)
    axes.plot([0, end], [0, end], color="C5", linewidth=1)
    axes.text(0.95 * end, 0.99 * end, "as colourful as the truth", ha="right", va="top")
    axes.scatter(true, ours, s=12, color="C0", alpha=0.6)
    axes.set(xlim=(0, end), ylim=(0, end), xlabel="colourfulness of the truth", ylabel="of the answer")
