"""The Pusher's executor: what both gates blessed, whole or not at all, and with a record of what it is."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from google.cloud import storage
from remote_artifacts import read, upload
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.utils import json_utils, proto_utils

from pipeline.contract import Bound, GateSettings, Settings
from pipeline.fingerprint import digest_folder
from pipeline.push import Pushed, custom_config, verify, versions
from pipeline.push.executor import AtomicPushExecutor

FORK = multiprocessing.get_context("fork")  # A child that need not import TFX again.
SETTINGS = Settings(gates=GateSettings(bounds={"mae": Bound(upper=9.0, reason="more would be useless")}))


class Push:
    """The executor and real artifacts, all in one folder."""

    def __init__(self, root: Path, destination: Path | str, content: str = "weights") -> None:
        self.root, self.destination = root, destination
        self.model = standard_artifacts.Model()
        self.model.uri = str(root / "model")
        self.serving = root / "model" / "Format-Serving"
        (self.serving / "variables").mkdir(parents=True)
        (self.serving / "saved_model.pb").write_bytes(b"graph")
        (self.serving / "variables" / "variables.index").write_text(content)
        self.inputs = {
            "model": [self.model],
            "model_blessing": [self._blessing(standard_artifacts.ModelBlessing())],
            "infra_blessing": [self._blessing(standard_artifacts.InfraBlessing())],
        }

    def _blessing(self, artifact: Any) -> Any:
        artifact.uri = str(self.root / artifact.type_name)
        artifact.set_int_custom_property("blessed", 1)
        Path(artifact.uri).mkdir()
        return artifact

    def run(self, pushed_to: str | None = None) -> Any:
        pushed = standard_artifacts.PushedModel()
        pushed.uri = pushed_to or str(self.root / "pushed")
        to = pusher_pb2.PushDestination.Filesystem(base_directory=str(self.destination))
        config = custom_config("tiny", SETTINGS, pipeline="tiny-main", data_digest="d" * 16)
        properties = {
            "push_destination": proto_utils.proto_to_json(pusher_pb2.PushDestination(filesystem=to)),
            "custom_config": json_utils.dumps(config),
        }
        context = BaseExecutor.Context(pipeline_run_id="run-7")
        AtomicPushExecutor(context).Do(self.inputs, {"pushed_model": [pushed]}, properties)
        return pushed


def test_a_blessed_model_is_pushed_with_a_manifest(tmp_path: Path, destination: Path) -> None:
    one = Push(tmp_path, destination)
    (tmp_path / "InfraBlessing" / "metrics.json").write_text('{"mae": 3.5}')
    before = datetime.now(timezone.utc).replace(microsecond=0)

    pushed = one.run()

    (version,) = versions(str(destination))
    assert pushed.get_int_custom_property("pushed") == pushed.get_int_custom_property("new") == 1
    assert pushed.get_string_custom_property("pushed_version") == str(version.number)
    assert pushed.get_string_custom_property("pushed_destination") == version.path == f"{destination}/{version.number}"
    assert pushed.get_string_custom_property("model_uri") == one.model.uri
    assert digest_folder(Path(pushed.uri)) == digest_folder(one.serving)
    manifest = verify(Path(version.path))
    assert (manifest.model, manifest.pipeline, manifest.run) == ("tiny", "tiny-main", "run-7")
    assert (manifest.model_uri, manifest.model_digest) == (one.model.uri, digest_folder(one.serving))
    assert (manifest.version, manifest.data_digest, manifest.metrics) == (version.number, "d" * 16, {"mae": 3.5})
    assert manifest.bounds["mae"]["upper"] == 9.0
    assert manifest.settings["training"] == {"seed": 7, "tuning": "off", "tuning_trials": 12}
    assert manifest.versions["tensorflow"] == tf.__version__
    assert set(manifest.versions) == {"python", "tfx", "tensorflow", "tfx-pipelines"}
    assert before <= datetime.fromisoformat(manifest.pushed_at) <= datetime.now(timezone.utc)


def test_what_the_serving_gate_left_is_in_the_manifest_and_rows_of_customers_are_not(
    tmp_path: Path, destination: Path
) -> None:
    left = {"slices": {"eval": {"overall": {"mae": 3.5}}}, "naive": {"eval": {"mae": 7.0}}}
    counted = {"unit": "rows", "source": "a.csv", "source_sha256": "0", "rows_read": 2, "rows_usable": 2}
    forbidden = {"negative price": {"rows": 1, "examples": ["row 2: {CustomerID: 17850}"]}}
    report = {**counted, "quarantined": 0, "quarantined_by_reason": {}, "left_out": {}, "forbidden": forbidden}
    one = Push(tmp_path, destination)
    for name, content in {**left, "ingestion": report}.items():
        (tmp_path / "InfraBlessing" / f"{name}.json").write_text(json.dumps(content))
    one.run()
    (version,) = versions(str(destination))
    manifest = verify(Path(version.path))
    assert {"slices": manifest.slices, "naive": manifest.naive} == left
    assert manifest.ingested
    assert (manifest.ingested.source, manifest.ingested.rows_read) == ("a.csv", 2)
    assert "17850" not in (Path(version.path) / "assets.extra" / "manifest.json").read_text()


def test_tensorflow_loads_a_pushed_version(tmp_path: Path, destination: Path, push: Callable[..., Pushed]) -> None:
    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "model"))
    pushed = push(destination, tmp_path / "model")
    assert tf.saved_model.load(pushed.version.path).double(4.0) == 8.0


def test_the_same_model_is_not_pushed_twice(tmp_path: Path, destination: Path) -> None:
    first = Push(tmp_path / "1", destination).run()
    held = digest_folder(destination)
    again = Push(tmp_path / "2", destination).run()
    assert again.get_int_custom_property("pushed") == 1
    assert again.get_int_custom_property("new") == 0
    for key in ("pushed_version", "pushed_destination", "model_digest"):
        assert again.get_string_custom_property(key) == first.get_string_custom_property(key)
    assert digest_folder(destination) == held


def test_a_bucket_is_a_destination(tmp_path: Path, bucket: storage.Bucket) -> None:
    pushed = Push(tmp_path, "gs://models/clv").run()
    (version,) = versions("gs://models/clv")
    assert pushed.get_string_custom_property("pushed_destination") == version.path
    assert bucket.blob(f"clv/{version.number}/saved_model.pb").download_as_bytes() == b"graph"


def test_a_model_at_a_remote_address_is_pushed_and_kept_beside_it(tmp_path: Path, bucket: storage.Bucket) -> None:
    one = Push(tmp_path, "gs://models/clv")
    (tmp_path / "InfraBlessing" / "metrics.json").write_text('{"mae": 3.5}')
    for artifact in (one.model, one.inputs["infra_blessing"][0]):
        artifact.uri = upload(artifact.uri, f"ram://pushing/{artifact.type_name}")

    pushed = one.run("ram://pushing/pushed")

    version = pushed.get_string_custom_property("pushed_version")
    manifest = json.loads(bucket.blob(f"clv/{version}/assets.extra/manifest.json").download_as_bytes())
    assert (manifest["model_uri"], manifest["metrics"]) == ("ram://pushing/Model", {"mae": 3.5})
    assert manifest["model_digest"] == digest_folder(one.serving)
    assert read("ram://pushing/pushed/variables/variables.index") == b"weights"


def _withheld(one: Push, key: str) -> None:
    one.inputs[key][0].set_int_custom_property("blessed", 0)


def _absent(one: Push, key: str) -> None:
    del one.inputs[key]


def _unresolved(one: Push, key: str) -> None:
    one.inputs[key] = []


@pytest.mark.parametrize("key", ["model_blessing", "infra_blessing"])
@pytest.mark.parametrize("spoil", [_withheld, _absent, _unresolved])
def test_a_model_without_both_blessings_is_refused(
    tmp_path: Path, destination: Path, key: str, spoil: Callable[[Push, str], None]
) -> None:
    Push(tmp_path / "1", destination, "older").run()
    held = digest_folder(destination)
    candidate = Push(tmp_path / "2", destination, "newer")
    spoil(candidate, key)

    pushed = candidate.run()

    assert pushed.get_int_custom_property("pushed") == 0
    assert digest_folder(destination) == held
    assert not Path(pushed.uri).exists()


def _run_and_die(one: Push, event: str, count: int) -> None:
    """Runs the executor and sends this process SIGKILL at the n-th audit event of a kind."""
    seen = []

    def watch(name: str, _: tuple[object, ...]) -> None:
        if name == event:
            seen.append(name)
            if len(seen) == count:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    one.run()


@pytest.mark.parametrize(("event", "count"), [("shutil.copyfile", 2), ("os.rename", 1)])
def test_a_killed_push_shows_nothing_and_the_next_one_cleans_up(
    tmp_path: Path, destination: Path, event: str, count: int
) -> None:
    Push(tmp_path / "1", destination, "older").run()
    held = versions(str(destination))
    child = FORK.Process(target=_run_and_die, args=(Push(tmp_path / "2", destination, "newer"), event, count))
    child.start()
    child.join(60)

    assert child.exitcode == -signal.SIGKILL
    assert (destination / ".incoming").is_dir()
    assert versions(str(destination)) == held
    assert [path.name for path in destination.iterdir() if path.name.isdigit()] == [str(held[0].number)]

    assert Push(tmp_path / "3", destination, "newer").run().get_int_custom_property("new") == 1
    assert not (destination / ".incoming").exists()
    assert len([verify(Path(version.path)) for version in versions(str(destination))]) == 2
