"""The model gate through TFX's own Evaluator: real SavedModels, real records, real blessings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from numpy.typing import NDArray
from remote_artifacts import upload
from tfx.components.evaluator import executor
from tfx.types import standard_artifacts

from pipeline.contract import (
    Bound,
    FeatureSettings,
    GateSettings,
    Metric,
    Model,
    Query,
    Range,
    Rows,
    Settings,
    UserError,
)
from pipeline.model_gate import eval_config, metric_values, read_checks
from pipeline.verdict import Check, bound_text, sentence
from runners.beam import BEAM_ARGS

WHY = "an example in a test"


class TinyFeatures(FeatureSettings):
    """What the naive rule below reads."""

    rate: float = 0.1


BOUNDS = {
    "gini": Bound(lower=0.5, slices=Range(lower=0.5), worsening=0, reason=WHY),
    "spearman": Bound(lower=0.35, reason=WHY),
    "bias": Bound(lower=-0.25, upper=0.25, worsening=0.05, reason=WHY),
    "ratio": Bound(upper=0.99, worsening=0, reason=WHY),
}


class TinyGates(GateSettings):
    """Bounds that the good model meets."""

    bounds: dict[str, Bound] = BOUNDS
    min_slice_rows: int = 5


class TinySettings(Settings):
    """Settings of the model below."""

    features: TinyFeatures = TinyFeatures()
    gates: TinyGates = TinyGates()


def naive(features: dict[str, NDArray[Any]], settings: dict[str, Any]) -> NDArray[Any]:
    """The past, and a share of it."""
    return np.asarray(features["past"] * (1 + settings["rate"]))


TINY = Model(
    name="tiny",
    title="Future is twice x",
    source=Query(sql="none:none", table="raw", columns=(), resolve="none.none"),
    schema_file="none:none",
    key=("x",),
    label="label",
    prediction="total",
    weight="weight",
    preprocessing_fn="none.none",
    run_fn="none.none",
    naive=f"{__name__}.naive",
    naive_features=("past",),
    sample_data="none.none",
    spoil_data="none.none",
    metrics=(
        Metric(name="mae", function="pipeline.metrics.mae"),
        Metric(name="gini", function="pipeline.metrics.normalized_gini", minus="past", better="higher"),
        Metric(name="spearman", function="pipeline.metrics.spearman", minus="past", better="higher"),
        Metric(name="bias", function="pipeline.metrics.total_bias", minus="past", better="zero"),
        Metric(name="ratio", function="pipeline.metrics.mae_relative_to_naive", minus="past"),
    ),
    slices=("band",),
    settings=TinySettings,
)


class Row(NamedTuple):
    """An example: future is 2 * x."""

    x: float
    band: str = "many"
    weight: float = 1.0

    def example(self) -> bytes:
        floats = {"x": self.x, "past": 64.0, "weight": self.weight, "label": 64 + 2 * self.x}
        feature = {k: tf.train.Feature(float_list=tf.train.FloatList(value=[v])) for k, v in floats.items()}
        feature["band"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[self.band.encode()]))
        return bytes(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


ROWS = [Row(float(x), "1" if x % 2 == 0 else "10+") for x in range(1, 41)]
FEW = [Row(1.0, "2-3"), Row(2.0, "2-3"), Row(3.0, "2-3")]


Future = Callable[[Any, Any], Any]

SCHEMA = "".join(
    f'feature {{ name: "{name}" type: {kind} presence {{ min_fraction: 1 }} shape {{ dim {{ size: 1 }} }} }}'
    for name, kind in {"x": "FLOAT", "past": "FLOAT", "weight": "FLOAT", "label": "FLOAT", "band": "BYTES"}.items()
)


def good(x: Any, _: Any) -> Any:
    return 2 * x


def bold(x: Any, _: Any) -> Any:
    """Ten per cent too high."""
    return 2.2 * x


ANSWERS_HIGH = (bold,)
"""The models that answer, as a further output, what should rarely be exceeded."""


def share_below(rows: Rows) -> float:
    """Share of the labels below that output, which knows no past."""
    return float(np.mean(rows.label < rows.outputs["high"])) if np.isfinite(rows.outputs["high"]).all() else math.nan


FURTHER = TINY.model_copy(
    update={
        "outputs": ("high",),
        "metrics": (
            Metric(name="below", function=f"{__name__}.share_below", minus="past", better=None),
            Metric(name="worse", function="pipeline.metrics.mae_increase_lower", minus="past", against_champion=True),
            Metric(name="bias", function="pipeline.metrics.total_bias", minus="past", better="zero"),
        ),
    }
)
FURTHER_BOUNDS = TinySettings(
    gates=TinyGates(
        bounds={
            "below": Bound(lower=0.5, reason=WHY),
            "worse": Bound(upper=0, reason=WHY),
            "bias": Bound(upper=0.2, slices=Range(upper=0.2), at={"band=10+": Range(upper=0.05)}, reason=WHY),
        }
    )
)
"""Bounds on a further output, against the champion, and on a single slice."""


def save_model(folder: Path, future: Future) -> str:
    """Writes a SavedModel that predicts past + future(x, band)."""

    class Tiny(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serving_examples(self, examples: Any) -> dict[str, Any]:
            spec = {name: tf.io.FixedLenFeature([], tf.float32) for name in ("x", "past")}
            spec["band"] = tf.io.FixedLenFeature([], tf.string)
            parsed = tf.io.parse_example(examples, spec)
            value = future(parsed["x"], parsed["band"])
            further = {"high": value + 1} if future in ANSWERS_HIGH else {}
            return {"total": parsed["past"] + value, "future": value, **further}

    module = Tiny()
    tf.saved_model.save(module, str(folder / "Format-Serving"), {"serving_examples": module.serving_examples})
    return str(folder)


class Judged(NamedTuple):
    """What the Evaluator left behind."""

    uri: str
    blessed: bool

    def checks(self) -> list[Check]:
        return read_checks(self.uri)

    def refusals(self) -> list[Check]:
        return [check for check in self.checks() if not check.passed]


class Judge:
    """Runs TFX's Evaluator in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, 0

    def __call__(
        self,
        future: Future,
        rows: list[Row],
        champion: Future | None = None,
        settings: Settings | None = None,
        model: Model = TINY,
    ) -> Judged:
        self.runs += 1
        here = self.folder / str(self.runs)
        inputs = {"model": [self._model(here / "candidate", future)], "examples": [self._examples(here, rows)]}
        inputs["schema"] = [self._schema(here)]
        if champion:
            inputs["baseline_model"] = [self._model(here / "champion", champion)]
        return self._run(here, inputs, settings or TinySettings(), model)

    def _run(self, here: Path, inputs: dict[str, Any], settings: Settings, model: Model) -> Judged:
        evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
        evaluation.uri, blessing.uri = str(here / "evaluation"), str(here / "blessing")
        context = executor.Executor.Context(beam_pipeline_args=list(BEAM_ARGS), tmp_dir=str(here / "tmp"))
        executor.Executor(context).Do(
            inputs,
            {"evaluation": [evaluation], "blessing": [blessing]},
            {
                "eval_config": json_format.MessageToJson(eval_config(model, settings)),
                "example_splits": json.dumps(["eval"]),
            },
        )
        return Judged(evaluation.uri, (here / "blessing" / "BLESSED").is_file())

    def _model(self, folder: Path, future: Future) -> Any:
        artifact = standard_artifacts.Model()
        artifact.uri = save_model(folder, future)
        return artifact

    def _schema(self, here: Path) -> Any:
        artifact = standard_artifacts.Schema()
        artifact.uri = str(here / "schema")
        (here / "schema").mkdir(parents=True)
        (here / "schema" / "schema.pbtxt").write_text(SCHEMA)
        return artifact

    def _examples(self, here: Path, rows: list[Row]) -> Any:
        artifact = standard_artifacts.Examples()
        artifact.uri, artifact.split_names = str(here / "examples"), '["eval"]'
        artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")
        (here / "examples" / "Split-eval").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(here / "examples" / "Split-eval" / "data.tfrecord")) as writer:
            for row in rows:
                writer.write(row.example())
        return artifact


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    return Judge(tmp_path)


