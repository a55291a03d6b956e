"""What Transform writes of an example, run by Transform's own code."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from discs import discs, gray_of, png
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from models.colorizer import features
from models.colorizer.preprocessing import preprocessing_fn


def test_both_pictures_pass_through_byte_by_byte_and_nothing_else_does(tmp_path: Path) -> None:
    rows = [
        {features.GRAY: png(gray_of(picture)), features.COLOUR: png(picture), features.FILE: b"a.png"}
        for picture in discs(3)
    ]
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in rows[0]}
    raw = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(temp_dir=str(tmp_path / "tmp")):
        (examples, metadata), _ = (pipeline | beam.Create(rows), raw) | tft_beam.AnalyzeAndTransformDataset(
            preprocessing_fn
        )
        encode = tft.coders.ExampleProtoCoder(metadata.schema).encode
        write = beam.io.WriteToTFRecord(str(tmp_path / "examples"), file_name_suffix=".gz")
        _ = examples | beam.Map(encode) | write

    records = tf.data.TFRecordDataset(tf.io.gfile.glob(f"{tmp_path}/examples-*"), "GZIP").as_numpy_iterator()
    found = [tf.train.Example.FromString(record).features.feature for record in records]
    assert all(set(row) == {features.GRAY, features.COLOUR} for row in found)
    written = {tuple(row[name].bytes_list.value[0] for name in (features.GRAY, features.COLOUR)) for row in found}
    assert written == {(row[features.GRAY], row[features.COLOUR]) for row in rows}
