"""What the CLV model adds to reports, on small tables whose figures are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from models.clv import MODEL
from models.clv.certainty import covered, repurchases
from models.clv.future import futures
from models.clv.naive import lab_baseline
from models.clv.ordering import by_decile, gain_curve
from models.clv.wording import by_recency, money, percent
from pipeline.contract import Exhibit, Listing, Plot, Shown, load
from runners.reports.exhibits import show

SETTINGS: dict[str, Any] = {"features": {"horizon_days": 91}, "data": {"currency": "EUR"}}
CUSTOMER = {
    "customer_id": "ann",
    "customer_country": "France",
    "frequency_band": "1",
    "customer_weight": 1.0,
    "past_monetary_value": 100.0,
    "n_purchases": 1,
    "days_since_last_purchase": 10,
    "avg_purchase_revenue": 100.0,
}


def examples(*rows: dict[str, Any]) -> Shown:
    """Examples, of whom nobody buys again unless a row says so."""
    plain = {**CUSTOMER, "future_monetary_value_3M": 0.0}
    return Shown({"train": pa.Table.from_pylist([{**plain, **row} for row in rows])}, SETTINGS)


def predictions(actual: Any, predicted: Any, naive: Any = 1.0, **columns: Any) -> Shown:
    """A split `eval` whose future parts are given; each row has a past of 100."""
    count = len(actual)
    rows = {name: [value] * count for name, value in CUSTOMER.items()} | columns
    told = {"actual": actual, "predicted": predicted, "naive": np.broadcast_to(naive, count)}
    totals = {name: np.add(rows["past_monetary_value"], values) for name, values in told.items()}
    return Shown({"eval": pa.table(rows | totals)}, SETTINGS)


def exhibits(which: str, shown: Shown) -> dict[str, Exhibit]:
    """What the contract's function yields, by the beginning of the title."""
    return {exhibit.title.split()[0].rstrip(":"): exhibit for exhibit in load(getattr(MODEL.exhibits, which))(shown)}


def drawn(which: str, shown: Shown) -> dict[str, Exhibit]:
    """The same, once a page can show them all."""
    found = exhibits(which, shown)
    plots = [exhibit for exhibit in found.values() if isinstance(exhibit, Plot)]
    assert show(found.values()).count("<svg") == len(plots) > 1
    return found


def cells(listing: Exhibit) -> dict[str, dict[str, Any]]:
    """The rows of a table by their name, entries by column."""
    assert isinstance(listing, Listing)
    return {str(row[0]): dict(zip(listing.columns, row, strict=True)) for row in listing.rows}


# --- customers -----------------------------------------------------------------------------------------


def test_an_outlier_is_named_with_its_share_of_the_revenue() -> None:
    """19 customers of 100 and one of 8,100: mean 500, standard deviation 1743.6."""
    rich = {"past_monetary_value": 8100.0, "future_monetary_value_3M": 300.0}
    found = exhibits("data", examples(*[{}] * 18, {"future_monetary_value_3M": 100.0}, rich))
    row = cells(found["Outliers"])["Monetary value: past revenue (EUR)"]
    assert (row["mean"], row["standard deviation"], row["outliers: rows"]) == (500, 1743.56, 1)
    assert (row["of rows"], row["of past revenue"], row["of revenue after"]) == ("5 %", "81 %", "75 %")
    assert "1 of 20 rows are outliers in past revenue; they hold 81 % of all past revenue" in found["Outliers"].says


def test_the_rows_of_a_customer_count_their_revenue_once() -> None:
    """Past and future belong to the customer, whatever the country."""
    half = {"customer_weight": 0.5, "past_monetary_value": 300.0, "future_monetary_value_3M": 10.0}
    found = exhibits("data", examples({**half, "n_purchases": 4}, half, {}))
    assert cells(found["Active"])["active"]["of past revenue"] == "38 %"  # 150 of 150 + 150 + 100.


def test_quantiles_are_of_all_splits() -> None:
    shown = examples({"n_purchases": 1}, {"n_purchases": 3})
    shown.tables["test"] = examples({"n_purchases": 8}).tables["train"]  # type: ignore[index]
    row = cells(exhibits("data", shown)["Quantiles"])["Frequency: days with a purchase"]
    assert (row["least"], row["50 %"], row["greatest"], row["mean"]) == (1, 3, 8, 4)


def test_who_buys_again_is_told_by_frequency_and_recency() -> None:
    regular = {"frequency_band": "10+", "n_purchases": 12, "future_monetary_value_3M": 5.0}
    old = {"days_since_last_purchase": 300}
    says = drawn("data", examples(regular, regular, old, {}))["Who"].says
    assert says.startswith("50 % of all rows")
    assert "by frequency from 0 % (1) to 100 % (10+); by recency from 0 % (over 182 days) to 67 % (0-30 days)" in says


