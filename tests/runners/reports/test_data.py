"""The report's section "Data", of runs whose files and metadata are made by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from data_of_runs import Columns, RootByHand, customers, report, write_examples

from pipeline.verdict import Check
from runners.reports import data, samples
from runners.reports.facts import Facts

RUN = "20261101T120000.000001"
BEFORE = "20261031T120000.000001"
SPLITS = {"train": customers(120), "eval": customers(40, seed=2), "test": customers(30, seed=3)}


class Seen(NamedTuple):
    """What a section says: headings, tables as rows of cells, and what is announced as a problem."""

    words: str
    headings: list[str]
    rows: list[list[str]]
    alerts: int
    plots: list[str]
    small: int


class _Reader(HTMLParser):
    """Collects the texts of headings and cells."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.alerts, self.small = 0, 0
        self.plots: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.alerts += known.get("role") == "alert"
        self.small += known.get("class") == "small"
        if known.get("class") == "plot":
            self.plots.append(str(known["aria-label"]))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("td", "th", "h3"):
            self._inside = tag
        if tag == "br" and self._inside:
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._inside == "h3":
            self.headings.append(data)
        elif self._inside:
            self.rows[-1][-1] += data


def seen(facts: Facts) -> Seen:
    made = data.section(facts)
    assert made is not None
    reader = _Reader()
    reader.feed(str(made))
    words = " ".join(" ".join(reader.words).split())
    rows = [[" ".join(cell.split()) for cell in row] for row in reader.rows]
    return Seen(words, reader.headings, rows, reader.alerts, reader.plots, reader.small)


def rows_of(found: Seen, first: str) -> list[list[str]]:
    return [row for row in found.rows if row and row[0].startswith(first)]


def distance(what: str, feature: str, split: str, value: float, *, passed: bool = True, binding: bool = True) -> Check:
    return Check(
        gate="data",
        metric=f"{what} of {feature}",
        slice=split,
        bound="<= 0.2",
        value=value,
        passed=passed,
        binding=binding,
        note="" if passed else "its median is 9, and 4 in the last pushed run; halves reach .16",
    )


PASSED = (
    Check(gate="data", metric="quarantined share", slice="raw rows", bound="<= 0.05", value=0.03, passed=True),
    distance("skew", "tenure_days", "eval", 0.05),
    distance("skew", "tenure_days", "test", 0.19),
    distance("skew", "n_purchases", "eval", 0.3, binding=False),
)


@pytest.fixture
def root(tmp_path: Path) -> RootByHand:
    return RootByHand(tmp_path)


@pytest.fixture
def passed(root: RootByHand) -> Facts:
    examples = root.examples(RUN, SPLITS, report())
    root.statistics(RUN, SPLITS, examples)
    return root.facts(RUN, PASSED)


def test_a_run_that_passed_says_what_became_of_every_row(passed: Facts) -> None:
    found = seen(passed)
    assert rows_of(found, "rows read") == [["rows read", "100", "100.0 %"]]
    assert rows_of(found, "price: no number") == [["price: no number", "2", "2.0 %"]]
    assert rows_of(found, "left out on purpose") == [["left out on purpose: cancelled or returned", "4", "4.0 %"]]
    assert "/shop/quarantine.csv" in found.words
    assert "5e" * 32 in found.words
    assert ["eval", "40", "21 %"] in found.rows
    assert found.alerts == 0


def test_the_closest_distance_is_named_and_one_that_is_not_judged_is_no_bar_of_it(passed: Facts) -> None:
    found = seen(passed)
    assert "4 things, and all passed" in found.words
    assert "the skew of tenure_days on test: 0.190 of 0.2, 95 %" in found.words
    assert rows_of(found, "tenure_days")[0][1:] == ["0.050 of 0.2", "0.190 of 0.2"]
    assert rows_of(found, "n_purchases")[0][1:] == ["0.300 of 0.2: not judged, few rows", "-"]


def test_every_feature_has_its_statistics_and_a_picture_where_that_tells_something(passed: Facts) -> None:
    found = seen(passed)
    (train,) = [row for row in rows_of(found, "n_purchases") if len(row) == 10]
    assert train[0] == "n_purchases input of the model, whole number"
    values = np.asarray(SPLITS["train"]["n_purchases"])
    assert train[2:] == ["train", "0", "0", "1", f"{np.median(values):g}", *train[7:9], "11"]
    (country,) = [row for row in rows_of(found, "customer_country") if len(row) == 6]
    assert country[-1] == "France 75.0 %, Spain 25.0 %"
    assert rows_of(found, "target_monetary_value_3M")[0][0].endswith("label: what is predicted, number")
    # All but ids, which are all different, and a weight and a day that are always the same.
    assert found.small == len(SPLITS["train"]) - 3