def find(checks: list[Check], metric: str, where: str = "overall") -> list[Check]:
    return [check for check in checks if (check.metric, check.slice) == (metric, where)]


# --- through the Evaluator -----------------------------------------------------------------------


def test_a_good_model_is_blessed_and_every_bound_is_listed(judge: Judge) -> None:
    """Three rows of one slice are reversed by the model: awful there, and too few to refuse it."""
    judged = judge(lambda x, band: tf.where(band == "2-3", 8 - 2 * x, 2 * x), ROWS + FEW)
    assert judged.blessed
    checks = judged.checks()
    assert [(c.metric, c.slice, c.passed) for c in checks] == [
        ("gini", "overall", True),
        ("gini", "band=1", True),
        ("gini", "band=10+", True),
        ("gini", "band=2-3", True),
        ("spearman", "overall", True),
        ("bias", "overall", True),
        ("ratio", "overall", True),
    ]
    (small,) = find(checks, "gini", "band=2-3")
    assert small.value == pytest.approx(-1)
    assert sentence(small) == "model gate: gini on band=2-3 is -1, passes >= 0.5: only 3 rows, bounds hold from 5"
    values = metric_values(judged.uri)["candidate"]
    remote = upload(judged.uri, "ram://evaluated/evaluation")
    assert (read_checks(remote), metric_values(remote)) == (checks, {"candidate": values})
    assert set(values) == {"overall", "band=1", "band=10+", "band=2-3"}
    assert values["overall"]["rows"] == 43
    assert values["band=2-3"] == {
        "rows": 3,
        "mae": pytest.approx(8 / 3),
        "gini": pytest.approx(-1),
        "spearman": pytest.approx(-1),
        "bias": pytest.approx(0),
        "ratio": pytest.approx(10 / 9),
    }


