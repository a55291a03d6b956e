"""What ran, as a picture with panels, looked at in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browsing import Open
from metadata_by_hand import Made, Ran, store_run
from playwright.sync_api import Page, expect
from recorded_runs import write_record
from report_page import looked_at

from pipeline.verdict import Check
from runners.reports.facts import gather
from runners.reports.report import write
from runners.reports.told import Told, rows
from runners.run import Node

RUN = "20261101T120000.000001"
PLANNED = {
    "ExampleGen": [],
    "ImportSchemaGen": [],
    "DataGate": ["ExampleGen", "ImportSchemaGen"],
    "Trainer": ["DataGate", "ExampleGen"],
    "Evaluator": ["Trainer", "ExampleGen"],
    "Pusher": ["Evaluator", "Trainer"],
}
SQL = "SELECT *\nFROM transactions\nWHERE country = '<script>'"
NOTED = "\n".join(
    [
        "2026-11-01 12:00:00,100 INFO absl: before any node",
        "2026-11-01 12:00:01,100 INFO absl: Running launcher for node_info {",
        "  type {",
        '    name: "pipeline.Gen"',
        "  }",
        '  id: "ExampleGen"',
        "}",
        "2026-11-01 12:00:02,100 INFO absl: wrote 7 examples",
        "key: value",
        "2026-11-01 12:00:03,100 INFO absl: Running launcher for node_info {",
        '  id: "Trainer"',
        "}",
        "2026-11-01 12:00:04,100 ERROR absl: Traceback (most recent call last):",
        '  File "trainer.py", line 3, in run_fn',
        "ValueError: <no> rows",
    ]
)


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """The report of a run whose trainer raised."""
    ended = [("ExampleGen", "run"), ("ImportSchemaGen", "cached"), ("DataGate", "run"), ("Trainer", "failed")]
    nodes = [Node(name=name, state=state, seconds=1.25) for name, state in ended]
    result = write_record(tmp_path, RUN, outcome="failed", error="Trainer: ValueError", nodes=nodes, planned=PLANNED)
    examples = tmp_path / "examples"
    examples.mkdir()
    read = {"examples": ("ExampleGen", "examples")}
    told = {"input_config": json.dumps({"splits": [{"name": "train", "pattern": SQL}]})}
    store_run(
        tmp_path,
        result,
        [
            Ran("ExampleGen", outputs={"examples": Made("Examples", str(examples))}, told=told),
            Ran("ImportSchemaGen", "CACHED", outputs={"schema": Made("Schema", "/deleted/schema")}),
            Ran("DataGate", inputs={**read, "schema": ("ImportSchemaGen", "schema")}),
            Ran("Trainer", "FAILED", inputs=read),
        ],
    )
    Path(result.folder, "tfx.log").write_text(NOTED)
    return write(gather(tmp_path, RUN))


def _states(page: Page) -> dict[str, str]:
    cells = [row.locator("th, td").all_inner_texts() for row in page.locator("#nodes tbody tr").all()]
    return {cell[0]: cell[1] for cell in cells}


def test_a_crash_is_seen_with_its_traceback_and_what_was_not_reached(crashed: Path, opened: Open) -> None:
    page = looked_at(opened, crashed)
    assert {name: state.split("\xa0")[1] for name, state in _states(page).items()} == {
        "ExampleGen": "ran",
        "ImportSchemaGen": "from the cache",
        "DataGate": "ran",
        "Trainer": "failed",
        "Evaluator": "not reached",
        "Pusher": "not reached",
    }
    expect(page.locator("#node-Trainer .log")).to_contain_text("ValueError: <no> rows")
    expect(page.locator("#node-Trainer")).to_be_visible()
    assert page.locator(".diagram .box").count() == 6
    # ExampleGen -> Trainer and others are implied by longer ways.
    assert page.locator("#nodes .diagram .arrows .head").count() == 5


def test_a_click_on_a_node_shows_what_it_read_made_was_told_and_logged(crashed: Path, opened: Open) -> None:
    page = opened(crashed.as_uri()).page
    panel = page.locator("#node-ExampleGen")
    expect(panel).to_be_hidden()
    page.locator('.diagram a[href="#node-ExampleGen"] rect').click()
    expect(panel).to_be_visible()
    expect(panel).to_contain_text("examples (Examples, id 1)")
    expect(panel.locator(".log")).to_have_text("12:00:02,100 INFO absl: wrote 7 examples")
    panel.get_by_text("Settings of this step").click()
    expect(panel.locator("dd pre")).to_have_text(SQL)
    page.locator('.diagram a[href="#node-DataGate"]').focus()
    page.keyboard.press("Enter")
    expect(panel).to_be_hidden()
    gate = page.locator("#node-DataGate")
    expect(gate).to_contain_text("schema (Schema, id 2, of ImportSchemaGen; not there any more)")
    gate.get_by_role("link", name="ExampleGen").click()
    expect(panel).to_be_visible()


def test_on_a_telephone_the_picture_scrolls_and_on_paper_the_table_is_there(crashed: Path, opened: Open) -> None:
    page = opened(crashed.as_uri(), viewport={"width": 360, "height": 700}).page
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.emulate_media(media="print")
    expect(page.locator("#nodes table")).to_be_visible()
    expect(page.locator("#nodes .diagram")).to_be_visible()
    expect(page.locator("#node-Trainer")).to_be_visible()


def test_the_gate_that_refused_is_marked_though_it_ran_and_so_is_an_empty_push(tmp_path: Path, opened: Open) -> None:
    missed = Check(gate="model", metric="mae", bound="<= 1", value=2.0, shortfall=1.0, passed=False)
    nodes = [Node(name=name, state="run", seconds=1) for name in PLANNED]
    result = write_record(tmp_path, RUN, nodes=nodes, planned=PLANNED, checks=[missed])
    store_run(tmp_path, result, [Ran("Pusher", outputs={"pushed_model": Made("PushedModel", "/none")})])
    page = opened(write(gather(tmp_path, RUN)).as_uri()).page
    assert (_states(page)["Evaluator"], _states(page)["Pusher"]) == ("✗\xa0refused", "-\xa0pushed nothing")
    page.goto(f"{page.url}#node-Evaluator")
    expect(page.locator("#node-Evaluator")).to_contain_text("mae on overall is 2, must be <= 1 (missed by 1)")


def test_a_record_without_a_plan_is_drawn_from_the_store(tmp_path: Path, opened: Open) -> None:
    """A run that was killed, or one of before the plan was kept."""
    result = write_record(tmp_path, RUN, outcome="unfinished")
    read = {"examples": ("ExampleGen", "examples")}
    made = {"examples": Made("Examples", "/there")}
    store_run(tmp_path, result, [Ran("ExampleGen", outputs=made), Ran("Trainer", "RUNNING", inputs=read)])
    page = opened(write(gather(tmp_path, RUN)).as_uri()).page
    assert _states(page) == {"ExampleGen": "✓\xa0ran", "Trainer": "…\xa0not ended"}
    assert page.locator("#nodes .diagram .arrows .head").count() == 1


def test_a_run_of_which_nothing_is_known_has_no_such_section(tmp_path: Path) -> None:
    write_record(tmp_path, RUN)
    assert 'id="nodes"' not in write(gather(tmp_path, RUN)).read_text()


def test_json_inside_of_json_is_told_row_by_row() -> None:
    told = {"config": json.dumps({"@type": "x", "inner": json.dumps({"rate": 0.5, "sizes": [1, 2]}), "none": None})}
    told |= {"broken": "{not json", "sql": "SELECT 1\nFROM t"}
    assert rows(told) == [
        Told("broken", "{not json"),
        Told("config.inner.rate", "0.5"),
        Told("config.inner.sizes", "1, 2"),
        Told("sql", "SELECT 1\nFROM t"),
    ]
