"""`pipelines compare`, and what changed since the champion, which a report's head says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import METRICS, NODES, model_check, record, refused, write
from typer.testing import CliRunner

from pipeline.contract import UserError, find_model
from pipeline.push import MANIFEST_FILE, Manifest
from runners import cli
from runners.comparing import Change, compare, since_champion
from runners.reports.facts import Facts
from runners.run import Node, RunResult


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunResult, RunResult]:
    """A run, and another one with another seed, more data, newer code and a slower training."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    first = record(0)
    settings: dict[str, Any] = json.loads(json.dumps(first.settings))
    settings["training"]["seed"] = 1
    metrics = {**METRICS, "future_gini": 0.715, "future_bias": 0.1, "mae": 400.0}
    second = record(
        1,
        settings=settings,
        data={**first.data, "digest": "0123456789abcdef"},
        counts={"read": 600000, "quarantined": 0, "usable": 600000},
        code={**first.code, "commit": "1" * 40},
        metrics={"eval": metrics, "test": METRICS | {"future_gini": None}},
        slices={"candidate": {"overall": metrics, "frequency_band=1": {"future_gini": 0.4}}},
        checks=[model_check("future_gini", ">= 0.5", 0.715, passed=False, shortfall=0.1)],
        nodes=[Node(name=name, state="run", seconds=30.0 if name == "Trainer" else 7.9) for name in NODES],
    )
    write(tmp_path / "runs", first, second)
    return first, second


def typed(*arguments: object) -> str:
    return CliRunner().invoke(cli.app, ["compare", *map(str, arguments)], catch_exceptions=False).stdout


def test_only_what_differs_is_shown_and_how_much_is_the_same(two: tuple[RunResult, RunResult]) -> None:
    said = typed("20260105", "20260106")
    rows = {line[3:].split("  ")[0].strip(): line for line in said.splitlines() if line.startswith("*")}
    assert rows["training.seed"].split() == ["*", "training.seed", "7", "1"]
    assert rows["read"].split() == ["*", "read", "541,909", "600,000"]
    assert rows["Trainer"].split() == ["*", "Trainer", "run,", "7.5", "s", "run,", "30.0", "s"]
    assert "ExampleGen" not in rows, "some tenths of a second are no difference"
    assert "training.epochs" not in said
    assert "Data or features differ" in said
    differ, same = [int(word) for word in said.splitlines()[-1].split() if word.isdigit()]
    everything = typed("20260105", "20260106", "--all")
    assert "training.epochs" in everything
    marked = [line for line in everything.splitlines() if line.startswith("*")]
    assert (len(marked), len(everything.splitlines()) > same) == (differ, True)


def test_metrics_say_which_is_better_by_the_models_own_measure(two: tuple[RunResult, RunResult]) -> None:
    rows = {(row.part, row.what): row for row in compare(*two)}
    gini, bias, mae = (rows["metrics of the eval split", name] for name in ("future_gini", "future_bias", "mae"))
    assert [gini.difference, bias.difference, mae.difference] == pytest.approx([-0.02, 0.23, -7.0])
    assert (gini.better, mae.better) == ("first", "second")
    assert bias.better == "second", "nearer to zero is better"
    undefined = rows["metrics of the test split", "future_gini"]
    assert (undefined.second, undefined.difference, undefined.differs) == (None, None, True)
    said = typed("20260105", "20260106")
    assert "-0.02, worse" in said
    assert "+0.23, better" in said
    swapped = {(row.part, row.what): row for row in compare(*reversed(two))}
    assert swapped["metrics of the eval split", "future_gini"].better == "second"


def test_slices_are_compared_on_demand(two: tuple[RunResult, RunResult]) -> None:
    assert "frequency_band=1" not in typed("20260105", "20260106")
    assert "future_gini on frequency_band=1" in typed("20260105", "20260106", "--slices")
    row = next(row for row in compare(*two, slices=True) if row.what == "future_gini on frequency_band=1")
    assert row.difference == pytest.approx(0.04)
    assert row.better == "second"


