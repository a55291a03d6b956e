"""`pipelines runs`, `show` and `history`: what people type and see, from records alone."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import filelock
import pytest
from commands import pipelines
from recorded_runs import METRICS, model_check, record, refused, write
from typer.testing import CliRunner, Result

from pipeline.contract import UserError
from runners import cli
from runners.history import sparkline
from runners.local import locked
from runners.run import RunResult


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are typed in the folder that holds `runs`, on a wide screen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A fortnight of a team: pushed, refused by two gates, failed, killed, and a sample beside it."""
    biased = model_check("future_bias", "-0.25 .. 0.25", -0.3101, passed=False, shortfall=0.0601)
    error = "Trainer: ValueError: no loss\nwith more lines"
    return write(
        tmp_path / "runs",
        record(1, gini=0.7),
        refused(2),
        record(3, gini=0.74, outcome="refused", checks=[biased], pushed=None),
        record(4, line="sample", gini=0.9),
        record(5, outcome="failed", error=error, metrics={}, checks=[], slices={}, pushed=None),
        record(6, gini=0.72, slices={"champion": {"overall": {"future_gini": 0.71}}}),
        record(7, outcome="unfinished", metrics={}, checks=[], slices={}, pushed=None, nodes=[], seconds=0.0),
    )


def typed(*arguments: object) -> Result:
    """Types `pipelines …`; a user's mistake is raised."""
    return CliRunner().invoke(cli.app, list(map(str, arguments)), catch_exceptions=False)


def ids(said: str) -> list[str]:
    return [line.split()[0] for line in said.splitlines() if line.startswith("2026")]


def line_of(said: str, run: str) -> str:
    (line,) = [line for line in said.splitlines() if line.startswith(run)]
    return line


