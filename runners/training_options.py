"""What a training job is told besides MODEL: hyper-parameters as flags, and what Vertex says in AIP_* variables.

Imports nothing heavy, and reads no environment by itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contract import Model, UserError
from pipeline.settings import make_settings

SPLITS = {
    "train": "AIP_TRAINING_DATA_URI",
    "eval": "AIP_VALIDATION_DATA_URI",
    "test": "AIP_TEST_DATA_URI",
}
"""Split -> the variable in which Vertex names its files, as a pattern."""

FORMAT = "AIP_DATA_FORMAT"
TFRECORD = "tfrecord"
"""The one format of `AIP_DATA_FORMAT` that holds a model's examples. Vertex's managed data sets export others."""


@dataclass(frozen=True)
class Transformed:
    """Examples as Transform wrote them, and how it made them.

    Attributes:
      examples: folder with `Split-train`; local, or `gs://bucket/folder`.
      graph: folder of the `transform_graph`.
    """

    examples: str
    graph: str


@dataclass(frozen=True)
class Records:
    """A model's raw examples, as ingestion would write them: TFRecords of tf.Examples, `.gz` or not.

    Attributes:
      patterns: split -> pattern of its files.
    """

    patterns: Mapping[str, str]

    def below(self) -> tuple[str, dict[str, str]]:
        """Returns the folder that holds all of them, and the patterns below it.

        Raises:
          UserError: there is none, since they are in several buckets.
        """
        folder = _common_folder(list(self.patterns.values()))
        if not folder.removeprefix("gs:").strip("/"):
            raise UserError(
                expected=f"{', '.join(SPLITS.values())} below one folder or bucket",
                received=", ".join(self.patterns.values()),
                todo="copy the examples to one bucket",
            )
        return folder, {split: pattern[len(folder) + 1 :] for split, pattern in self.patterns.items()}


def _common_folder(patterns: Sequence[str]) -> str:
    """By whole names of folders: `os.path.commonpath` makes `gs:/` of `gs://`."""
    parts = [pattern.split("/")[:-1] for pattern in patterns]
    alike = 0
    while all(len(part) > alike and part[alike] == parts[0][alike] for part in parts):
        alike += 1
    return "/".join(parts[0][:alike])


@dataclass(frozen=True)
class Places:
    """Where a training job writes, each a local folder or `gs://bucket/folder`.

    Attributes:
      model: the SavedModel itself, as Vertex uploads it.
      logs: TensorBoard's.
      checkpoints: what an interrupted training goes on from.
    """

    model: str
    logs: str
    checkpoints: str


def find_places(folder: Path, environment: Mapping[str, str]) -> Places:
    """Returns the folders that Vertex names; those below `folder` where it names none."""

    def place(variable: str, name: str) -> str:
        return environment.get(variable, "").rstrip("/") or str(folder / name)

    return Places(
        model=place("AIP_MODEL_DIR", "model"),
        logs=place("AIP_TENSORBOARD_LOG_DIR", "logs"),
        checkpoints=place("AIP_CHECKPOINT_DIR", "checkpoints"),
    )


def find_records(environment: Mapping[str, str]) -> Records | None:
    """Returns the examples that Vertex names in AIP_* variables, or None.

    Raises:
      UserError: not all splits are named, or they are no tf.Examples.
    """
    found = {split: environment[variable] for split, variable in SPLITS.items() if environment.get(variable)}
    if not found:
        return None
    if len(found) < len(SPLITS):
        raise UserError(
            expected=f"all of {', '.join(SPLITS.values())}",
            received=", ".join(SPLITS[split] for split in found),
            todo="name the others too, or none of them",
        )
    if environment.get(FORMAT, TFRECORD) != TFRECORD:
        raise UserError(
            expected=f"{FORMAT}={TFRECORD}: examples as this model's ingestion writes them, in its own splits",
            received=f"{FORMAT}={environment[FORMAT]}, raw rows in the splits of a managed data set",
            todo="name the raw data with --data: the model's own query or pictures decide on the splits",
        )
    return Records(found)


def check_source(data: str | None, examples: str | None, graph: str | None) -> None:
    """Refuses what does not go together.

    Raises:
      UserError: too much was typed, or too little.
    """
    typed = {"--data": data, "--examples": examples, "--transform-graph": graph}
    if bool(examples) != bool(graph) or (data and examples):
        raise UserError(
            expected="--data, or --examples together with --transform-graph",
            received=" and ".join(name for name, value in typed.items() if value),
            todo="name raw data, or both of what a Transform wrote: transformed_examples and transform_graph",
        )


def check_untuned(model: Model, layers: tuple[Mapping[str, Any], ...]) -> None:
    """Refuses a search for hyper-parameters: it is a node of the pipeline's, and what it found lies in its metadata.

    Raises:
      UserError: the settings ask for one, or cannot be used.
    """
    tuning = make_settings(model, *layers).training.tuning
    if tuning != "off":
        raise UserError(
            expected="training.tuning=off: a training job trains with the settings that it is told",
            received=f"training.tuning={tuning}",
            todo="search in a run, pipelines run … --set tuning=search, and pass on what it found as flags",
        )


def find_source(
    data: str | None, examples: str | None, graph: str | None, environment: Mapping[str, str]
) -> Transformed | Records | Path | None:
    """Returns what to train on: what was typed, or what Vertex names; None for the generated sample.

    Raises:
      UserError: see `mounted` and `find_records`.
    """
    if examples and graph:
        return Transformed(examples.rstrip("/"), graph.rstrip("/"))
    return mounted(data) if data else find_records(environment)


def mounted(data: str) -> Path:
    """Returns the path of raw data; of `gs://`, where Vertex mounts the bucket.

    Raises:
      UserError: the bucket is not mounted.
    """
    if not data.startswith("gs://"):
        return Path(data)
    path = Path("/gcs") / data[len("gs://") :]
    if not path.exists():
        raise UserError(
            expected=f"{data} at {path}, where a training job on Vertex AI finds it",
            received="no such file or folder",
            todo="correct --data; on another machine, copy the data to it first",
        )
    return path


def read_flags(model: Model, words: Sequence[str]) -> list[str]:
    """Returns `--learning-rate 0.01` and `--learning_rate=0.01` as `["training.learning_rate=0.01", …]`.

    Raises:
      UserError: a word that is no flag, a flag of no training setting, or one without a value.
    """
    known = list(type(model.settings().training).model_fields)
    assignments, rest = [], list(words)
    while rest:
        word, equals, value = rest.pop(0).partition("=")
        name = word[2:].replace("-", "_").removeprefix("training.")
        if not word.startswith("--") or name not in known:
            raise _unknown(model, word, name, known)
        if not equals and (not rest or rest[0].startswith("--")):
            raise UserError(expected=f"a value after {word}", received="none", todo=f"write {word} VALUE")
        assignments.append(f"training.{name}={value if equals else rest.pop(0)}")
    return assignments


def _unknown(model: Model, word: str, name: str, known: list[str]) -> UserError:
    near = [_flag(match) for match in difflib.get_close_matches(name, known, n=3)]
    return UserError(
        expected=f"a training setting of {model.name} as a flag: {', '.join(map(_flag, known))}",
        received=word,
        todo=f"did you mean {' or '.join(near)}?" if near else "correct it; other settings are set with --set",
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
