"""The one DAG, run whole with a model that `pipeline/` has never heard of."""

from __future__ import annotations

import importlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from rich.console import Console
from tfx.components.pusher.executor import Executor as FolderPushExecutor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.extensions.google_cloud_big_query.example_gen.component import BigQueryExampleGen
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts

from pipeline.contract import Model, Pictures, Settings, Sought, Tuned, UserError, find_model
from pipeline.dag import Choices, create_pipeline
from pipeline.fingerprint import digest_folder
from pipeline.ingestion.image_example_gen import ImageExampleGen
from pipeline.ingestion.sql import split_queries
from pipeline.latency import LATENCY_FILE, Latency
from pipeline.model_gate import metric_values
from pipeline.push import verify, versions
from pipeline.push.card import CARD_FILE
from pipeline.push.manifest import TUNED_FILE
from pipeline.push.serving_version import rollback
from pipeline.serving_gate import read_metrics
from pipeline.settings import get, make_settings
from runners.local import execute
from runners.output import print_result, print_verdict
from runners.pushed_models import base_of, look
from runners.run import RunResult, prepare

AFTER_TRAINING = {"ServingGate", "Evaluator", "Pusher"}
AFTER_SCHEMA = {"ExampleValidator", "DataGate", "Transform", "Trainer", *AFTER_TRAINING}


def run(model: Model, root: Path, file: Path | None = None, **settings: Any) -> RunResult:
    return execute(prepare(model, root, data=file, layers=(settings,)))


def nodes(result: RunResult, state: str) -> set[str]:
    return {node.name for node in result.nodes if node.state == state}


def artifact(result: RunResult, node: str, key: str) -> Path:
    """The newest folder that a node wrote."""
    found = Path(result.folder).parents[2] / "artifacts" / result.pipeline / node / key
    return max(found.iterdir(), key=lambda path: int(path.name))


# --- three runs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def three_runs(root: Path) -> list[RunResult]:
    return [run(tiny.MODEL, root) for _ in range(3)]


def test_first_run_pushes_a_model_with_a_manifest(three_runs: list[RunResult], root: Path) -> None:
    first = three_runs[0]
    assert (first.outcome, first.exit_code, first.error) == ("pushed", 0, None)
    assert first.pipeline == "tiny-sample"
    assert first.counts == {"read": 600, "quarantined": 0, "usable": 600}
    (version,) = versions(str(root / "pushed" / "tiny-sample"))
    assert first.pushed == version.path
    manifest = verify(Path(version.path))
    assert manifest.settings["features"] == {"scale": 1}
    assert manifest.bounds["mae"]["upper"] == 5.0
    assert manifest.metrics["eval"]["mae"] < 1e-4
    assert manifest.run == first.run_id


def test_second_run_judges_again_and_pushes_nothing(three_runs: list[RunResult]) -> None:
    second = three_runs[1]
    assert nodes(second, "run") == {"DataGate", "Evaluator", "Pusher"}
    assert (second.outcome, second.exit_code, second.pushed) == ("unchanged", 0, three_runs[0].pushed)
    (champion,) = [check for check in second.checks if "champion" in check.bound]
    assert champion.passed
    assert champion.bound.startswith("at most 0.001 above the champion's ")


def test_third_run_is_cached_throughout(three_runs: list[RunResult]) -> None:
    third = three_runs[2]
    assert nodes(third, "run") == set()
    assert (third.outcome, third.pushed) == ("unchanged", three_runs[0].pushed)


def test_a_small_slice_refuses_nothing(three_runs: list[RunResult]) -> None:
    notes = {check.slice: check.note for check in three_runs[0].checks if check.metric == "relative_mae"}
    assert notes["band=rare"] == "only 3 rows, bounds hold from 30"


def test_served_answers_have_the_evaluators_metrics(three_runs: list[RunResult]) -> None:
    served = read_metrics(artifact(three_runs[0], "ServingGate", "blessing"))["eval"]
    evaluated = metric_values(str(artifact(three_runs[0], "Evaluator", "evaluation")))["candidate"]["overall"]
    assert served == pytest.approx({name: evaluated[name] for name in served}, rel=1e-5, abs=1e-6)


