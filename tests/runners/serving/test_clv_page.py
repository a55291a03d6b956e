"""The page of the model of customers, in a real browser, against a real server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from browsing import Open
from playwright.sync_api import Page, expect
from serving_server import running

from models.clv import features
from pipeline.contract import find_model, resource

ROWS = "#attributions tbody tr"


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _answered(page: Page) -> dict[str, float]:
    """The page's answer, once it is not about to change."""
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#total")).not_to_have_text("…")
    return {name: _number(page.inner_text(f"#{name}")) for name in ("future", "total")}


def _asked(page: Page) -> dict[str, Any]:
    """What a program would send."""
    body: dict[str, Any] = json.loads(page.locator("#request").text_content() or "")
    return body


def _slider(page: Page, name: str) -> Any:
    return page.get_by_role("slider", name=name)


def _field(page: Page, name: str) -> Any:
    return page.get_by_role("spinbutton", name=name)


def test_a_moved_slider_is_answered_as_the_server_answers(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    before = _answered(page)
    _slider(page, "Purchases").press("ArrowRight")
    expect(_field(page, "Purchases")).to_have_value("7")
    _slider(page, "Revenue of a purchase").click(position={"x": 150, "y": 5})
    after = _answered(page)
    assert after["total"] > before["total"]
    answer = requests.post(f"{clv_url}/v1/models/clv:predict", json=_asked(page), timeout=20).json()["predictions"][0]
    assert after["future"] == pytest.approx(answer["future_monetary_value"], abs=0.006)
    assert after["total"] == pytest.approx(answer["total_monetary_value"], abs=0.006)


def test_what_the_mean_does_not_say_is_told_in_a_sentence(clv_url: str, opened: Open) -> None:
    """The model predicts 10 a purchase, 80 % of that as the median, a half to twice of it, and buying by hundredths."""
    page = opened(clv_url).page
    _answered(page)
    expect(page.locator("#told")).to_have_text(
        "Half of such customers spend less than 48. "
        "Such a customer buys again with 60 % probability, and with 80 % spends between 30 and 120."
    )
    assert _asked(page)["instances"][0].keys() == set(features.INPUTS)


def test_what_was_bought_lately_follows_until_it_is_said(clv_url: str, opened: Open) -> None:
    """Six purchases of 300, evenly from 200 to 20 days ago: 20, 56, 92, 128, 164 and 200."""
    page = opened(clv_url).page
    names = ("revenue_30d", "revenue_91d", "revenue_182d", "purchases_91d", "purchases_182d")

    def sent() -> list[float]:
        _answered(page)
        return [_asked(page)["instances"][0][name] for name in names]

    assert sent() == [300, 600, 1500, 2, 5]
    _field(page, "Last purchase").fill("91")
    assert sent() == [0, 0, 1500, 0, 5]
    _field(page, "Last purchase").fill("20")
    page.get_by_text("What the customer bought lately: 600 in 91 days").click()
    _field(page, "Revenue of the last 91 days").fill("100")
    expect(page.locator("#warning")).to_contain_text("Revenue of the last 91 days: less than of fewer days; the answer")
    _field(page, "Units of a purchase").fill("20")
    assert sent() == [300, 100, 1500, 2, 5]
    page.get_by_role("button", name="Spread evenly again").click()
    assert sent() == [300, 600, 1500, 2, 5]
    expect(page.locator("#warning")).to_be_empty()
    _field(page, "Revenue of the last 182 days").fill("1800.01")
    expect(page.locator("#warning")).to_contain_text("Revenue of the last 182 days: more than all revenue so far")


def test_quick_moves_end_with_the_answer_to_the_last_one(clv_url: str, opened: Open) -> None:
    visit = opened(clv_url)
    _answered(visit.page)
    before = len(visit.requests)
    for _ in range(40):
        _slider(visit.page, "Purchases").press("ArrowRight")
    assert _answered(visit.page)["future"] == 460
    assert _asked(visit.page)["instances"][0]["n_purchases"] == 46
    assert len(visit.requests) - before < 40


def test_attributions_are_drawn_sorted_and_sum_to_the_total(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    total = _answered(page)["total"]
    cells = [row.locator("td").last.inner_text() for row in page.locator(ROWS).all()]
    start, *shares, end = map(_number, cells)
    assert len(shares) == 13
    assert shares == sorted(shares, key=abs, reverse=True)
    assert start + sum(shares) == pytest.approx(end, abs=0.06)
    assert end == total
    widths = [bar.evaluate("bar => bar.getBoundingClientRect().width") for bar in page.locator(".bar").all()]
    assert widths[0] > 20
    np.testing.assert_allclose(np.array(widths) / widths[0], np.abs(shares) / abs(shares[0]), atol=0.02)
    expect(page.locator(".start")).to_contain_text("nothing is known")
    expect(page.locator(".why")).to_contain_text("a customer of whom nothing is known")


def test_purchases_stay_in_order_and_impossible_customers_are_warned_of(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    _field(page, "First purchase").first.fill("10")
    expect(_field(page, "Last purchase")).to_have_value("10")
    expect(page.locator("#warning")).to_contain_text("6 days with a purchase do not fit into the 1")
    _answered(page)
    assert (_asked(page)["instances"][0]["customer_age"], _asked(page)["instances"][0]["tenure_days"]) == (0, 10)
    _field(page, "First purchase").first.fill("200")
    expect(page.locator("#warning")).to_be_empty()
    _field(page, "Purchases").fill("1")
    expect(page.locator("#warning")).to_contain_text("A single purchase is the first and the last one")
    _answered(page)
    assert _asked(page)["instances"][0]["tenure_days"] == 10


def test_purchases_elsewhere_count_in_revenue_and_tenure(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    page.get_by_text("also bought in other countries").click()
    _field(page, "Revenue in other countries").fill("50.5")
    _field(page, "First purchase in another country").fill("300")
    page.get_by_label("Country", exact=True).fill(" France ")
    assert _answered(page)["total"] == 1910.5
    sent = _asked(page)["instances"][0]
    told = (sent["past_monetary_value"], sent["tenure_days"], sent["customer_country"])
    assert told == (1850.5, 300, "France")


@pytest.mark.parametrize("typed", ["", "0", "2.5", "5000"])
def test_a_number_that_cannot_be_is_told_and_not_asked(clv_url: str, opened: Open, typed: str) -> None:
    page = opened(clv_url).page
    before = _answered(page)
    _field(page, "Purchases").fill(typed)
    words = "Purchases: a whole number from 1 to 3,660 is needed; the answer still counts with 6."
    expect(page.locator("#warning")).to_have_text(words)
    assert _answered(page) == before
    _field(page, "Purchases").blur()
    expect(_field(page, "Purchases")).to_have_value("6")


def test_what_the_server_refuses_and_that_it_is_gone_is_said_in_words(clv_destination: Path, opened: Open) -> None:
    with running(clv_destination, find_model("clv"), max_body_bytes=100) as url:
        page = opened(url, flawless=False).page
        problem = page.get_by_role("alert")
        expect(problem).to_have_text(re.compile(r"^The server refused \(413\): expected a body of at most 100 bytes"))
        expect(page.locator("#total")).to_have_text("…")
        expect(page.locator(ROWS)).to_have_count(0)
    _field(page, "Purchases").fill("8")
    expect(problem).to_have_text("The server does not answer. Is it still running?")


def test_the_version_that_answers_is_told(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    told = requests.get(f"{clv_url}/about", timeout=20).json()
    expect(page.locator("#about")).to_contain_text(f"Version {told['version']} · digest {told['digest']}")
    expect(page.locator("#answered-by")).to_have_text(f"Answered by version {told['version']}.")
    assert page.get_by_role("link", name="API").first.get_attribute("href") == "/docs"


def test_the_page_offers_the_countries_of_the_schema(clv_url: str, opened: Open) -> None:
    page = opened(clv_url).page
    offered = page.locator("#countries option").evaluate_all("all => all.map(one => one.value)")
    domain = resource("schema.clv:schema.pbtxt").read_text().partition('name: "country"\n')[2]
    assert offered == re.findall(r'^  value: "(.*)"$', domain, re.MULTILINE)
