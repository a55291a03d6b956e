"""Scores training settings by cross-validation inside of the training split, for TFX's Tuner.

TFX reloads this module: it holds functions and plain constants only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from numpy.typing import NDArray

from models import tuning
from models.clv import features, network, preprocessing, trainer
from models.clv.naive import naive
from models.clv.search_space import space_of

PARTS = 3
"""Parts of the customers: each is predicted by a network that was fitted on the others."""
BIAS_ALLOWED = 0.1
"""Share of the future revenue by which the sum of the predictions may be off without a penalty."""
OBJECTIVE = (
    "mean absolute error of future revenue / that of the naive rule, "
    f"+ what the total is off by above {BIAS_ALLOWED:.0%}, "
    f"by {PARTS}-fold cross-validation by customer inside of the training split"
)

Rows = dict[str, NDArray[Any]]


def tuner_fn(fn_args: Any) -> tuning.Tuning:
    """TFX Tuner's entry: reads the transformed train split and `custom_config`, nothing of eval.

    `custom_config["training"]` are the training settings as they were given, `custom_config["trials"]` is how many sets
    of values are scored at most, `custom_config["features"]` are the feature settings.
    """
    config = fn_args.custom_config
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    files = split_by_customer(fn_args.train_files, transform, Path(tempfile.mkdtemp(prefix="parts-")))

    def score(settings: Mapping[str, Any]) -> float:
        return score_of(*cross_validated(files, transform, settings, config["features"]))

    given = config["training"]
    return tuning.search(score, given, space_of(given), trials=config["trials"], objective=OBJECTIVE)


def split_by_customer(examples: Sequence[str], transform: tft.TFTransformOutput, folder: Path) -> list[str]:
    """Writes the rows of each part of the customers to a file of its own, and returns the files.

    The part is `preprocessing.FOLD` modulo `PARTS`, a hash of the customer. Each part thus holds customers of the folds
    that early stopping holds out, so that it works within a part, too.
    """
    files = [str(folder / f"part-{part}.gz") for part in range(PARTS)]
    writers = [tf.io.TFRecordWriter(file, "GZIP") for file in files]
    for records, rows in _blocks(examples, transform):
        for record, fold in zip(records, rows[preprocessing.FOLD], strict=True):
            writers[int(fold) % PARTS].write(record)
    for writer in writers:
        writer.close()
    return files


def cross_validated(
    files: Sequence[str],
    transform: tft.TFTransformOutput,
    settings: Mapping[str, Any],
    feature_settings: Mapping[str, Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Returns of each training row its future revenue, what a network without it predicts, and the rule; in money."""
    labels, predictions, rules = [], [], []
    for file in files:
        keras.utils.clear_session()  # A search makes hundreds of networks; Keras would keep something of each.
        model, told = trainer.fitted([other for other in files if other != file], transform, settings)
        answers = network.answers(settings, ceiling=told["largest"])
        for _, read in _blocks([file], transform):
            rows = as_of_the_cutoff(read)
            labels.append(rows[preprocessing.LABEL])
            predictions.append(answers(asked(model, rows))[features.FUTURE].numpy())
            rules.append(rule(rows, feature_settings))
    as_floats = (np.concatenate(each).astype(np.float64) for each in (labels, predictions, rules))
    label, prediction, by_rule = as_floats
    return label, prediction, by_rule


def as_of_the_cutoff(rows: Rows) -> Rows:
    """Returns the rows that a server would be asked about: none of earlier days, which are to learn from."""
    chosen = rows[preprocessing.BEFORE] == 0
    return {name: values[chosen] for name, values in rows.items()}


def asked(model: keras.Model, rows: Rows) -> Any:
    """Returns what a network answers to transformed rows."""
    return model({name: tf.constant(rows[name]) for name in model.input}, training=False)


def rule(rows: Rows, feature_settings: Mapping[str, Any]) -> NDArray[np.float64]:
    """Returns the future revenue by the naive rule, [rows].

    Of transformed rows the tenure is known as `customer_age` + `days_since_last_purchase`. For the few customers of
    several countries that is the tenure in one of them; it scales all scores of a search alike.
    """
    age, recency = (features.REFERENCE_INPUTS.index(name) for name in ("customer_age", features.RECENCY))
    amounts, past = rows[preprocessing.AMOUNTS], rows[preprocessing.PAST]
    total = naive({features.PAST: past, features.TENURE: amounts[:, age] + amounts[:, recency]}, feature_settings)
    return total - past


def score_of(label: NDArray[Any], prediction: NDArray[Any], by_rule: NDArray[Any]) -> float:
    """Returns the score of predictions; less is better.

        sum |y - m| / sum |y - r|  +  max(0, |sum m / sum y - 1| - BIAS_ALLOWED)

    with future revenue y, prediction m and the rule's r. The absolute error alone is least for the median, which
    under-forecasts the revenue of a shop, half of whose customers do not come back, by a third: such a network has a
    tenth less error, and a penalty of a quarter.

    >>> score_of(np.array([0.0, 100]), np.array([0.0, 80]), np.array([50.0, 50]))
    0.3
    """
    error = np.abs(label - prediction).sum() / np.abs(label - by_rule).sum()
    bias = abs(prediction.sum() / label.sum() - 1)
    return float(round(error + max(0.0, bias - BIAS_ALLOWED), 9))


def _blocks(examples: Sequence[str], transform: tft.TFTransformOutput) -> Iterator[tuple[NDArray[Any], Rows]]:
    """Yields serialized rows, and what they hold, in blocks."""
    files = sorted(path for pattern in examples for path in tf.io.gfile.glob(pattern))
    spec = transform.transformed_feature_spec()
    for records in tf.data.TFRecordDataset(files, compression_type="GZIP").batch(trainer.BLOCK):
        rows = tf.io.parse_example(records, spec)
        yield records.numpy(), {name: values.numpy() for name, values in rows.items()}
