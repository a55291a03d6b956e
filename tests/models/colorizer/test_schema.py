"""One source for names: features, schema and signatures agree."""

from __future__ import annotations

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from models.colorizer import MODEL, features
from pipeline.contract import Pictures, resource
from pipeline.serving_inputs import serving_inputs

NAMES = {value for name, value in vars(features).items() if name.isupper() and isinstance(value, str)}
OUTSIDE_EXAMPLES = {features.RGB, features.ENCODED, features.PNG}


def schema() -> schema_pb2.Schema:
    return text_format.Parse(resource(MODEL.schema_file).read_text(), schema_pb2.Schema())


def test_the_schema_has_the_features_by_their_names() -> None:
    assert {feature.name for feature in schema().feature} == NAMES - OUTSIDE_EXAMPLES


def test_a_server_is_asked_with_the_gray_picture_alone() -> None:
    assert serving_inputs(schema()) == features.INPUTS


def test_every_feature_is_described_in_the_contract() -> None:
    assert all(f"`{name}`" in (Pictures.__doc__ or "") for name in NAMES - OUTSIDE_EXAMPLES)
