"""The champion: the last pushed model, or the one that a person chose; in a real pipeline, and for odd histories."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.components.pusher.component import Pusher
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.types.channel import Channel

from pipeline.champion import LatestPushedModelStrategy, PushedStatisticsStrategy
from pipeline.contract import Settings
from pipeline.push import Told, custom_config, draft, publish, verify, versions
from pipeline.push.executor import AtomicPushExecutor
from pipeline.push.serving_version import promote, rollback

# --- a pipeline that is given its model and blessings --------------------------------------------


def _given(name: str, folder: Path, kind: Any, blessed: int | None = None) -> Importer:
    properties = {} if blessed is None else {"blessed": blessed}
    return Importer(source_uri=str(folder), artifact_type=kind, custom_properties=properties).with_id(name)


def run(root: Path, name: str, blessed: bool = True, pipeline: str = "tiny") -> str | None:
    """Runs the pipeline on a model of this name; returns the name of the champion that it met."""
    serving = root / name / "Format-Serving"
    serving.mkdir(parents=True, exist_ok=True)
    (serving / "saved_model.pb").write_text(name)
    (root / "verdict").mkdir(exist_ok=True)
    model = _given("model", root / name, standard_artifacts.Model)
    verdict = _given(f"verdict-{blessed}", root / "verdict" / name, standard_artifacts.ModelBlessing, int(blessed))
    infra = _given("infra", root / "verdict" / "infra", standard_artifacts.InfraBlessing, 1)
    champion = Resolver(
        strategy_class=LatestPushedModelStrategy,
        model=Channel(type=standard_artifacts.Model),
        pushed_model=Channel(type=standard_artifacts.PushedModel),
    ).with_id("champion")
    pusher = Pusher(
        model=model.outputs["result"],
        model_blessing=verdict.outputs["result"],
        infra_blessing=infra.outputs["result"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=str(root / "served" / pipeline))
        ),
        custom_config=custom_config("tiny", Settings(), pipeline=pipeline, data_digest="d"),
        custom_executor_spec=ExecutorClassSpec(AtomicPushExecutor),
    )
    pusher.add_upstream_node(champion)
    connection = sqlite_metadata_connection_config(str(root / "metadata.db"))
    LocalDagRunner().run(
        Pipeline(
            pipeline_name=pipeline,
            pipeline_root=str(root / "runs"),
            components=[model, verdict, infra, champion, pusher],
            metadata_connection_config=connection,
        )
    )
    return _resolved(MetadataStore(connection))


def _resolved(store: MetadataStore) -> str | None:
    """Name of the model that the last resolver gave out."""
    last = max(execution.id for execution in store.get_executions() if "Resolver" in execution.type)
    ids = [event.artifact_id for event in store.get_events_by_execution_ids([last])]
    (kind,) = [kind.id for kind in store.get_artifact_types() if kind.name == "Model"]
    uris = [artifact.uri for artifact in store.get_artifacts_by_id(ids) if artifact.type_id == kind]
    assert len(uris) <= 1
    return Path(uris[0]).name if uris else None


def test_only_pushed_models_of_the_same_pipeline_become_champion(tmp_path: Path) -> None:
    assert run(tmp_path, "first") is None
    assert run(tmp_path, "refused", blessed=False) == "first"
    assert run(tmp_path, "second") == "first"
    assert run(tmp_path, "third") == "second"
    assert run(tmp_path, "sample", pipeline="tiny-sample") is None

    pushed = [Path(version.path) for version in versions(str(tmp_path / "served" / "tiny"))]
    assert [(path / "saved_model.pb").read_text() for path in pushed] == ["first", "second", "third"]
    assert all(verify(path).run for path in pushed)


def test_after_a_rollback_the_champion_is_the_model_that_serves(tmp_path: Path) -> None:
    run(tmp_path, "first")
    run(tmp_path, "second")
    destination = tmp_path / "served" / "tiny"
    rollback(str(destination))
    assert run(tmp_path, "refused", blessed=False) == "first"
    assert run(tmp_path, "second") == "first"  # Not pushed again: the destination's newest version is this model.
    assert run(tmp_path, "third") == "first"
    assert run(tmp_path, "fourth") == "third"

    assert len(versions(str(destination))) == 4
    shutil.rmtree(destination)
    assert run(tmp_path, "fifth", blessed=False) == "fourth"


# --- histories -----------------------------------------------------------------------------------


def _model(number: int) -> standard_artifacts.Model:
    model = standard_artifacts.Model()
    model.id, model.uri = number, f"models/{number}"
    return model


def _push(number: int, of: int, pushed: int = 1, to: str = "") -> standard_artifacts.PushedModel:
    push = standard_artifacts.PushedModel()
    push.id = number
    push.set_string_custom_property("pushed_destination", to)
    push.set_int_custom_property("pushed", pushed)
    push.set_string_custom_property("model_uri", f"models/{of}")
    return push


@pytest.mark.parametrize(
    ("pushes", "champion"),
    [
        ([], None),
        ([_push(9, of=2, pushed=0)], None),
        ([_push(9, of=1)], 1),
        ([_push(11, of=1), _push(10, of=2)], 1),
        ([_push(9, of=1), _push(10, of=2), _push(11, of=3, pushed=0)], 2),
        ([_push(9, of=1), _push(10, of=77)], 1),
        ([standard_artifacts.PushedModel()], None),
    ],
    ids=["none", "not pushed", "one", "an older model again", "last was refused", "model is gone", "of plain TFX"],
)
def test_the_newest_push_of_a_known_model_decides(
    pushes: list[standard_artifacts.PushedModel], champion: int | None
) -> None:
    given = {"model": [_model(number) for number in (1, 2, 3)], "pushed_model": pushes}
    resolved = LatestPushedModelStrategy().resolve_artifacts(None, given)
    assert [model.id for model in resolved["model"]] == ([] if champion is None else [champion])
    assert len(resolved["pushed_model"]) == len(resolved["model"])


@pytest.fixture
def served(tmp_path: Path) -> Callable[[str], str]:
    """Pushes a stand-in of a model outside of TFX; returns the version's address."""

    def served(content: str) -> str:
        model = tmp_path / "models" / content
        model.mkdir(parents=True)
        (model / "saved_model.pb").write_text(content)
        told = Told(model="tiny", pipeline="tiny", data_digest="", settings={}, bounds={})
        manifest = draft(told, model, run="", model_uri=content, metrics={})
        return publish(str(tmp_path / "served"), model, manifest).version.path

    return served


