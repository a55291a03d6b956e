"""`pipelines load-bigquery`: raw rows go where the pipelines on Vertex AI look for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from rich.console import Console

from pipeline.contract import Query, UserError, find_model
from runners.commands.compiling import VertexEnvironment
from runners.options import Data, ModelName, Root, Set, environment_file, layers

if TYPE_CHECKING:
    from pipeline.ingestion.raw import RawTable


def load_bigquery(
    model: ModelName,
    data: Data = None,
    assignments: Set = None,
    env: VertexEnvironment = "vertex",
    write: Annotated[
        Literal["fail", "append", "replace"],
        typer.Option(help="With rows that are there: refuse, add to them, or replace them."),
    ] = "fail",
    features: Annotated[
        bool, typer.Option("--features", help="Write the clean and the feature table beside it, too.")
    ] = False,
    root: Root = Path("runs"),
) -> None:
    """Load raw rows into the table in BigQuery that the environment names for a model."""
    from runners.run import prepare
    from runners.vertex import load
    from runners.vertex.settings import read_vertex
    from runners.vertex.sources import table_of

    contract, vertex = find_model(model), read_vertex(environment_file(env))
    if not isinstance(contract.source, Query):
        raise UserError(
            expected="a model that reads a table",
            received=f"{model}, which reads pictures",
            todo="copy them with `gcloud storage cp` to the address in vertex.sources",
        )
    run = prepare(contract, root, data=data, layers=layers(contract, env, assignments))
    raw, table = cast("RawTable", run.raw), table_of(contract, vertex)
    load.refuse_unusable(raw, run.settings.gates.max_quarantined_share)
    rows = load.load(raw, contract.source, table, write)
    console = Console()
    console.print(f"Loaded {raw.report.rows_usable:,} rows of {raw.report.source}", soft_wrap=True)
    if raw.report.quarantined:
        console.print(f"{raw.report.quarantined:,} unusable rows stay in {raw.quarantine}", soft_wrap=True)
    console.print(f"{table.address} has {rows:,} rows now", soft_wrap=True)
    if features:
        for address, written in load.write_derived(contract.source, run.settings.features, table).items():
            console.print(f"{address} has {written:,} rows now", soft_wrap=True)
