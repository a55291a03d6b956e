"""What the serving gate finds wrong with real SavedModels of every kind of defect."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tiny
from google.protobuf import text_format
from illustrated import pixel
from tensorflow_metadata.proto.v0 import schema_pb2

from pipeline import serving_check
from pipeline.contract import Answers, Illustration, Request, resource
from pipeline.serving_check import Report, Spec, check_model
from pipeline.serving_gate import ask_in_fresh_process
from pipeline.serving_inputs import serving_inputs
from pipeline.slice_metrics import RowMetricsConfig
from pipeline.verdict import Check, sentence

ROWS = 20
Answer = Callable[[Any], Any]


def line(x: Any) -> Any:
    return 3.0 * x + 2.0


def save(folder: Path, raw: Answer = line, examples: Answer = line, **extra: Any) -> str:
    """A model of two signatures, each with its own idea of the answer."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serving_default(x: Any) -> Any:
        return {"predicted": raw(x), **{name: raw(x) for name in extra}}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_examples(serialized: Any) -> Any:
        x = tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        return {"predicted": examples(x), **{name: examples(x) for name in extra}}

    signatures = {"serving_default": serving_default, "serving_examples": serving_examples}
    tf.saved_model.save(module, str(folder), signatures)
    return str(folder)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Examples of y = 3 x + 2, label included."""
    path = str(tmp_path_factory.mktemp("examples") / "data.gz")
    with tf.io.TFRecordWriter(path, options="GZIP") as writer:
        for x in np.linspace(0, 1, ROWS, dtype="float32"):
            values = {"x": [x], "y": [line(x)]}
            features = {name: tf.train.Feature(float_list=tf.train.FloatList(value=v)) for name, v in values.items()}
            features["id"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[f"Zoë {x:.2f}".encode()]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return path


def spec(model: str, records: str) -> Spec:
    metrics = RowMetricsConfig(
        metrics=tiny.MODEL.metrics,
        bounds={},
        naive=tiny.MODEL.naive,
        naive_features=("x",),
        feature_settings={},
        weight=None,
        min_slice_rows=1,
        code="",
    )
    return Spec(
        model=model,
        splits={"eval": [records], "test": [records]},
        features={"id": "string", "x": "float32", "y": "float32"},
        inputs=("x",),
        requests=tiny.MODEL.requests,
        label="y",
        prediction="predicted",
        metrics=metrics,
        described=("id", "x"),
        predictions=str(Path(model) / "predictions"),
        judged="eval",
        tolerance=1e-5,
    )


def as_text(columns: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a signature that reads numbers as text."""
    return {"text": np.array([b"%.9f" % x for x in columns["x"]], dtype=object)}


def from_text(outputs: dict[str, Any]) -> dict[str, Any]:
    return {"predicted": outputs["answer"].astype(float)}


def measured_as_x(answers: Answers) -> dict[str, Any]:
    return {"x": answers.prediction}


TEXT = Request(signature="text", inputs=f"{__name__}.as_text", outputs=f"{__name__}.from_text", tolerance=0.01)


