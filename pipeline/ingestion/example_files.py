"""How example generators write their splits, and what they leave beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx import types
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

REPORT = "ingestion.json"
"""File beside the splits that says what became of the raw data (`pipeline.ingestion.raw.RawReport`)."""

FILE = "data_tfrecord-00000-of-00001.gz"
"""A split's only file."""

FILE_FORMAT = "tfrecords_gzip"

_COUNT = "examples_"
"""Start of the names of the metadata's properties that count a split's examples."""


def describe(examples: types.Artifact, splits: Sequence[str]) -> None:
    """Says in the metadata which splits there are and how they are written, as TFX's own generators do."""
    examples.split_names = artifact_utils.encode_split_names(list(splits))
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, FILE_FORMAT)


def note_counts(examples: types.Artifact, counts: Mapping[str, int]) -> None:
    """Says in the metadata how many examples each split has."""
    for split, count in counts.items():
        examples.set_int_custom_property(_COUNT + split, count)


def read_counts(examples: mlmd.Artifact) -> dict[str, int]:
    """Returns what `note_counts` noted, from an artifact as the metadata store has it; nothing of an older one."""
    splits = artifact_utils.decode_split_names(examples.properties["split_names"].string_value)
    noted = examples.custom_properties
    return {split: noted[_COUNT + split].int_value for split in splits if _COUNT + split in noted}
