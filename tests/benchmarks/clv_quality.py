"""How good the CLV model is, beside rules, gradient boosting and BG/NBD: cross-validation inside the training split.

The eval and test splits are not looked at. Prints tables in Markdown; docs/clv-model.md says what their columns mean.

Usage: python tests/benchmarks/clv_quality.py DATA CUTOFF [--models rule,boosting-tweedie,product] [--set KEY=VALUE …]
       [--design 5x2|dietterich] [--repetitions 1] [--seeds 5] [--learning-curve] [--json FILE] [--beside FILE]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import clv_references as references  # type: ignore[import-not-found] # Beside this file.
from cross_validation import (
    Candidate,
    Fold,
    Interval,
    Outcome,
    Table,
    corrected_t,
    cross_validated,
    customer_errors,
    folds,
    paired_bootstrap,
)

from models.clv import MODEL, features
from models.clv.settings import Features
from models.clv.source import SOURCE
from pipeline.ingestion.raw import RawTable, feature_table
from pipeline.ingestion.sql import open_table
from pipeline.settings import read_assignments
from runners.run import prepare

DESIGNS = {"5x2": (5, 2), "dietterich": (2, 5)}
"""Name -> folds, and how often they are drawn."""
REFERENCES = ("rule", "past", "last-horizon", "bg-nbd", "boosting-l1", "boosting-tweedie", "boosting-hindsight")
MODELS = (*REFERENCES, "reference-network", "product")
SEED = 7
SHARES = (0.25, 0.5, 0.75, 1.0)
AGAINST = ("rule", "boosting-tweedie", "boosting-hindsight")
MONEY = ("mae", "rmse")
HEADS = {
    "mae": "MAE",
    "mae_vs_rule": "MAE / rule",
    "bias": "bias of the total",
    "rmse": "RMSE",
    "spearman": "Spearman",
    "gini": "Gini",
    "decile_error": "decile error",
    "coverage": "in the 80 % interval",
}


class Study(NamedTuple):
    """Rows to cross-validate on, those of earlier days to learn from, the days that the label spans, and the folds."""

    table: Table
    earlier: Table
    horizon: int
    splits: int
    folds: Sequence[Fold]

    def of(self, candidate: Candidate, *, seed: int = SEED, share: float = 1.0, repetitions: int = 99) -> Outcome:
        """Fits and asks a candidate on the folds of the first repetitions."""
        chosen = [fold for fold in self.folds if fold.repetition < repetitions]
        return cross_validated(candidate, self.table, chosen, horizon=self.horizon, seed=seed, share=share)


def study(
    data: Path | None, cutoff: date | None, design: str, chosen: dict[str, Any], root: Path, repetitions: int
) -> Study:
    """Reads transactions, and returns the training rows of their feature table with the folds."""
    dated = {"cutoff": cutoff} if cutoff else {}
    run = prepare(MODEL, root, data=data, layers=({"features": {**chosen, **dated}},))
    raw, settings = cast(RawTable, run.raw), cast(Features, run.settings.features)
    read = feature_table(raw, SOURCE, settings)
    table, earlier = (of_split(read, split) for split in ("TRAIN", "EARLIER"))
    table[references.LAST_HORIZON] = last_horizon(raw, settings, table[features.CUSTOMER])
    splits, drawings = DESIGNS[design]
    drawn = list(folds(table[features.CUSTOMER], splits, min(drawings, repetitions)))
    return Study(table, earlier, settings.horizon_days, splits, drawn)


def of_split(read: Any, split: str) -> dict[str, Any]:
    """Returns a split's rows of the feature table."""
    chosen = np.asarray(read.column("split")) == split
    return {name: read.column(name).to_numpy()[chosen] for name in read.column_names}


