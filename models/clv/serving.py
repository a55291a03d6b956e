"""The saved model: three signatures that answer alike.

| signature            | asked with                                          | answers                    |
|----------------------|-----------------------------------------------------|----------------------------|
| `serving_default`    | a tensor [rows] for each name in `features.INPUTS`  | `features.OUTPUTS`, [rows] |
| `serving_examples`   | `examples`: serialized tf.Examples, [rows]          | the same                   |
| `transform_features` | `examples`                                          | the same, and the network's inputs |

A row that is asked about is as of the cut-off itself: the network's `before` is 0.

Integers are `features.INTEGER_INPUTS`, the country is a string, all else are floats.

Unknown values: a negative number, NaN, an empty country, or in a tf.Example a missing feature. An unknown number
counts as the average of the training rows (for the reference network as 0), an unknown country as one that training did
not see; an unknown past revenue counts as 0 in the total.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.saved import saved_transform_io_v2

from models.clv import features, network, preprocessing

EXAMPLES = "examples"

Tensors = dict[str, tf.Tensor]
Answer = Callable[[Mapping[str, tf.Tensor]], Tensors]


class Servable(tf.Module):
    """What a SavedModel keeps: the variables and the transform graph, not the Keras model.

    A Keras 3 model as an attribute would load with `tf.saved_model.load`, but fail in loaders of the TF1 and
    C++ kind with "Could not find variable".
    """

    def __init__(self, model: keras.Model, transform: tft.TFTransformOutput) -> None:
        super().__init__()
        self.values = [variable.value for variable in model.variables]
        # What `transform_features_layer` holds, without the layer: saving a tf_keras layer traces it once more, for
        # as long as the training takes. Its attributes keep the vocabulary's tables in the SavedModel.
        loader = saved_transform_io_v2.SavedModelLoader(transform.transform_savedmodel_dir)
        self.transform = vars(loader)
        self.layer = loader.apply_transform_model


def save(model: keras.Model, answers: network.Answers, transform: tft.TFTransformOutput, folder: str) -> None:
    """Writes the SavedModel with its three signatures; see `signatures`."""
    servable = Servable(model, transform)
    tf.saved_model.save(servable, folder, signatures=signatures(model, answers, servable.layer))


def signatures(model: keras.Model, answers: network.Answers, layer: Callable[[Tensors], Tensors]) -> dict[str, Any]:
    """Returns the signatures by name, as described in this module's docstring.

    Args:
      model: from `network.build`.
      answers: from `network.answers`.
      layer: turns raw features into transformed ones, as `TFTransformOutput.transform_features_layer()` does.
    """

    def transformed(raw: Mapping[str, tf.Tensor]) -> Tensors:
        values = layer(dict(raw))
        values[preprocessing.BEFORE] = tf.zeros_like(values[preprocessing.PAST])
        inputs = {name: values[name] for name in model.input}
        future = answers(model(inputs, training=False))
        return {**inputs, features.TOTAL: values[preprocessing.PAST] + future[features.FUTURE], **future}

    def answer(raw: Mapping[str, tf.Tensor]) -> Tensors:
        outputs = transformed(raw)
        return {name: outputs[name] for name in features.OUTPUTS}

    # Nothing here branches on a tensor, and AutoGraph would spend more time on Keras' code than the training took.
    named = [{name: tf.TensorSpec([None], kind, name=name) for name, kind in input_types().items()}]
    return {
        "serving_default": tf.function(answer, input_signature=named, autograph=False).get_concrete_function(),
        "serving_examples": _of_examples(answer),
        "transform_features": _of_examples(transformed),
    }


def input_types() -> dict[str, tf.DType]:
    """Types of the serving inputs by name."""
    numbers = {n: tf.int64 if n in features.INTEGER_INPUTS else tf.float32 for n in features.NUMERIC_INPUTS}
    return {**numbers, features.COUNTRY: tf.string}


def _of_examples(answer: Answer) -> Any:
    """The same answer, asked with serialized tf.Examples."""
    spec = {
        name: tf.io.FixedLenFeature([], kind, features.UNKNOWN_CUSTOMER[name]) for name, kind in input_types().items()
    }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=EXAMPLES)], autograph=False)
    def serve(examples: tf.Tensor) -> Tensors:
        return answer(tf.io.parse_example(examples, spec))

    return serve.get_concrete_function()
