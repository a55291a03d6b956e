"""What people see at a run's end: a table of every gate, and the verdict in words."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from absl import logging as absl_logging
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.contract import Tuned
from pipeline.verdict import JUDGED_SPLIT, Check, number, sentence
from runners.run import RunResult

PLAIN_WIDTH = 120
"""Columns of output that goes to a file or a pipe."""

SLICES_SHOWN = 5
"""Names of slices that a line gives, of those that have no bounds."""

VERDICTS = {
    "pushed": "[bold green]PUSHED[/]",
    "unchanged": "[bold green]NOTHING NEW TO PUSH[/]: this model is already there",
    "refused": "[bold red]REFUSED[/]",
    "failed": "[bold red]FAILED[/]",
    "interrupted": "[bold yellow]INTERRUPTED[/]",
    "unfinished": "[bold yellow]UNFINISHED[/]: it has no end on record",
}


@contextmanager
def libraries_log_to(file: Path) -> Iterator[Console]:
    """Sends all that libraries print (Python and C++ alike) to a file; yields a console on the real standard output."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    real_out, real_err = os.dup(1), os.dup(2)
    with file.open("ab") as log, os.fdopen(os.dup(real_out), "w", buffering=1, encoding="utf-8") as screen:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            with _progress_logged():
                yield Console(file=screen, width=_width(screen))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(real_out, 1)
            os.dup2(real_err, 2)
            os.close(real_out)
            os.close(real_err)


def _width(screen: TextIO) -> int | None:
    """Columns of the screen; None where Rich finds out by itself, on every line, from a terminal on standard input."""
    if not screen.isatty():
        return PLAIN_WIDTH
    return None if sys.stdin.isatty() else os.get_terminal_size(screen.fileno()).columns or None


@contextmanager
def _progress_logged() -> Iterator[None]:
    """TFX tells what it does at level INFO, through absl; Beam would tell of every stage."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    absl_logging.set_verbosity(absl_logging.INFO)
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)


def print_result(console: Console, result: RunResult, *, afterwards: bool = False) -> None:
    """Prints counts, the table of the gates, the test split's metrics and the verdict in words.

    Args:
      console: to print on.
      result: of a run.
      afterwards: another command prints it, so that how to go on with it is not what was typed now.
    """
    _print_input(console, result)
    if result.tuned:
        console.print(escape(_found(result.tuned)), soft_wrap=True, highlight=False)
    if result.checks:
        console.print(_gates(result.checks))
    for split, metrics in result.metrics.items():
        console.print(_listed(split, metrics))
    _print_notes(console, result.checks)
    print_verdict(console, result, afterwards=afterwards)
    if result.pushed:
        console.print(f"Pushed version: {result.pushed}", soft_wrap=True)
    for split, file in result.predictions.items():
        console.print(f"Predictions of the {split} split, row by row: {file}", soft_wrap=True)
    console.print(f"Log and record: {result.folder}", soft_wrap=True)


def print_verdict(console: Console, result: RunResult, *, afterwards: bool = False) -> None:
    """Prints the verdict, which bounds were missed or what failed, and after an interruption how to go on."""
    console.print(VERDICTS[result.outcome])
    for check in result.checks:
        if not check.passed:
            console.print(f"  {escape(sentence(check))}")
    if result.rolled_back:
        console.print(f"  {escape(result.rolled_back)}", soft_wrap=True, highlight=False)
    if result.error:
        console.print(f"  {escape(result.error)}")
    if result.outcome == "interrupted" and not afterwards:
        print_how_to_go_on(console)


def print_how_to_go_on(console: Console) -> None:
    """Says which command goes on with an interrupted run: the one that was typed."""
    typed = shlex.join(["pipelines", *(word for word in sys.argv[1:] if word != "--no-cache")])
    console.print(f"To go on: {escape(typed)}", soft_wrap=True, highlight=False)
    console.print("Nodes that finished come from the cache, and a training goes on from its last checkpoint.")


def _print_input(console: Console, result: RunResult) -> None:
    if result.counts:
        console.print(_counts(result))
    if result.counts.get("quarantined"):
        console.print(f"Unusable input, each with its reason: {result.data['quarantine']}", soft_wrap=True)


def _found(tuned: Tuned) -> str:
    """Says which settings a search chose: they went over what people had set."""
    chosen = (f"{name} {each.found} (given {each.given})" for name, each in tuned.settings.items())
    return f"Settings of the training that a search of {tuned.trials} trials chose: {', '.join(chosen)}"


def _listed(split: str, metrics: dict[str, float | None]) -> str:
    gated = "" if split == JUDGED_SPLIT else " (reported, gates nothing)"
    values = (f"{name} {'undefined' if value is None else f'{value:.4g}'}" for name, value in metrics.items())
    return f"Metrics of the {split} split{gated}: {', '.join(values)}"


def _print_notes(console: Console, checks: list[Check]) -> None:
    for check in checks:
        if check.passed and check.note and check.binding:
            console.print(f"Note: {escape(sentence(check))}", style="dim")
    small = sorted({check.slice for check in checks if not check.binding})
    if small:
        # Not one by one: a slice for each of 37 breeds would bury what was judged.
        listed = ", ".join(small[:SLICES_SHOWN]) + (", …" if len(small) > SLICES_SHOWN else "")
        console.print(f"Note: too few rows for bounds in {len(small)} of the slices: {escape(listed)}", style="dim")


def _counts(result: RunResult) -> Table:
    table = Table(title=f"Input: {result.data['file']}", title_justify="left")
    table.add_column("")
    table.add_column("count", justify="right")
    table.add_column("share", justify="right")
    for name, count in result.counts.items():
        table.add_row(escape(name), f"{count:,}", f"{count / result.counts['read']:.1%}")
    return table


def _gates(checks: list[Check]) -> Table:
    table = Table(title="Gates", title_justify="left")
    for column in ("gate", "metric", "slice", "bound", "value", "verdict"):
        table.add_column(column, overflow="fold")
    for check in checks:
        if not check.binding:
            continue
        verdict = "[green]passed[/]" if check.passed else "[bold red]refused[/]"
        table.add_row(
            check.gate,
            escape(check.metric),
            escape(check.slice),
            escape(check.bound),
            escape(number(check.value)),
            verdict,
        )
    return table