def last_horizon(raw: RawTable, settings: Features, customers: Any) -> Any:
    """Returns each customer's revenue in the horizon that ends at the cut-off."""
    sql = """
        SELECT customer_id, CAST(SUM(CAST(unit_price AS DECIMAL(18, 4)) * quantity) AS DOUBLE) FROM transactions
        WHERE quantity > 0 AND customer_id IS NOT NULL
        AND CAST(date AS DATE) BETWEEN CAST($cutoff AS DATE) - $days + 1 AND $cutoff GROUP BY customer_id
    """
    with open_table(raw.parquet, "transactions") as connection:
        found = connection.execute(sql, {"cutoff": settings.cutoff, "days": settings.horizon_days}).fetchall()
    revenue = dict(found)
    return np.array([revenue.get(customer, 0.0) for customer in customers])


def candidates(names: Sequence[str], chosen: Study, training: dict[str, Any], folder: Path) -> dict[str, Candidate]:
    """Returns the asked models by name; `product` and `reference-network` load TensorFlow."""
    known = dict(references.candidates(chosen.horizon))
    for name, changed in {"reference-network": {"network": "reference"}, "product": training}.items():
        if name in names:
            known[name] = _network(folder, changed, chosen.earlier)
    return {name: known[name] for name in MODELS if name in names}


def _network(folder: Path, training: dict[str, Any], earlier: Table) -> Candidate:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from clv_product import candidate  # type: ignore[import-not-found] # Beside this file.

    return cast(Candidate, candidate(folder, training, earlier))


def shown(name: str, values: Sequence[float]) -> str:
    """Returns `mean ± standard deviation` over folds."""
    if np.isnan(values).any():
        return "-"
    form = ".0f" if name in MONEY else ".3f"
    return f"{np.mean(values):{form}} ± {np.std(values, ddof=1):{form}}"


def metrics_table(outcomes: dict[str, Outcome]) -> Iterator[str]:
    """Yields the metrics of each model: mean ± standard deviation over the folds."""
    yield f"| model | {' | '.join(HEADS.values())} | seconds a fold |"
    yield f"|---|{'---|' * (len(HEADS) + 1)}"
    for name, outcome in outcomes.items():
        cells = [shown(metric, [fold[metric] for fold in outcome.metrics]) for metric in HEADS]
        yield f"| {name} | {' | '.join(cells)} | {np.mean(outcome.seconds):.1f} |"


def paired(name: str, other: str, outcomes: dict[str, Outcome], chosen: Study) -> dict[str, Interval]:
    """Returns the difference of two models' absolute errors, with both intervals."""
    both = (outcomes[name], outcomes[other])
    error, other_error = (customer_errors(chosen.table, outcome.predicted) for outcome in both)
    maes, other_maes = ([fold["mae"] for fold in outcome.metrics] for outcome in both)
    return {
        "bootstrap": paired_bootstrap(error, other_error),
        "corrected t": corrected_t(maes, other_maes, chosen.splits),
    }


def differences(outcomes: dict[str, Outcome], chosen: Study) -> dict[str, dict[str, dict[str, Interval]]]:
    """Returns other -> model -> the difference of the two, for the others in `AGAINST` that were asked for."""
    return {
        other: {name: paired(name, other, outcomes, chosen) for name in outcomes if name != other}
        for other in AGAINST
        if other in outcomes
    }


def paired_table(found: dict[str, dict[str, dict[str, Interval]]]) -> Iterator[str]:
    """Yields `differences` as a table."""
    yield "| model | against | difference a customer | bootstrap over customers | corrected t over folds |"
    yield "|---|---|---|---|---|"
    for other, models in found.items():
        for name, intervals in models.items():
            ends = [f"{one.low:+.1f} .. {one.high:+.1f}" for one in intervals.values()]
            yield f"| {name} | {other} | {intervals['bootstrap'].mean:+.1f} | {' | '.join(ends)} |"


