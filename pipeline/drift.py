"""Drift and skew: how far the values of each feature are from those of other examples.

The distances are TensorFlow Data Validation's: Jensen-Shannon divergence of numbers, L-infinity of categories. It takes
the quantiles that StatisticsGen computes by default, and not its histogram of equal widths: one large order stretches
that, so that two splits of the same shop come out .67 apart where their quantiles say .09.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from pipeline.contract import Distances, GateSettings, Limit, UserError
from pipeline.serving_inputs import is_served
from pipeline.verdict import Check, at_most, bound_text, number, within

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatistics

TRAINING_SPLIT = "train"
NUMERIC = (schema_pb2.INT, schema_pb2.FLOAT)

MISSED_ROWS = 30
"""A value of so many rows is missed when it is gone: by chance no sample of the same values is without it."""


class Pair(NamedTuple):
    """Examples, and those that they are compared with.

    Attributes:
      what: `drift` against an earlier run, `skew` between the splits of one.
      split: the one that is judged.
      found: its statistics.
      other: those of what it is compared with.
      origin: what that is, in words.
    """

    what: Literal["drift", "skew"]
    split: str
    found: Statistics
    other: Statistics
    origin: str


def distribution_checks(
    splits: Mapping[str, Statistics],
    reference: Statistics | str,
    schema: schema_pb2.Schema,
    gates: GateSettings,
) -> Iterator[Check]:
    """Yields a check for each distance: of drift and growth on the training split, of skew on each other split.

    Args:
      splits: statistics of this run, by split.
      reference: statistics of the last pushed run's training split, or why there are none.
      schema: the curated schema.
      gates: limits, and what is allowed.

    Raises:
      UserError: a limit names a feature that the schema does not have.
    """
    train = splits[TRAINING_SPLIT]
    if isinstance(reference, str):
        yield _no_reference(reference)
    else:
        pair = Pair("drift", TRAINING_SPLIT, train, reference, "the last pushed run")
        # By the others' rows alone: that hardly any example is left must not excuse it.
        yield _binding(growth_check(pair, gates.growth), reference.num_examples, gates.min_compared_rows)
        yield from lost_value_checks(pair, compared(schema, gates.drift), gates.allowed_anomalies)
        yield from distance_checks(pair, schema, gates.drift, gates)
    for split in (split for split in splits if split != TRAINING_SPLIT):
        pair = Pair("skew", split, splits[split], train, "the training split")
        yield from distance_checks(pair, schema, gates.skew, gates)


# --- what is compared ----------------------------------------------------------------------------


def compared(schema: schema_pb2.Schema, bounds: Distances) -> list[schema_pb2.Feature]:
    """Returns the features to compare, in the schema's order: see `pipeline.contract.Distances`.

    Raises:
      UserError: a limit names a feature that the schema does not have.
    """
    names = [feature.name for feature in schema.feature]
    strangers = sorted(set(bounds.features) - set(names))
    if strangers:
        raise UserError(
            expected=f"limits of drift and skew for features of the schema: {', '.join(names)}",
            received=", ".join(strangers),
            todo="correct gates.drift.features or gates.skew.features",
        )
    return [feature for feature in schema.feature if feature.name in bounds.features or _is_input(feature)]


def _is_input(feature: schema_pb2.Feature) -> bool:
    """A serving input with values that can be counted: text without a domain (a picture, an id) has none."""
    countable = feature.type in NUMERIC or feature.WhichOneof("domain_info") in ("domain", "string_domain")
    return countable and is_served(feature)


# --- distances -----------------------------------------------------------------------------------


def distances(found: Statistics, other: Statistics, features: Iterable[schema_pb2.Feature]) -> dict[str, float]:
    """Returns feature -> distance, 0 to 1, for the features that both sides have in comparable types."""
    schema = schema_pb2.Schema(feature=[_comparator(feature) for feature in features])
    anomalies = tfdv.validate_statistics(_listed(found), schema, previous_statistics=_listed(other))
    return {info.path.step[0]: info.drift_measurements[0].value for info in anomalies.drift_skew_info}


def _comparator(feature: schema_pb2.Feature) -> schema_pb2.Feature:
    """TFDV measures what has a threshold; ours are judged here, so that distances within them are reported too."""
    asked = schema_pb2.Feature(name=feature.name, type=feature.type)
    if feature.type in NUMERIC:
        asked.drift_comparator.jensen_shannon_divergence.threshold = 1
        asked.drift_comparator.jensen_shannon_divergence.source.type = schema_pb2.HistogramSelection.QUANTILES
    else:
        asked.drift_comparator.infinity_norm.threshold = 1
    return asked


def _listed(statistics: Statistics) -> statistics_pb2.DatasetFeatureStatisticsList:
    return statistics_pb2.DatasetFeatureStatisticsList(datasets=[statistics])


# --- checks --------------------------------------------------------------------------------------


def distance_checks(pair: Pair, schema: schema_pb2.Schema, bounds: Distances, gates: GateSettings) -> Iterator[Check]:
    """Yields one check a feature; see `distribution_checks`."""
    features = compared(schema, bounds)
    values = distances(pair.found, pair.other, features)
    rows = min(pair.found.num_examples, pair.other.num_examples)
    for feature in features:
        kind = bounds.numeric if feature.type in NUMERIC else bounds.categorical
        limit = bounds.features.get(feature.name, kind)
        check = _distance_check(pair, feature.name, limit, values.get(feature.name))
        yield _binding(_allowed(check, feature.name, gates.allowed_anomalies), rows, gates.min_compared_rows)


def _distance_check(pair: Pair, name: str, limit: Limit, value: float | None) -> Check:
    metric = f"{pair.what} of {name}"
    if value is not None:
        note = f"{describe_shift(name, pair)}; {limit.reason}"
        return within(limit, value, gate="data", metric=metric, where=pair.split, note=note)
    new = _feature(name, pair.other) is None
    return Check(
        gate="data",
        metric=metric,
        slice=pair.split,
        bound=bound_text(limit),
        value="not comparable",
        passed=new,
        note=f"{pair.origin} has no such feature"
        if new
        else f"it is missing, or of another type than in {pair.origin}",
    )


def growth_check(pair: Pair, limit: Limit) -> Check:
    """Returns the check on the number of examples, as a share of the others'."""
    now, then = pair.found.num_examples, pair.other.num_examples
    note = f"{now:,} instead of {then:,} examples; {limit.reason}"
    return within(limit, now / max(then, 1), gate="data", metric="growth", where=pair.split, note=note)


