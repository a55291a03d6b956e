"""All that a report is made of: a run's record, its part of the metadata store, and the files that both name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import parquet

from pipeline import illustrations, predictions
from pipeline.contract import Model, find_model
from pipeline.ingestion.raw import RawReport
from pipeline.push import Manifest, is_bucket
from pipeline.verdict import JUDGED_SPLIT
from runners.pushed_models import read_manifest
from runners.records import find_record
from runners.reports import samples
from runners.reports.store import Artifact, Execution, Store, open_store
from runners.run import RunResult

Parsed = TypeVar("Parsed")

INGESTION = "ingestion.json"
TRAINING = "training.json"


@dataclass(frozen=True)
class Facts:
    """What is known of a run. What is read of it is read when it is first asked for.

    Attributes:
      root: of the runs.
      result: the run's record.
      model: the contract, as it is now.
      store: the root's metadata; None where there is none.
    """

    root: Path
    result: RunResult
    model: Model
    store: Store | None

    @cached_property
    def nodes(self) -> dict[str, Execution]:
        """Node -> what it did in this run, in the order in which they ran."""
        return self.store.run(self.result.run_id) if self.store else {}

    def artifact(self, node: str, key: str) -> Artifact | None:
        """Returns what a node made under a key in this run, or took from the cache; None if it did not get there."""
        execution = self.nodes.get(node)
        found = execution.outputs.get(key, []) if execution and execution.state in ("COMPLETE", "CACHED") else []
        return found[0] if found else None

    def folder(self, node: str, key: str) -> Path | None:
        """Returns the folder of such an artifact, if it is still there."""
        artifact = self.artifact(node, key)
        return Path(artifact.uri) if artifact and Path(artifact.uri).exists() else None

    @cached_property
    def ingestion(self) -> RawReport | None:
        """What became of the raw data."""
        return _read(self.folder("ExampleGen", "examples"), INGESTION, RawReport.model_validate_json)

    @cached_property
    def examples(self) -> Mapping[str, pa.Table]:
        """Split -> its examples, at most `samples.ROWS` of them; none where they are gone."""
        artifact = self.artifact("ExampleGen", "examples")
        return samples.of_artifact(artifact) if artifact else {}

    @cached_property
    def training(self) -> dict[str, Any] | None:
        """What the trainer left in `training.json`."""
        return _read(self.folder("Trainer", "model_run"), TRAINING, json.loads)

    @cached_property
    def predictions(self) -> Mapping[str, pa.Table]:
        """Split -> its rows with what was predicted; none if the serving gate was not passed."""
        folder = Path(self.result.folder, predictions.FOLDER)
        files = {split: folder / f"{split}.parquet" for split in self.result.predictions}
        return {split: parquet.read_table(file) for split, file in files.items() if file.is_file()}

    @cached_property
    def illustrations(self) -> pa.Table | None:
        """Rows of the eval split that are kept as pictures; None where the model keeps none."""
        file = Path(self.result.folder, illustrations.FOLDER, f"{JUDGED_SPLIT}.parquet")
        return parquet.read_table(file) if file.is_file() else None

    @cached_property
    def manifest(self) -> Manifest | None:
        """Of the pushed version that holds this run's model."""
        return manifest_of(self.result.pushed)

    @cached_property
    def champion(self) -> Manifest | None:
        """Of the version that the candidate was compared with."""
        return manifest_of(self.result.champion)


def gather(root: Path, run: str | None) -> Facts:
    """Returns the facts of a run; of the newest one if none is named.

    Raises:
      UserError: there is no such run.
    """
    result = find_record(root, run)
    return Facts(root, result, find_model(result.model), open_store(root))


def manifest_of(version: str | None) -> Manifest | None:
    """Returns the manifest in the folder of a pushed version; None where it is gone, or cannot be read."""
    if version is None or is_bucket(version):
        return None
    destination, _, number = version.rstrip("/").rpartition("/")
    return read_manifest(destination, number)


def version_of(address: str) -> str:
    """Returns the number of a version, from the address of its folder."""
    return address.rstrip("/").rpartition("/")[2]


def _read(folder: Path | None, name: str, parse: Callable[[bytes], Parsed]) -> Parsed | None:
    return parse((folder / name).read_bytes()) if folder and (folder / name).is_file() else None
