"""Which features a server is asked with: those of the schema's SERVING environment. Imports no TFX."""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import schema_pb2

ENVIRONMENT = "SERVING"


def is_served(feature: schema_pb2.Feature) -> bool:
    """Whether a server is asked with a feature."""
    here = not feature.in_environment or ENVIRONMENT in feature.in_environment
    return here and ENVIRONMENT not in feature.not_in_environment


def serving_inputs(schema: schema_pb2.Schema) -> tuple[str, ...]:
    """Returns the features of the schema's SERVING environment, in the schema's order."""
    return tuple(feature.name for feature in schema.feature if is_served(feature))