def repeated_table(label: str, outcomes: dict[str, Outcome]) -> Iterator[str]:
    """Yields the means over folds of runs that differ in one thing, such as the seed."""
    yield f"| model | {label} | {' | '.join(HEADS.values())} |"
    yield f"|---|---|{'---|' * len(HEADS)}"
    for name, outcome in outcomes.items():
        means = {metric: float(np.mean([fold[metric] for fold in outcome.metrics])) for metric in HEADS}
        cells = ["-" if np.isnan(m) else f"{m:.0f}" if metric in MONEY else f"{m:.3f}" for metric, m in means.items()]
        yield f"| {name.replace(' @ ', ' | ')} | {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="transactions; the generated sample if left out")
    parser.add_argument("cutoff", type=date.fromisoformat, nargs="?")
    parser.add_argument("--models", default=",".join(MODELS), help="names with commas; all if left out")
    parser.add_argument("--design", choices=DESIGNS, default="5x2")
    parser.add_argument("--repetitions", type=int, default=99, help="draw the folds at most so often")
    parser.add_argument("--seeds", type=int, default=0, help="repeat the product's model with so many seeds")
    parser.add_argument("--learning-curve", action="store_true", help="with shares of the training customers")
    parser.add_argument(
        "--set", action="append", default=[], dest="assignments", help="settings of training and features"
    )
    parser.add_argument("--json", type=Path, help="receives what the tables are made of")
    parser.add_argument("--beside", type=Path, help="tables the models of an earlier --json of the same data, too")
    asked = parser.parse_args(arguments)
    logging.getLogger().setLevel(logging.ERROR)
    if unknown := set(asked.models.split(",")) - set(MODELS):
        parser.error(f"expected --models out of {', '.join(MODELS)}; received {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as root:
        told = report(asked, Path(root))
    if asked.json:
        # JSON has no NaN.
        plain = json.loads(json.dumps(told), parse_constant=lambda _: None)
        asked.json.write_text(json.dumps(plain, indent=1))


def report(asked: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Prints the tables one by one, and returns what they are made of."""
    settings = read_assignments(MODEL, asked.assignments)
    chosen = study(asked.data, asked.cutoff, asked.design, settings.get("features", {}), root, asked.repetitions)
    models = candidates(asked.models.split(","), chosen, settings.get("training", {}), root)
    customers = len(set(chosen.table[features.CUSTOMER]))
    print(f"{customers} customers of the training split, {len(chosen.folds)} folds ({asked.design})\n", flush=True)
    outcomes = earlier(asked.beside) if asked.beside else {}
    outcomes |= {name: _told(name, chosen.of(model)) for name, model in models.items()}
    found = differences(outcomes, chosen)
    print("\n".join([*metrics_table(outcomes), "", *paired_table(found)]), flush=True)
    told: dict[str, Any] = {"folds": {name: outcome.metrics for name, outcome in outcomes.items()}, "paired": found}
    told["predicted"] = {name: outcome.predicted.tolist() for name, outcome in outcomes.items()}
    told["seconds"] = {name: outcome.seconds for name, outcome in outcomes.items()}
    if asked.seeds and "product" in models:
        seeds = {
            f"product @ {seed}": chosen.of(models["product"], seed=seed, repetitions=1) for seed in range(asked.seeds)
        }
        print("\n".join(["", *repeated_table("seed", seeds)]), flush=True)
        told |= {"seeds": {name: outcome.metrics for name, outcome in seeds.items()}}
    if asked.learning_curve:
        curve = {
            f"{name} @ {share}": chosen.of(model, share=share, repetitions=1)
            for name, model in models.items()
            for share in SHARES
        }
        print("\n".join(["", *repeated_table("share of the training customers", curve)]), flush=True)
        told |= {"learning curve": {name: outcome.metrics for name, outcome in curve.items()}}
    return told


def earlier(file: Path) -> dict[str, Outcome]:
    """Returns the outcomes that an earlier command wrote, of the same data, cut-off and design."""
    told = json.loads(file.read_text())
    return {
        name: Outcome(
            [{key: np.nan if value is None else value for key, value in fold.items()} for fold in folds],
            np.array(told["predicted"][name]),
            told["seconds"][name],
        )
        for name, folds in told["folds"].items()
    }


def _told(name: str, outcome: Outcome) -> Outcome:
    """Says that a model is done, beside the tables."""
    print(f"{name}: MAE {np.mean([fold['mae'] for fold in outcome.metrics]):.1f}", file=sys.stderr, flush=True)
    return outcome


if __name__ == "__main__":
    main()
