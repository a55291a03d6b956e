"""Which days a backtest trains as of."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest

from pipeline.contract import UserError
from runners.backtest.cutoffs import Span, choose, pairs

SHOP = Span(date(2010, 12, 1), date(2011, 9, 10), 91)
"""UCI Online Retail: from 2010-12-01 to 2011-12-09."""


def test_auto_spreads_four_from_a_horizon_of_history_to_the_latest() -> None:
    assert choose("auto", SHOP) == [date(2011, 3, 1), date(2011, 5, 5), date(2011, 7, 8), date(2011, 9, 10)]


def test_as_many_as_are_asked_for() -> None:
    assert choose("auto:1", SHOP) == [date(2011, 9, 10)]
    assert choose("auto:2", SHOP) == [date(2011, 3, 1), date(2011, 9, 10)]


def test_ten_years_are_spread_over() -> None:
    found = choose("auto:5", Span(date(2001, 12, 1), date(2011, 9, 10), 91))
    assert (found[0], found[-1]) == (date(2002, 3, 1), date(2011, 9, 10))
    assert {round((later - day).days / 365, 1) for day, later in pairwise(found)} == {2.4}


def test_where_data_are_short_there_are_fewer_and_never_nearly_the_same_ones() -> None:
    assert choose("auto:9", Span(date(2011, 1, 1), date(2011, 5, 17), 91)) == [
        date(2011, 4, 1),
        date(2011, 4, 24),
        date(2011, 5, 17),
    ]
    assert choose("auto", Span(date(2011, 1, 1), date(2011, 2, 1), 91)) == [date(2011, 2, 1)]


def test_days_that_are_named_come_sorted_and_once() -> None:
    assert choose("2011-09-01, 2011-03-01,2011-09-01", SHOP) == [date(2011, 3, 1), date(2011, 9, 1)]
    assert choose("2010-12-01,2011-09-10", SHOP) == [date(2010, 12, 1), date(2011, 9, 10)]


def test_days_that_the_data_cannot_serve_are_refused_with_those_that_they_can() -> None:
    with pytest.raises(UserError) as refused:
        choose("2010-11-30,2011-03-01,2011-09-11", SHOP)
    assert refused.value.received == "2010-11-30, 2011-09-11"
    assert "from 2010-12-01, " in refused.value.expected
    assert "to 2011-09-10, after which 91 days of data are left" in refused.value.expected
    assert refused.value.todo == "choose days from 2011-03-01 to 2011-09-10, or --cutoffs auto"


@pytest.mark.parametrize("text", ["tomorrow", "auto:0", "2011-02-30", "", "2011-03-01;2011-06-01"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="auto:N for N of them, or days such as 2011-03-01"):
        choose(text, SHOP)


def test_a_model_is_used_at_the_first_cutoff_on_whose_evening_its_label_is_known() -> None:
    day, evening_before, evening = date(2011, 3, 1), date(2011, 5, 29), date(2011, 5, 30)
    assert pairs([day, evening_before, evening, date(2011, 9, 1)], SHOP) == [
        (day, evening),  # Its label ends with 2011-05-30.
        (evening_before, date(2011, 9, 1)),
        (evening, date(2011, 9, 1)),
    ]
    assert pairs([day, evening_before], SHOP) == []
