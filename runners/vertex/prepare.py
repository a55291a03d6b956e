"""From what a user types to a compiled pipeline: settings resolved against the data, the source looked at or not."""

from __future__ import annotations

from pathlib import Path

from pipeline.contract import Model, Query, Settings, load
from pipeline.ingestion.bigquery import ask
from pipeline.ingestion.sql import AUTO
from pipeline.settings import get, make_settings
from runners.options import environment_file, layers
from runners.run import prepare
from runners.vertex.compiling import Spec, compile_spec
from runners.vertex.settings import VertexSettings, read_vertex
from runners.vertex.sources import state_of, table_of


def prepare_spec(
    model: Model,
    env: str,
    assignments: list[str] | None,
    *,
    root: Path,
    data: Path | None = None,
    look: bool = False,
    leave_open: bool = False,
) -> Spec:
    """Returns the compiled pipeline of a model.

    Args:
      model: the contract.
      env: name of an environment with a section `vertex`.
      assignments: `key=value` settings over those of the environment.
      root: folder for what is read of `data`.
      data: raw input that settings `auto` are resolved against; the source in the cloud if None.
      look: whether the source's state is looked at, which lets an unchanged one be taken from the cache.
      leave_open: whether settings `auto` stay for each run to resolve by itself, as a schedule needs it.

    Raises:
      UserError: environment, settings, source or data that cannot be used.
    """
    vertex = read_vertex(environment_file(env))
    layered = layers(model, env, assignments)
    if data is not None:
        settings = prepare(model, root, data=data, layers=layered).settings
    else:
        settings = make_settings(model, *layered)
        if not leave_open:
            settings = _resolved(model, settings, vertex)
    return compile_spec(model, settings, vertex, state=state_of(model, vertex) if look else None)


def _resolved(model: Model, settings: Settings, vertex: VertexSettings) -> Settings:
    source = model.source
    if not isinstance(source, Query) or not any(get(settings, f"features.{name}") == AUTO for name in source.latest):
        return settings
    resolved: Settings = load(source.resolve)(settings, ask(table_of(model, vertex), source))
    return resolved