def save_with_text(folder: Path, text: Answer) -> str:
    """A sound model with one more signature, which takes and answers text."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def of_text(given: Any) -> Any:
        return {"answer": tf.strings.as_string(text(tf.strings.to_number(given)), precision=3)}

    saved = tf.saved_model.load(save(folder / "plain"))
    module.saved = saved
    tf.saved_model.save(module, str(folder / "text"), {**saved.signatures, "text": of_text})
    return str(folder / "text")


def refused(report: Report) -> Check:
    """The first check that did not pass."""
    return next(check for check in report.checks if not check.passed)


def test_a_sound_model_passes_and_its_served_metrics_are_recomputed_for_both_splits(
    tmp_path: Path, records: str
) -> None:
    report = ask_in_fresh_process(spec(save(tmp_path), records))
    assert all(check.passed for check in report.checks), report
    assert {split: values["rows"] for split, values in report.metrics.items()} == {"eval": ROWS, "test": ROWS}
    assert report.metrics["eval"]["mae"] == pytest.approx(0, abs=1e-6)


def with_outputs(spec: Spec, *names: str) -> Spec:
    return spec.model_copy(update={"metrics": spec.metrics.model_copy(update={"outputs": names})})


def test_further_outputs_are_written_after_what_was_predicted(tmp_path: Path, records: str) -> None:
    asked = with_outputs(spec(save(tmp_path, future_p10=True, future_p90=True), records), "future_p90", "future_p10")
    report = check_model(asked)
    assert all(check.passed for check in report.checks), report
    for split in ("eval", "test"):
        found = pq.read_table(tmp_path / "predictions" / f"{split}.parquet").to_pydict()
        assert list(found) == ["id", "x", "actual", "predicted", "naive", "future_p90", "future_p10"]
        assert found["future_p90"] == found["predicted"]


def test_a_model_that_lacks_a_further_output_is_refused_in_words(tmp_path: Path, records: str) -> None:
    check = refused(
        check_model(with_outputs(spec(save(tmp_path, future_p10=True), records), "future_p10", "future_p90"))
    )
    assert sentence(check) == (
        "serving gate: answers future_p90 on eval is an error, must be no error: "
        "there are only ['future_p10', 'predicted']"
    )


def test_a_further_output_of_another_shape_is_refused_in_words(tmp_path: Path, records: str) -> None:
    def pairs(x: Any) -> Any:
        return tf.stack([x, x], axis=1)

    check = refused(check_model(with_outputs(spec(save_pairs(tmp_path, pairs), records), "both")))
    assert check.metric == "answers can be measured"
    assert "expected an output 'both' of one number a row, shape (20,); received (20, 2)" in check.note


def save_pairs(folder: Path, pairs: Answer) -> str:
    """A sound model that answers two numbers a row besides."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serving_default(x: Any) -> Any:
        return {"predicted": line(x), "both": pairs(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_examples(serialized: Any) -> Any:
        return serving_default(tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"])

    signatures = {"serving_default": serving_default, "serving_examples": serving_examples}
    tf.saved_model.save(module, str(folder), signatures)
    return str(folder)


def test_each_row_of_both_splits_is_written_with_what_was_served(tmp_path: Path, records: str) -> None:
    def off(x: Any) -> Any:
        return line(x) + 0.5

    report = check_model(spec(save(tmp_path, raw=off, examples=off), records))
    assert report.metrics["eval"]["mae"] == pytest.approx(0.5)
    for split in ("eval", "test"):
        found = pq.read_table(tmp_path / "predictions" / f"{split}.parquet").to_pydict()
        assert list(found) == ["id", "x", "actual", "predicted", "naive"]
        x = np.linspace(0, 1, ROWS, dtype="float32")
        assert found["id"] == [f"Zoë {value:.2f}" for value in x]
        assert found["x"] == x.tolist()
        assert found["actual"] == pytest.approx(line(x))
        assert found["predicted"] == pytest.approx(line(x) + 0.5)
        assert found["naive"] == [0.0] * ROWS


def test_of_a_sampled_split_every_so_many_rows_are_asked(tmp_path: Path, records: str) -> None:
    """Evenly chosen, no more than allowed: examples are sorted, so that the first ones are alike."""
    splits = {"eval": [records], "train": [records], "test": [records]}
    asked = {"splits": splits, "sampled": {"train": 7, "test": ROWS}}
    report = check_model(spec(save(tmp_path), records).model_copy(update=asked))
    assert {split: values["rows"] for split, values in report.metrics.items()} == {"eval": 20, "train": 7, "test": 20}
    assert report.metrics["train"]["mae"] == pytest.approx(0, abs=1e-6)
    found = pq.read_table(tmp_path / "predictions" / "train.parquet")["x"].to_pylist()
    assert found == np.linspace(0, 1, ROWS, dtype="float32")[::3].tolist()


def illustrated(model: str, records: str, function: str = "squares") -> Spec:
    """Rows by how far the answers are off; the model's are off by |x - .5|."""
    asked = spec(model, records)
    measured = asked.metrics.model_copy(update={"measure": "illustrated.off", "metrics": ()})
    chosen = Illustration(function=f"illustrated.{function}", by="off")
    more = {"metrics": measured, "illustration": chosen, "illustrations": f"{model}/illustrations"}
    return asked.model_copy(update=more)


def off_at_the_ends(x: Any) -> Any:
    return line(x) + tf.abs(x - 0.5)


def test_the_best_the_median_and_the_worst_rows_are_written_with_their_pictures(
    tmp_path: Path, records: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_check, "BATCH", 4)
    model = save(tmp_path, raw=off_at_the_ends, examples=off_at_the_ends)
    report = check_model(illustrated(model, records))
    assert all(check.passed and not check.note for check in report.checks), report
    found = pq.read_table(tmp_path / "illustrations" / "eval.parquet").to_pydict()
    assert list(found) == ["id", "x", "off", "kind", "asked", "missed"]
    assert found["kind"] == ["best"] * 6 + ["median"] * 6 + ["worst"] * 6
    x = np.linspace(0, 1, ROWS, dtype="float32")
    order = np.argsort(np.round(np.abs(x - 0.5), 5), kind="stable")
    chosen = [*order[:6], *order[7:13], *order[14:]]
    # Both ends are as far off but for a rounding, which says who comes first.
    assert sorted(found["off"]) == found["off"] == pytest.approx(np.abs(x - 0.5)[chosen], abs=1e-5)
    assert set(found["x"]) == set(x[chosen].tolist())
    assert found["id"] == [f"Zoë {value:.2f}" for value in found["x"]]
    assert [pixel(png) for png in found["asked"]] == [round(value * 255) for value in found["x"]]
    assert [pixel(png) for png in found["missed"]] == [round(value * 255) for value in found["off"]]


def test_a_model_that_is_not_illustrated_leaves_no_pictures(tmp_path: Path, records: str) -> None:
    check_model(spec(save(tmp_path), records).model_copy(update={"illustrations": str(tmp_path / "illustrations")}))
    assert not (tmp_path / "illustrations").exists()


def test_a_refused_model_leaves_no_pictures(tmp_path: Path, records: str) -> None:
    report = check_model(illustrated(save(tmp_path, examples=off_at_the_ends), records))
    assert refused(report).metric == "tf.Examples = raw"
    assert not (tmp_path / "illustrations").exists()


@pytest.mark.parametrize(
    ("function", "why"),
    [("broken", "RuntimeError: no ink for 18 rows"), ("gone", "ImportError: module 'illustrated' has no attribute")],
)
def test_pictures_that_cannot_be_drawn_refuse_no_model_and_the_reason_is_told(
    tmp_path: Path, records: str, function: str, why: str
) -> None:
    report = check_model(illustrated(save(tmp_path), records, function))
    assert all(check.passed for check in report.checks)
    (told,) = [check for check in report.checks if check.note]
    assert (told.metric, told.slice) == ("pictures for the report", "eval")
    assert told.note.startswith(why)
    assert report.metrics["eval"]["rows"] == ROWS


def test_a_feature_with_the_name_of_an_answer(tmp_path: Path, records: str) -> None:
    """Its column would be overwritten."""
    asked = spec(save(tmp_path), records)
    measured = asked.metrics.model_copy(update={"measure": f"{__name__}.measured_as_x"})
    check = refused(check_model(asked.model_copy(update={"metrics": measured})))
    assert check.metric == "answers can be measured"
    assert "expected features and outputs that are named otherwise than ['x']; received ['x']" in check.note


def test_signatures_that_disagree(tmp_path: Path, records: str) -> None:
    check = refused(check_model(spec(save(tmp_path, examples=lambda x: line(x) * 1.001), records)))
    assert (check.metric, check.slice, check.bound) == ("tf.Examples = raw", "eval", "<= 1e-05")
    assert float(check.value) == pytest.approx(0.001, rel=0.01)
    assert "output 'predicted'" in sentence(check)


def test_a_further_way_of_asking_is_tried_through_both_loaders_with_its_own_tolerance(
    tmp_path: Path, records: str
) -> None:
    several = {"requests": (*tiny.MODEL.requests, TEXT)}
    sound = check_model(spec(save_with_text(tmp_path / "sound", line), records).model_copy(update=several))
    assert all(check.passed for check in sound.checks)
    names = {check.metric: check.bound for check in sound.checks}
    assert (names["text = raw"], names["text, TensorFlow 1 style = raw"]) == ("<= 0.01", "<= 0.01")
    wrong = save_with_text(tmp_path / "wrong", lambda x: line(x) * 1.1)
    check = refused(check_model(spec(wrong, records).model_copy(update=several)))
    assert check.metric == "text = raw"
    assert float(check.value) == pytest.approx(0.1 / 1.1, rel=0.01)


def test_a_further_signature_that_is_not_there(tmp_path: Path, records: str) -> None:
    asked = spec(save(tmp_path), records).model_copy(update={"requests": (*tiny.MODEL.requests, TEXT)})
    check = refused(check_model(asked))
    assert (check.metric, "no signature text" in check.note) == ("loads, TensorFlow 2", True)


def test_an_answer_that_depends_on_who_else_is_asked(tmp_path: Path, records: str) -> None:
    def centred(x: Any) -> Any:
        return x - tf.reduce_mean(x)

    check = refused(check_model(spec(save(tmp_path, raw=centred, examples=centred), records)))
    assert check.metric == "one row = many rows"


def test_an_answer_that_is_no_number(tmp_path: Path, records: str) -> None:
    def log(x: Any) -> Any:
        return tf.math.log(x - 0.01)

    checks = check_model(spec(save(tmp_path, raw=log, examples=log), records)).checks
    (check,) = [check for check in checks if check.metric == "answers that are NaN or infinite"]
    assert (check.passed, check.value, check.bound) == (False, 1, "<= 0")


def test_an_example_answered_by_no_number(tmp_path: Path, records: str) -> None:
    """NaN in the last of two outputs, and only where tf.Examples are asked."""

    def log(x: Any) -> Any:
        return line(x) + 0 * tf.math.log(x - 0.01)

    check = refused(check_model(spec(save(tmp_path, examples=log, other=True), records)))
    assert (check.metric, check.value) == ("tf.Examples = raw", "inf")


def test_fewer_answers_than_questions(tmp_path: Path, records: str) -> None:
    check = refused(check_model(spec(save(tmp_path, examples=lambda x: line(x)[:1]), records)))
    assert check.metric == "tf.Examples = raw"


def test_an_answer_of_the_wrong_shape(tmp_path: Path, records: str) -> None:
    def twice(x: Any) -> Any:
        return tf.stack([line(x), line(x)], axis=-1)

    check = refused(check_model(spec(save(tmp_path, raw=twice, examples=twice), records)))
    assert (check.metric, check.value) == ("answers can be measured", "an error")
    assert "expected a prediction of the label's shape (20,); received (20, 2)" in check.note


def test_an_output_that_is_not_there(tmp_path: Path, records: str) -> None:
    asked = spec(save(tmp_path), records).model_copy(update={"prediction": "total"})
    check = refused(check_model(asked))
    assert (check.metric, check.note) == ("answers total", "there are only ['predicted']")


def test_a_signature_that_is_not_there(tmp_path: Path, records: str) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path))
    check = refused(check_model(spec(str(tmp_path), records)))
    assert check.metric == "loads, TensorFlow 2"
    assert "no signature serving_default and serving_examples" in check.note


def test_an_input_that_a_server_is_not_told(tmp_path: Path, records: str) -> None:
    """The label is in the file of examples, but not in what the model is asked with."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def peeking(serialized: Any) -> Any:
        return {"predicted": tf.io.parse_example(serialized, {"y": tf.io.FixedLenFeature([], tf.float32)})["y"]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def raw(x: Any) -> Any:
        return {"predicted": line(x)}

    tf.saved_model.save(module, str(tmp_path), {"serving_default": raw, "serving_examples": peeking})
    check = refused(check_model(spec(str(tmp_path), records)))
    assert check.metric == "tf.Examples = raw"
    assert "y" in check.note


def test_a_folder_that_is_no_model(tmp_path: Path, records: str) -> None:
    check = refused(ask_in_fresh_process(spec(str(tmp_path), records)))
    assert (check.metric, check.bound, check.value) == ("loads, TensorFlow 2", "no error", "an error")


def test_a_model_that_takes_the_server_down(tmp_path: Path, records: str) -> None:
    """A model file that kills the process that loads it: here the label's feature has an unknown type name."""
    asked = spec(save(tmp_path), records)
    check = refused(ask_in_fresh_process(asked.model_copy(update={"features": {"x": "nonsense"}})))
    assert check.metric == "survives being asked"
    assert "the process ended with 1" in check.note


def test_a_model_that_does_not_answer_in_time(tmp_path: Path, records: str) -> None:
    check = refused(ask_in_fresh_process(spec(save(tmp_path), records), timeout=0.5))
    assert (check.metric, check.note) == ("survives being asked", "no answer within 0.5 s")


def test_a_fresh_process_leaves_the_environment_alone(tmp_path: Path, records: str) -> None:
    before = dict(os.environ)
    ask_in_fresh_process(spec(save(tmp_path), records), timeout=0.5)
    assert dict(os.environ) == before


def test_serving_inputs_are_those_of_the_schemas_serving_environment() -> None:
    schema = text_format.Parse(resource("schema.clv:schema.pbtxt").read_text(), schema_pb2.Schema())
    inputs = serving_inputs(schema)
    assert "customer_country" in inputs
    assert not {"target_monetary_value_3M", "future_monetary_value_3M", "customer_id", "split"} & set(inputs)
