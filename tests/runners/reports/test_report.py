"""The report of each way in which a run can end, as a page: from records alone, where nothing else is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsing import Open
from playwright.sync_api import expect
from recorded_runs import write_record
from report_page import looked_at, words

from pipeline.push import MANIFEST_FILE
from pipeline.verdict import Check
from runners.reports.facts import gather
from runners.reports.report import report_of, write
from runners.run import METADATA, REPORT, RunResult

RUN = "20261101T120000.000001"
MET = Check(gate="data", metric="schema anomalies", slice="train", bound="none", value="none", passed=True)
BIASED = Check(
    gate="model",
    metric="future_bias",
    bound="-0.25 .. 0.25",
    value=-0.31,
    shortfall=0.06,
    passed=False,
    note="a shop plans with the sum <of> the predictions",
)
METRICS = {"eval": {"rows": 353.0, "future_bias": -0.31, "future_gini": None}}


def page_of(root: Path, result: RunResult) -> Path:
    return write(gather(root, result.run_id))


def test_a_refused_run_says_which_bound_was_missed_by_how_much_and_why(tmp_path: Path, opened: Open) -> None:
    path = page_of(tmp_path, write_record(tmp_path, RUN, checks=[MET, BIASED], metrics=METRICS))
    told = words(looked_at(opened, path))
    assert told.startswith("Refused")
    assert (
        "future_bias on overall is -0.31, must be -0.25 .. 0.25 (missed by 0.06): a shop plans with the sum <of>"
        in told
    )
    assert "Data gate met its only bound Serving gate not reached Model gate missed 1 of 1 bounds" in " ".join(
        told.split()
    )
    assert "was refused by the model gate" in told
    assert "shop.csv, digest 0123456789abcdef" in told
    assert "353 rows of the eval split" in told


def test_a_reason_that_fills_a_screen_leaves_the_rest_in_sight(tmp_path: Path, opened: Open) -> None:
    endless = BIASED.model_copy(update={"gate": "serving", "note": "Graph execution error: " + "node " * 2000})
    told = words(looked_at(opened, page_of(tmp_path, write_record(tmp_path, RUN, checks=[MET, endless]))))
    assert "Graph execution error: node node" in told
    assert len(told) < 2000


def test_paper_has_the_settings_that_were_changed(tmp_path: Path, opened: Open) -> None:
    settings = write_record(tmp_path / "other", RUN).settings
    settings["training"]["seed"] = 17
    page = looked_at(opened, page_of(tmp_path, write_record(tmp_path, RUN, settings=settings, checks=[MET, BIASED])))
    page.emulate_media(media="print")
    expect(page.locator("#settings").get_by_role("row", name="training.seed 17")).to_be_visible()
    expect(page.get_by_role("navigation")).to_be_hidden()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"outcome": "failed", "error": "Trainer: ValueError: <no> rows"}, "Trainer: ValueError: <no> rows"),
        ({"outcome": "interrupted"}, "somebody stopped the run"),
        (
            {"outcome": "interrupted", "nodes": [{"name": "Trainer", "state": "interrupted", "seconds": 3.0}]},
            "somebody stopped the run in the step Trainer",
        ),
        ({"outcome": "unfinished"}, "its process was killed"),
        ({"outcome": "unchanged", "pushed": "/elsewhere/clv-main/1761999999"}, "version 1761999999 (before)"),
        ({"outcome": "pushed", "pushed": "gs://bucket/clv-main/1761999999"}, "version 1761999999"),
        ({"rolled_back": "Version 3 was rolled back: version 2 serves."}, "version 2 serves"),
        ({"settings": {}}, "Refused"),
    ],
)
def test_each_end_of_a_run_is_told(tmp_path: Path, opened: Open, fields: dict[str, object], said: str) -> None:
    assert said in words(looked_at(opened, page_of(tmp_path, write_record(tmp_path, RUN, **fields))))


def test_a_report_that_cannot_be_made_does_not_fail_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = write_record(tmp_path, RUN)
    assert report_of(tmp_path, RUN) == Path(result.folder) / REPORT
    (Path(result.folder) / REPORT).unlink()
    (Path(result.folder) / REPORT).mkdir()
    assert report_of(tmp_path, RUN) is None
    assert "The report could not be made" in caplog.text


def test_damaged_files_beside_a_record_do_not_end_its_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = tmp_path / "pushed" / "1" / MANIFEST_FILE
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"model": "cl')
    (tmp_path / METADATA).write_bytes(b"SQLite format 3\0, cut off")
    result = write_record(tmp_path, RUN, champion=str(manifest.parents[1]))
    assert "Refused" in page_of(tmp_path, result).read_text(encoding="utf-8")
    assert f"{METADATA} cannot be read" in caplog.text