def test_json_holds_the_same_rows(two: tuple[RunResult, RunResult]) -> None:
    told = json.loads(typed("20260105", "20260106", "--json"))
    assert (told["first"], told["second"]) == tuple(run.run_id for run in two)
    assert all(row["differs"] for row in told["rows"])
    everything = json.loads(typed("20260105", "20260106", "--json", "--all"))
    assert len(everything["rows"]) == len(told["rows"]) + told["same"]
    verdict = next(row for row in told["rows"] if row["part"] == "checks")
    assert (verdict["first"], verdict["second"]) == ("passed, must be >= 0.5", "refused, must be >= 0.5")


def test_a_run_that_was_refused_early_and_one_of_another_model(two: tuple[RunResult, RunResult]) -> None:
    write(Path("runs"), refused(2, nodes=[]), record(3, model="colorizer", pipeline="colorizer-main-size-80"))
    said = typed("20260105", "20260107")
    assert "data gate: negative prices on raw rows" in said
    assert "refused, must be <= 0" in said
    other = typed("20260105", "20260108", "--all")
    assert "different pipelines" in other
    assert "better" not in other
    with pytest.raises(UserError, match="id of a run"):
        typed("20260105", "1999")


def test_the_same_run_twice_differs_in_nothing(two: tuple[RunResult, RunResult]) -> None:
    assert typed("20260105", "20260105").splitlines()[-1].startswith("0 differ")


# --- since the champion ----------------------------------------------------------------------------


def facts_of(result: RunResult, champion: RunResult, root: Path) -> Facts:
    """A run that met the champion which another run pushed."""
    told = Manifest(
        model="clv",
        pipeline=champion.pipeline,
        data_digest=champion.data["digest"],
        settings=champion.settings,
        bounds={},
        run=champion.run_id,
        model_uri="",
        model_digest="",
        files={},
        metrics=champion.metrics,
        versions={"python": "3.10.13", "tensorflow": champion.code["tensorflow"]},
    )
    folder = root / "pushed" / "1"
    (folder / MANIFEST_FILE).parent.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST_FILE).write_text(told.text())
    met = {**result.slices, "champion": {"overall": {**METRICS, "future_gini": 0.73}}}
    return Facts(root, result.model_copy(update={"champion": str(folder), "slices": met}), find_model("clv"), None)


def test_what_changed_since_the_champion(two: tuple[RunResult, RunResult], tmp_path: Path) -> None:
    champion, now = two
    changes = since_champion(facts_of(now, champion, tmp_path / "runs"))
    assert Change("setting training.seed", "7", "1") in changes
    assert Change("data digest", "2d9daf488e6db419", "0123456789abcdef") in changes
    assert Change("data usable", "541,909", "600,000") in changes
    assert Change("code commit", "7afb6be00dd7", "1" * 12) in changes
    # Not what the champion's own run measured (0.735): what it comes to on the rows of this run.
    assert Change("metric future_gini", "0.73", "0.715 (-0.015, worse)") in changes
    assert not any("test" in change.what or "mae" in change.what.split() for change in changes)


def test_without_the_champions_record_its_manifest_is_enough(two: tuple[RunResult, RunResult], tmp_path: Path) -> None:
    champion, now = two
    newer = now.model_copy(update={"code": {**now.code, "tensorflow": "2.21.0"}})
    changes = since_champion(facts_of(newer, champion, tmp_path / "elsewhere"))
    assert Change("setting training.seed", "7", "1") in changes
    assert Change("data digest", "2d9daf488e6db419", "0123456789abcdef") in changes
    assert Change("code tensorflow", "2.16.2", "2.21.0") in changes
    assert not any("commit" in change.what or "usable" in change.what for change in changes)


def test_no_champion_or_no_change_is_nothing(two: tuple[RunResult, RunResult], tmp_path: Path) -> None:
    champion = two[0].model_copy(update={"metrics": {"eval": {**METRICS, "future_gini": 0.73}}})
    assert since_champion(facts_of(champion, champion, tmp_path / "runs")) == ()
    assert since_champion(Facts(tmp_path, two[1], find_model("clv"), None)) == ()
