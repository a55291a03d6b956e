"""The gates' executors where every artifact is at an address such as gs://: here, in TensorFlow's memory."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
import tiny
from google.protobuf import text_format
from illustrated import pixel
from remote_artifacts import at, read, upload
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.dsl.io import fileio
from tfx.types import standard_artifacts
from tfx.utils import io_utils

from pipeline import data_gate, serving_gate
from pipeline.contract import Illustration, UserError, resource
from pipeline.gate import GateRefusal, GateReport, read_report
from pipeline.ingestion.raw import RawReport
from pipeline.serving_gate import read_metrics

SPLITS = ("train", "eval", "test")
ROWS = 20
ILLUSTRATED = tiny.make_model(illustration=Illustration(function="illustrated.squares", by="actual"))


# --- the data gate ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged() -> dict[str, list[types.Artifact]]:
    """What the data gate reads, of tiny's examples: statistics that TFDV computed, no anomalies."""
    schema = text_format.Parse(resource(tiny.MODEL.schema_file).read_text(), schema_pb2.Schema())
    x = np.linspace(0, 10, ROWS, dtype="float32")
    frame = pd.DataFrame({"id": range(ROWS), "band": ["low", "high"] * (ROWS // 2), "x": x, "y": 3 * x + 2})
    statistics = tfdv.generate_statistics_from_dataframe(frame[[feature.name for feature in schema.feature]])
    root = "ram://judged"
    io_utils.write_pbtxt_file(f"{root}/schema/schema.pbtxt", schema)
    for split in SPLITS:
        io_utils.write_bytes_file(f"{root}/statistics/Split-{split}/FeatureStats.pb", statistics.SerializeToString())
        found = tfdv.validate_statistics(statistics, schema)
        io_utils.write_bytes_file(f"{root}/anomalies/Split-{split}/SchemaDiff.pb", found.SerializeToString())
    return {
        "statistics": [at(standard_artifacts.ExampleStatistics, f"{root}/statistics", SPLITS)],
        "schema": [at(standard_artifacts.Schema, f"{root}/schema")],
        "anomalies": [at(standard_artifacts.ExampleAnomalies, f"{root}/anomalies", SPLITS)],
        "reference": [at(standard_artifacts.ExampleStatistics, f"{root}/statistics", SPLITS)],
    }


def judge_data(judged: dict[str, list[types.Artifact]], quarantined: int, root: str) -> None:
    """Runs the data gate's executor over examples of which so many raw rows were unusable."""
    inputs = {**judged, "examples": [at(standard_artifacts.Examples, f"{root}/examples", SPLITS)]}
    raw = RawReport(
        source="shop.csv",
        source_sha256="",
        rows_read=100,
        rows_usable=100 - quarantined,
        quarantined=quarantined,
        quarantined_by_reason={"Größe: expected float": quarantined} if quarantined else {},
        left_out={},
        forbidden={},
    )
    io_utils.write_bytes_file(f"{root}/examples/ingestion.json", raw.model_dump_json().encode())
    channels = {key: types.Channel(type=type(found[0])) for key, found in inputs.items()}
    gate = data_gate.DataGate(**channels, gates=tiny.MODEL.settings().gates)
    data_gate.Executor().Do(inputs, {"report": [at(GateReport, f"{root}/report")]}, dict(gate.exec_properties))


def test_the_data_gate_passes_and_its_report_is_there(judged: dict[str, list[types.Artifact]]) -> None:
    judge_data(judged, 0, "ram://passed")
    checks = read_report("ram://passed/report")
    assert all(check.passed for check in checks)
    assert {"quarantined share", "schema anomalies", "growth"} <= {check.metric for check in checks}


def test_the_data_gate_refuses_and_its_report_says_why(judged: dict[str, list[types.Artifact]]) -> None:
    with pytest.raises(GateRefusal, match=r"quarantined share on raw rows is 0\.5"):
        judge_data(judged, 50, "ram://refused")
    (failed,) = [check for check in read_report("ram://refused/report") if not check.passed]
    assert failed.note == "50 of 100 rows are unusable: 50 x Größe: expected float"


def test_a_lost_reference_is_named(judged: dict[str, list[types.Artifact]]) -> None:
    lost = {**judged, "reference": [at(standard_artifacts.ExampleStatistics, "ram://lost/statistics", SPLITS)]}
    with pytest.raises(UserError, match="the last pushed run in ram://lost/statistics"):
        judge_data(lost, 0, "ram://lost")


# --- the serving gate ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[types.Artifact]]:
    """What the serving gate reads besides a model."""
    folder = tmp_path_factory.mktemp("examples")
    for split in SPLITS:
        (folder / f"Split-{split}").mkdir()
        with tf.io.TFRecordWriter(str(folder / f"Split-{split}" / "data.gz"), options="GZIP") as writer:
            for row, x in enumerate(np.linspace(0, 1, ROWS, dtype="float32")):
                example = tf.train.Example()
                example.features.feature["x"].float_list.value.append(x)
                example.features.feature["y"].float_list.value.append(3 * x + 2)
                example.features.feature["id"].int64_list.value.append(row)
                example.features.feature["band"].bytes_list.value.append(b"low")
                writer.write(example.SerializeToString())
    schema = text_format.Parse(resource(tiny.MODEL.schema_file).read_text(), schema_pb2.Schema())
    io_utils.write_pbtxt_file("ram://asked/schema/schema.pbtxt", schema)
    return {
        "examples": [at(standard_artifacts.Examples, upload(folder, "ram://asked/examples"), SPLITS)],
        "schema": [at(standard_artifacts.Schema, "ram://asked/schema")],
    }


def save(folder: str, wrong_by: float) -> None:
    """Saves a line whose two signatures differ by so much."""
    module = tf.Module()
    module.slope = tf.Variable(3.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serving_default(x: Any) -> Any:
        return {"predicted": module.slope * x + 2.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serving_examples(serialized: Any) -> Any:
        x = tf.io.parse_example(serialized, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]
        return {"predicted": module.slope * x + 2.0 + wrong_by}

    tf.saved_model.save(module, folder, {"serving_default": serving_default, "serving_examples": serving_examples})


def ask(asked: dict[str, list[types.Artifact]], root: str, wrong_by: float = 0.0) -> types.Artifact:
    """Runs the serving gate's executor over a model; returns the blessing."""
    save(f"{root}/model/Format-Serving", wrong_by)
    inputs = {**asked, "model": [at(standard_artifacts.Model, f"{root}/model")]}
    channels = {key: types.Channel(type=type(found[0])) for key, found in inputs.items()}
    gate = serving_gate.ServingGate(
        examples=channels["examples"],
        schema=channels["schema"],
        trained=channels["model"],
        model=ILLUSTRATED,
        settings=tiny.MODEL.settings(),
    )
    blessing = at(standard_artifacts.InfraBlessing, f"{root}/blessing")
    serving_gate.Executor().Do(inputs, {"blessing": [blessing]}, dict(gate.exec_properties))
    return blessing


def test_a_fresh_process_is_asked_about_copies_and_what_it_wrote_is_there(
    asked: dict[str, list[types.Artifact]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blessing = ask(asked, "ram://served")
    assert blessing.get_int_custom_property("blessed") == 1
    assert fileio.exists("ram://served/blessing/INFRA_BLESSED")
    assert all(check.passed for check in read_report(blessing.uri))
    assert read_metrics(blessing.uri)["eval"]["mae"] == pytest.approx(0, abs=1e-5)
    for split in SPLITS:
        rows = pq.read_table(io.BytesIO(read(f"{blessing.uri}/predictions/{split}.parquet")))
        assert rows.num_rows == ROWS
        np.testing.assert_allclose(rows["predicted"], rows["actual"], rtol=1e-5)
    kept = pq.read_table(io.BytesIO(read(f"{blessing.uri}/illustrations/eval.parquet"))).to_pydict()
    assert kept["id"] == [*range(6), *range(7, 13), *range(14, 20)]
    assert [pixel(png) for png in kept["asked"]] == [round(row / 19 * 255) for row in kept["id"]]
    assert list(tmp_path.iterdir()) == [], "nothing lands in a local folder named after the scheme"


def test_a_model_that_disagrees_with_itself_is_refused(asked: dict[str, list[types.Artifact]]) -> None:
    with pytest.raises(GateRefusal, match=r"tf\.Examples = raw on eval"):
        ask(asked, "ram://disagrees", wrong_by=0.5)
    assert fileio.exists("ram://disagrees/blessing/INFRA_NOT_BLESSED")
    assert not all(check.passed for check in read_report("ram://disagrees/blessing"))
    assert json.loads(read("ram://disagrees/blessing/metrics.json"))["eval"]["rows"] == ROWS
    assert not fileio.exists("ram://disagrees/blessing/illustrations/eval.parquet")


def test_another_illustration_asks_anew() -> None:
    """What the cache's key is made of."""
    kinds = {"examples": standard_artifacts.Examples, "schema": standard_artifacts.Schema}
    channels = {name: types.Channel(type=kind) for name, kind in {**kinds, "trained": standard_artifacts.Model}.items()}

    def key(illustration: Illustration | None) -> tuple[str, str]:
        model = tiny.make_model(illustration=illustration)
        gate = serving_gate.ServingGate(**channels, model=model, settings=model.settings())
        return gate.exec_properties["question"], gate.exec_properties["code"]

    none, one, other = (
        key(found)
        for found in (
            None,
            Illustration(function="illustrated.squares", by="actual"),
            Illustration(function="illustrated.squares", by="predicted"),
        )
    )
    assert len({none[0], one[0], other[0]}) == 3
    assert none[1] != one[1] == other[1]
