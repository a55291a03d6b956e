"""`pipelines lineage`: from a pushed version back to its data, query, settings and code, and on to what used it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from pipeline.contract import UserError, model_names
from pipeline.settings import on_line
from runners.options import AsJson, Root

if TYPE_CHECKING:
    from runners.lineage import Lineage

Target = Annotated[
    str,
    typer.Argument(
        metavar="PATH|VERSION",
        help="Folder of a pushed version (or gs://…), its number below ROOT/pushed, or the id of a run.",
    ),
]
LineName = Annotated[
    Optional[str],  # noqa: UP045 -- typer reads the annotation at run time, on Python 3.10 too
    typer.Option(
        "--line", metavar="NAME", help="Data line such as main, or pushed folder, where several have VERSION."
    ),
]


def lineage(
    target: Target,
    root: Root = Path("runs"),
    line: LineName = None,
    as_json: AsJson = False,
) -> None:
    """Show where a pushed model comes from (data, query, settings, code, champion), and what used it."""
    from runners.lineage_text import text

    found = _find(root.resolve(), target, line)
    typer.echo(found.model_dump_json(indent=2) if as_json else text(found))


def _find(root: Path, target: str, line: str | None) -> Lineage:
    """Returns the lineage of a number, a path or a run."""
    from runners.lineage import of_run, of_version
    from runners.records import find_record
    from runners.reports.store import open_store

    if target.isdigit():
        return of_version(root, _address(root, int(target), line))
    if "://" in target:
        return of_version(root, target.rstrip("/"))
    if "/" in target or Path(target).is_dir():
        return of_version(root, str(Path(target).resolve()))
    return of_run(root, find_record(root, target), open_store(root))


def _address(root: Path, number: int, line: str | None) -> str:
    """Returns the folder of a version below `ROOT/pushed`.

    Raises:
      UserError: no line has it, or several do.
    """
    from pipeline.push import versions
    from runners.pushed_models import base_of, lines

    base = base_of(root, None)
    names = [name for name in lines(base) if line is None or _is_called(name, line)]
    held = {f"{base}/{name}": [version.number for version in versions(f"{base}/{name}")] for name in names}
    found = [f"{folder}/{number}" for folder, numbers in held.items() if number in numbers]
    if len(found) != 1:
        raise UserError(
            expected=f"a version {number} in one of the folders at {base}" + (f", {line}" if line else ""),
            received=" and ".join(found) or f"none there; {len(names)} folders",
            todo="name the path of the version" if found else "see `pipelines models`, or correct --root",
        )
    return found[0]


def _is_called(folder: str, line: str) -> bool:
    """Whether a pushed folder has this name, or this data line."""
    return folder == line or any(on_line(folder, model, line) for model in model_names())