def test_groups_are_those_of_the_ranked_list() -> None:
    often, old = {"n_purchases": 2}, {"days_since_last_purchase": 251}
    rows: tuple[dict[str, Any], ...] = (often, {**often, "days_since_last_purchase": 91}, {}, old, {**old, **often})
    found = cells(exhibits("data", examples(*rows))["Active"])
    assert {name: row["rows"] for name, row in found.items()} == {
        "active": 1,
        "cooling": 1,
        "one purchase only": 1,
        "dormant": 2,
    }


@pytest.mark.parametrize("rows", [[{}], [{"past_monetary_value": 0.0, "avg_purchase_revenue": 0.0}]])
def test_one_customer_without_revenue_can_be_explored(rows: list[dict[str, Any]]) -> None:
    found = (exhibits if rows[0] else drawn)("data", examples(*rows))
    assert "0 % of all rows have revenue" in found["Who"].says
    assert ("Not drawn, since without revenue: 1." in found["Recency,"].says) == ("past_monetary_value" in rows[0])


def test_no_examples_no_exhibits() -> None:
    assert exhibits("data", Shown({}, SETTINGS)) == {}
    assert exhibits("data", Shown({"train": examples({}).tables["train"].slice(0, 0)}, SETTINGS)) == {}


# --- predictions ---------------------------------------------------------------------------------------


def test_the_gain_curve_against_arithmetic() -> None:
    """Revenue 60, 30, 10, 0, listed in the order 30, 60, 0, 10."""
    revenue, by = np.array([60.0, 30.0, 10.0, 0.0]), np.array([3.0, 4.0, 1.0, 2.0])
    curve = gain_curve(revenue, by, np.ones(4))
    assert [curve.at(share) for share in (0, 0.1, 0.25, 0.5, 0.75, 1)] == pytest.approx([0, 0.12, 0.3, 0.9, 0.9, 1])
    weighted = gain_curve(revenue, by, np.array([1.0, 2.0, 1.0, 0.0]))
    assert (weighted.at(0.5), weighted.at(0.75)) == pytest.approx((60 / 130, 120 / 130))


def test_a_list_that_knows_nothing_gains_what_chance_does() -> None:
    curve = gain_curve(np.array([0.0, 9.0, 1.0]), np.zeros(3), np.ones(3))
    assert [curve.at(share) for share in (0.1, 0.5)] == pytest.approx([0.1, 0.5])


def test_the_gain_of_the_first_tenth_is_told_beside_rule_ideal_and_chance() -> None:
    """One of ten customers brings half of the revenue; the model puts another first, the rule knows nothing."""
    actual = [50.0, 10.0, 10.0, 10.0, 10.0, 10.0, 0.0, 0.0, 0.0, 0.0]
    says = drawn("evaluation", predictions(actual, [8.0, 9.0, *range(8)]))["Gain"].says
    assert "The first 10 % of the model's list bring 10 % of the revenue (naive rule 10 %, ideal 50 %" in says
    assert "The first 20 % of the model's list bring 60 % of the revenue (naive rule 20 %, ideal 60 %" in says


def test_deciles_are_calibrated_against_what_came() -> None:
    shown = predictions(np.arange(20.0), np.arange(20.0) * 2)
    found = by_decile(futures(shown)["eval"])
    assert [one.decile for one in found] == [*range(1, 11)]
    assert {one.rows for one in found} == {2}
    assert (found[0].predicted, found[0].actual, found[0].error) == pytest.approx((37, 18.5, 0.5))
    assert (found[9].predicted, found[9].actual) == pytest.approx((1, 0.5))
    assert "Furthest off is decile 1: 37 predicted, 18 came" in exhibits("evaluation", shown)["Calibration"].says


def test_what_is_judged_is_the_future_part() -> None:
    """Of totals of 110 and 300, the past is 100 and 300."""
    shown = predictions([10.0, 0.0], [5.0, -3.0], past_monetary_value=[100.0, 300.0])
    says = exhibits("evaluation", shown)["Predicted"].says
    assert (
        "On eval, the predicted sum is 80 % below the actual one, 1 of 2 rows bought nothing, predictions below 0: 1."
        in says
    )


CERTAIN = {"future_low": 0.0, "future_high": 10.0, "repurchase_probability": 0.5}


def certain(actual: list[float], **said: Any) -> Shown:
    """Predictions in falling order, with what the model says of its certainty; the same of all rows, or by row."""
    columns = {name: np.broadcast_to(np.float32(value), len(actual)) for name, value in (CERTAIN | said).items()}
    return predictions(actual, np.arange(float(len(actual)))[::-1], **columns)