def test_a_pushed_model_has_a_card_with_the_evaluators_numbers_by_slice(three_runs: list[RunResult]) -> None:
    version = Path(three_runs[0].pushed or "")
    manifest = verify(version)
    evaluated = metric_values(str(artifact(three_runs[0], "Evaluator", "evaluation")))["candidate"]
    assert manifest.slices["eval"].keys() == evaluated.keys() >= {"overall", "band=rare"}
    for where, values in manifest.slices["eval"].items():
        assert values == pytest.approx(evaluated[where], rel=1e-5, abs=1e-6), where
    assert manifest.naive["eval"]["relative_mae"] == pytest.approx(1)
    assert manifest.ingested
    assert (manifest.ingested.rows_read, manifest.said.generated) == (600, True)
    assert manifest.examples["eval"] == manifest.metrics["eval"]["rows"]
    card = (version / CARD_FILE).read_text()
    assert "| eval | band=rare | 3 |" in card
    assert "None is needed: the data are generated" in card
    assert "The model's developers said nothing." in card


def test_the_serving_gate_says_how_quickly_the_model_answered(three_runs: list[RunResult]) -> None:
    file = artifact(three_runs[0], "ServingGate", "blessing") / LATENCY_FILE
    found = Latency.model_validate_json(file.read_text())
    assert found.alone.answers == 10
    assert 0 < found.batch.median_s <= found.batch.worst_s < 60


# --- what an edit runs again ---------------------------------------------------------------------------


def append(text: str) -> Callable[[Path], None]:
    def edit(file: Path) -> None:
        file.write_text(file.read_text() + text)

    return edit


def replace(old: str, new: str) -> Callable[[Path], None]:
    def edit(file: Path) -> None:
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    return edit


