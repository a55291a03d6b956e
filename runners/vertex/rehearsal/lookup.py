"""Nodes that run no container: importers, and the two resolvers that TFX compiles for Vertex AI."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import json_format

from pipeline.contract import UserError
from runners.vertex.rehearsal import placeholders, values
from runners.vertex.rehearsal.preflight import type_title
from runners.vertex.rehearsal.spec import Node, Spec
from runners.vertex.rehearsal.store import Artifact, Store

_TERM = re.compile(
    r"schema_title=\"(?P<title>[^\"]+)\"|state=LIVE|name=\"(?P<name>[^\"]*)\""
    r"|metadata\.(?P<key>\w+)\.(number_value=(?P<number>[-\d.]+)|string_value=\"(?P<text>[^\"]*)\")"
)


def resolve(node: Node, store: Store, pipeline: str, executor_input: Any) -> dict[str, list[Artifact]]:
    """Returns the latest artifacts that a resolver's queries find among those of the pipeline; none is no error."""
    queries = node.executor.resolver.output_artifact_queries
    return {
        key: [*filter(None, [_query(node, query.filter, store, pipeline, executor_input)])]
        for key, query in queries.items()
    }


def check(spec: Spec) -> None:
    """Checks that every resolver is one of the two that Vertex AI runs for TFX.

    Raises:
      UserError: a query that neither of them asks.
    """
    for node in spec.nodes.values():
        for query in node.executor.resolver.output_artifact_queries.values():
            _terms(node, query.filter)


def _terms(node: Node, query: str) -> list[re.Match[str]]:
    found = {term: _TERM.fullmatch(term) for term in query.split(" AND ")}
    for term, match in found.items():
        if match is None:
            raise UserError(
                expected=f"node {node.name}: the query of TFX's latest-artifact or latest-blessed-model resolver",
                received=term,
                todo="use one of those two: Vertex AI runs no other",
            )
    return [match for match in found.values() if match]


def _query(node: Node, query: str, store: Store, pipeline: str, executor_input: Any) -> Artifact | None:
    title, name, metadata = "", None, {}
    for found in _terms(node, query):
        title = found["title"] or title
        if found["key"]:
            metadata[found["key"]] = float(found["number"]) if found["number"] else found["text"]
        if found["name"] is not None:
            try:
                name = placeholders.fill(found["name"], executor_input, {})
            except KeyError:
                return None  # No blessing was found, so there is no model that it names.
    return store.latest(pipeline, title, name, metadata)


def import_artifact(node: Node, store: Store, pipeline: str, run: str, given: dict[str, Any]) -> dict[str, Any]:
    """Returns what an importer brings in: the artifact that it brought in before, unless told to import again.

    Args:
      node: the importer.
      store: of artifacts.
      pipeline, run: that it belongs to.
      given: its parameters.
    """
    spec = node.executor.importer
    address = spec.artifact_uri
    uri = given[address.runtime_parameter] if address.runtime_parameter else values.constant(address)
    metadata = json_format.MessageToDict(spec.metadata)
    title = type_title(spec.type_schema)
    for found in reversed(store.artifacts.values()):
        same = (found.pipeline, found.title, found.uri, found.metadata) == (pipeline, title, uri, metadata)
        if same and not spec.reimport:
            return {key: [found] for key in node.component.output_definitions.artifacts}
    (key,) = node.component.output_definitions.artifacts
    artifact = Artifact(
        name=Artifact.new_name(),
        title=title,
        type={"instance_schema": spec.type_schema.instance_schema},
        uri=uri,
        metadata=metadata,
        pipeline=pipeline,
        run=run,
        node=node.name,
        key=key,
    )
    store.add(artifact)
    return {key: [artifact]}
