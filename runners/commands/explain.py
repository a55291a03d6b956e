"""`pipelines explain`: what each input of a row adds to a pushed model's answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.contract import Explanation, Model, UserError, find_model
from runners.options import ModelName, Root

if TYPE_CHECKING:
    from runners.explained_files import Explained, Row
    from runners.serving.explaining import Attribution
    from runners.serving.loaded import LoadedModel

SHOWN = 5
"""So many rows are shown; a file has them all."""
BAR = 30
"""Characters of the longest bar."""


def explain(
    model: ModelName,
    source: Annotated[Path, typer.Option("--input", metavar="FILE", help="Rows, as .jsonl, .csv or .parquet.")],
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE", help="Write all rows: .jsonl in Vertex AI's form; .csv, .parquet as a table."),
    ] = None,
    version: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--model", metavar="VERSION|FOLDER", help="Version or its folder; the one that serves if left out."
        ),
    ] = None,
    paths: Annotated[
        int, typer.Option(min=4, help="Orders of the inputs to average over; exact where all take no longer.")
    ] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of the orders, where they are drawn.")] = 0,
    root: Root = Path("runs"),
) -> None:
    """Say what each input of a row adds to a pushed model's answer: Shapley values."""
    contract = find_model(model)
    explanation = contract.explanation
    if isinstance(explanation, str):
        raise _unexplained(model, explanation)
    loaded = _load(contract, root, version)
    console = Console()
    console.print(f"{loaded.manifest.pipeline}, version {loaded.version}. Baseline: {explanation.why}.", markup=False)
    explainer = _Explainer(loaded, explanation, source, paths, seed)
    if output is None:
        _show(console, contract, explainer)
    else:
        _write(console, contract, explainer, output)


def _load(model: Model, root: Path, version: str | None) -> LoadedModel:
    from runners.model_commands import find_pushed
    from runners.serving.explaining import why_not
    from runners.serving.loaded import LoadedModel

    loaded = LoadedModel.load(find_pushed(model, root, version))
    problem = why_not(model, loaded.signatures)
    if problem is not None:
        raise _unexplained(model.name, problem)
    return loaded


def _unexplained(model: str, why: str) -> UserError:
    return UserError(
        expected="a model whose answers can be explained", received=f"{model}: {why}", todo="name another one"
    )


class _Explainer:
    """Explains the rows of a file."""

    def __init__(self, loaded: LoadedModel, explanation: Explanation, source: Path, paths: int, seed: int) -> None:
        from runners.explained_files import read

        self.explanation, self._loaded, self._source = explanation, loaded, source
        self._options = {"paths": paths, "seed": seed}
        self._signature = loaded.signatures[explanation.signature]
        self.blocks = read(source, self._signature)

    def explained(self, block: list[Row], done: int) -> list[Explained]:
        """Returns the rows of a block, before which there were `done` in the file.

        Raises:
          UserError: a row is not as the model wants it.
        """
        from runners.explained_files import Explained
        from runners.serving import instances
        from runners.serving.explaining import explain

        inputs = [{name: row[name] for name in self._signature.inputs if name in row} for row in block]
        try:
            columns = instances.columns(self._signature, inputs)
            answers = instances.rows(self._loaded.ask(self._signature.name, columns))
            why = explain(self._loaded.ask, self.explanation, columns, **self._options)
        except (instances.BadInstances, ValueError) as error:
            raise UserError(
                expected=f"in each row of {self._source}: {', '.join(self._signature.inputs)}",
                received=f"{error} (instance 0 is row {done + 1})",
                todo="correct the file",
            ) from error
        return [Explained(*each) for each in zip(block, answers, why, strict=True)]

    def nothing(self) -> UserError:
        """What is said of a file without rows."""
        return UserError(expected=f"rows in {self._source}", received="none", todo="name another --input")


def _write(console: Console, model: Model, explainer: _Explainer, output: Path) -> None:
    from runners.explained_files import writing

    done = 0
    with writing(output, explainer.explanation, model.key) as write:
        for block in explainer.blocks:
            write(explainer.explained(block, done))
            done += len(block)
        if not done:
            raise explainer.nothing()
    console.print(f"Wrote {done:,} rows to {output}", markup=False, soft_wrap=True)


# --- what people see -------------------------------------------------------------------------------------


def _show(console: Console, model: Model, explainer: _Explainer) -> None:
    block = next(explainer.blocks, [])
    if not block:
        raise explainer.nothing()
    for number, each in enumerate(explainer.explained(block[:SHOWN], 0), 1):
        named = ", ".join(f"{name} {each.row[name]}" for name in model.key if each.row.get(name) not in (None, ""))
        console.print(_chart(f"Row {number}" + (f": {named}" if named else ""), each, explainer.explanation.output))
    if len(block) > SHOWN:
        console.print(f"The file has more rows than these {SHOWN}; --output FILE explains them all.", markup=False)


def _chart(title: str, explained: Explained, output: str) -> Table:
    why = explained.attribution
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, show_header=False)
    table.add_column(style="dim")
    for _ in ("value", "adds", "error"):
        table.add_column(justify="right")
    digits = 2 if max(abs(why.baseline), abs(why.instance)) >= 10 else 4
    table.add_row("baseline", "", f"{why.baseline:,.{digits}f}")
    longest = max(map(abs, why.features.values())) or 1.0
    for name, added in sorted(why.features.items(), key=lambda item: -abs(item[1])):
        bar = Text("█" * round(BAR * abs(added) / longest), style="green" if added > 0 else "red")
        error = f"± {why.errors[name]:,.{digits}f}" if why.errors[name] else ""
        # Without the zero, what is smaller than the digits would be shown as -0.00.
        table.add_row(name, _shown(explained.row[name]), f"{round(added, digits) + 0.0:+,.{digits}f}", error, bar)
    table.add_row(output, "", f"{why.instance:,.{digits}f}", "", _exactness(why))
    return table


def _shown(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _exactness(why: Attribution) -> str:
    return f"approximation error {why.approximation_error:.3f}" if why.approximation_error else "exact"
