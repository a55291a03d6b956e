"""The page of `pipelines history --out`, in a real browser."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from browsing import Visit, browser_path, browsing, opening
from playwright.sync_api import Browser
from recorded_runs import model_check, record, refused, write
from typer.testing import CliRunner

from models.clv import MODEL
from pipeline.contract import UserError
from runners import cli


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    with browsing(browser_path(request.config.getoption("--browser"))) as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of roots with no run, one run, and all that can become of runs, one of them with a report."""
    folder = tmp_path_factory.mktemp("pages")
    biased = model_check("future_bias", "-0.25 .. 0.25", -0.3101, passed=False, shortfall=0.0601)
    crashed = "Trainer: ValueError: <script>alert('no loss')</script>"
    nothing: dict[str, Any] = {"metrics": {}, "checks": [], "slices": {}, "pushed": None}
    write(folder / "one", record(0))
    write(
        folder / "all",
        record(1, gini=0.7),
        refused(2),
        record(3, gini=0.74, outcome="refused", checks=[biased], pushed=None),
        record(4, line="sample", gini=0.9),
        record(5, outcome="failed", error=crashed, **nothing),
        record(6, gini=0.72, slices={"champion": {"overall": {"future_gini": 0.71}}}),
        record(7, gini=None, outcome="unchanged"),
        record(8, outcome="unfinished", seconds=0.0, **nothing),
    )
    (next(folder.glob("all/records/*/20260111*")) / "report.html").write_text("<title>its report</title>")
    for name in ("none", "one", "all"):
        write_page(folder / name, folder / "pages" / f"{name}.html")
    return folder


def write_page(root: Path, out: Path) -> str:
    arguments = ["history", "clv", "--root", str(root), "--out", str(out)]
    return CliRunner().invoke(cli.app, arguments, catch_exceptions=False).stdout


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/pages"
        server.shutdown()


@pytest.fixture
def visit(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """The page that a test names; its console must have had nothing to complain of."""
    with opening(browser) as opened:
        yield opened(f"{address}/{request.param}.html")


@pytest.mark.parametrize("visit", ["all"], indirect=True)
def test_a_plot_a_metric_and_a_row_a_run(visit: Visit) -> None:
    page = visit.page
    main = page.get_by_role("heading", level=2, name="clv-main-horizon_days-91").locator("..")
    gates = list(MODEL.settings().gates.bounds)
    assert [plot.get_attribute("aria-label") for plot in main.get_by_role("img").all()] == gates
    gini = main.locator("figure", has_text="future_gini")
    assert "must be >= 0.5 (the customers at the top of the list" in gini.inner_text()
    assert "3 runs measured it: first 0.7, last 0.72, best 0.74. None of them missed" in gini.inner_text()
    assert len(main.get_by_role("row").all()) == 1 + 7
    assert "refused by the data gate" in main.get_by_role("row", name="20260107").inner_text()
    assert "model gate: future_bias" in main.get_by_role("row", name="20260108").inner_text()
    sample = page.get_by_role("heading", level=2, name="clv-sample-horizon_days-91").locator("..")
    assert "One run measured it: 0.9." in sample.locator("figure", has_text="future_gini").inner_text()
    assert page.get_by_label("What the marks mean").get_by_text("the champion of the time").is_visible()


@pytest.mark.parametrize("visit", ["all"], indirect=True)
def test_what_runs_wrote_is_text_and_a_report_is_a_click_away(visit: Visit) -> None:
    page = visit.page
    assert "<script>alert" in page.get_by_role("row", name="20260110").inner_text()
    page.get_by_role("link", name="20260111").click()
    assert page.title() == "its report"


@pytest.mark.parametrize("visit", ["all", "one"], indirect=True)
def test_everybody_can_read_it_in_the_dark_and_on_a_phone(visit: Visit) -> None:
    page = visit.page
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("visit", ["none"], indirect=True)
def test_without_runs_it_says_how_to_make_one(visit: Visit) -> None:
    assert "No run of clv has left a record yet. pipelines run clv makes one." in visit.page.inner_text("main")


def test_the_terminal_names_the_page_and_a_place_that_cannot_be(folder: Path) -> None:
    out = folder / "pages" / "again.html"
    said = write_page(folder / "one", out)
    assert "future_gini" in said
    assert f"Page: {out}" in said
    with pytest.raises(UserError, match="choose another --out"):
        write_page(folder / "one", folder / "pages" / "again.html" / "inside.html")
