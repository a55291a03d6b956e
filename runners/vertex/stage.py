"""What a rehearsal plays on: raw data of this machine where the pipeline looks for its source in the cloud."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipeline.contract import Query
from pipeline.ingestion.bigquery import EMULATOR
from pipeline.ingestion.pictures import PictureSet
from runners.run import Run
from runners.vertex.bigquery_standin import serve
from runners.vertex.load import load
from runners.vertex.rehearsal import Substitutions
from runners.vertex.settings import VertexSettings
from runners.vertex.sources import source_of, table_of


@contextmanager
def stage(run: Run, vertex: VertexSettings, folders: Mapping[str, Path]) -> Iterator[Substitutions]:
    """Yields what stands for the cloud, while the context is open.

    Args:
      run: prepared, with the raw data in it.
      vertex: says where the pipeline looks for its source.
      folders: `gs://` address -> folder or file, as the user has it.
    """
    if isinstance(run.raw, PictureSet):
        yield Substitutions(folders={source_of(run.model, vertex): Path(run.raw.path), **folders})
        return
    if not isinstance(run.model.source, Query):
        raise TypeError(f"a table for {run.model.name}, which reads pictures")
    table = table_of(run.model, vertex)
    with serve() as host:
        with _asking(host):
            load(run.raw, run.model.source, table)
        rows = f"{run.raw.report.rows_usable:,} rows of {run.raw.source}"
        note = f"a stand-in for BigQuery on this machine stands for BigQuery, with {rows} as {table.address}"
        yield Substitutions(folders=folders, environment={EMULATOR: host}, notes=(note,))


@contextmanager
def _asking(host: str) -> Iterator[None]:
    """Google's client asks the stand-in, in this process; it takes the address from nowhere else."""
    before = os.environ.get(EMULATOR)
    os.environ[EMULATOR] = host
    try:
        yield
    finally:
        del os.environ[EMULATOR]
        if before is not None:
            os.environ[EMULATOR] = before