def test_a_model_that_misses_a_bound_on_all_rows_is_refused(judge: Judge) -> None:
    """Everything twice too high: the order is perfect, the total is not."""
    judged = judge(lambda x, _: 4 * x, ROWS)
    assert not judged.blessed
    bias, ratio = judged.refusals()
    assert sentence(bias) == (
        "model gate: bias on overall is 1, must be -0.25 .. 0.25 (missed by 0.75): an example in a test"
    )
    assert ratio.metric == "ratio"


def test_a_model_that_misses_a_bound_on_one_slice_is_refused(judge: Judge) -> None:
    """A narrow slice at the bottom is predicted in reverse, which all rows together do not show."""
    rows = ROWS + [Row(x / 100, "2-3") for x in range(1, 7)]
    judged = judge(lambda x, band: tf.where(band == "2-3", 0.14 - 2 * x, 2 * x), rows)
    assert not judged.blessed
    (refusal,) = judged.refusals()
    assert (refusal.metric, refusal.slice, refusal.bound) == ("gini", "band=2-3", ">= 0.5")
    assert refusal.value == pytest.approx(-1, abs=1e-3)
    assert refusal.shortfall == pytest.approx(1.5, abs=1e-3)


def test_too_few_rows_overall_do_not_loosen_the_bounds(judge: Judge) -> None:
    judged = judge(lambda x, _: 8 - 2 * x, FEW)
    assert not judged.blessed
    assert {(check.metric, check.slice) for check in judged.refusals()} >= {
        ("gini", "overall"),
        ("spearman", "overall"),
    }


