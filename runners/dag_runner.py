"""Runs a compiled pipeline node by node in this process and says what each node did.

TFX's LocalDagRunner does the same but tells nobody what was cached, how long a node took or what it wrote.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.dsl.compiler import constants
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher, outputs_utils, runtime_parameter_utils, tfx_runner
from tfx.proto.orchestration import pipeline_pb2

from runners.events import NodeEvent, Observer, State, training_told_to


class NodeFailed(Exception):
    """A node raised; `__cause__` is what it raised."""

    def __init__(self, node: str) -> None:
        self.node = node
        super().__init__(f"node {node} failed")


@dataclass
class ObservedDagRunner(tfx_runner.IrBasedRunner):  # type: ignore[misc]
    """Sequential, in-process runner; stops at the first node that raises.

    Attributes:
      run_id: name of the pipeline run in the metadata store.
      observe: told of each node, see `NodeEvent`.
      until: the last node that is run; all of them if None.
      outputs: filled while running: node -> output key -> its artifacts.
    """

    run_id: str
    observe: Observer
    until: str | None = None
    outputs: dict[str, dict[str, list[mlmd.Artifact]]] = field(default_factory=dict)

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: Any = None) -> None:
        """Runs every node in topological order.

        Raises:
          NodeFailed: a node raised.
          KeyboardInterrupt: somebody asked to stop. What the node under way had written is removed.
        """
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: self.run_id}
        )
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        kind = deployment.metadata_connection_config.WhichOneof("connection_config")
        connection = getattr(deployment.metadata_connection_config, kind)
        nodes = [node.pipeline_node for node in pipeline.nodes]
        names = [node.node_info.id for node in nodes]
        nodes = nodes[: names.index(self.until) + 1] if self.until else nodes
        for node in nodes:
            self.observe(NodeEvent(node.node_info.id, "waiting", after=tuple(node.upstream_nodes)))
        for node in nodes:
            node_launcher = _launcher(pipeline, node, deployment, connection)
            self._run_node(node, node_launcher, connection)

    def _run_node(
        self, node: pipeline_pb2.PipelineNode, node_launcher: _Launcher, connection: mlmd.ConnectionConfig
    ) -> None:
        name, start = node.node_info.id, time.monotonic()

        def tell(state: State, **more: Any) -> None:
            self.observe(NodeEvent(name, state, time.monotonic() - start, **more))

        self.observe(NodeEvent(name, "started"))
        try:
            with training_told_to(lambda epoch: tell("training", epoch=epoch)):
                node_launcher.launch()
        except (KeyboardInterrupt, _Interrupted) as error:
            tell("interrupted")
            raise KeyboardInterrupt from error
        except Exception as error:
            tell("failed", error=error)
            raise NodeFailed(name) from error
        with metadata.Metadata(connection) as handle:
            execution = _latest_execution(handle.store, self.run_id)
            self.outputs[name] = _outputs(handle.store, execution)
        tell(_state(node, execution))


class _Interrupted(Exception):
    """A KeyboardInterrupt while a node was executed."""


class _Launcher(launcher.Launcher):  # type: ignore[misc]
    """Cleans up after an interrupted node as after one that failed: TFX does so for an Exception only."""

    def _run_executor(self, execution_info: Any) -> Any:
        try:
            return super()._run_executor(execution_info)
        except KeyboardInterrupt as error:
            outputs_utils.remove_output_dirs(execution_info.output_dict)
            raise _Interrupted from error


def _launcher(
    pipeline: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode, deployment: Any, connection: mlmd.ConnectionConfig
) -> _Launcher:
    name = node.node_info.id
    return _Launcher(
        pipeline_node=node,
        mlmd_connection=metadata.Metadata(connection),
        pipeline_info=pipeline.pipeline_info,
        pipeline_runtime_spec=pipeline.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, name),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
    )


def _state(node: pipeline_pb2.PipelineNode, execution: mlmd.Execution) -> State:
    """Resolvers look things up in every run; TFX caches only what executes."""
    if node.node_info.type.name.endswith(Resolver.__name__):
        return "resolved"
    return "cached" if execution.last_known_state == mlmd.Execution.CACHED else "run"


def _latest_execution(store: Any, run_id: str) -> mlmd.Execution:
    run = store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, run_id)
    return max(store.get_executions_by_context(run.id), key=lambda execution: execution.id)


def _outputs(store: Any, execution: mlmd.Execution) -> dict[str, list[mlmd.Artifact]]:
    found = dict(_output_ids(store, execution))
    artifacts = {artifact.id: artifact for artifact in store.get_artifacts_by_id(list(found))}
    outputs: dict[str, list[mlmd.Artifact]] = {}
    for identifier, key in found.items():
        outputs.setdefault(key, []).append(artifacts[identifier])
    return outputs


def _output_ids(store: Any, execution: mlmd.Execution) -> Iterator[tuple[int, str]]:
    for event in store.get_events_by_execution_ids([execution.id]):
        if event.type in (mlmd.Event.OUTPUT, mlmd.Event.INTERNAL_OUTPUT):
            yield event.artifact_id, event.path.steps[0].key
