"""The serving gate: a model that a server could not load, or that would answer differently there, stops the run.

It stands before the Evaluator, so that an unservable model is never blessed. TFX's InfraValidator needs docker or
Kubernetes; this component asks the model in a fresh process instead and emits the same InfraBlessing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.infra_validator import executor as infra_validator
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import io_utils, path_utils

from pipeline import illustrations, predictions, serving_check
from pipeline.contract import Model, Settings
from pipeline.fingerprint import digest_code
from pipeline.gate import conclude
from pipeline.ingestion.example_files import REPORT, read_counts
from pipeline.latency import LATENCY_FILE
from pipeline.model_gate import row_metrics_config
from pipeline.push.manifest import EXAMPLES_FILE, INGESTION_FILE, METRICS_FILE, NAIVE_FILE, SLICES_FILE, TUNED_FILE
from pipeline.remote import local_file, local_folder, written_folder
from pipeline.serving_check import Report, Spec
from pipeline.serving_inputs import serving_inputs
from pipeline.tuning import read_tuned
from pipeline.verdict import JUDGED_SPLIT, Check

REPORTED_SPLITS = (JUDGED_SPLIT, "test", "train")
SAMPLED = {"train": 2000}
"""Split -> rows at most that are asked: how a model does on what it was fitted to is shown, and nobody judges it.

Asking about large pictures takes long, and measuring the answers too: more rows could make sound models time out.
"""
TIMEOUT_SECONDS = 900
# A server has no Keras, so a model must not need it; and TensorFlow takes a third less time to import without it.
_PROGRAM = f"""
import sys
sys.modules["keras"] = sys.modules["tf_keras"] = None
from {serving_check.__name__} import main
main(*sys.argv[1:])
"""
_DTYPES = {schema_pb2.INT: "int64", schema_pb2.FLOAT: "float32", schema_pb2.BYTES: "string"}


def ask_in_fresh_process(spec: Spec, timeout: float = TIMEOUT_SECONDS) -> Report:
    """Runs `pipeline.serving_check` in a new interpreter without Keras, from an empty folder.

    Returns:
      Its report; where the process died or hung, a report with the one check that says so.
    """
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "spec.json", Path(folder) / "report.json"
        question.write_text(spec.model_dump_json())
        command = [sys.executable, "-c", _PROGRAM, str(question), str(answer)]
        # Models of tests and of other checkouts are found where this process found them.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        try:
            done = subprocess.run(command, cwd=folder, env=environment, timeout=timeout, capture_output=True, text=True)
        except subprocess.TimeoutExpired:
            return _died(spec, f"no answer within {timeout:g} s")
        if done.returncode:
            return _died(spec, f"the process ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return Report.model_validate_json(answer.read_text())


def read_metrics(blessing: str | Path) -> dict[str, dict[str, float | None]]:
    """Returns split -> metric -> value (None: undefined), as the gate left them in the blessing's folder."""
    with fileio.open(f"{blessing}/{METRICS_FILE}") as file:
        metrics: dict[str, dict[str, float | None]] = json.load(file)
    return metrics


def _died(spec: Spec, note: str) -> Report:
    check = Check(
        gate="serving",
        metric="survives being asked",
        slice=spec.judged,
        bound="no error",
        value="error",
        shortfall=None,
        passed=False,
        note=note,
    )
    return Report(checks=[check], metrics={})


class ServingGateSpec(ComponentSpec):  # type: ignore[misc]
    """What the serving gate reads and writes."""

    PARAMETERS = {"question": ExecutionParameter(type=str), "code": ExecutionParameter(type=str)}
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "hyperparameters": ChannelParameter(type=standard_artifacts.HyperParameters, optional=True),
    }
    OUTPUTS = {"blessing": ChannelParameter(type=standard_artifacts.InfraBlessing)}