def test_a_refused_run_shows_the_forbidden_rows_and_its_features_against_the_last_pushed_runs(root: RootByHand) -> None:
    before = root.statistics(BEFORE, SPLITS, root.examples(BEFORE, SPLITS))
    spoilt = {**SPLITS, "train": customers(120, past_monetary_value=np.linspace(-50, 900, 120))}
    bad = {"negative price": {"rows": 9, "examples": ['row 2: {"Price": "-3.25", "Country": null}']}}
    root.statistics(RUN, spoilt, root.examples(RUN, spoilt, report(forbidden=bad)))
    root.refusal(RUN, before)
    checks = [
        Check(
            gate="data",
            metric="schema: past_monetary_value",
            slice="train",
            bound="FLOAT, 0 .. 1e+07, in 100% of rows",
            value="FLOAT, -50 .. 900",
            passed=False,
            note="Unexpectedly low values",
        ),
        distance("drift", "past_monetary_value", "train", 0.4, passed=False),
    ]
    found = seen(root.facts(RUN, checks))
    assert "The data gate refused this run: 2 of its 2 checks were missed." in found.words
    assert found.headings.index("9 rows with negative price") < found.headings.index("What was read")
    assert ["row 2", "-3.25", "-"] in found.rows
    assert "customer_id IS NOT NULL AND unit_price < 0" in found.words
    assert "past_monetary_value in train is outside of 0 .. 10,000,000 in 7 of 120 rows" in found.words
    assert "Where the trouble is" in found.plots
    assert "last pushed run" in found.words
    assert ["past_monetary_value", "0.400 of 0.2: refused"] in found.rows
    assert found.alerts == 0


def test_a_refusal_that_names_no_feature_shows_what_drifted_most(root: RootByHand) -> None:
    before = root.statistics(BEFORE, SPLITS, root.examples(BEFORE, SPLITS))
    root.statistics(RUN, SPLITS, root.examples(RUN, SPLITS))
    root.refusal(RUN, before)
    growth = Check(gate="data", metric="growth", slice="train", bound="0.6 .. 1.7", value=3.0, passed=False)
    found = seen(root.facts(RUN, [growth, distance("drift", "n_purchases", "train", 0.1)]))
    assert "Found: n_purchases in train: 0.1." in found.words


def test_a_feature_of_another_type_in_one_split_is_described_where_it_is_what_it_was(root: RootByHand) -> None:
    splits = {**SPLITS, "eval": customers(40, tenure_days=["long"] * 40)}
    root.statistics(RUN, splits, root.examples(RUN, splits))
    found = seen(root.facts(RUN))
    assert found.alerts == 0
    assert rows_of(found, "tenure_days")[0][2] == "train"


@pytest.mark.parametrize("lost", ["examples", "statistics", "both"])
def test_what_is_gone_is_left_out_and_the_rest_is_shown(passed: Facts, tmp_path: Path, lost: str) -> None:
    for name in ("examples", "statistics") if lost == "both" else (lost,):
        shutil.rmtree(tmp_path / RUN / name)
    found = seen(passed)
    assert found.alerts == 0
    assert ["eval", "40", "21 %"] in found.rows
    assert found.small == 0
    assert bool(rows_of(found, "n_purchases input of the model")) == (lost == "examples")


def test_a_run_that_crashed_before_its_statistics_says_that_nothing_judged_its_data(root: RootByHand) -> None:
    root.examples(RUN, SPLITS, report())
    found = seen(root.facts(RUN, outcome="failed", error="StatisticsGen: no space left"))
    assert "The data gate was not reached" in found.words
    assert "190 examples in all" in found.words


def test_a_run_that_never_got_to_its_data_has_no_section(root: RootByHand) -> None:
    assert data.section(root.facts(RUN, outcome="unfinished")) is None


def test_a_record_without_files_still_counts(root: RootByHand) -> None:
    found = seen(root.facts(RUN, counts={"read": 541909, "usable": 541900}))
    assert ["read", "541,909"] in found.rows


def test_examples_that_cannot_be_read_do_not_end_the_report(passed: Facts, tmp_path: Path) -> None:
    for file in (tmp_path / RUN).glob("examples/*/*.gz"):
        file.write_bytes(file.read_bytes()[:200])
    found = seen(passed)
    assert "EOFError" in found.words
    assert ["rows read", "100", "100.0 %"] in found.rows


# --- the sample --------------------------------------------------------------------------------------


def sampled(folder: Path, columns: Columns, count: int, **limits: int) -> dict[str, list[object]]:
    write_examples(folder / "rows.gz", columns)
    found: dict[str, list[object]] = samples.sample([folder / "rows.gz"], count, **limits).to_pydict()
    return found


def test_rows_are_chosen_evenly_and_in_order(tmp_path: Path) -> None:
    found = sampled(tmp_path / "a", {"row": list(range(1003))}, 1003, rows=300)
    assert found["row"] == list(range(0, 1003, 4))


def test_a_feature_that_a_row_lacks_is_null_and_one_of_several_values_is_left_out(tmp_path: Path) -> None:
    late: list[str | None] = [None] * 450 + ["here"] * 50
    found = sampled(tmp_path / "a", {"row": list(range(500)), "late": late, "many": [[1, 2]] * 500}, 500)
    assert found == {"row": list(range(500)), "late": late}


def pixels(rows: int) -> Iterator[bytes]:
    return (b"\x89PNG" + bytes([row % 256]) for row in range(rows))


def test_pictures_are_kept_of_a_few_rows_only(tmp_path: Path) -> None:
    found = sampled(tmp_path / "a", {"row": list(range(500)), "gray": list(pixels(500))}, 500, pictures=5)
    kept = [row for row, gray in zip(found["row"], found["gray"], strict=True) if gray is not None]
    assert kept == [0, 100, 200, 300, 400]
    assert found["gray"][100] == b"\x89PNG\x64"