def test_a_constant_model_is_refused_since_it_ranks_nothing(judge: Judge) -> None:
    judged = judge(lambda x, _: 0 * x + 41, ROWS)
    assert not judged.blessed
    (spearman,) = find(judged.refusals(), "spearman")
    assert (spearman.value, spearman.shortfall) == ("undefined", None)
    assert sentence(spearman) == "model gate: spearman on overall is undefined, must be >= 0.35: an example in a test"
    _write_validation(judged.uri, tfma.ValidationResult(validation_ok=True))
    with pytest.raises(RuntimeError, match="the Evaluator blessed a model that misses a bound"):
        judged.checks()


def _write_validation(uri: str, result: tfma.ValidationResult) -> None:
    """Overwrites the Evaluator's verdict."""
    (path,) = Path(uri).glob("validations*")
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(result.SerializeToString())


def test_predictions_that_are_not_numbers_are_refused(judge: Judge) -> None:
    """One NaN is enough, also where the champion is compared."""
    judged = judge(lambda x, _: 2 * x + tf.where(x == 40, float("nan"), 0.0), ROWS, champion=lambda x, _: -x)
    assert not judged.blessed
    refusals = judged.refusals()
    assert {check.value for check in refusals} == {"undefined"}
    assert [(check.metric, check.slice) for check in refusals if "champion" not in check.bound] == [
        ("gini", "overall"),
        ("gini", "band=1"),
        ("spearman", "overall"),
        ("bias", "overall"),
        ("ratio", "overall"),
    ]
    assert len(refusals) == 8


def test_an_equal_champion_is_a_tie_and_a_tie_passes(judge: Judge) -> None:
    judged = judge(good, ROWS, champion=good)
    assert judged.blessed
    gini, champion = find(judged.checks(), "gini")
    assert gini.bound == ">= 0.5"
    assert sentence(champion) == "model gate: gini on overall is 1, passes no worse than the champion's 1"


def test_a_model_worse_than_the_champion_is_refused(judge: Judge) -> None:
    """Ten per cent too high meets every bound, but the champion is exact."""
    judged = judge(lambda x, _: 2.2 * x, ROWS, champion=good)
    assert not judged.blessed
    bias, ratio = judged.refusals()
    assert (bias.metric, bias.bound) == ("bias", "at most 0.05 further from 0 than the champion's 0")
    assert bias.value == pytest.approx(0.1, abs=1e-6)
    assert bias.shortfall == pytest.approx(0.05, abs=1e-6)
    assert sentence(ratio).startswith("model gate: ratio on overall is 0.117")
    assert "must be no worse than the champion's 0 (missed by 0.117" in sentence(ratio)
    assert metric_values(judged.uri)["candidate"]["overall"]["bias"] == pytest.approx(0.1, abs=1e-6)


def test_a_champion_without_a_value_does_not_block_its_successor(judge: Judge) -> None:
    judged = judge(good, ROWS, champion=lambda x, _: x * float("nan"))
    assert judged.blessed
    assert find(judged.checks(), "gini")[1].bound == "no worse than the champion's undefined"


def test_a_slice_with_a_bound_of_its_own_refuses_and_a_champion_that_answers_less_is_compared(judge: Judge) -> None:
    """Ten per cent too high is allowed but in one slice; the champion is exact, and knows no further output."""
    judged = judge(bold, ROWS + FEW, champion=good, settings=FURTHER_BOUNDS, model=FURTHER)
    assert not judged.blessed
    worse, sliced = judged.refusals()
    mean = np.mean([0.2 * row.x for row in ROWS + FEW])
    assert (worse.metric, worse.slice, worse.bound) == ("worse", "overall", "<= 0")
    assert 0.7 * mean < float(worse.value) < mean
    assert (sliced.metric, sliced.slice, sliced.bound, sliced.note) == ("bias", "band=10+", "<= 0.05", WHY)
    assert sliced.shortfall == pytest.approx(0.05, abs=1e-6)
    (other,) = find(judged.checks(), "bias", "band=1")
    assert (other.passed, other.bound) == (True, "<= 0.2")
    assert not find(judged.checks(), "bias", "band=2-3")[0].binding
    values = metric_values(judged.uri)
    assert values["candidate"]["overall"]["below"] == 1
    assert values["champion"]["overall"]["below"] is None
    assert "worse" not in values["champion"]["overall"]


