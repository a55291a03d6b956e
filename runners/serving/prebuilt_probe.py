"""What another TensorFlow knows and answers. Run by its interpreter, so nothing but TensorFlow is imported here.

PYTHON prebuilt_probe.py FOLDER < questions.json    # what a SavedModel answers there, as a C++ server loads it
PYTHON prebuilt_probe.py > 2.15.txt                 # its operations, each with the names of its attributes
"""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import tensorflow as tf
import tensorflow.compat.v1 as tf1
from tensorflow.core.framework import op_def_pb2, tensor_pb2
from tensorflow.python.client import pywrap_tf_session


def operations() -> str:
    """Returns a line for each operation, after one with the version of the graphs that are written."""
    listed = op_def_pb2.OpList()
    listed.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    lines = sorted(" ".join([op.name, *sorted(attr.name for attr in op.attr)]) for op in listed.op)
    return "\n".join([str(tf.version.GRAPH_DEF_VERSION), *lines, ""])


def answers(folder: str, questions: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Returns what each signature answers: tensors by name, as serialized TensorProtos in base64."""
    told: dict[str, Any] = {}
    with tf1.Session(graph=tf.Graph()) as session:
        signatures = tf1.saved_model.load(session, ["serve"], folder).signature_def
        for name, inputs in questions.items():
            signature = signatures[name]
            feed = {signature.inputs[key].name: unpacked(value) for key, value in inputs.items()}
            found = session.run({key: info.name for key, info in signature.outputs.items()}, feed)
            told[name] = {key: packed(value) for key, value in found.items()}
    return told


def packed(value: Any) -> str:
    """Returns an array as text."""
    return base64.b64encode(tf.make_tensor_proto(value).SerializeToString()).decode()


def unpacked(text: str) -> Any:
    """Returns the array of a text."""
    return tf.make_ndarray(tensor_pb2.TensorProto.FromString(base64.b64decode(text)))


def report(folder: str, questions: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Returns the version of TensorFlow with the answers, or with why there are none."""
    try:
        return {"tensorflow": tf.__version__, "answers": answers(folder, questions)}
    except Exception as error:  # Whatever it is, it is what a server would meet.
        return {"tensorflow": tf.__version__, "error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(report(sys.argv[1], json.load(sys.stdin))) if sys.argv[1:] else operations())
