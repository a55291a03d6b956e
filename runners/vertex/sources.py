"""Where the models' raw data is in the cloud, as the environment names it. Imports no TFX."""

from __future__ import annotations

from pipeline.contract import Model, Pictures, Query, UserError
from pipeline.ingestion.bigquery import BigQueryTable, find_table
from pipeline.ingestion.pictures import load_pictures
from runners.vertex.settings import VertexSettings


def source_of(model: Model, vertex: VertexSettings) -> str:
    """Returns where a model's raw data is.

    Raises:
      UserError: the environment does not say, or names a table for pictures or the reverse.
    """
    pictures = isinstance(model.source, Pictures)
    address = vertex.sources.get(model.name)
    if address is None or address.startswith("gs://") != pictures:
        raise UserError(
            expected=f"vertex.sources.{model.name}: {'gs://bucket/folder' if pictures else 'project.dataset.table'}",
            received=address or "none",
            todo="set it in the vertex section of the environment's file",
        )
    return address


def table_of(model: Model, vertex: VertexSettings, state: str = "") -> BigQueryTable:
    """Returns the table that a model reads; nobody is asked.

    Args:
      model: with a `Query`.
      vertex: settings.
      state: digest of the table's state, if it is known.

    Raises:
      UserError: the environment names none.
    """
    return BigQueryTable(vertex.project, vertex.bigquery_location or vertex.region, source_of(model, vertex), state)


def state_of(model: Model, vertex: VertexSettings) -> str:
    """Returns a digest that changes with the source's content: asks BigQuery or Cloud Storage, and downloads nothing.

    Raises:
      UserError: there is no such source, or it may not be read.
    """
    if isinstance(model.source, Query):
        table = table_of(model, vertex)
        return find_table(table.project, table.location, table.address, model.source).state
    return load_pictures(source_of(model, vertex)).digest