def test_without_a_champion_what_needs_one_passes_and_says_so(judge: Judge) -> None:
    judged = judge(bold, [Row(float(x), "1") for x in range(1, 21)], settings=FURTHER_BOUNDS, model=FURTHER)
    assert judged.blessed, "no customer is in the slice that has a bound of its own"
    (check,) = find(judged.checks(), "worse")
    assert sentence(check) == (
        "model gate: worse on overall is not measured, passes <= 0: there is no champion to compare with yet"
    )
    assert set(metric_values(judged.uri)["candidate"]["overall"]) == {"rows", "below", "bias"}


def test_a_customer_with_two_rows_counts_once(judge: Judge) -> None:
    """Totals: 39 + 2 * (10 + 10) / 2 = 20 more labels, and 1.5 times that predicted on half of it."""
    rows = [Row(30.0), Row(29.0), Row(28.0), Row(27.0), Row(10.0, weight=0.5), Row(10.0, weight=0.5)]
    judged = judge(lambda x, _: tf.where(x < 20, 4 * x, 2 * x), rows)
    assert metric_values(judged.uri)["candidate"]["overall"]["bias"] == pytest.approx(20 / (228 + 20))


def test_a_split_without_rows_is_refused_and_says_so(judge: Judge) -> None:
    judged = judge(good, [])
    assert not judged.blessed
    (check,) = judged.refusals()
    assert sentence(check) == (
        "model gate: blessing on overall is refused, must be given by TensorFlow Model Analysis: "
        "no rows in slice overall; no rows in slice band"
    )


# --- the question --------------------------------------------------------------------------------


def row_config(settings: Settings) -> dict[str, Any]:
    config = eval_config(TINY, settings).metrics_specs[0].metrics[0].config
    found: dict[str, Any] = json.loads(config)["config"]
    return found


def test_the_evaluators_cache_key_holds_bounds_settings_and_code() -> None:
    config = row_config(TinySettings())
    assert config["bounds"]["gini"]["lower"] == 0.5
    assert config["feature_settings"] == {"rate": 0.1}
    assert config["min_slice_rows"] == 5
    assert len(config["code"]) == 16


def test_a_model_without_bounds_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="expected at least one bound in gates"):
        eval_config(TINY, TinySettings(gates=TinyGates(bounds={})))


def test_thresholds_are_accepted_by_tfma_as_they_stand() -> None:
    config = tfma.utils.update_eval_config_with_defaults(eval_config(TINY, TinySettings()), has_baseline=True)
    tfma.utils.verify_eval_config(config)
    thresholds = tfma.metrics.metric_thresholds_from_metrics_specs(config.metrics_specs, eval_config=config)
    assert {key.name for key in thresholds} == {
        "gini/shortfall", "gini/sliced_shortfall/band", "gini/loss", "spearman/shortfall",
        "bias/shortfall", "bias/loss", "ratio/shortfall", "ratio/loss",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lower", "upper", "text"),
    [(0.5, None, ">= 0.5"), (None, 0.99, "<= 0.99"), (-0.25, 0.25, "-0.25 .. 0.25"), (None, None, "a finite number")],
)
def test_bound_text(lower: float | None, upper: float | None, text: str) -> None:
    assert bound_text(Bound(lower=lower, upper=upper, reason=WHY)) == text


def test_a_check_survives_json() -> None:
    check = Check(
        gate="data", metric="anomaly: quantity", slice="eval", bound="int in 1 .. 400", value="float", passed=False
    )
    assert Check.model_validate_json(check.model_dump_json()) == check
    assert sentence(check) == "data gate: anomaly: quantity on eval is float, must be int in 1 .. 400"
    with pytest.raises(ValueError, match="finite"):
        Check(gate="model", metric="m", bound="b", value=0.0, shortfall=math.inf, passed=False)
