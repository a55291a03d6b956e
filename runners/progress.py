"""How people and programs follow a run: a live table, plain lines, the verdict alone, or JSON lines."""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from types import TracebackType
from typing import IO, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from pipeline.contract import UserError
from pipeline.verdict import OVERALL, Check, number, sentence
from runners.events import ENDED, Epoch, NodeEvent
from runners.interrupt import catching
from runners.output import print_how_to_go_on, print_result, print_verdict
from runners.run import Heading, RunResult

EPOCH_SECONDS = 10.0
"""Plain lines tell of an epoch at most so often: a log is no screen."""

MARKS = {
    "waiting": " ",
    "started": "[dim]>[/]",
    "training": "[dim]>[/]",
    "run": "[green]+[/]",
    "cached": "[cyan]=[/]",
    "resolved": "[cyan]=[/]",
    "skipped": "[dim]-[/]",
    "failed": "[red]x[/]",
    "interrupted": "[yellow]![/]",
}

WORDS = {
    "waiting": "[dim]waits[/]",
    "started": "starts",
    "training": "trains",
    "run": "run",
    "cached": "cached",
    "resolved": "looked up",
    "skipped": "[dim]skipped[/]",
    "failed": "stopped the run",
    "interrupted": "interrupted",
}


class View:
    """What is shown of a run, from `begin` to `end`: here the verdict alone; other views show more.

    Leaving the context gives the screen back, whatever happened.
    """

    def __init__(self, console: Console) -> None:
        """Writes to a console."""
        self.console = console

    def __enter__(self) -> View:
        """Changes nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the screen back."""

    def begin(self, heading: Heading) -> None:
        """Says what is run."""

    def observe(self, event: NodeEvent) -> None:
        """Shows what happened to a node."""

    def end(self, result: RunResult) -> None:
        """Shows what the run came to: of a refusal which bounds were missed, of a failure why."""
        print_verdict(self.console, result)

    def report(self, path: Path | None) -> None:
        """Says where the page is that explains the run; nothing where there is none, or to those who want no more."""


class Lines(View):
    """Plain lines, for a file or a pipe."""

    def __init__(self, console: Console) -> None:
        """Writes to a console."""
        super().__init__(console)
        self.told = time.monotonic()

    def begin(self, heading: Heading) -> None:
        """Says what is run."""
        title, source = escape(heading.title), escape(heading.data)
        self.console.print(f"{title}: [bold]{heading.pipeline}[/], run {heading.run_id}, data {source}")
        for note in heading.notes:
            self.console.print(escape(note), highlight=False, soft_wrap=True)

    def observe(self, event: NodeEvent) -> None:
        """Prints a line as a node starts, now and then while it trains, and as it ends."""
        if event.state == "waiting" or (event.state == "training" and not self._is_due()):
            return
        self.told = time.monotonic()
        seconds = "" if event.state == "started" else f" {event.seconds:6.1f} s  {escape(found(event))}"
        line = f" {MARKS[event.state]} {event.node:<17} {WORDS[event.state]:<16}{seconds}".rstrip()
        self.console.print(line, highlight=False, soft_wrap=True)

    def end(self, result: RunResult) -> None:
        """Prints the tables and the verdict."""
        print_result(self.console, result)

    def report(self, path: Path | None) -> None:
        """Prints where the report is."""
        told = f"Report: {path}" if path else "No report could be made: the log says why."
        self.console.print(told, markup=False, highlight=False, soft_wrap=True)

    def _is_due(self) -> bool:
        return time.monotonic() - self.told >= EPOCH_SECONDS