class Executor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Executor of the serving gate. Raises GateRefusal; a failed execution is not cached, so it is refused again."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Asks the model about every row of the eval split; see the base class for the arguments.

        Writes `checks.json`, `metrics.json` (split -> metric -> value), `predictions/<split>.parquet` (see
        `pipeline.predictions`) and of a model with an illustration `illustrations/eval.parquet` (see
        `pipeline.illustrations`) into the blessing's folder; and for the model card `slices.json` (judged split ->
        slice -> metric -> value), `naive.json` (as metrics, had the naive rule been the model), `latency.json`,
        `examples.json` (split -> how many) and what ingestion reported of the raw data; and `tuned.json`, a
        `pipeline.contract.Tuned`, if the model was trained with hyper-parameters of a search.

        Raises:
          GateRefusal: at least one check did not pass.
        """
        single = {key: artifact_utils.get_single_instance(found) for key, found in input_dict.items()}
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        question = json.loads(exec_properties["question"])
        with _locally(_spec(single, question, blessing.uri)) as spec:
            report = ask_in_fresh_process(spec)
        passed = all(check.passed for check in report.checks)
        name = infra_validator._BLESSED_FILENAME if passed else infra_validator._NOT_BLESSED_FILENAME
        io_utils.write_string_file(os.path.join(blessing.uri, name), "")
        blessing.set_int_custom_property("blessed", int(passed))
        io_utils.write_string_file(f"{blessing.uri}/{METRICS_FILE}", json.dumps(report.metrics, indent=1))
        _write_for_card(report, single["examples"], blessing.uri)
        if "hyperparameters" in single:
            tuned = read_tuned(single["hyperparameters"].uri)
            io_utils.write_string_file(f"{blessing.uri}/{TUNED_FILE}", tuned.model_dump_json(indent=1))
        conclude(report.checks, blessing.uri)


def _write_for_card(report: Report, examples: types.Artifact, blessing: str) -> None:
    """Writes what no check is made of, for the model card and for reports."""
    found = {
        SLICES_FILE: report.slices,
        NAIVE_FILE: report.naive,
        EXAMPLES_FILE: read_counts(examples.mlmd_artifact),
        LATENCY_FILE: report.latency and report.latency.model_dump(),
    }
    for name, content in found.items():
        io_utils.write_string_file(f"{blessing}/{name}", json.dumps(content, indent=1))
    if fileio.exists(f"{examples.uri}/{REPORT}"):
        fileio.copy(f"{examples.uri}/{REPORT}", f"{blessing}/{INGESTION_FILE}")


def _code(model: Model) -> set[str]:
    """Modules of the model's that know how to ask, and how to draw the answers."""
    paths = [path for request in model.requests for path in (request.inputs, request.outputs) if path]
    if model.illustration:
        paths.append(model.illustration.function)
    return {path.rpartition(".")[0] for path in paths}


def _spec(single: dict[str, types.Artifact], question: dict[str, Any], blessing: str) -> Spec:
    schema = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(single["schema"].uri))
    model = single["model"]
    return Spec(
        model=path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model)),
        splits={
            split: tf.io.gfile.glob(
                io_utils.all_files_pattern(artifact_utils.get_split_uri([single["examples"]], split))
            )
            for split in REPORTED_SPLITS
        },
        features={feature.name: _DTYPES[feature.type] for feature in schema.feature},
        inputs=serving_inputs(schema),
        judged=JUDGED_SPLIT,
        sampled=SAMPLED,
        predictions=f"{blessing}/{predictions.FOLDER}",
        illustrations=f"{blessing}/{illustrations.FOLDER}",
        **question,
    )


@contextmanager
def _locally(spec: Spec) -> Iterator[Spec]:
    """Yields the same question about local copies where addresses are remote, which the process need not know."""
    with ExitStack() as stack:
        model = stack.enter_context(local_folder(spec.model))
        splits = {
            split: [str(stack.enter_context(local_file(file))) for file in files]
            for split, files in spec.splits.items()
        }
        local = {"model": str(model), "splits": splits}
        local["predictions"] = str(stack.enter_context(written_folder(spec.predictions)))
        if spec.illustration:
            local["illustrations"] = str(stack.enter_context(written_folder(spec.illustrations)))
        yield spec.model_copy(update=local)


class ServingGate(base_component.BaseComponent):  # type: ignore[misc]
    """Component: raises unless the saved model answers as it will be asked. Connect it upstream of the Evaluator."""

    SPEC_CLASS = ServingGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        trained: types.BaseChannel,
        hyperparameters: types.BaseChannel | None = None,
        model: Model,
        settings: Settings,
    ) -> None:
        """Builds the component.

        Args:
          examples: raw examples.
          schema: the curated schema.
          trained: the model to ask.
          hyperparameters: what a search found that the model was trained with; they are noted for its manifest.
          model: the contract.
          settings: of the run; the gate reads the features' part and its own tolerance.
        """
        # Without bounds: a new threshold concerns the model gate, not this one.
        metrics = row_metrics_config(model, settings).model_copy(update={"bounds": {}})
        question = {
            "label": model.label,
            "prediction": model.prediction,
            "requests": [request.model_dump(mode="json") for request in model.requests],
            "metrics": metrics.model_dump(mode="json"),
            "described": list(dict.fromkeys((*model.key, *model.slices, *metrics.kept(), *model.described))),
            "slices": list(model.slices),
            "tolerance": settings.gates.serving_tolerance,
            "illustration": model.illustration and model.illustration.model_dump(mode="json"),
        }
        super().__init__(
            ServingGateSpec(
                examples=examples,
                schema=schema,
                model=trained,
                hyperparameters=hyperparameters,
                question=json.dumps(question, sort_keys=True),
                code=digest_code(__name__, *_code(model)),
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
