"""The way a model is really used: trained as of one day, asked about everybody as of a later one."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa

from pipeline.contract import Model, Settings, load
from pipeline.ingestion.raw import feature_table, subjects
from pipeline.predictions import ACTUAL, NAIVE, PREDICTED
from pipeline.push import Told, draft
from runners.backtest.running import Plan, entry
from runners.ranking import answered
from runners.serving.loaded import LoadedModel


def predictions(planned: Plan, trained: Path, used: date) -> pa.Table:
    """Returns what a trained model answers about everybody as of a later day, beside what happened and the rule.

    Features and labels are those of the model's SELECT as of that day, of all splits: where a customer was in the
    training, it was with what was known then, and with a label that ended before this one begins.

    Args:
      planned: the backtest.
      trained: folder of the saved model.
      used: the day.

    Returns:
      The features, the model's outputs, and `actual`, `predicted` and `naive`.
    """
    model, settings = planned.model, planned.settings(used)
    query = entry(model)[1]
    table = subjects(feature_table(planned.raw, query, settings.features), query)
    table = answered(_loaded(planned, trained, settings), table)
    inputs = {name: table.column(name).to_numpy() for name in model.naive_features}
    naive = load(model.naive)(inputs, settings.features.model_dump(mode="json"))
    answers = {ACTUAL: table.column(model.label), PREDICTED: table.column(model.prediction), NAIVE: pa.array(naive)}
    for name, values in answers.items():
        table = table.append_column(name, values)
    return table


def _loaded(planned: Plan, trained: Path, settings: Settings) -> LoadedModel:
    """A model in memory that may not have been pushed: it has the manifest that a push would have given to it."""
    model: Model = planned.model
    plain = settings.model_dump(mode="json")
    told = Told(
        model=model.name, pipeline=trained.parent.name, data_digest=planned.raw.digest, settings=plain, bounds={}
    )
    return LoadedModel.load(trained, draft(told, trained, run="", model_uri=str(trained), metrics={}))
