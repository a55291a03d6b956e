"""How example generators write their splits, and what they leave beside them."""

from __future__ import annotations

from collections.abc import Sequence

from tfx import types
from tfx.components.util import examples_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

REPORT = "ingestion.json"
"""File beside the splits that says what became of the raw data (`pipeline.ingestion.raw.RawReport`)."""

FILE = "data_tfrecord-00000-of-00001.gz"
"""A split's only file."""

FILE_FORMAT = "tfrecords_gzip"


def describe(examples: types.Artifact, splits: Sequence[str]) -> None:
    """Says in the metadata which splits there are and how they are written, as TFX's own generators do."""
    examples.split_names = artifact_utils.encode_split_names(list(splits))
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(examples, FILE_FORMAT)