def _champion(*pushes: standard_artifacts.PushedModel) -> list[int]:
    given = {"model": [_model(number) for number in (1, 2, 3)], "pushed_model": list(pushes)}
    return [model.id for model in LatestPushedModelStrategy().resolve_artifacts(None, given)["model"]]


def test_what_was_chosen_decides_by_its_last_push_wherever_it_stands(
    tmp_path: Path, served: Callable[[str], str]
) -> None:
    destination = str(tmp_path / "served")
    first, second = served("a"), served("b")
    pushes = [_push(10, of=1, to=first), _push(11, of=2, to=second), _push(12, of=3, to=second, pushed=0)]
    assert _champion(*pushes) == [2]
    rollback(destination)
    assert _champion(*pushes) == [1]
    assert _champion(*pushes, _push(13, of=3, to=first)) == [3]
    assert _champion(*pushes, _push(14, of=3, to="/elsewhere/1")) == [3]
    promote(destination, int(Path(second).name))
    assert _champion(*pushes) == [2]


def test_without_what_was_chosen_in_the_metadata_there_is_no_champion(
    tmp_path: Path, served: Callable[[str], str]
) -> None:
    served("another root's")
    ours = _push(10, of=1, to=served("ours"))
    assert _champion(ours) == [1]
    rollback(str(tmp_path / "served"))
    assert _champion(ours) == []


@pytest.mark.parametrize("damage", ["gone", "unreadable", "of another kind"])
def test_a_destination_that_cannot_tell_leaves_the_last_push(
    tmp_path: Path, served: Callable[[str], str], damage: str
) -> None:
    first, second = served("a"), served("b")
    rollback(str(tmp_path / "served"))
    if damage == "gone":
        shutil.rmtree(tmp_path / "served")
    elif damage == "unreadable":
        (tmp_path / "served" / "serving.json").write_text("{")
    else:
        second = "s3://bucket/2"
    assert _champion(_push(10, of=1, to=first), _push(11, of=2, to=second)) == [2]


# --- the reference for drift ---------------------------------------------------------------------


class History:
    """Runs of a pipeline in a real metadata store: examples, their statistics, and a model trained on them."""

    def __init__(self) -> None:
        self.store = MetadataStore(mlmd.ConnectionConfig(fake_database=mlmd.FakeDatabaseConfig()))
        names = ("Examples", "ExampleStatistics", "TransformGraph", "Model")
        self.kinds = {name: self.store.put_artifact_type(mlmd.ArtifactType(name=name)) for name in names}
        self.step = self.store.put_execution_type(mlmd.ExecutionType(name="step"))
        self.given: dict[str, list[Any]] = {"statistics": [], "model": [], "pushed_model": []}

    def made(self, kind: str, *sources: int) -> int:
        (artifact,) = self.store.put_artifacts([mlmd.Artifact(type_id=self.kinds[kind])])
        (execution,) = self.store.put_executions([mlmd.Execution(type_id=self.step)])
        ends = [*((mlmd.Event.INPUT, source) for source in sources), (mlmd.Event.OUTPUT, artifact)]
        self.store.put_events([mlmd.Event(type=end, artifact_id=at, execution_id=execution) for end, at in ends])
        return int(artifact)

    def run(self, pushed: int, *, order: tuple[str, ...] = ("statistics", "model"), to: str = "") -> int:
        """Returns the id of the run's statistics."""
        examples = self.made("Examples")
        ids = {}
        for what in order:
            sources = {"statistics": [examples], "model": [self.made("TransformGraph", examples), examples]}[what]
            ids[what] = self.made({"statistics": "ExampleStatistics", "model": "Model"}[what], *sources)
        statistics = standard_artifacts.ExampleStatistics()
        statistics.id = ids["statistics"]
        self.given["statistics"].append(statistics)
        self.given["model"].append(_model(ids["model"]))
        self.given["pushed_model"].append(_push(1000 + ids["model"], of=ids["model"], pushed=pushed, to=to))
        return ids["statistics"]

    def reference(self) -> list[int]:
        found = PushedStatisticsStrategy().resolve_artifacts(self.store, dict(self.given))
        return [statistics.id for statistics in found["statistics"]]


def test_the_reference_is_what_the_last_pushed_model_was_trained_on() -> None:
    history = History()
    assert history.reference() == []
    history.run(pushed=0)
    assert history.reference() == []
    first = history.run(pushed=1)
    history.run(pushed=0)
    assert history.reference() == [first]
    second = history.run(pushed=1, order=("model", "statistics"))
    history.run(pushed=0)
    assert history.reference() == [second]


def test_the_reference_goes_back_with_a_rollback(tmp_path: Path, served: Callable[[str], str]) -> None:
    history = History()
    first, second = (history.run(pushed=1, to=served(content)) for content in "ab")
    assert history.reference() == [second]
    rollback(str(tmp_path / "served"))
    assert history.reference() == [first]