def test_the_console_script_lists_runs_the_newest_last(root: Path, tmp_path: Path) -> None:
    done = pipelines("runs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert ids(done.stdout) == [f"202601{day:02}T060000.000000" for day in range(6, 13)]


def test_a_line_says_what_became_of_a_run_and_why(root: Path) -> None:
    said = typed("runs").stdout
    assert "+ pushed" in line_of(said, "20260106")
    assert "2026-01-06 06:00Z" in line_of(said, "20260106")
    assert "version 1795280001" in line_of(said, "20260106")
    assert "x refused" in line_of(said, "20260107")
    assert "data gate: negative prices" in line_of(said, "20260107")
    assert "model gate: future_bias" in line_of(said, "20260108")
    assert "Trainer: ValueError: no loss" in line_of(said, "20260110")
    assert "unfinished (killed?)" in line_of(said, "20260112")
    found = {entry["run_id"]: entry for entry in json.loads(typed("runs", "--json").stdout)}
    assert found["20260107T060000.000000"]["gate"] == "data"
    assert found["20260106T060000.000000"]["metrics"] == {
        name: 0.7 if name == "future_gini" else value for name, value in METRICS.items() if name.startswith("future")
    }
    assert found["20260112T060000.000000"]["seconds"] is None


def test_a_run_whose_root_is_held_is_running_and_no_older_one(root: Path) -> None:
    write(root, record(0, outcome="unfinished"))
    with filelock.FileLock(root / ".lock"):
        listed = {entry["run_id"]: entry["outcome"] for entry in json.loads(typed("runs", "--json").stdout)}
        assert (listed["20260112T060000.000000"], listed["20260105T060000.000000"]) == ("running", "unfinished")
        assert "It is going on" in typed("show").stdout
    assert "killed?" in line_of(typed("runs").stdout, "20260112")
    assert "It is going on" not in typed("show").stdout


def test_runs_of_a_model_and_the_newest_few(root: Path) -> None:
    assert ids(typed("runs", "clv", "--limit", 2).stdout) == ["20260111T060000.000000", "20260112T060000.000000"]
    assert "5 older ones are not shown" in typed("runs", "--limit", 2).stdout
    assert "No run of colorizer has left a record" in typed("runs", "colorizer").stdout
    with pytest.raises(UserError, match="clw"):
        typed("runs", "clw")


def test_a_report_beside_the_record_is_named_also_where_the_root_was_moved(root: Path, tmp_path: Path) -> None:
    assert "Report: none; pipelines report 2026" in typed("show", "20260106").stdout
    moved = root.rename(tmp_path / "moved")
    report = next(moved.glob("records/*/20260106*")) / "report.html"
    report.touch()
    assert f"Report: {report}" in typed("show", "20260106", "--root", moved).stdout
    first, *_ = json.loads(typed("runs", "--root", moved, "--json").stdout)
    assert first["report"] == str(report)


def test_a_run_is_shown_as_at_its_end(root: Path) -> None:
    said = typed("show", "20260108").stdout
    assert "REFUSED" in said
    assert "future_bias on overall is -0.3101, must be -0.25 .. 0.25 (missed by 0.0601)" in said
    assert "541,909" in said
    assert "Metrics of the test split" in said
    whole = RunResult.model_validate_json(typed("show", "20260108", "--json").stdout)
    assert (whole.outcome, whole.counts["read"]) == ("refused", 541909)


def test_an_interrupted_run_does_not_name_the_command_that_shows_it(tmp_path: Path) -> None:
    write(tmp_path / "runs", record(0, outcome="interrupted", pushed=None))
    said = typed("show").stdout
    assert "INTERRUPTED" in said
    assert "To go on" not in said


def test_a_run_that_is_not_there(root: Path) -> None:
    with pytest.raises(UserError, match="id of a run with a record"):
        typed("show", "1999")
    with pytest.raises(UserError, match="the last ones there: none"):
        typed("show", "--root", "empty")


# --- history -------------------------------------------------------------------------------------


def told(*arguments: object) -> dict[str, dict[str, Any]]:
    return {line["pipeline"]: line for line in json.loads(typed("history", "clv", *arguments, "--json").stdout)}


def test_a_sample_makes_no_trend_with_real_data(root: Path) -> None:
    lines = told()
    assert list(lines) == ["clv-main-horizon_days-91", "clv-sample-horizon_days-91"]
    gini = lines["clv-main-horizon_days-91"]["trends"]["future_gini"]
    assert gini["values"] == [0.7, None, 0.74, None, 0.72, None]
    assert gini["champions"] == [None, None, None, None, 0.71, None]
    assert (gini["best"], gini["bound"], gini["better"]) == (0.74, ">= 0.5", "higher")
    assert "mae" not in lines["clv-main-horizon_days-91"]["trends"], "it has no bound"
    assert list(told("--line", "sample")) == ["clv-sample-horizon_days-91"]
    with pytest.raises(UserError, match="there: clv-main-horizon_days-91, clv-sample-horizon_days-91"):
        told("--line", "moon")


def test_the_trend_in_the_terminal(root: Path) -> None:
    said = typed("history", "clv", "--line", "main").stdout
    assert ids(said) == [f"202601{day:02}T060000.000000" for day in (6, 7, 8, 10, 11, 12)]
    assert "x refused: model gate" in line_of(said, "20260108")
    (trend,) = [line.split() for line in said.splitlines() if line.startswith("future_gini")]
    assert trend == ["future_gini", "▁", "█", "▅", "0.7", "0.74", "0.72", ">=", "0.5"]


def test_a_bound_that_was_set_anew_is_said(tmp_path: Path) -> None:
    stricter = record(1)
    stricter.settings["gates"]["bounds"]["future_gini"]["lower"] = 0.6
    write(tmp_path / "runs", record(0), stricter)
    assert ">= 0.6 (set anew within these runs)" in typed("history", "clv").stdout
    assert told()["clv-main-horizon_days-91"]["trends"]["future_gini"]["bounds"] == [[0.5, None], [0.6, None]]


def test_a_history_of_none_and_of_hundreds(tmp_path: Path) -> None:
    assert "No run of clv has left a record" in typed("history", "clv").stdout
    write(tmp_path / "runs", *(record(day, gini=day / 250) for day in range(200)))
    said = typed("history", "clv").stdout
    assert len(ids(said)) == 200
    (trend,) = [line.split()[1] for line in said.splitlines() if line.startswith("future_gini")]
    assert (len(trend), trend[0], trend[-1]) == (40, "▁", "█")
    assert list(trend) == sorted(trend)


def test_sparklines_of_equal_and_of_no_values() -> None:
    assert sparkline([0.5, 0.5]) == "▄▄"
    assert sparkline([None, None]) == ""
    assert sparkline([None, 1.0, None, 2.0]) == " ▁ █"


def test_a_look_at_the_runs_turns_no_starting_run_away(tmp_path: Path) -> None:
    look = filelock.FileLock(tmp_path / ".lock", thread_local=False)
    look.acquire()
    threading.Timer(0.1, look.release).start()
    with locked(tmp_path):
        assert look.is_locked is False