def imported(folder: Path) -> Model:
    """The copy of the tiny model, imported anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]
    importlib.invalidate_caches()
    model: Model = importlib.import_module(folder.name).MODEL
    return model


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder of the tiny model to edit, whose runs share a root, after a push and a run that found it to compare."""
    folder = tmp_path_factory.mktemp("copies") / "tiny_copy"
    shutil.copytree(Path(tiny.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    sys.path.insert(0, str(folder.parent))
    tiny.write_sample(folder / "data.csv")
    for _ in range(2):
        run(imported(folder), folder.parent / "root", folder / "data.csv")
    yield folder
    sys.path.remove(str(folder.parent))


@pytest.mark.parametrize(
    ("file", "edit", "again"),
    [
        ("trainer.py", append("# edited\n"), {"Trainer", *AFTER_TRAINING}),
        ("preprocessing.py", append("# edited\n"), {"Transform", "Trainer", *AFTER_TRAINING}),
        ("naive.py", append("# edited\n"), AFTER_TRAINING),
        ("__init__.py", replace("Bound(upper=0.5", "Bound(upper=0.4"), {"Evaluator", "Pusher"}),
        ("schema.pbtxt", replace("max: 10", "max: 11"), {"ImportSchemaGen", *AFTER_SCHEMA}),
        ("examples.sql", replace("x < 5", "x < 4"), {"ExampleGen", "StatisticsGen", *AFTER_SCHEMA}),
        ("data.csv", append("600,1.0,5.0\n"), {"ExampleGen", "StatisticsGen", *AFTER_SCHEMA}),
    ],
    ids=["trainer", "preprocessing", "metric", "threshold", "schema", "sql", "data"],
)
def test_an_edit_runs_again_what_it_concerns(
    copy: Path, file: str, edit: Callable[[Path], None], again: set[str]
) -> None:
    edit(copy / file)
    result = run(imported(copy), copy.parent / "root", copy / "data.csv")
    assert result.outcome in ("pushed", "unchanged"), result
    assert nodes(result, "run") == again


@pytest.mark.parametrize(
    ("settings", "again"),
    [
        ({"training": {"seed": 8}}, {"Trainer", *AFTER_TRAINING}),
        ({"gates": {"allowed_anomalies": {"z": "a feature to come"}}}, {"DataGate", "Evaluator", "Pusher"}),
    ],
    ids=["training", "data gate"],
)
def test_a_setting_runs_again_what_it_concerns(copy: Path, settings: dict[str, Any], again: set[str]) -> None:
    result = run(imported(copy), copy.parent / "root", copy / "data.csv", **settings)
    # The data gate compares anew once other data was pushed, as the edit of data above does.
    assert nodes(result, "run") <= again | {"DataGate"}
    assert nodes(result, "run") >= again - {"Evaluator"}


# --- refusals ------------------------------------------------------------------------------------------


@pytest.fixture
def pushed(three_runs: list[RunResult], root: Path) -> Any:
    """Digest of what is pushed; a refused run must leave it alone."""
    folder = root / "pushed"
    before = digest_folder(folder)
    yield before
    assert digest_folder(folder) == before


def refusals(result: RunResult) -> list[tuple[str, str, str]]:
    assert (result.outcome, result.exit_code) == ("refused", 3), result
    return [(check.gate, check.metric, check.slice) for check in result.checks if not check.passed]


def test_a_worse_model_is_refused_twice_with_the_champion_named(root: Path, pushed: str) -> None:
    for _ in range(2):
        result = run(tiny.MODEL, root, training={"offset": 1.0})
        assert refusals(result) == [("model", "mae", "overall")]
        (check,) = [check for check in result.checks if not check.passed]
        assert check.value == pytest.approx(1.0, rel=1e-5)  # A difference of sums in 32 bits.
        assert check.shortfall == pytest.approx(0.999, rel=1e-5)
        assert check.bound.startswith("at most 0.001 above the champion's ")
    assert nodes(result, "run") == set()


def test_a_wrong_type_that_only_the_schema_sees_is_refused(root: Path, pushed: str) -> None:
    text = tiny.make_model(source=tiny.MODEL.source.model_copy(update={"sql": "tiny:text_for_number.sql"}))
    result = run(text, root)
    assert ("data", "schema: x", "train") in refusals(result)
    (check,) = [c for c in result.checks if (c.metric, c.slice) == ("schema: x", "train")]
    assert check.bound.startswith("FLOAT, 0 .. 10")
    assert str(check.value).startswith("STRING")


def test_a_forbidden_row_is_refused_with_an_example(root: Path, pushed: str, tmp_path: Path) -> None:
    data = tmp_path / "points.csv"
    tiny.write_sample(data)
    data.write_text(data.read_text() + "601,-1.0,5.0\n")
    result = run(tiny.MODEL, root, data, data={"line": "sample"})
    assert ("data", "rows with negative x", "raw rows") in refusals(result)
    (check,) = [check for check in result.checks if check.metric == "rows with negative x"]
    assert (check.value, check.bound, "row 602" in check.note) == (1, "<= 0", True)


def test_too_many_unusable_rows_are_refused_with_their_reasons(root: Path, pushed: str, tmp_path: Path) -> None:
    data = tmp_path / "points.csv"
    tiny.write_sample(data)
    data.write_text(data.read_text() + "700,one,5.0\n" * 10)
    result = run(tiny.MODEL, root, data, data={"line": "sample"})
    assert refusals(result) == [("data", "quarantined share", "raw rows")]
    (check,) = [check for check in result.checks if not check.passed]
    assert check.value == pytest.approx(10 / 610)
    assert check.note == "10 of 610 rows are unusable: 10 x x: expected float"
    assert result.counts["quarantined"] == 10


def test_drifted_data_is_refused_again_and_again_by_the_last_pushed_run(
    root: Path, three_runs: list[RunResult], pushed: str, tmp_path: Path
) -> None:
    drifted = tmp_path / "points.csv"
    write_scaled(drifted, by=0.5)
    for _ in range(2):
        result = run(tiny.MODEL, root, drifted, data={"line": "sample"})
        assert refusals(result) == [("data", "drift of x", "train")]
        (check,) = [check for check in result.checks if not check.passed]
        assert check.bound == "<= 0.2"
        assert check.shortfall == pytest.approx(float(check.value) - 0.2)
        assert check.note.startswith("its median is 2.5, and 5 in the last pushed run; ")
    back = run(tiny.MODEL, root)
    drift = {check.metric: check.value for check in back.checks if check.slice == "train" and check.gate == "data"}
    assert (back.outcome, drift["drift of x"], drift["growth"]) == ("unchanged", 0, 1)


def test_a_first_run_says_that_there_is_nothing_to_compare_with(three_runs: list[RunResult]) -> None:
    (check,) = [check for check in three_runs[0].checks if check.metric == "drift"]
    assert (check.passed, check.value) == (True, "unknown")
    assert check.note == "no run of this pipeline has pushed from this root yet: there is nothing to compare with"
    skew = {(check.metric, check.slice) for check in three_runs[0].checks if check.metric.startswith("skew")}
    assert skew == {("skew of x", "eval"), ("skew of x", "test")}


def write_scaled(path: Path, by: float) -> None:
    """The tiny model's sample with every x scaled; y still is 3 x + 2."""
    tiny.write_sample(path)
    header, *rows = path.read_text().splitlines()
    scaled = [(name, float(x) * by) for name, x, _ in (row.split(",") for row in rows)]
    path.write_text("\n".join([header, *(f"{name},{x},{3 * x + 2}" for name, x in scaled)]) + "\n")


def test_an_allowed_anomaly_passes_with_its_reason(root: Path) -> None:
    widened = {"scale": 1}
    narrow = tiny.make_model(schema_file="tiny:narrow_schema.pbtxt")
    allowed = {"allowed_anomalies": {"x": "the new sensor reads up to 10"}}
    result = run(narrow, root, features=widened, gates=allowed, data={"line": "narrow"})
    notes = {check.note for check in result.checks if check.metric == "schema: x"}
    assert result.outcome == "pushed"
    assert notes == {"allowed: the new sensor reads up to 10"}


def test_a_champion_that_another_root_pushed_is_said_to_be_unknown(
    three_runs: list[RunResult], root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "pushed", tmp_path / "pushed")
    (held,) = versions(str(tmp_path / "pushed" / "tiny-sample"))
    result = run(tiny.MODEL, tmp_path / "new", gates={"destination": str(tmp_path / "pushed")})
    (check,) = [check for check in result.checks if check.metric == "champion"]
    assert (check.value, check.note.split(" was ")[0]) == ("unknown", f"version {held.number}")
    assert result.outcome == "pushed"


def test_a_run_whose_model_was_rolled_back_says_so_and_how_to_serve_it(
    three_runs: list[RunResult], root: Path, pushed: str
) -> None:
    base = base_of(root, None)
    (newest,) = look(root, base, "tiny-sample").versions
    assert (newest.serves, newest.champion) == (True, True)
    older = Path(newest.path).with_name("17")
    shutil.copytree(newest.path, older)
    try:
        rollback(f"{base}/tiny-sample")
        result = run(tiny.MODEL, root)
        assert [(each.serves, each.champion) for each in look(root, base, "tiny-sample").versions] == [
            (True, None),  # Somebody put it there: this root knows nothing of it.
            (False, None),
        ]
    finally:
        shutil.rmtree(older)
        older.with_name("serving.json").unlink()
    console = Console(file=io.StringIO(), width=200)
    print_verdict(console, result)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert (result.outcome, result.pushed) == ("unchanged", newest.path)
    assert f"Version {newest.version} was rolled back" in said
    assert f"version 17 serves. To serve it: pipelines promote tiny {newest.version} --root {root}" in said
    (champion,) = [check for check in result.checks if check.metric == "champion"]
    assert champion.note.startswith("version 17 was pushed from another root")
    assert [each.rolled_back for each in three_runs] == [None, None, None]


# --- a search for hyper-parameters ---------------------------------------------------------------------

TUNED = tiny.make_model(tuner_fn="tiny.tuner.tuner_fn")


def test_there_is_nothing_to_reuse_before_a_search(root: Path) -> None:
    with pytest.raises(UserError) as caught:
        run(TUNED, root, training={"tuning": "reuse"}, data={"line": "unsearched"})
    assert "a search of pipeline tiny-unsearched left" in caught.value.expected
    assert caught.value.received == "none"
    assert "--set tuning=search" in caught.value.todo
    assert not (root / "records" / "tiny-unsearched").exists()


@pytest.fixture(scope="module")
def searched(root: Path) -> RunResult:
    """Of an offset with which the model is refused, without a search."""
    return run(TUNED, root, training={"offset": 1.0, "tuning": "search"})


def test_a_search_goes_over_what_was_set_and_says_so(searched: RunResult, root: Path) -> None:
    assert {"Tuner", "Trainer", *AFTER_TRAINING} <= nodes(searched, "run")
    assert searched.outcome in ("pushed", "unchanged")
    assert searched.tuned
    assert searched.tuned.settings == {"offset": Sought(given=1.0, tried=(-0.5, 0.0, 0.5, 1.0), found=0.0)}
    assert (searched.tuned.trials, searched.tuned.score, searched.tuned.given) == (4, 0, 1)
    assert searched.settings["training"]["offset"] == 1.0
    noted = artifact(searched, "ServingGate", "blessing") / TUNED_FILE
    assert Tuned.model_validate_json(noted.read_text()) == searched.tuned
    console = Console(file=io.StringIO(), width=200)
    print_result(console, searched)
    said = "Settings of the training that a search of 4 trials chose: offset 0.0 (given 1.0)"
    assert said in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_change_of_the_gates_searches_no_more(searched: RunResult, root: Path) -> None:
    gates = {"allowed_anomalies": {"z": "a feature to come"}}
    result = run(TUNED, root, training={"offset": 1.0, "tuning": "search"}, gates=gates)
    assert {"Tuner", "Trainer"} <= nodes(result, "cached")
    assert result.tuned == searched.tuned


def test_what_a_search_found_is_reused_and_gives_the_same_model(searched: RunResult, root: Path) -> None:
    result = run(TUNED, root, training={"offset": 2.0, "tuning": "reuse"})
    assert "Tuner" not in result.planned
    assert "LastSearch" in nodes(result, "resolved")
    assert "LastSearch" in result.planned["Trainer"]
    assert "Trainer" in nodes(result, "run")
    assert (result.tuned, result.settings["training"]["offset"]) == (searched.tuned, 2.0)
    assert (result.outcome, result.metrics) == ("pushed", searched.metrics)
    manifest = verify(Path(result.pushed or ""))
    assert (manifest.tuned, manifest.settings["training"]["offset"]) == (searched.tuned, 2.0)


def test_without_the_switch_a_search_is_no_matter(searched: RunResult, root: Path) -> None:
    result = run(TUNED, root, training={"offset": 1.0})
    assert (result.outcome, result.tuned) == ("refused", None)
    assert not {"Tuner", "LastSearch"} & set(result.planned)


# --- the same DAG for Vertex ---------------------------------------------------------------------------


def cloud_ingestion(model: Model, settings: Settings) -> BaseComponent:
    """What Vertex would read: BigQuery in the place of DuckDB, a bucket in the place of a folder."""
    if isinstance(model.source, Pictures):
        return ImageExampleGen(
            "gs://bucket/photos.tar", "digest", get(settings, model.source.size), model.source.splits
        )
    splits = [
        example_gen_pb2.Input.Split(name=name, pattern=query)
        for name, query in split_queries(model.source, settings.features, table="project.shop.sales").items()
    ]
    return BigQueryExampleGen(input_config=example_gen_pb2.Input(splits=splits))


def compiled(model: Model, out: Path, **settings: Any) -> dict[str, Any]:
    """The pipeline spec that Vertex would be sent."""
    resolved = make_settings(model, settings)
    choices = Choices(
        ingestion=cloud_ingestion(model, resolved),
        champion=(LatestBlessedModelStrategy, {"model_blessing": standard_artifacts.ModelBlessing}),
        push_destination="gs://bucket/models",
        push_executor=executor_spec.ExecutorClassSpec(FolderPushExecutor),
        push_config={},
    )
    pipeline = create_pipeline(model, resolved, name=f"{model.name}-test", root="gs://bucket/root", choices=choices)
    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image="image:1")
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(config=config, output_filename=str(out))
    runner.run(pipeline, write_out=True)
    spec: dict[str, Any] = json.loads(out.read_text())["pipelineSpec"]
    return spec


@pytest.mark.parametrize("name", ["clv", "colorizer", "tiny"])
def test_the_same_function_compiles_for_kubeflow(name: str, tmp_path: Path) -> None:
    model = tiny.MODEL if name == "tiny" else find_model(name)
    settings = {"features": {"cutoff": "2011-09-01"}} if name == "clv" else {}
    spec = compiled(model, tmp_path / "spec.json", **settings)
    tasks = spec["root"]["dag"]["tasks"]
    assert {"ExampleGen", "DataGate", "Transform", "Trainer", "ServingGate", "Evaluator", "Pusher"} < set(tasks)
    assert "DataGate" in tasks["Transform"]["dependentTasks"]
    assert "Reference" not in tasks, "Vertex runs no resolver strategy of ours: drift is not judged there"
    assert "ServingGate" in tasks["Evaluator"]["dependentTasks"]
    assert not {"Tuner", "LastSearch"} & set(tasks), "nobody asked for a search"
    source = "gs://bucket/photos.tar" if name == "colorizer" else "FROM project.shop.sales"
    assert source in json.dumps(spec)


@pytest.mark.parametrize(("tuning", "node"), [("search", "Tuner"), ("reuse", "LastSearch")])
def test_it_compiles_with_a_search_and_without_one_before_it(tuning: str, node: str, tmp_path: Path) -> None:
    tasks = compiled(TUNED, tmp_path / "spec.json", training={"tuning": tuning})["root"]["dag"]["tasks"]
    taken = tasks["Trainer"]["inputs"]["artifacts"]["hyperparameters"]["taskOutputArtifact"]
    assert (taken["producerTask"], taken["outputArtifactKey"]) == (node, "best_hyperparameters")
    assert node in tasks["Trainer"]["dependentTasks"]
