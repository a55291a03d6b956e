"""`pipelines backtest`: would the model have beaten the rule, on these data, at several days of the past?"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.contract import Model, UserError, find_model
from pipeline.settings import read_assignments
from runners.options import AsJson, Data, Environment, ModelName, Root, Set, layers

if TYPE_CHECKING:
    from runners.backtest.backtesting import Backtested, Tell
    from runners.backtest.running import Plan

CutOffs = Annotated[
    str,
    typer.Option(
        metavar="auto[:N]|DATES",
        help="Days as of which the model is trained: 2011-03-01,2011-06-01, or N of them, 4 if left out, spread over "
        "what the data allow.",
    ),
]


def backtest(
    model: ModelName,
    data: Data = None,
    cutoffs: CutOffs = "auto",
    assignments: Set = None,
    env: Environment = None,
    root: Root = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Train and score a model as of several days of the past, against the rule that it must beat.

    Each run is a real one, with its gates, below ROOT/backtests/; nothing is pushed anywhere else. Exit codes: 0 each
    cut-off was scored; 2 a mistake in command, settings or data; 3 one was refused before it could be scored, or
    failed; 130 interrupted by Ctrl-C, 143 by SIGTERM: the same command goes on.
    """
    from runners import progress

    with progress.without_traceback(as_json=as_json):
        from runners.backtest import backtesting, running
        from runners.backtest.telling import WIDTH
        from runners.output import libraries_log_to, print_how_to_go_on
        from runners.run import LOG

        contract = find_model(model)
        _hold_free(contract, assignments)
        planned = running.plan(contract, root, cutoffs, data=data, layers=layers(contract, env, assignments))
        try:
            with libraries_log_to(planned.folder / LOG) as console:
                console.width = max(console.width, WIDTH)
                found = _backtested(planned, console, as_json=as_json)
        except backtesting.InterruptedRun as stopped:
            if as_json:
                progress.write_json(sys.stdout, "result", outcome="interrupted", exit_code=stopped.exit_code)
            else:
                print_how_to_go_on(Console(stderr=True))
            raise typer.Exit(stopped.exit_code) from None
    raise typer.Exit(found.exit_code)


def _backtested(planned: Plan, console: Console, *, as_json: bool) -> Backtested:
    """Tells how it goes on, and what it came to: to people as they watch, to a program at the end."""
    from runners.backtest.backtesting import backtest
    from runners.backtest.telling import sentences, show

    if as_json:
        found = backtest(planned)
        plain = {**found.model_dump(mode="json"), "says": list(sentences(found)), "exit_code": found.exit_code}
        console.file.write(json.dumps(plain, indent=1, allow_nan=False) + "\n")
        return found
    days = ", ".join(map(str, planned.cutoffs))
    console.print(f"{planned.model.title}: cut-offs {days}, in {planned.folder}", markup=False, soft_wrap=True)
    found = backtest(planned, _told_on(console))
    show(found, console)
    return found


def _hold_free(model: Model, assignments: list[str] | None) -> None:
    """The cut-off is what a backtest varies."""
    part, _, field = model.backtest.as_of.partition(".") if model.backtest else ("", "", "")
    if field in read_assignments(model, assignments or []).get(part, {}):
        raise UserError(
            expected="the days in --cutoffs", received=f"--set {field}=…", todo="leave it out, or use --cutoffs"
        )


def _told_on(console: Console) -> Tell:
    """Says a line for each cut-off as it starts and as it ends; on a terminal also which node is under way."""
    from runners.backtest.running import Ended
    from runners.commands.runs import OUTCOMES
    from runners.events import NodeEvent

    status = console.status("")

    def tell(cutoff: date, news: NodeEvent | Ended | None) -> None:
        if news is None:
            status.start()
            status.update(f"{cutoff}: starts")
        elif isinstance(news, Ended):
            status.stop()
            told = f"{cutoff}  {OUTCOMES[news.outcome]}{_seconds(news)}"
            console.print(told, soft_wrap=True, highlight=False)
        elif news.state in ("started", "training"):
            status.update(f"{cutoff}: {escape(news.node)}{_epoch(news)}")

    return tell


def _seconds(ended: Any) -> str:
    return f", {ended.seconds:.0f} s" if ended.seconds else ""


def _epoch(event: Any) -> str:
    return f", epoch {event.epoch.epoch} of {event.epoch.epochs}" if event.epoch else ""
