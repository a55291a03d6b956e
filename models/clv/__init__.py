"""Customer lifetime value: what a shop's customer will have spent in all, a horizon after the cut-off."""

from __future__ import annotations

from models.clv import features
from models.clv.about import ABOUT
from models.clv.dataset import DATASET
from models.clv.settings import ClvSettings
from models.clv.source import SOURCE
from pipeline.contract import Backtest, Exhibits, Explanation, Metric, Model, Ranking

MODEL = Model(
    name="clv",
    title="customer lifetime value from shop transactions",
    source=SOURCE,
    schema_file="schema.clv:schema.pbtxt",
    key=(features.CUSTOMER, features.COUNTRY),
    label=features.TOTAL_LABEL,
    prediction=features.TOTAL,
    weight=features.WEIGHT,
    preprocessing_fn="models.clv.preprocessing.preprocessing_fn",
    run_fn="models.clv.trainer.run_fn",
    tuner_fn="models.clv.tuner.tuner_fn",
    naive="models.clv.naive.naive",
    naive_features=(features.PAST, features.TENURE),
    outputs=(features.MEDIAN, features.BUYS_AGAIN, features.LOW, features.HIGH),
    sample_data="models.clv.sample.write_sample",
    spoil_data="models.clv.sample.spoil",
    sample_dialects={"european": "models.clv.european.write_european"},
    metrics=(
        Metric(name="mae", function="pipeline.metrics.mae"),
        Metric(name="mse", function="pipeline.metrics.mse"),
        Metric(name="rmse", function="pipeline.metrics.rmse"),
        # Two thirds of a total are known at the cut-off: what is judged is the part that is not.
        Metric(name="future_mae_vs_naive", function="pipeline.metrics.mae_relative_to_naive", minus=features.PAST),
        Metric(
            name="future_mae_vs_naive_upper",
            function="pipeline.metrics.mae_relative_to_naive_upper",
            minus=features.PAST,
        ),
        Metric(
            name="future_mae_increase",
            function="pipeline.metrics.mae_increase_lower",
            minus=features.PAST,
            against_champion=True,
        ),
        Metric(name="future_bias", function="pipeline.metrics.total_bias", minus=features.PAST, better="zero"),
        Metric(name="future_spearman", function="pipeline.metrics.spearman", minus=features.PAST, better="higher"),
        Metric(name="future_gini", function="pipeline.metrics.normalized_gini", minus=features.PAST, better="higher"),
        Metric(
            name="future_calibration_error",
            function="pipeline.metrics.decile_calibration_error",
            minus=features.PAST,
        ),
        Metric(
            name="future_coverage",
            function="models.clv.metrics.interval_coverage",
            minus=features.PAST,
            better=None,
        ),
    ),
    slices=(features.FREQUENCY_BAND,),
    settings=ClvSettings,
    identity=("features.horizon_days",),
    dataset=DATASET,
    about=ABOUT,
    page="models.clv:page.html",
    explanation=Explanation(
        output=features.TOTAL,
        baseline=features.UNKNOWN_CUSTOMER,
        why="a customer of whom nothing is known: the model counts an unknown number as the average of its training "
        "rows, an unknown country as one that it never saw, and an unknown past revenue as 0 in the total",
    ),
    ranking=Ranking(as_of="features.cutoff", function="models.clv.ranking.rank", subject=features.CUSTOMER),
    backtest=Backtest(
        as_of="features.cutoff",
        horizon_days="features.horizon_days",
        known=features.PAST,
        subject=features.CUSTOMER,
        interval=(features.LOW, features.HIGH),
    ),
    described=features.DESCRIBED,
    rules={"SQL baseline of the reference lab": "models.clv.naive.lab_baseline"},
    exhibits=Exhibits(data="models.clv.report.data", evaluation="models.clv.report.evaluation"),
)