def lost_value_checks(
    pair: Pair, features: Iterable[schema_pb2.Feature], allowed: Mapping[str, str]
) -> Iterator[Check]:
    """Yields one check a category: no value that `MISSED_ROWS` rows had may be gone, however small its share.

    Features with more values than statistics list (1,000) are left out: a value may be there, unlisted.
    """
    for name in (feature.name for feature in features if feature.type not in NUMERIC):
        now, then = _counts(name, pair.found), _counts(name, pair.other)
        found = _feature(name, pair.found)
        if not now or found is None or len(now) < found.string_stats.unique:
            continue
        lost = {value: rows for value, rows in then.items() if rows >= MISSED_ROWS and value not in now}
        note = f"gone since {pair.origin}: " + ", ".join(f"{value} ({rows:g} rows)" for value, rows in lost.items())
        check = at_most(0, len(lost), gate="data", metric=f"lost values of {name}", where=pair.split, note=note)
        yield _allowed(check, name, allowed)


def describe_shift(name: str, pair: Pair) -> str:
    """Says what moved: the median of a number, or the value whose share moved most."""
    found, other = _feature(name, pair.found), _feature(name, pair.other)
    if found and other and found.HasField("num_stats") and other.HasField("num_stats"):
        now, then = number(found.num_stats.median), number(other.num_stats.median)
        return f"its median is {now}, and {then} in {pair.origin}"
    here, there = _shares(name, pair.found), _shares(name, pair.other)
    value = max({**here, **there}, key=lambda value: abs(here.get(value, 0.0) - there.get(value, 0.0)))
    return f"{value} is in {here.get(value, 0.0):.1%} of the rows, and in {there.get(value, 0.0):.1%} in {pair.origin}"


def _no_reference(why: str) -> Check:
    note = f"{why}: there is nothing to compare with"
    return Check(
        gate="data", metric="drift", slice=TRAINING_SPLIT, bound="none", value="unknown", passed=True, note=note
    )


def _allowed(check: Check, name: str, allowed: Mapping[str, str]) -> Check:
    if check.passed or name not in allowed:
        return check
    return check.model_copy(update={"passed": True, "shortfall": None, "note": f"allowed: {allowed[name]}"})


def _binding(check: Check, rows: int, min_rows: int) -> Check:
    """Few rows scatter: what they come to is reported, and refuses nothing."""
    if rows >= min_rows:
        return check
    note = f"only {rows} rows, bounds hold from {min_rows}"
    return check.model_copy(update={"passed": True, "shortfall": None, "note": note, "binding": False})


# --- statistics ----------------------------------------------------------------------------------


def _feature(name: str, statistics: Statistics) -> statistics_pb2.FeatureNameStatistics | None:
    return next((feature for feature in statistics.features if list(feature.path.step) == [name]), None)


def _counts(name: str, statistics: Statistics) -> dict[str, float]:
    """Returns value -> rows of a category, the most frequent first."""
    feature = _feature(name, statistics)
    return (
        {bucket.label: bucket.sample_count for bucket in feature.string_stats.rank_histogram.buckets} if feature else {}
    )


def _shares(name: str, statistics: Statistics) -> dict[str, float]:
    counts = _counts(name, statistics)
    rows = sum(counts.values())
    return {value: count / rows for value, count in counts.items()}