def test_the_interval_is_judged_by_tenth_of_the_list() -> None:
    """Of each two customers one is inside; of the first two none, since one is too high and one too low."""
    actual, low = [11.0, 1.0] + [5.0, 11.0] * 9, [2.0] * 2 + [0.0] * 18
    shown = certain(actual, future_low=low)
    found = covered(futures(shown)["eval"])
    assert [one.came for one in found] == [0.0] + [0.5] * 9
    assert found[0].error == pytest.approx(np.sqrt(0.8 * 0.2 / 2))
    says = drawn("evaluation", shown)["Certainty"].says
    assert "45 % are, where 80 % is promised; in the worst tenth, decile 1, 0 %; 9 of 10 tenths are off by" in says
    assert "interval of 0 alone" not in says


def test_an_interval_of_nothing_is_told() -> None:
    says = exhibits("evaluation", certain([0.0, 5.0], future_high=[0.0, 10.0]))["Certainty"].says
    assert "50 % of the customers have an interval of 0 alone" in says


def test_the_ends_belong_to_the_interval_up_to_rounding() -> None:
    """What came is a difference of two totals."""
    assert covered(futures(certain([10.0049]))["eval"])[0].came == 1
    assert covered(futures(certain([10.01]))["eval"])[0].came == 0


def test_the_probability_to_buy_again_is_held_against_who_did() -> None:
    """Tenths of two rows: whoever has 90 % buys, of those with 10 % in one tenth one does."""
    shown = certain([5.0, 0.0] + [0.0] * 8 + [5.0] * 10, repurchase_probability=[0.1] * 10 + [0.9] * 10)
    found = repurchases(futures(shown)["eval"])
    assert [round(one.predicted, 6) for one in found] == [0.1] * 5 + [0.9] * 5
    assert [one.came for one in found] == [0.5, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert [one.within for one in found] == [True] * 10
    says = exhibits("evaluation", shown)["Certainty"].says
    assert "Furthest off is the tenth at 10 %, of whom 50 % bought; 10 of 10 tenths are off by no more" in says
    never = certain([5.0] * 100, repurchase_probability=[0.01] * 100)
    assert "bought; 0 of 10 tenths are off by no more than chance" in exhibits("evaluation", never)["Certainty"].says


def test_an_older_record_says_nothing_of_certainty() -> None:
    assert "Certainty" not in exhibits("evaluation", predictions([1.0, 2.0], [2.0, 2.0]))


def test_residuals_are_told_by_group() -> None:
    shown = predictions(
        [10.0, 10.0, 10.0],
        [40.0, 10.0, 5.0],
        frequency_band=["1", "2-3", "10+"],
        days_since_last_purchase=[5, 200, 200],
    )
    says = exhibits("evaluation", shown)["Residuals"].says
    assert "by days with a purchase so far: 1, 30 too high" in says
    assert "by days since the last purchase: 0-30 days, 30 too high" in says


def test_a_record_without_recency_has_the_other_residuals() -> None:
    shown = predictions([1.0, 2.0], [2.0, 2.0])
    short = Shown({"eval": shown.tables["eval"].drop(["days_since_last_purchase"])}, SETTINGS)
    assert "last purchase" not in exhibits("evaluation", short)["Residuals"].says


@pytest.mark.parametrize("count", [1, 12])
def test_where_nobody_buys_again_there_is_no_gain(count: int) -> None:
    found = (drawn if count == 1 else exhibits)("evaluation", predictions([0.0] * count, [-2.0] * count))
    assert set(found) == {"Predicted", "Calibration", "Residuals"}
    assert f"{count} of {count} rows bought nothing" in found["Predicted"].says


def test_splits_stand_side_by_side_and_many_points_are_sampled() -> None:
    shown = predictions(np.arange(1500.0), np.arange(1500.0))
    shown = Shown({"test": shown.tables["eval"], "eval": shown.tables["eval"]}, SETTINGS)
    plot = exhibits("evaluation", shown)["Predicted"]
    figure = Figure()
    assert isinstance(plot, Plot)
    plot.draw(figure)
    assert [axes.get_title() for axes in figure.axes] == ["eval (judged)", "test (reported)"]
    assert [np.size(axes.lines[0].get_xdata()) for axes in figure.axes] == [500, 500]


def test_nothing_predicted_no_exhibits() -> None:
    assert exhibits("evaluation", Shown({}, SETTINGS)) == {}


# --- the lab's rule, and words --------------------------------------------------------------------------


def test_the_labs_baseline_is_twice_the_average_purchase() -> None:
    (path,) = MODEL.rules.values()
    assert load(path) is lab_baseline
    np.testing.assert_array_equal(lab_baseline({"avg_purchase_revenue": np.array([7.5, 0.0])}, {}), [15, 0])


def test_words() -> None:
    assert [percent(share) for share in (0, 0.004, 0.444, 1)] == ["0 %", "0.4 %", "44 %", "100 %"]
    assert [money(value) for value in (-0.3, 1370.6)] == ["0", "1,371"]
    names = [name for name, _ in by_recency(np.array([0, 30, 31, 91, 92, 400]), 91)]
    assert names == ["0-30 days", "31-91 days", "92-182 days", "over 182 days"]
