"""The report's section "Evaluation": bounds as bars, rivals side by side, on runs written by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import numpy as np
import pyarrow as pa
import pytest
from evaluated import check, facts, rows

from models.clv import MODEL
from models.colorizer import MODEL as COLORIZER
from pipeline.contract import Exhibits, Metric, Model, Rows, load
from runners.reports import evaluation, rivals
from runners.reports.bullets import WIDTH, Bullet, judged
from runners.reports.facts import Facts
from runners.reports.words import meaning

BOUND = "-0.25 .. 0.25"
RATIO = "future_mae_vs_naive"


def page(given: Facts) -> Element:
    """The section, parsed; it is well-formed XML, but for plots, of which the label is left."""
    made = evaluation.section(given)
    assert made is not None
    labels = re.sub(
        r'<svg class="plot" role="img" (aria-label="[^"]*").*?</svg>', r"<plot \1/>", str(made), flags=re.DOTALL
    )
    return fromstring(f"<section>{labels}</section>")


def bars(given: Facts) -> dict[str, Bullet]:
    """The bars of the only metric that was judged, by slice."""
    (one,) = judged(given)
    return {bullet.where + " (champion)" * bullet.against: bullet for bullet in one.bullets}


def text(element: Element | None) -> str:
    assert element is not None
    return " ".join("".join(element.itertext()).split())


def checked(given: Element) -> list[Element]:
    """The rows of checks."""
    found = given.findall(".//table[@class='bounds']/tbody/tr")
    return [row for row in found if row.get("class") != "metric"]


def of_rows(table: pa.Table, minus: str | None) -> Rows:
    """What a metric of the model gate sees of a file of predictions."""
    known = table[minus].to_numpy() if minus else 0.0
    actual, predicted, naive = (table[name].to_numpy() - known for name in ("actual", "predicted", "naive"))
    outputs = {name: table[name].to_numpy() for name in MODEL.outputs}
    return Rows(actual, predicted, naive, table["customer_weight"].to_numpy(), outputs=outputs)


# --- bounds -------------------------------------------------------------------------------------------


def test_a_bound_is_a_row_with_its_verdict_as_a_word(tmp_path: Path) -> None:
    checks = [
        check("future_bias", -0.31, BOUND, shortfall=0.06, note="a shop plans with the sum"),
        check("future_gini", 0.7, ">= 0.5"),
    ]
    told = {"candidate": {"overall": {"rows": 286.0}}}
    given = page(facts(tmp_path, {"eval": rows(40, 1)}, outcome="refused", checks=checks, slices=told))
    missed, met = checked(given)
    assert [text(cell) for cell in missed][2:5] == ["-0.31", "-0.25 .. 0.25", "missed by 0.06"]
    assert text(missed[0]) == "all rows 286 rows"
    assert text(met[4]) == "met 0.2 to spare"
    reasons = [text(row) for row in given.iterfind(".//tr[@class='metric']")]
    assert "Why this bound: a shop plans with the sum of the predictions" in reasons[0]
    assert "0.1 is a total 10 % too high" in reasons[0]
    (drawing,) = missed.iterfind(".//svg")
    assert drawing.get("aria-label") == "overall: -0.31, must be -0.25 .. 0.25: missed"


def test_a_bar_is_to_scale(tmp_path: Path) -> None:
    """The scale goes from -.5 to .25, and a twentieth further on either side."""
    (bar,) = bars(facts(tmp_path, {}, checks=[check("future_bias", -0.5, BOUND, shortfall=0.25)])).values()

    def place(value: float) -> float:
        return pytest.approx(WIDTH * (value + 0.5375) / 0.825, abs=0.06)  # type: ignore[return-value]

    assert (bar.zero, bar.limits) == (place(0), (place(-0.25), place(0.25)))
    assert bar.allowed is not None
    assert bar.bar is not None
    assert (bar.allowed[0], sum(bar.allowed)) == (place(-0.25), place(0.25))
    assert (bar.bar[0], sum(bar.bar)) == (place(-0.5), place(0))


def test_a_small_slice_is_not_judged_and_does_not_stretch_the_scale(tmp_path: Path) -> None:
    checks = [
        check(RATIO, 0.8, "<= 0.99"),
        check(RATIO, 0.9, "<= 1.25", slice="frequency_band=1"),
        check(
            RATIO, 50.0, "<= 1.25", slice="frequency_band=10+", binding=False, note="only 4 rows, bounds hold from 30"
        ),
    ]
    found = bars(facts(tmp_path, {"eval": rows(40, 1)}, checks=checks))
    small = found["frequency_band=10+"]
    assert (small.verdict, small.told) == ("not judged", "only 4 rows, bounds hold from 30")
    assert small.bar is not None
    assert sum(small.bar) == pytest.approx(WIDTH)
    assert found["overall"].limits[0] < found["frequency_band=1"].limits[0] < WIDTH
    assert {bar.naive for bar in found.values()} == {1.0}
    assert found["overall"].told == "0.19 to spare"


def test_a_slice_with_a_bound_of_its_own_is_drawn_with_it(tmp_path: Path) -> None:
    checks = [
        check("future_bias", 0.1, BOUND),
        check("future_bias", 0.7, "-0.65 .. 0.9", slice="frequency_band=1"),
        check("future_bias", 0.55, "-0.5 .. 0.6", slice="frequency_band=2-3"),
    ]
    bound = {"lower": -0.25, "upper": 0.25, "slices": {"lower": -0.5, "upper": 0.6}, "reason": "a total misleads"}
    bound["at"] = {"frequency_band=1": {"lower": -0.65, "upper": 0.9}}
    settings = {"gates": {"bounds": {"future_bias": bound}}}
    found = bars(facts(tmp_path, {"eval": rows(40, 1)}, checks=checks, settings=settings))
    ends = [found[where].limits for where in ("frequency_band=1", "frequency_band=2-3", "overall")]
    assert ends[0][0] < ends[1][0] < ends[2][0] < ends[2][1] < ends[1][1] < ends[0][1]
    assert [found[where].told for where in ("frequency_band=1", "frequency_band=2-3")] == [
        "0.2 to spare",
        "0.05 to spare",
    ]


def test_what_needs_a_champion_says_that_there_is_none_yet(tmp_path: Path) -> None:
    note = "there is no champion to compare with yet"
    given = facts(
        tmp_path, {"eval": rows(40, 1)}, checks=[check("future_mae_increase", "not measured", "<= 0.005", note=note)]
    )
    (row,) = checked(page(given))
    assert [text(cell) for cell in row][2:5] == ["not measured", "<= 0.005", f"met {note}"]
    assert "future_mae_increase" not in [
        text(row[0]) for row in page(given).iterfind(".//table[@class='rivals']/tbody/tr")
    ]


@pytest.mark.parametrize(
    ("metric", "champion", "limits"),
    [("future_gini", 0.7, (0.65,)), ("future_mae_vs_naive", 0.8, (0.85,)), ("future_bias", -0.1, (-0.15, 0.15))],
)
def test_the_champion_is_a_bound_of_its_own(
    tmp_path: Path, metric: str, champion: float, limits: tuple[float, ...]
) -> None:
    """At most .05 worse, whichever direction the metric has."""
    bound = MODEL.settings().gates.bounds[metric].model_dump(mode="json") | {"worsening": 0.05}
    given = facts(
        tmp_path,
        {},
        settings={"gates": {"bounds": {metric: bound}}},
        checks=[check(metric, 0.1, f"at most 0.05 above the champion's {champion}")],
        slices={"candidate": {"overall": {metric: 0.1}}, "champion": {"overall": {metric: champion}}},
    )
    bar = bars(given)["overall (champion)"]
    values = sorted({0.0, 0.1, champion, *limits})
    room = (values[-1] - values[0]) * 0.05
    expected = [WIDTH * (limit - values[0] + room) / (values[-1] - values[0] + 2 * room) for limit in limits]
    assert bar.limits == pytest.approx(expected, abs=0.06)
    assert bar.champion == champion
    assert "all rows, against the champion" in text(page(given))


@pytest.mark.parametrize("value", ["undefined", "inf"])
def test_a_metric_without_a_value_has_no_bar(tmp_path: Path, value: str) -> None:
    given = facts(tmp_path, {}, outcome="refused", checks=[check("future_gini", value, ">= 0.5", passed=False)])
    assert bars(given)["overall"].bar is None
    assert f"{value} >= 0.5 missed" in text(page(given))


def test_what_tfma_refuses_for_a_reason_of_its_own_is_told(tmp_path: Path) -> None:
    refusal = check("blessing", "refused", "given by TFMA", passed=False, note="no rows in slice <b>")
    assert "refused given by TFMA missed no rows in slice <b>" in text(page(facts(tmp_path, {}, checks=[refusal])))


def test_a_run_that_predicted_nothing_has_no_section(tmp_path: Path) -> None:
    assert evaluation.section(facts(tmp_path, {}, outcome="refused")) is None


def test_a_run_that_ended_before_the_model_gate_shows_what_it_predicted(tmp_path: Path) -> None:
    given = page(facts(tmp_path, {"eval": rows(40, 1)}, outcome="failed"))
    assert "no bound was judged" in text(given)
    assert given.findall(".//table[@class='rivals']")


# --- rivals -------------------------------------------------------------------------------------------


def test_the_candidates_metrics_are_those_of_the_gates(tmp_path: Path) -> None:
    """To the last bit: the gate computes them from the same rows, in the same order."""
    tables = {"eval": rows(101, 1), "test": rows(90, 2), "train": rows(300, 3)}
    given = facts(tmp_path, tables)
    for split, table in tables.items():
        assert rivals.measured(given, split)["candidate"] == {"rows": table.num_rows} | {
            metric.name: load(metric.function)(of_rows(table, metric.minus))
            for metric in MODEL.metrics
            if not metric.against_champion
        }


def test_rivals_stand_side_by_side_and_the_best_is_marked(tmp_path: Path) -> None:
    tables = {"eval": rows(40, 1), "test": rows(30, 2), "train": rows(60, 3)}
    champion = {"champion": {"overall": {"rows": 40.0, "mae": 1.0, "future_gini": 0.01}}}
    given = page(facts(tmp_path, tables, slices=champion))
    shown = given.findall(".//table[@class='rivals']")
    heads = [[text(cell) for cell in table.iterfind("./thead/tr/th")] for table in shown]
    others = ["naive rule", "SQL baseline of the reference lab", "better is"]
    assert heads == [["metric", "candidate", "champion", *others], *[["metric", "candidate", *others]] * 2]
    best = [text(row[0]) for row in shown[0].iterfind("./tbody/tr") if row[2].get("class") == "number best"]
    assert best == ["mae"]
    assert [text(table.find("caption")) for table in shown] == [
        "eval (judged), 40 rows. The candidate is best in 8 of 9 metrics, champion in 1.",
        "test (reported), 30 rows. The candidate is best in 9 of 9 metrics.",
        "train (what it was fitted to), 60 rows. The candidate is best in 9 of 9 metrics.",
    ]


def test_a_rule_that_reads_what_is_not_kept_is_named(tmp_path: Path) -> None:
    given = page(facts(tmp_path, {"eval": rows(40, 1).drop(["avg_purchase_revenue"])}))
    assert "kept too little of its rows: SQL baseline of the reference lab" in text(given)
    assert "SQL baseline" not in text(given.find(".//table[@class='rivals']"))


def test_nearer_zero_is_better_for_a_bias(tmp_path: Path) -> None:
    table = rows(40, 1)
    past = table["past_monetary_value"].to_numpy()
    future = table["actual"].to_numpy() - past
    high = table.set_column(table.column_names.index("predicted"), "predicted", [past + 1.2 * future])
    naive = high.set_column(table.column_names.index("naive"), "naive", [past + 0.9 * future])
    (contest,) = rivals.contests(facts(tmp_path, {"eval": naive}))
    (line,) = [line for line in contest.lines if line.metric == "future_bias"]
    assert line.values[:2] == pytest.approx((0.2, -0.1))
    assert line.best == (False, True, False)


def test_answers_that_are_no_numbers_have_the_records_metrics(tmp_path: Path) -> None:
    """Of pictures: errors are kept of a row, and the champion was measured by the Evaluator."""
    record = {"eval": {"rows": 9.0, "mse": 0.02, "psnr": 21.0}, "test": {"rows": 8.0, "mse": None}}
    given = facts(
        tmp_path,
        {"eval": rows(9, 1).select(["customer_id"])},
        model=COLORIZER.model_copy(update={"exhibits": Exhibits()}),
        metrics=record,
        slices={"champion": {"overall": {"mse": 0.03, "psnr": 20.0}}},
    )
    judged_on, reported = rivals.contests(given)
    assert (judged_on.rivals, reported.rivals) == (("candidate", "champion"), ("candidate",))
    assert judged_on.lines[0].values == (0.02, 0.03)
    assert judged_on.says == "The candidate is best in 2 of 2 metrics."
    assert "Predicted against actual" not in text(page(given))


# --- what models show ----------------------------------------------------------------------------------


def plain(**changes: Any) -> Model:
    """The CLV model, without exhibits of its own."""
    return MODEL.model_copy(update={"exhibits": Exhibits(), **changes})


def test_a_model_without_exhibits_has_predicted_against_actual(tmp_path: Path) -> None:
    even = {"actual": np.arange(40.0), "predicted": np.arange(40.0) + 2}
    given = page(facts(tmp_path, {"eval": rows(40, 1, **even)}, model=plain()))
    assert "half of 40 rows are off by at most 2." in text(given)
    assert [plot.get("aria-label") for plot in given.iter("plot")] == ["Predicted against actual"]


def test_exhibits_that_fail_do_not_hide_the_rest(tmp_path: Path) -> None:
    broken = plain(exhibits=Exhibits(evaluation="math.sqrt"))
    given = page(facts(tmp_path, {"eval": rows(40, 1)}, model=broken))
    assert "could not be shown: TypeError" in text(given.find(".//*[@role='alert']"))
    assert given.findall(".//table[@class='rivals']")


def test_a_metric_is_told_in_the_words_of_its_function() -> None:
    assert meaning(MODEL, "mae") == "The mean absolute error, in the label's unit."
    assert meaning(MODEL, "future_gini").endswith(
        "past_monetary_value, which is known before, is subtracted from all first."
    )
    assert "peak signal-to-noise ratio in dB" in meaning(COLORIZER, "psnr")
    unknown = plain(metrics=(Metric(name="m", function="no.such.module.m"), Metric(name="n", function="math.sqrt")))
    assert [meaning(unknown, name) for name in ("m", "n", "gone")] == ["", "", ""]
