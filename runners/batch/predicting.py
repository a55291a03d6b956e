"""The way of rows from a source to a file of predictions, batch by batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.contract import UserError
from runners.batch.conversion import parts
from runners.batch.rows import BadRow, Rows, Source
from runners.batch.sinks import BadRows, Sink, errors_of, open_sink, written
from runners.serving.loaded import Columns, Signature, rows_of

Ask = Callable[[Columns], Columns]
"""Answers a batch. Raises ValueError, with the reason, for a batch that has a row which is refused."""


class Counts(NamedTuple):
    """How a run ended."""

    predicted: int
    bad: int


def predict_to_file(source: Source, signature: Signature, ask: Ask, output: Path, at_once: int | None = None) -> Counts:
    """Writes a prediction for each good row of a source, in its order, and the others to `<output>.errors.jsonl`.

    Both files appear when everything is in them, or not at all.

    Args:
      source: the rows.
      signature: what is asked.
      ask: answers a batch.
      output: .jsonl, .csv or .parquet.
      at_once: most rows that are asked together; whole batches if None.

    Raises:
      UserError: the source cannot be read to its end, or the output not be written; none has a row.
    """
    with written(output) as draft:
        sink = open_sink(draft)
        try:
            bad = BadRows(output, draft.with_name(".errors"), source.counted)
            counts = predict(source, signature, ask, sink, bad, at_once)
        finally:
            sink.close()
        publish_errors(bad)
    return counts


def predict(
    source: Source, signature: Signature, ask: Ask, sink: Sink, bad: BadRows, at_once: int | None = None
) -> Counts:
    """Passes all rows of a source through `ask`: predictions to `sink`, what gets none to `bad`.

    Raises:
      UserError: there is no row.
    """
    predicted = 0
    with progress(source.total) as advance:
        for rows in source.batches:
            refused = list(rows.unreadable)
            for indices, answer in _answers(signature, rows, ask, refused.append, at_once):
                # TensorFlow gives them in another order each time.
                sink.write(rows.kept_at(indices), {name: answer[name] for name in signature.outputs})
                predicted += len(indices)
            bad.write(refused)
            advance(len(rows) + len(rows.unreadable))
    if not predicted + bad.count:
        raise UserError(expected="at least one row", received="an empty input", todo="correct --input")
    return Counts(predicted, bad.count)


def publish_errors(bad: BadRows) -> None:
    """Gives the file of bad rows its name, or removes one of an earlier call."""
    if bad.count:
        bad.draft.replace(bad.path)
    else:
        bad.path.unlink(missing_ok=True)


def _answers(
    signature: Signature, rows: Rows, ask: Ask, refuse: Callable[[BadRow], None], at_once: int | None
) -> Iterator[tuple[NDArray[np.int64], Columns]]:
    for indices, columns in parts(signature, rows, refuse):
        for start in range(0, len(indices), at_once or len(indices)):
            some = slice(start, start + (at_once or len(indices)))
            batch = {name: column[some] for name, column in columns.items()}
            yield from bisected(ask, batch, indices[some], lambda index, reason: refuse(rows.bad(index, reason)))


def bisected(
    ask: Ask, columns: Columns, indices: NDArray[np.int64], refuse: Callable[[int, str], None]
) -> Iterator[tuple[NDArray[np.int64], Columns]]:
    """Yields the answers to a batch. One that is refused is halved, until only the bad rows are left without."""
    try:
        answer = ask(columns)
    except ValueError as error:
        if len(indices) == 1:
            refuse(int(indices[0]), str(error))
            return
        middle = len(indices) // 2
        for half in (slice(middle), slice(middle, None)):
            yield from bisected(ask, {name: column[half] for name, column in columns.items()}, indices[half], refuse)
        return
    if rows_of(answer) != len(indices):
        raise UserError(
            expected=f"{len(indices)} predictions", received=f"{rows_of(answer)}", todo="look at what the model answers"
        )
    yield indices, answer


@contextmanager
def progress(total: int | None) -> Iterator[Callable[[int], Any]]:
    """Shows on a terminal how many rows are done; lends a function that is told of more of them."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    rate = TextColumn("{task.completed:,.0f} rows, {task.fields[rate]}")
    columns = (BarColumn(), rate, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, rate="")

        def advance(rows: int) -> None:
            bar.advance(task, rows)
            speed = bar.tasks[task].speed
            bar.update(task, rate=f"{speed:,.0f} a second" if speed else "")

        yield advance


def check_share(counts: Counts, most: float, output: Path) -> None:
    """Refuses, after everything was written, a run with too many bad rows.

    Raises:
      UserError: more than `most` of the rows, a share from 0 to 1, or all of them, got no prediction.
    """
    rows = counts.predicted + counts.bad
    if counts.bad > most * rows or not counts.predicted:
        raise UserError(
            expected=f"at most {most:.2%} of the rows without a prediction",
            received=f"{counts.bad:,} of {rows:,} ({counts.bad / rows:.2%}); the others' predictions are written",
            todo=f"look at the reasons in {errors_of(output)}; --max-bad-share lets more of them pass",
        )
