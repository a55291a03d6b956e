"""The data gate: stops a run whose raw rows or examples are not what they should be.

TFX's ExampleValidator only reports; this component reads its anomalies, what ingestion counted, and how far the
examples are from those of the last pushed run and the splits from one another, and raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx import types
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import io_utils

from pipeline.contract import GateSettings, UserError
from pipeline.drift import TRAINING_SPLIT, distribution_checks
from pipeline.fingerprint import digest_code
from pipeline.gate import GateReport, conclude
from pipeline.ingestion.example_files import REPORT
from pipeline.ingestion.raw import RawReport
from pipeline.verdict import Check, at_most

JUDGED_BY = {
    "max_quarantined_share",
    "allowed_anomalies",
    "drift",
    "skew",
    "growth",
    "min_compared_rows",
}
"""The gates' settings that this gate depends on; others do not run it again."""

WHOLE_SPLIT = "the whole split"
"""What stands in the place of a feature's name for an anomaly of no feature."""

# --- raw rows ----------------------------------------------------------------------------------------


def raw_checks(report: RawReport, max_quarantined_share: float) -> Iterator[Check]:
    """Yields the checks on raw rows, which aggregation would hide from the schema.

    Args:
      report: what ingestion counted.
      max_quarantined_share: share of the rows read that may be unusable.
    """
    where = f"raw {report.unit}"
    reasons = ", ".join(f"{count:,} x {reason}" for reason, count in report.quarantined_by_reason.items())
    yield at_most(
        max_quarantined_share,
        report.quarantined / report.rows_read,
        gate="data",
        metric="quarantined share",
        where=where,
        note=f"{report.quarantined:,} of {report.rows_read:,} {report.unit} are unusable: {reasons}" if reasons else "",
    )
    for name, found in report.forbidden.items():
        note = f"for instance {found.examples[0]}" if found.examples else ""
        yield at_most(0, found.rows, gate="data", metric=f"{report.unit} with {name}", where=where, note=note)


# --- examples ----------------------------------------------------------------------------------------


def anomaly_checks(
    split: str,
    anomalies: anomalies_pb2.Anomalies,
    schema: schema_pb2.Schema,
    statistics: statistics_pb2.DatasetFeatureStatistics,
    allowed: Mapping[str, str],
) -> Iterator[Check]:
    """Yields one check an anomaly, or a single passed one where a split has none.

    Args:
      split: name of the split.
      anomalies: what ExampleValidator found in it.
      schema: the curated schema, which says what was expected.
      statistics: of the split, which say what was received.
      allowed: feature -> reason why its anomalies may pass.
    """
    found = dict(anomalies.anomaly_info)
    if anomalies.HasField("dataset_anomaly_info"):
        found[WHOLE_SPLIT] = anomalies.dataset_anomaly_info
    for feature, anomaly in sorted(found.items()):
        received = describe_statistics(feature, statistics)
        yield Check(
            gate="data",
            metric=f"schema: {feature}",
            slice=split,
            bound=describe_schema(feature, schema),
            value=received,
            passed=feature in allowed,
            note=f"allowed: {allowed[feature]}" if feature in allowed else anomaly.description,
        )
    if not found:
        yield Check(gate="data", metric="schema anomalies", slice=split, bound="none", value="none", passed=True)


def describe_schema(name: str, schema: schema_pb2.Schema) -> str:
    """Returns what a schema expects of a feature, in words: `INT, 1 .. 400, in 100% of rows`."""
    if name == WHOLE_SPLIT:
        return f"at least {schema.dataset_constraints.min_examples_count} examples"
    feature = next((feature for feature in schema.feature if feature.name == name), None)
    if feature is None:
        return "no such feature"
    words = [schema_pb2.FeatureType.Name(feature.type)]
    kind = feature.WhichOneof("domain_info")
    if kind in ("int_domain", "float_domain"):
        domain = getattr(feature, kind)
        words.append(f"{domain.min:g} .. {domain.max:g}")
    elif kind in ("domain", "string_domain"):
        share = _least_known_share(feature)
        words.append(f"{len(_known_values(feature, schema))} known values in at least {share:.0%} of rows")
    if feature.presence.min_fraction:
        words.append(f"in {feature.presence.min_fraction:.0%} of rows")
    return ", ".join(words)


def describe_statistics(name: str, statistics: statistics_pb2.DatasetFeatureStatistics) -> str:
    """Returns what a split holds of a feature, in words: `INT, -3 .. 120, missing in 4 of 353 rows`."""
    if name == WHOLE_SPLIT:
        return f"{statistics.num_examples} examples"
    feature = _statistics_of(name, statistics)
    if feature is None:
        return f"{statistics.num_examples} rows without it"
    words = [statistics_pb2.FeatureNameStatistics.Type.Name(feature.type)]
    if feature.HasField("num_stats"):
        words.append(f"{feature.num_stats.min:g} .. {feature.num_stats.max:g}")
    elif feature.HasField("string_stats"):
        words.append(f"{feature.string_stats.unique} values")
    common = getattr(feature, feature.WhichOneof("stats")).common_stats
    if common.num_missing:
        words.append(f"missing in {common.num_missing} of {statistics.num_examples} rows")
    return ", ".join(words)


