"""StatisticsGen's statistics, read for people: a few numbers of each feature and split. Imports no TFX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from pipeline.contract import Model, resource
from pipeline.serving_inputs import is_served
from runners.reports.samples import splits_of
from runners.reports.store import Artifact

FREQUENT = 4
"""Values of a category that are named."""

_KINDS = {
    statistics_pb2.FeatureNameStatistics.INT: "whole number",
    statistics_pb2.FeatureNameStatistics.FLOAT: "number",
}


class Numbers(NamedTuple):
    """A numeric feature in a split. Least, greatest and what is between are of the values that are there."""

    missing: int
    zeros: int
    least: float
    median: float
    mean: float
    deviation: float
    greatest: float


class Values(NamedTuple):
    """A feature of texts in a split.

    Attributes:
      missing: rows without it.
      distinct: how many different values there are.
      repeated: whether values come back: those of ids and names do not, and the most frequent ones say nothing.
      frequent: value and its share of the rows that have one, the most frequent first.
    """

    missing: int
    distinct: int
    repeated: bool
    frequent: tuple[tuple[str, float], ...]


class Described(NamedTuple):
    """A feature: `kind` of its values, what it is for (`role`), and split -> its statistics; none of bytes."""

    name: str
    kind: str
    role: str
    splits: Mapping[str, Numbers | Values]


def describe(statistics: Artifact, schema: schema_pb2.Schema, model: Model) -> list[Described]:
    """Returns the features that the statistics know: in the schema's order, then those that it does not know."""
    known = {feature.name: feature for feature in schema.feature}
    read = _read(statistics)
    names = list(dict.fromkeys([*known, *(name for features in read.values() for name in features)]))
    found = {name: _alike({split: each[name] for split, each in read.items() if name in each}) for name in names}
    return [
        Described(name, _kind(splits), role_of(name, known.get(name), model), _numbers(splits))
        for name, splits in found.items()
        if splits
    ]


def read_schema(folder: Path | None, model: Model) -> schema_pb2.Schema:
    """Returns the schema that a run was judged by; the one of now where that is gone."""
    file = next(iter(folder.glob("*.pbtxt")), None) if folder else None
    return text_format.Parse((file or resource(model.schema_file)).read_text(encoding="utf-8"), schema_pb2.Schema())


def role_of(name: str, feature: schema_pb2.Feature | None, model: Model) -> str:
    """Returns what a feature is for, in words."""
    if feature is None:
        return "not in the schema"
    if name == model.label:
        return "label: what is predicted"
    if is_served(feature):
        return "input of the model"
    if name in model.key:
        return "says which row it is"
    return "weight in totals" if name == model.weight else "for metrics and people"


def _read(artifact: Artifact) -> dict[str, dict[str, statistics_pb2.FeatureNameStatistics]]:
    """Split -> feature -> its statistics, of the splits whose files are still there."""
    files = {split: Path(artifact.uri, f"Split-{split}", "FeatureStats.pb") for split in splits_of(artifact)}
    parse = statistics_pb2.DatasetFeatureStatisticsList.FromString
    return {
        split: {".".join(found.path.step): found for found in parse(file.read_bytes()).datasets[0].features}
        for split, file in files.items()
        if file.is_file()
    }


def _alike(
    splits: Mapping[str, statistics_pb2.FeatureNameStatistics],
) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    """The splits in which a feature is of the same kind as in the first; where it is not, the data gate says so."""
    kinds = {split: found.WhichOneof("stats") for split, found in splits.items()}
    return {split: found for split, found in splits.items() if kinds[split] == next(iter(kinds.values()))}


def _kind(splits: Mapping[str, statistics_pb2.FeatureNameStatistics]) -> str:
    first = next(iter(splits.values()))
    if first.HasField("string_stats"):
        return "bytes" if any(found.string_stats.invalid_utf8_count for found in splits.values()) else "text"
    return _KINDS.get(first.type, "bytes") if first.HasField("num_stats") else "bytes"


def _numbers(splits: Mapping[str, statistics_pb2.FeatureNameStatistics]) -> dict[str, Numbers | Values]:
    if _kind(splits) == "bytes":
        return {}
    return {
        split: _of_numbers(found.num_stats) if found.HasField("num_stats") else _of_values(found.string_stats)
        for split, found in splits.items()
    }


def _of_numbers(stats: statistics_pb2.NumericStatistics) -> Numbers:
    missing = stats.common_stats.num_missing
    return Numbers(missing, stats.num_zeros, stats.min, stats.median, stats.mean, stats.std_dev, stats.max)


def _of_values(stats: statistics_pb2.StringStatistics) -> Values:
    rows = max(1, stats.common_stats.num_non_missing)
    buckets = sorted(stats.rank_histogram.buckets, key=lambda bucket: bucket.low_rank)[:FREQUENT]
    frequent = tuple((bucket.label, bucket.sample_count / rows) for bucket in buckets)
    return Values(stats.common_stats.num_missing, stats.unique, stats.unique <= rows / 2, frequent)
