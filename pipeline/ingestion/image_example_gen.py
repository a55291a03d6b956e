"""ImageExampleGen: an example generator for folders and archives of pictures.

Pictures are decoded once, in threads, and wait in a temporary file, since what goes into every example (the mean
chroma of the training split) and which of two copies with the very same pixels is kept is only known at the end.
Memory holds a window of files and a short entry a picture.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

import numpy as np
import tensorflow as tf
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from pipeline.contract import UserError
from pipeline.fingerprint import digest_code
from pipeline.ingestion.decoding import Picture, decode_all
from pipeline.ingestion.example_files import FILE, REPORT, describe, note_counts
from pipeline.ingestion.pictures import LOCAL, FileSystem, class_of, is_system_file, not_there, read_files, split_of
from pipeline.ingestion.raw import RawReport
from pipeline.remote import is_remote, local_file

QUARANTINE = "quarantine.csv"
"""File beside the splits that lists the files that are no pictures, with the reason."""

SYSTEM_FILE = "system file"
COPY = "copy of another picture"

TRAINING_SPLIT = "train"

FEATURES = (
    "gray",
    "colour",
    "file",
    "class",
    "width",
    "height",
    "mean_luminance",
    "luminance_band",
    "colourfulness",
    "chroma",
    "train_cb",
    "train_cr",
)
"""Of an example, as `pipeline.contract.Pictures` describes them."""

GRAY_BELOW = 2.0
"""Colourfulness below which a picture is gray: what JPEG leaves of colour in a gray photo."""

REMOTE = FileSystem(fileio.open, fileio.isdir, fileio.walk)
"""Addresses such as gs://."""


class Entry(NamedTuple):
    """What memory keeps of a decoded picture.

    Attributes:
      name: of the file in its source.
      digest: `Picture.digest`.
      offset: of the picture in the temporary file.
      cb: mean chroma.
      cr: the same.
    """

    name: str
    digest: str
    offset: int
    cb: float
    cr: float


class Census(NamedTuple):
    """What became of the files of a source.

    Attributes:
      pictures: those that were decoded, by name, copies included.
      quarantine: name and reason of those that were not, by name.
      system_files: how many were not even tried.
    """

    pictures: list[Entry]
    quarantine: list[tuple[str, str]]
    system_files: int


class ImageExampleGenSpec(ComponentSpec):  # type: ignore[misc]
    """What the image example generator reads and writes."""

    PARAMETERS = {
        "source": ExecutionParameter(type=str),
        "digest": ExecutionParameter(type=str),
        "size": ExecutionParameter(type=int),
        "splits": ExecutionParameter(type=str),
        "code": ExecutionParameter(type=str),
    }
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {"examples": ChannelParameter(type=standard_artifacts.Examples)}


class Executor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Executor of the image example generator."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes `Split-<name>/data_tfrecord-00000-of-00001.gz` a split, the ingestion report and the quarantine.

        Raises:
          UserError: the source is damaged, has no usable picture, or none for a split.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        source, splits = exec_properties["source"], json.loads(exec_properties["splits"])
        describe(examples, list(splits))
        with tempfile.TemporaryFile() as scratch:
            census = take_census(source, exec_properties["size"], scratch)
            unique = _without_copies(census.pictures)
            listed = _by_split(unique, splits)
            _write_splits(examples, listed, scratch)
        note_counts(examples, {split: len(entries) for split, entries in listed.items()})
        copies = len(census.pictures) - len(unique)
        report = _report(census, copies, source.rstrip("/").rpartition("/")[2], exec_properties["digest"])
        _write_text(os.path.join(examples.uri, REPORT), report.model_dump_json(indent=2))
        _write_text(os.path.join(examples.uri, QUARANTINE), _as_csv(census.quarantine))


class ImageExampleGen(base_component.BaseComponent):  # type: ignore[misc]
    """Generates examples from a folder or an archive of pictures (see `pipeline.contract.Pictures`)."""

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, source: str, digest: str, size: int, splits: Mapping[str, int]) -> None:
        """Builds the component.

        Args:
          source: path, or an address such as gs://, of a folder, .tar, .tar.gz or .zip.
          digest: of its content; with this code's digest part of the cache key.
          size: pixels on each side of the examples' pictures.
          splits: name -> percent of the pictures, 100 in all, `train` among them.
        """
        super().__init__(
            ImageExampleGenSpec(
                source=source,
                digest=digest,
                size=size,
                splits=json.dumps(dict(splits)),  # In this order, in which the percents add up.
                code=digest_code(__name__),
                examples=types.Channel(type=standard_artifacts.Examples),
            )
        )


def take_census(source: str, size: int, scratch: IO[bytes]) -> Census:
    """Decodes all pictures of a source into a temporary file.

    Args:
      source: path or address.
      size: pixels on each side.
      scratch: receives the pictures.

    Raises:
      UserError: the source is damaged, or has no usable picture.
    """
    pictures: list[Entry] = []
    quarantine: list[tuple[str, str]] = []
    system_files: list[str] = []
    for name, picture in decode_all(_tried(source, system_files), size):
        if isinstance(picture, str):
            quarantine.append((name, picture))
        else:
            pictures.append(Entry(name, picture.digest, scratch.tell(), picture.cb, picture.cr))
            pickle.dump(picture, scratch)
    census = Census(sorted(pictures), sorted(quarantine), len(system_files))
    if not pictures:
        raise _no_picture(census)
    return census


