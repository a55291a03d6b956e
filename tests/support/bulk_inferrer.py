"""TFX's own batch prediction, to compare ours with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from runners.beam import BEAM_ARGS


def answers(records: list[bytes], model: Path, signature: str, scratch: Path) -> dict[str, NDArray[Any]]:
    """What the component answers to tf.Examples, in whatever order, put into theirs: float outputs by name."""
    from tensorflow_serving.apis import prediction_log_pb2  # type: ignore[import-untyped]
    from tfx.components.bulk_inferrer.executor import Executor
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.proto import bulk_inferrer_pb2
    from tfx.types import standard_artifacts
    from tfx.utils import proto_utils

    split, serving = scratch / "examples" / "Split-all", scratch / "model" / "Format-Serving"
    split.mkdir(parents=True)
    serving.parent.mkdir()
    serving.symlink_to(model)
    with tf.io.TFRecordWriter(str(split / "rows.tfrecord")) as writer:
        for record in records:
            writer.write(record)
    examples, saved = standard_artifacts.Examples(), standard_artifacts.Model()
    result = standard_artifacts.InferenceResult()
    examples.uri, examples.split_names = str(split.parent), '["all"]'
    saved.uri, result.uri = str(serving.parent), str(scratch / "result")
    spec = bulk_inferrer_pb2.ModelSpec(model_signature_name=[signature])
    properties = {
        "data_spec": proto_utils.proto_to_json(bulk_inferrer_pb2.DataSpec()),
        "model_spec": proto_utils.proto_to_json(spec),
    }
    context = BaseBeamExecutor.Context(beam_pipeline_args=list(BEAM_ARGS), tmp_dir=str(scratch), unique_id="1")
    Executor(context).Do({"examples": [examples], "model": [saved]}, {"inference_result": [result]}, properties)
    files = [str(path) for path in (scratch / "result").rglob("prediction_logs*.gz")]
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record).predict_log
        for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
    ]
    found = {_ordered(log.request.inputs["examples"].string_val[0]): log.response.outputs for log in logs}
    return {
        name: np.array([found[_ordered(record)][name].float_val[0] for record in records], np.float32)
        for name in next(iter(found.values()))
    }


def _ordered(record: bytes) -> bytes:
    """The component writes examples anew, their features in whatever order."""
    written: bytes = tf.train.Example.FromString(record).SerializeToString(deterministic=True)
    return written
