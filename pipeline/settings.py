"""Settings of a run: a model's defaults, under a YAML file per environment, under `--set key=value`.

Everything is validated once, here, against the model's own pydantic classes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.contract import Bound, Metric, Model, Query, Settings, TableSettings, UserError
from pipeline.ingestion.mapping import map_columns

PARTS = ("data", "features", "training", "gates")
_OF_A_SLICE = re.compile(r"([^=]*bounds\.[^.=]+\.at)\.([^.=]+=[^=]*)\.(lower|upper)=(.*)")
"""`bounds.METRIC.at.FEATURE=VALUE.upper=1`: the name of a slice has an equals sign of its own."""


def make_settings(model: Model, *layers: Mapping[str, Any]) -> Settings:
    """Returns the model's default settings with layers over them, the last one on top.

    Args:
      model: whose settings.
      *layers: nested mappings, part -> field -> value; a part or field that a layer lacks is left as it is.

    Raises:
      UserError: a key or a value that the model's settings do not allow.
    """
    defaults = model.settings()
    merged: dict[str, Any] = defaults.model_dump()
    # What nobody set stays open here: a default of the training may depend on another setting, such as the network.
    merged["training"] = defaults.training.model_dump(exclude_unset=True)
    for layer in layers:
        merged = _merge(merged, layer)
    try:
        settings = model.settings.model_validate(merged)
    except ValidationError as error:
        raise _as_user_error(model, error) from error
    _check_bounds(model, settings)
    _check_columns(model, settings)
    _check_tuning(model, settings)
    return settings


def read_environment(model: Model, file: Path) -> dict[str, Any]:
    """Returns the model's section of an environment's YAML file; empty if the file has none.

    The file maps model names to parts: `clv: {gates: {destination: gs://bucket/models}}`.

    Raises:
      UserError: the file does not exist, is not YAML or does not map models to parts.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        found = ", ".join(sorted(path.stem for path in file.parent.glob("*.yaml"))) or "none"
        raise UserError(
            expected=f"an environment file {file}",
            received=f"{error.strerror or error} (environments there: {found})",
            todo="correct --env, or write that file",
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(expected=f"YAML in {file}", received=str(error), todo="correct the file") from error
    section = content.get(model.name, {}) if isinstance(content, dict) else None
    if not isinstance(section, dict):
        raise UserError(
            expected=f"{file} to map model names to settings, as in `clv: {{training: {{seed: 1}}}}`",
            received=f"{type(content if section is None else section).__name__}",
            todo="correct the file",
        )
    return section


def read_assignments(model: Model, assignments: Iterable[str]) -> dict[str, Any]:
    """Returns `key=value` strings as a nested layer. Values are YAML; a key may leave out its part.

    Args:
      model: whose settings the keys name.
      assignments: for instance `["cutoff=2011-09-01", "gates.bounds.future_gini.lower=0.6"]`.

    Raises:
      UserError: no `=`, or a key that names no setting.
    """
    layer: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise UserError(expected="--set key=value", received=repr(assignment), todo="add the value")
        if sliced := _OF_A_SLICE.fullmatch(assignment):
            key, where, end, value = sliced.groups()
            steps = [*_full_key(model, key.strip()).split("."), where, end]
        else:
            steps = _full_key(model, key.strip()).split(".")
        layer = _merge(layer, _nest(steps, _parse(value)))
    return layer


def pipeline_name(model: Model, settings: Settings) -> str:
    """Returns the name that decides who competes with whom: model, data line and identity settings.

    A model with the identity setting `features.horizon_days` runs, on the data line `main`, in the pipeline
    `clv-main-horizon_days-91`.
    """
    identity = [f"{key.rpartition('.')[2]}-{get(settings, key)}" for key in model.identity]
    return "-".join([model.name, settings.data.line, *identity])


def on_line(pipeline: str, model: str, line: str | None = None) -> bool:
    """Whether a pipeline is a model's, and on a data line.

    Args:
      pipeline: its name, from `pipeline_name`.
      model: name of the model.
      line: the pipeline's whole name, or how it goes on after the model's: `main`. None for any.

    >>> on_line("clv-main-horizon_days-91", "clv", "main"), on_line("clv-main-horizon_days-91", "clv", "mai")
    (True, False)
    """
    after = model if line in (None, pipeline) else f"{model}-{line}"
    return f"{pipeline}-".startswith(f"{model}-") and f"{pipeline}-".startswith(f"{after}-")


def _parse(value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):  # A day that no month has is a ValueError of PyYAML's.
        return value


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(merged.get(key), Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _nest(keys: list[str], value: Any) -> dict[str, Any]:
    return {keys[0]: _nest(keys[1:], value) if len(keys) > 1 else value}


def get(settings: BaseModel, key: str) -> Any:
    """Returns the value of a settings key, `part.field`."""
    value: Any = settings
    for field in key.split("."):
        value = getattr(value, field)
    return value


def known_keys(model: Model) -> list[str]:
    """Returns every `part.field` of a model's settings."""
    settings = model.settings()
    return [f"{part}.{field}" for part in PARTS for field in type(getattr(settings, part)).model_fields]


def _full_key(model: Model, key: str) -> str:
    """`cutoff` -> `features.cutoff`; a key below a field (`gates.bounds.mae.upper`) passes through."""
    matches = [
        known for known in known_keys(model) if f"{key}.".startswith((f"{known}.", f"{known.partition('.')[2]}."))
    ]
    if len(matches) != 1:
        raise _unknown_key(model, key, matches)
    part, _, _ = matches[0].partition(".")
    return key if key.startswith(f"{part}.") else f"{part}.{key}"


def _unknown_key(model: Model, key: str, matches: list[str]) -> UserError:
    names = [*known_keys(model), *(known.partition(".")[2] for known in known_keys(model))]
    near = matches or difflib.get_close_matches(key, names, n=3)
    return UserError(
        expected=f"a setting of {model.name}: {', '.join(known_keys(model))}",
        received=repr(key),
        todo=f"did you mean {' or '.join(near)}?" if near else "correct the key",
    )


def _as_user_error(model: Model, error: ValidationError) -> UserError:
    """The first setting that is wrong, in words; a setting of several types has a complaint for each."""
    first = next((found for found in error.errors() if found["type"] == "extra_forbidden"), error.errors()[0])
    key = ".".join(str(step) for step in first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown_key(model, key, [])
    field = ".".join(str(step) for step in first["loc"][:2])
    complaints = [found["msg"] for found in error.errors() if found["loc"][:2] == first["loc"][:2]]
    return UserError(
        expected=f"{field}: {', or: '.join(complaints)}",
        received=repr(first["input"]),
        todo=f"correct {field} in --set or in the environment's file",
    )


def _check_bounds(model: Model, settings: Settings) -> None:
    names = [metric.name for metric in model.metrics]
    unknown = sorted(set(settings.gates.bounds) - set(names))
    if unknown:
        raise UserError(
            expected=f"bounds of the metrics {', '.join(names)}",
            received=", ".join(unknown),
            todo="correct gates.bounds, or add the metric to the model",
        )
    for metric in model.metrics:
        if bound := settings.gates.bounds.get(metric.name):
            _check_bound(model, metric, bound)


def _check_bound(model: Model, metric: Metric, bound: Bound) -> None:
    for where in bound.at:
        feature, equals, _ = where.partition("=")
        if not equals or feature not in model.slices:
            raise UserError(
                expected=f"slices in gates.bounds.{metric.name}.at, such as "
                f"{' or '.join(f'{feature}=…' for feature in model.slices) or 'none, since the model has no slices'}",
                received=repr(where),
                todo="correct the name of the slice, or add its feature to the model's slices",
            )
    if bound.worsening is not None and (metric.against_champion or metric.better is None):
        why = "compares with the champion by itself" if metric.against_champion else "has no better direction"
        raise UserError(
            expected=f"no gates.bounds.{metric.name}.worsening, since {metric.name} {why}",
            received=f"{bound.worsening:g}",
            todo="bound it with lower and upper",
        )


def _check_columns(model: Model, settings: Settings) -> None:
    if isinstance(model.source, Query) and isinstance(settings.data, TableSettings):
        map_columns(model.source, settings.data)


def _check_tuning(model: Model, settings: Settings) -> None:
    if settings.training.tuning != "off" and model.tuner_fn is None:
        raise UserError(
            expected=f"training.tuning=off, since nothing says how to search for hyper-parameters of {model.name}",
            received=f"training.tuning={settings.training.tuning}",
            todo="leave it off, or give the model a tuner_fn",
        )