def unknown_value_checks(
    split: str,
    schema: schema_pb2.Schema,
    statistics: statistics_pb2.DatasetFeatureStatistics,
    allowed: Mapping[str, str],
) -> Iterator[Check]:
    """Yields one check a feature whose domain need not be complete: unknown values are reported, bounded by share.

    A feature with an allowed anomaly is reported without a bound. Where a domain is complete, without
    `distribution_constraints`, an unknown value is an anomaly of the schema.
    """
    for feature in (feature for feature in schema.feature if feature.HasField("distribution_constraints")):
        known = _known_values(feature, schema)
        stats = _statistics_of(feature.name, statistics)
        if stats is None:
            continue
        buckets = stats.string_stats.rank_histogram.buckets
        unknown = {bucket.label: bucket.sample_count for bucket in buckets if bucket.label not in known}
        share = sum(unknown.values()) / max(stats.string_stats.common_stats.num_non_missing, 1)
        yield at_most(
            1.0 if feature.name in allowed else 1 - _least_known_share(feature),
            share,
            gate="data",
            metric=f"unknown {feature.name}",
            where=split,
            note=", ".join(f"{label} ({count:g} rows)" for label, count in sorted(unknown.items())[:5]),
        )


def _statistics_of(
    name: str, statistics: statistics_pb2.DatasetFeatureStatistics
) -> statistics_pb2.FeatureNameStatistics | None:
    return next((feature for feature in statistics.features if list(feature.path.step) == [name]), None)


def _known_values(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> set[str]:
    if feature.HasField("string_domain"):
        return set(feature.string_domain.value)
    return {value for domain in schema.string_domain if domain.name == feature.domain for value in domain.value}


def _least_known_share(feature: schema_pb2.Feature) -> float:
    """TFMD's default without distribution constraints is that every value is known."""
    has = feature.HasField("distribution_constraints")
    return float(feature.distribution_constraints.min_domain_mass) if has else 1.0


# --- the component -----------------------------------------------------------------------------------


class DataGateSpec(ComponentSpec):  # type: ignore[misc]
    """What the data gate reads and writes."""

    PARAMETERS = {
        "gates": ExecutionParameter(type=str),
        "code": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
        "anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "reference": ChannelParameter(type=standard_artifacts.ExampleStatistics, optional=True),
    }
    OUTPUTS = {"report": ChannelParameter(type=GateReport)}


class Executor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Executor of the data gate. Raises GateRefusal; a failed execution is not cached, so it is refused again."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Checks raw rows, anomalies, unknown values, drift and skew; see the base class for the arguments.

        Raises:
          GateRefusal: at least one check did not pass.
          UserError: a limit names no feature, or the last pushed run's statistics are gone.
        """
        single = {key: artifact_utils.get_single_instance(found) for key, found in input_dict.items() if found}
        schema = io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(single["schema"].uri))
        gates = GateSettings.model_validate_json(exec_properties["gates"])
        checks: list[Check] = []
        ingestion = f"{single['examples'].uri}/{REPORT}"
        if fileio.exists(ingestion):
            report = RawReport.model_validate_json(io_utils.read_bytes_file(ingestion))
            checks += raw_checks(report, gates.max_quarantined_share)
        splits = {
            split: _read_statistics(single["statistics"], split)
            for split in artifact_utils.decode_split_names(single["statistics"].split_names)
        }
        for split, statistics in splits.items():
            anomalies = _read_anomalies(single["anomalies"], split)
            checks += anomaly_checks(split, anomalies, schema, statistics, gates.allowed_anomalies)
            checks += unknown_value_checks(split, schema, statistics, gates.allowed_anomalies)
        checks += distribution_checks(splits, _read_reference(input_dict.get("reference")), schema, gates)
        conclude(checks, artifact_utils.get_single_uri(output_dict["report"]))


def _read_statistics(artifact: types.Artifact, split: str) -> statistics_pb2.DatasetFeatureStatistics:
    return stats_artifact_utils.load_statistics(artifact, split).proto().datasets[0]


def _read_reference(artifacts: list[types.Artifact] | None) -> statistics_pb2.DatasetFeatureStatistics | str:
    """Returns the statistics of the last pushed run's training split, or why there are none."""
    if artifacts is None:
        return "this runner looks for no pushed run"
    if not artifacts:
        return "no run of this pipeline has pushed from this root yet"
    artifact = artifact_utils.get_single_instance(artifacts)
    if not fileio.exists(artifact.uri):
        raise UserError(
            expected=f"the statistics of the last pushed run in {artifact.uri}, to compare this run's with",
            received="no such folder",
            todo="bring it back, or start anew with another --root",
        )
    return _read_statistics(artifact, TRAINING_SPLIT)


def _read_anomalies(artifact: types.Artifact, split: str) -> anomalies_pb2.Anomalies:
    path = io_utils.get_only_uri_in_dir(artifact_utils.get_split_uri([artifact], split))
    return anomalies_pb2.Anomalies.FromString(io_utils.read_bytes_file(path))


class DataGate(base_component.BaseComponent):  # type: ignore[misc]
    """Component: raises unless raw rows and examples are as curated. Connect it upstream of Transform."""

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        examples: types.BaseChannel,
        statistics: types.BaseChannel,
        schema: types.BaseChannel,
        anomalies: types.BaseChannel,
        reference: types.BaseChannel | None = None,
        gates: GateSettings,
    ) -> None:
        """Builds the component from upstream channels and its own part of the settings.

        Args:
          examples: what is judged, with the report of ingestion beside it.
          statistics: of the examples.
          schema: the curated one.
          anomalies: of the statistics, by ExampleValidator.
          reference: statistics of the last pushed run, or of none if there is none; None if nobody looked.
          gates: limits.
        """
        super().__init__(
            DataGateSpec(
                examples=examples,
                statistics=statistics,
                schema=schema,
                anomalies=anomalies,
                reference=reference,
                gates=json.dumps(gates.model_dump(mode="json", include=JUDGED_BY), sort_keys=True),
                code=digest_code(__name__),
                report=types.Channel(type=GateReport),
            )
        )
