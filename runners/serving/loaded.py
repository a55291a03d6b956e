"""A pushed model in memory: its signatures as data, one way of asking them. Imports TensorFlow when one is loaded."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.contract import UserError
from pipeline.push import Manifest, verify

Columns = Mapping[str, NDArray[Any]]
"""A batch by name of tensor, the row first; bytes and text are object arrays of bytes."""


class Tensor(NamedTuple):
    """A tensor of a signature.

    Attributes:
      name: what requests and answers call it.
      dtype: TensorFlow's name of its type: float32, int64, string, ...
      shape: length of each axis, None where any will do. The first one is the rows.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class Signature(NamedTuple):
    """What a saved model can be asked, and what it answers, by name of tensor."""

    name: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class LoadedModel:
    """A version of a model that is in memory and answers.

    Example:
      model = LoadedModel.load(Path("runs/pushed/clv-sample-horizon_days-91/1795223139"))
      model.ask("serving_default", {"n_purchases": np.array([3]), ...})["total_monetary_value"]

    Attributes:
      folder: where it lies.
      manifest: what it is.
      signatures: by name; those that take no rows are left out.
    """

    def __init__(self, folder: Path, manifest: Manifest, functions: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        found = {name: _signature(name, function) for name, function in functions.items()}
        self.signatures = {
            name: one for name, one in found.items() if one.inputs and all(t.shape for t in one.inputs.values())
        }
        self._functions = dict(functions)
        self._tensorflow = quiet_tensorflow()

    @classmethod
    def load(cls, folder: Path, manifest: Manifest | None = None) -> LoadedModel:
        """Loads a version, after every file of it was compared with the manifest.

        Args:
          folder: where it lies.
          manifest: of a model that was not pushed, and has none in its folder.

        Raises:
          UserError: the version is not as it was pushed, or TensorFlow cannot load it.
        """
        manifest = manifest or verify(folder)
        tf = quiet_tensorflow()
        try:
            loaded = tf.saved_model.load(str(folder))
        except Exception as error:  # TensorFlow raises what it likes, and none of it may end a server.
            raise UserError(
                expected=f"a SavedModel that the TensorFlow here can load, {folder}",
                received=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
                todo="serve another version, or install the TensorFlow that the manifest names",
            ) from error
        model = cls(folder, manifest, loaded.signatures)
        model._keep = loaded  # Signatures hold their variables weakly.
        return model

    _keep: Any = None

    @property
    def version(self) -> int:
        """Number of the version."""
        return self.manifest.version

    def ask(self, signature: str, columns: Columns) -> dict[str, NDArray[Any]]:
        """Returns what a signature answers to a batch: tensors by name, the row first.

        Args:
          signature: one of `signatures`.
          columns: an array for each of its inputs, all with as many rows.

        Raises:
          ValueError: TensorFlow refuses the values, such as bytes that are no picture.
        """
        tf = self._tensorflow
        inputs = self.signatures[signature].inputs
        tensors = {name: tf.constant(columns[name], tf.as_dtype(tensor.dtype)) for name, tensor in inputs.items()}
        try:
            answer = self._functions[signature](**tensors)
        except _of_values(tf) as error:
            raise ValueError(_reason(getattr(error, "message", ""))) from error
        except UnicodeDecodeError as error:  # TensorFlow's reason quotes bytes that are no text.
            raise ValueError(_reason(error.object.decode(errors="replace"))) from error
        return {name: tensor.numpy() for name, tensor in answer.items()}


def _of_values(tf: Any) -> tuple[type[Exception], ...]:
    """The errors of TensorFlow's that are the fault of the values; others, such as no memory, are not."""
    errors = tf.errors
    wrong = (errors.InvalidArgumentError, errors.OutOfRangeError, errors.FailedPreconditionError)
    return (*wrong, errors.UnimplementedError, errors.NotFoundError, errors.DataLossError)


def quiet_tensorflow() -> Any:
    """Returns the module, without what TensorFlow and Google's libraries say as they load."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="google")
        import tensorflow as tf
    return tf


def _signature(name: str, function: Any) -> Signature:
    inputs = function.structured_input_signature[1]
    return Signature(name, _tensors(inputs), _tensors(function.structured_outputs))


def _tensors(specs: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: Tensor(name, spec.dtype.name, tuple(spec.shape)) for name, spec in sorted(specs.items())}


def _reason(message: str) -> str:
    """The sentence between where in the graph it happened, which comes first, and the name of the node."""
    lines = [line.strip() for line in message.partition("[[{{")[0].splitlines() if line.strip()]
    return lines[-1] if lines else "TensorFlow refuses it and does not say why"


def rows_of(columns: Columns) -> int:
    """How many rows a batch has."""
    return len(next(iter(columns.values())))


def concatenate(batches: list[Columns]) -> dict[str, NDArray[Any]]:
    """Joins batches of the same tensors, in order."""
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
