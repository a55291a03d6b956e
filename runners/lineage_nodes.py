"""The nodes of a run for its lineage: what each took, which code it ran, and what it left."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from pipeline.fingerprint import LENGTH, digest_bytes
from runners.reports.store import STATES, Artifact, Execution, Store
from runners.reports.told import parsed
from runners.run import RunResult

LOOKED_UP = {"Champion": "champion", "Reference": "drift reference", "LastSearch": "hyper-parameters"}
"""Resolver -> what it looks for."""

_STATES = {**STATES, "RUNNING": "unfinished"}
DIGEST_KEYS = ("code", "code_digest")
FUNCTION_KEYS = ("run_fn", "tuner_fn", "preprocessing_fn", "schema_file")


class Query(BaseModel):
    """The SELECT that made the examples, in BigQuery's dialect."""

    digest: str
    text: str


class Output(BaseModel):
    """An artifact that a node left, or looked up; `there` is False where its folder was deleted since."""

    id: int
    key: str
    type: str
    uri: str
    there: bool


class Step(BaseModel):
    """What a node did in a run.

    Attributes:
      node: its name.
      state: how it ended, see `runners.events.ENDED`; unfinished if it did not.
      made_by: id of the run that made its outputs, if that is another one: they were taken from the cache.
      commit: of that run's code, if that was recorded.
      code: digests of the project's code that it ran.
      functions: dotted paths and files that it was told.
      inputs: key -> ids of artifacts.
      outputs: what it left.
    """

    node: str
    state: str
    made_by: str = ""
    commit: str = ""
    code: list[str] = []
    functions: list[str] = []
    inputs: dict[str, list[int]] = {}
    outputs: list[Output] = []


def steps_of(
    run: str,
    executions: Mapping[str, Execution],
    told: RunResult | None,
    store: Store | None,
    known: Mapping[str, RunResult],
) -> list[Step]:
    """Returns what the nodes of a run did, in order; of nodes that only its record knows, the state alone.

    Args:
      run: its id.
      executions: node -> what the metadata says of it.
      told: its record.
      store: the metadata.
      known: id -> record, of all runs.
    """
    states = {node.name: node.state for node in told.nodes} if told else {}
    steps = [_step(run, each, states.get(each.node), store, known) for each in executions.values()]
    return steps + [Step(node=node, state=state) for node, state in states.items() if node not in executions]


def query_of(ingestion: Execution | None) -> Query | None:
    """Returns the query of an example generator; None if it had none."""
    told = ingestion.properties if ingestion else {}
    for text in [*_under(told, ("whole",)), *_under(told, ("pattern",))]:
        return Query(digest=digest_bytes(text.encode()), text=text)
    return None


def kept_raw(ingestion: Execution | None) -> dict[str, str]:
    """Returns where the raw data is kept as it was read."""
    file = next(_under(ingestion.properties, ("parquet",)), None) if ingestion else None
    return {"kept": file} if file else {}


def _step(
    run: str, execution: Execution, state: str | None, store: Store | None, known: Mapping[str, RunResult]
) -> Step:
    outputs = [(key, artifact) for key, artifacts in execution.outputs.items() for artifact in artifacts]
    origin = _origin(store, outputs[0][1]) if store and outputs and execution.state == "CACHED" else run
    looked_up = execution.node in LOOKED_UP and execution.state == "COMPLETE"
    return Step(
        node=execution.node,
        state=state or ("resolved" if looked_up else _STATES.get(execution.state, execution.state)),
        made_by="" if origin == run else origin,
        commit=known[origin].code.get("commit", "") if origin in known else "",
        code=sorted({found for found in _under(execution.properties, DIGEST_KEYS) if _is_digest(found)}),
        functions=sorted(_under(execution.properties, FUNCTION_KEYS)),
        inputs={key: [artifact.id for artifact in artifacts] for key, artifacts in sorted(execution.inputs.items())},
        outputs=[_output(key, artifact) for key, artifact in sorted(outputs)],
    )


def _origin(store: Store, artifact: Artifact) -> str:
    made = store.producer(artifact)
    return made.run if made else ""


def _output(key: str, artifact: Artifact) -> Output:
    return Output(id=artifact.id, key=key, type=artifact.type, uri=artifact.uri, there=artifact.there)


def _is_digest(text: str) -> bool:
    return re.fullmatch(f"[0-9a-f]{{{LENGTH}}}", text) is not None


def _under(value: Any, keys: tuple[str, ...]) -> Iterator[str]:
    """Yields the texts under any of the keys, however deep, also in JSON that is itself a text."""
    value = parsed(value)
    if isinstance(value, Mapping):
        yield from (found for key, found in value.items() if key in keys and isinstance(found, str))
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _under(inner, keys)