class LiveTable(Lines):
    """A table of all nodes that is drawn anew as they go on, for a terminal; after it come the final tables."""

    def __init__(self, console: Console) -> None:
        """Draws on a terminal."""
        super().__init__(console)
        self.latest: dict[str, NodeEvent] = {}
        self.trained: dict[str, Epoch] = {}
        self.started: dict[str, float] = {}
        # What libraries print goes to a file meanwhile, and must not come back to the screen.
        self.live = Live(self, console=console, redirect_stdout=False, redirect_stderr=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the screen back."""
        self.live.stop()

    def observe(self, event: NodeEvent) -> None:
        """Draws the table with what is new."""
        if event.state == "started":
            self.started[event.node] = time.monotonic()
        if event.epoch:
            self.trained[event.node] = event.epoch
        self.latest[event.node] = event
        if event.state in ("started", *ENDED):
            self.live.start()
            self.live.refresh()

    def end(self, result: RunResult) -> None:
        """Leaves the table where it is, and prints the final ones."""
        self.live.stop()
        super().end(result)

    def __rich__(self) -> Table:
        """The table as it is now; drawn a few times a second by a thread of the terminal's."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
        for name in ("", "node", "state"):
            table.add_column(name, no_wrap=True)
        table.add_column("seconds", justify="right", no_wrap=True)
        table.add_column("found", no_wrap=True, overflow="ellipsis", ratio=1)
        for node, event in list(self.latest.items()):
            table.add_row(MARKS[event.state], node, WORDS[event.state], self._seconds(event), self._found(node, event))
        return table

    def _seconds(self, event: NodeEvent) -> str:
        if event.state == "waiting":
            return ""
        return f"{event.seconds if event.state in ENDED else time.monotonic() - self.started[event.node]:.1f}"

    def _found(self, node: str, event: NodeEvent) -> str:
        """Of a training that ended, what its last epoch told."""
        epoch = self.trained.get(node)
        return escape(found(event) or (_epoch(node, epoch) if epoch else ""))


class JsonLines(View):
    """A JSON object a line, for programs; docs/progress.md describes them."""

    def begin(self, heading: Heading) -> None:
        """Writes the event `run`."""
        self._write(
            "run",
            run_id=heading.run_id,
            pipeline=heading.pipeline,
            model=heading.model,
            data=heading.data,
            folder=heading.folder,
            notes=heading.notes,
        )

    def observe(self, event: NodeEvent) -> None:
        """Writes an event `node` or `epoch`."""
        seconds = round(event.seconds, 3)
        if event.epoch:
            told = {"epoch": event.epoch.epoch, "epochs": event.epoch.epochs, "values": dict(event.epoch.values)}
            self._write("epoch", node=event.node, seconds=seconds, **told)
            return
        checks = [check.model_dump(mode="json") for check in event.checks]
        self._write(
            "node", node=event.node, state=event.state, seconds=seconds, examples=dict(event.examples), checks=checks
        )

    def end(self, result: RunResult) -> None:
        """Writes the event `result`."""
        self._write("result", exit_code=result.exit_code, **result.model_dump(mode="json"))

    def _write(self, event: str, **fields: Any) -> None:
        write_json(self.console.file, event, **fields)


def write_json(file: IO[str], event: str, **fields: Any) -> None:
    """Writes an event as one line of JSON, and passes it on at once."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    file.write(json.dumps({"event": event, "time": now, **fields}, allow_nan=False) + "\n")
    file.flush()


def view(console: Console, *, quiet: bool, as_json: bool) -> View:
    """Returns the view that was asked for: without a terminal, plain lines."""
    if as_json:
        return JsonLines(console)
    if quiet:
        return View(console)
    return LiveTable(console) if console.is_terminal and not console.is_dumb_terminal else Lines(console)


@contextmanager
def without_traceback(*, as_json: bool) -> Iterator[None]:
    """Ends a command whose run was interrupted before or after its nodes; writes the result of a mistake as JSON, too.

    Raises:
      typer.Exit: it was interrupted.
      UserError: a mistake, passed on.
    """
    with catching() as interrupt:
        try:
            yield
        except KeyboardInterrupt:
            code = 143 if interrupt.signal is Signals.SIGTERM else 130
            if as_json:
                write_json(sys.stdout, "result", outcome="interrupted", exit_code=code)
            else:
                print_how_to_go_on(Console(stderr=True))
            raise typer.Exit(code) from None
        except UserError as mistake:
            if as_json:
                write_json(sys.stdout, "result", outcome="mistake", exit_code=2, **vars(mistake))
            raise


def found(event: NodeEvent) -> str:
    """Says in a line what is known of a node besides its state: examples, the epoch, what a gate found."""
    if event.epoch:
        return _epoch(event.node, event.epoch)
    missed = [check for check in event.checks if not check.passed]
    if missed:
        return sentence(missed[0]) + (f" (and {len(missed) - 1} more)" if len(missed) > 1 else "")
    if event.checks:
        return _passed(event.checks)
    return ", ".join(f"{split} {count:,}" for split, count in event.examples.items())


def _passed(checks: tuple[Check, ...]) -> str:
    """The model's values in full; of the other gates' checks, which are many, how many passed."""
    named = [f"{check.metric} {number(check.value)}" for check in checks if _is_of_model(check)]
    return ", ".join(dict.fromkeys(named)) or f"{len(checks)} checks passed"


def _is_of_model(check: Check) -> bool:
    return check.gate == "model" and check.slice == OVERALL


def _epoch(node: str, epoch: Epoch) -> str:
    """A search tells of its trials as a training does of its epochs."""
    kind = "trial" if node == "Tuner" else "epoch"
    values = (f"{name} {value:.4g}" for name, value in epoch.values.items() if value is not None)
    return f"{kind} {epoch.epoch} of {epoch.epochs}: {', '.join(values)}"