def to_example(name: str, label: str, picture: Picture, tint: tuple[float, float]) -> bytes:
    """Returns a serialized tf.Example with the features of `FEATURES`.

    Args:
      name: of the file.
      label: its class.
      picture: the decoded picture.
      tint: mean chroma of the training split.
    """
    values: dict[str, bytes | str | int | float] = {
        "gray": picture.gray,
        "colour": picture.colour,
        "file": name,
        "class": label,
        "width": picture.width,
        "height": picture.height,
        "mean_luminance": picture.mean_luminance,
        "luminance_band": ("dark", "middle", "bright")[min(int(3 * picture.mean_luminance), 2)],
        "colourfulness": picture.colourfulness,
        "chroma": "gray" if picture.colourfulness < GRAY_BELOW else "colour",
        "train_cb": tint[0],
        "train_cr": tint[1],
    }
    features = tf.train.Features(feature={key: _feature(value) for key, value in values.items()})
    record: bytes = tf.train.Example(features=features).SerializeToString(deterministic=True)
    return record


def _tried(source: str, system_files: list[str]) -> Iterator[tuple[str, bytes | str]]:
    with _reachable(source) as (path, system):
        for name, data in read_files(path, system):
            if is_system_file(name):
                system_files.append(name)
            else:
                yield name, data


@contextmanager
def _reachable(source: str) -> Iterator[tuple[str, FileSystem]]:
    """Yields where to read a source, and how: a remote archive is copied, as reading a zip jumps to and fro."""
    if not is_remote(source):
        yield source, LOCAL
    elif fileio.isdir(source):
        yield source, REMOTE
    elif not fileio.exists(source):
        raise not_there(source)
    else:
        with local_file(source) as path:
            yield str(path), LOCAL


def _no_picture(census: Census) -> UserError:
    example = "".join(f"; {name}: {reason}" for name, reason in census.quarantine[:1])
    return UserError(
        expected="at least one usable picture",
        received=f"{len(census.quarantine)} files, none of which is one{example}",
        todo="look at the files, and convert or download them again",
    )


def _without_copies(pictures: Sequence[Entry]) -> list[Entry]:
    """Of pictures with the very same pixels the first by name: copies would weigh twice."""
    first: dict[str, Entry] = {}
    for entry in pictures:
        first.setdefault(entry.digest, entry)
    return list(first.values())


def _by_split(pictures: Sequence[Entry], splits: Mapping[str, int]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {split: [] for split in splits}
    for entry in pictures:
        found[split_of(entry.digest, splits)].append(entry)
    for split, entries in found.items():
        if not entries:
            raise UserError(
                expected=f"at least one picture in the split {split!r}",
                received=f"none, of {len(pictures)} different pictures in all",
                todo="bring more pictures",
            )
    return found


def _write_splits(examples: types.Artifact, entries: Mapping[str, Sequence[Entry]], scratch: IO[bytes]) -> None:
    training = entries[TRAINING_SPLIT]
    # All pictures have the same number of pixels, so that the mean over pictures is the mean over pixels.
    tint = float(np.mean([entry.cb for entry in training])), float(np.mean([entry.cr for entry in training]))
    folders = len({entry.name.rpartition("/")[0] for listed in entries.values() for entry in listed} - {""})
    for split, listed in entries.items():
        folder = artifact_utils.get_split_uri([examples], split)
        fileio.makedirs(folder)
        with tf.io.TFRecordWriter(os.path.join(folder, FILE), options="GZIP") as writer:
            for entry in listed:
                scratch.seek(entry.offset)
                picture: Picture = pickle.load(scratch)
                writer.write(to_example(entry.name, class_of(entry.name, folders), picture, tint))


def _feature(value: bytes | str | float) -> tf.train.Feature:
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    if isinstance(value, float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    encoded = value.encode() if isinstance(value, str) else value
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))


def _report(census: Census, copies: int, source: str, digest: str) -> RawReport:
    reasons = Counter(reason.partition(", received ")[0] for _, reason in census.quarantine)
    return RawReport(
        unit="files",
        source=source,
        source_sha256=digest,
        rows_read=len(census.pictures) + len(census.quarantine),
        rows_usable=len(census.pictures),
        quarantined=len(census.quarantine),
        quarantined_by_reason=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        left_out={SYSTEM_FILE: census.system_files, COPY: copies},
        forbidden={},
    )


def _as_csv(quarantine: Sequence[tuple[str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("file", "reason"), *quarantine])
    return text.getvalue()


def _write_text(path: str, text: str) -> None:
    # As bytes, since text mode would encode as the machine's locale says.
    with fileio.open(path, "wb") as file:
        file.write(text.encode())
