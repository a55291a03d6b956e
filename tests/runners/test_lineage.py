"""`pipelines lineage` and the report's section: where a model comes from and what used it, on metadata made by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from metadata_by_hand import MetadataByHand
from typer.testing import CliRunner

from models.clv import MODEL
from pipeline.contract import UserError
from pipeline.fingerprint import digest_bytes
from pipeline.push import Told, draft, publish
from pipeline.push.serving_version import rollback
from pipeline.verdict import Check
from runners import cli
from runners.lineage import of_run, of_version
from runners.lineage_text import text
from runners.records import find_record
from runners.reports import lineage
from runners.reports.facts import Facts
from runners.reports.store import open_store
from runners.run import RunResult

LINE = "clv-main-horizon_days-91"
SQL = "SELECT customer_id,\n  'a' AS split\nFROM transactions"
CODE = "0123456789abcdef"
SETTINGS = {"data": {"line": "main", "currency": None}, "features": {"horizon_days": 91}}


class Team:
    """Runs of a pipeline below a root, as they leave records, metadata, artifacts and pushed versions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.metadata = MetadataByHand(root)

    def folder(self, *names: str) -> Path:
        """Makes the folder of an artifact."""
        path = self.root.joinpath("artifacts", *names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def record(self, run: str, outcome: str = "pushed", **more: Any) -> RunResult:
        told = {
            "model": "clv",
            "data": {"file": "shop <b>.csv", "digest": "d1", "quarantine": "/kept/quarantine.csv"},
            "counts": {"read": 1234},
            "settings": SETTINGS,
            "code": {"commit": f"c{run}", "changed": "0", "tfx": "1.0"},
        }
        folder = self.root / "records" / LINE / run
        result = RunResult.model_validate(
            {"run_id": run, "pipeline": LINE, "outcome": outcome, "folder": str(folder), **told, **more}
        )
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(result.model_dump_json())
        return result

    def ingest(self, run: str) -> int:
        """Adds the nodes up to the statistics; returns the id of these."""
        config = {"custom_config": {"value": {"whole": SQL, "code_digest": CODE, "parquet": "/kept/raw.parquet"}}}
        examples = self.metadata.artifact("Examples", self.folder(run, "examples"))
        statistics = self.metadata.artifact("ExampleStatistics", self.folder(run, "statistics"))
        told = {"custom_config": json.dumps(config)}
        self.metadata.node("ExampleGen", pipeline=LINE, run=run, left={"examples": examples}, told=told)
        took, left = {"examples": examples}, {"statistics": statistics}
        self.metadata.node("StatisticsGen", pipeline=LINE, run=run, took=took, left=left)
        return statistics

    def train(self, run: str, state: str = "COMPLETE", model: int | None = None) -> int:
        """Adds the training; returns the id of the model."""
        made = model or self.metadata.artifact("Model", self.folder(run, "model"))
        told = {"run_fn": "models.clv.trainer.run_fn", "custom_config": json.dumps({"code": CODE})}
        self.metadata.node("Trainer", pipeline=LINE, run=run, state=state, left={"model": made}, told=told)
        return made

    def push(self, run: str, model: int, trained_by: str, content: str, pipeline: str = LINE) -> int:
        """Pushes a stand-in of a model, and adds the nodes from the champion on; returns the version's number."""
        uri = self.folder(trained_by, "model")
        (uri / "saved_model.pb").write_text(content)
        told = Told(model="clv", pipeline=pipeline, data_digest="d1", settings=SETTINGS, bounds={"gini": {}})
        made = draft(told, uri, run=run, model_uri=str(uri), metrics={"eval": {"gini": 0.71, "mae": 5.0}})
        version = publish(str(self.root / "pushed" / pipeline), uri, made).version
        pushed = self.metadata.artifact(
            "PushedModel",
            self.folder(run, "pushed_model"),
            pushed_destination=version.path,
            pushed_version=str(version.number),
            pushed=1,
            model_digest=made.model_digest,
            model_uri=made.model_uri,
        )
        self.metadata.node("Pusher", pipeline=pipeline, run=run, took={"model": model}, left={"pushed_model": pushed})
        self.pushed, self.path = pushed, version.path
        return version.number


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    """Commands are typed in the folder that holds `runs`."""
    monkeypatch.chdir(tmp_path)
    return Team(tmp_path / "runs")


@pytest.fixture
def pushed(team: Team) -> int:
    """A run that ended in the push of version."""
    team.ingest("1")
    model = team.train("1")
    team.metadata.node("Champion", pipeline=LINE, run="1")
    number = team.push("1", model, "1", "first")
    passed = Check(gate="model", metric="gini", bound=">= 0.5", value=0.71, passed=True)
    team.record("1", pushed=team.path, checks=[passed.model_dump()])
    return number


def typed(*arguments: object) -> str:
    """Types `pipelines lineage …`; a user's mistake is raised."""
    done = CliRunner().invoke(cli.app, ["lineage", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def lines(said: str) -> list[str]:
    """Lines of the tree, without its branches."""
    return [line.lstrip("├└│─ ") for line in said.splitlines()]


# --- back -----------------------------------------------------------------------------------------


def test_a_version_leads_back_to_file_query_settings_and_code(team: Team, pushed: int) -> None:
    said = typed(pushed)
    tree, settings, query = said.split("\n\n")
    assert tree.splitlines()[0] == f"version {pushed} of {LINE}"
    expected = {
        "raw data: shop <b>.csv",
        "digest: d1",
        "kept as it was read: /kept/raw.parquet",
        "what was unusable: /kept/quarantine.csv",
        "counted: 1,234 read",
        f"query: digest {digest_bytes(SQL.encode())}, see below",
        "code: commit c1",
        "ExampleGen: ran",
        f"source: digest {CODE}",
        f"source: models.clv.trainer.run_fn, digest {CODE}",
        f"left: model #3 {team.root}/artifacts/1/model",
        "took: examples #1",
        "model gate: passed 1 checks",
        "champion: none, since this root knew no pushed version of this pipeline",
        "measured on eval: gini 0.71",
    }
    assert expected <= set(lines(tree))
    assert "not known" not in tree
    assert yaml.safe_load(settings.split("---\n")[1]) == SETTINGS
    assert query.split("---\n")[1].rstrip("\n") == SQL
    assert typed(team.path) == typed(f"runs/pushed/{LINE}/{pushed}") == said


def test_a_model_from_the_cache_leads_to_the_run_that_trained_it(team: Team) -> None:
    team.record("1", "refused")
    model = team.train("1")
    team.record("2")
    team.train("2", "CACHED", model)
    said = lines(typed(team.push("2", model, "1", "cached")))
    assert "code: commit c2" in said
    assert "Trainer: taken from the cache, made by run 1 by the code of commit c1" in said
    assert f"trained as: {team.root}/artifacts/1/model" in said


def test_a_version_of_another_root_says_what_is_not_known_here(team: Team, pushed: int, tmp_path: Path) -> None:
    said = lines(typed(team.path, "--root", tmp_path / "elsewhere"))
    assert f"version {pushed} of {LINE}" in said
    assert {"digest: d1", "measured on eval: gini 0.71", "raw data: name not known", "serves: yes, the newest one"} <= {
        *said
    }
    assert "champion: not known here" in said
    assert f"if another root pushed this version, name that one: --root {team.root}" in said


def test_what_was_deleted_or_copied_elsewhere_is_said(team: Team, pushed: int, tmp_path: Path) -> None:
    shutil.rmtree(team.root / "artifacts" / "1" / "examples")
    said = lines(typed(pushed))
    assert f"left: examples #1 {team.root}/artifacts/1/examples (deleted since)" in said
    copied = shutil.copytree(team.path, tmp_path / "copied" / "model")
    assert f"{copied} was not found among pushed versions: whether it serves is not known here" in lines(typed(copied))
    (Path(team.path) / "saved_model.pb").write_text("other")
    assert any("this one, serves" in line and "damaged: " in line for line in lines(typed(pushed)))
    (Path(team.path) / "assets.extra" / "manifest.json").unlink()
    with pytest.raises(UserError, match="the folder of a pushed version"):
        typed(team.path)


def test_a_root_that_was_moved_knows_its_versions(team: Team, pushed: int, tmp_path: Path) -> None:
    statistics = team.ingest("2")
    team.metadata.node(
        "Reference", pipeline=LINE, run="2", found={"pushed_model": team.pushed, "statistics": statistics}
    )
    team.root.rename(tmp_path / "moved")
    said = lines(typed(pushed, "--root", tmp_path / "moved"))
    assert "run 2: reference for drift" in said
    assert "raw data: shop <b>.csv" in said


# --- forward --------------------------------------------------------------------------------------


def test_runs_that_met_a_version_and_the_one_that_serves(team: Team, pushed: int) -> None:
    first = {"pushed_model": team.pushed}
    team.metadata.node("Reference", pipeline=LINE, run="2", found=first)
    team.metadata.node("Champion", pipeline=LINE, run="2", found=first)
    team.record("3", "unchanged", pushed=team.path)
    old = team.path
    second = team.push("2", team.train("2"), "2", "second")
    team.record("2", pushed=team.path, champion=old)
    said = lines(typed(pushed))
    assert [line for line in said if line.startswith("run ")][1:] == [
        "run 2 (pushed): champion that the candidate had to meet",
        "run 2 (pushed): reference for drift",
        "run 3 (unchanged): came to the same model again, which was there already",
    ]
    assert f"serves: no: version {second} does, the newest one" in said
    said = lines(typed(second))
    assert f"champion: version {pushed}" in said
    assert f"drift reference: version {pushed}" in said
    assert "no run met it as its champion or its reference for drift" in said
    assert [line.split(",")[0] for line in said if "digest" in line and line[:1].isdigit()] == [
        str(pushed),
        str(second),
    ]


def test_a_version_that_was_rolled_back_says_so(team: Team, pushed: int) -> None:
    second = team.push("2", team.train("2"), "2", "second")
    rollback(str(team.root / "pushed" / LINE))
    (said,) = [line for line in lines(typed(second)) if line.startswith("serves")]
    assert said.startswith(f"serves: no: version {pushed} does, chosen by rollback at 2")
    assert any(line.startswith("serves: yes, chosen by rollback at 2") for line in lines(typed(pushed)))


def test_a_model_that_is_its_own_champion_was_taken_twice(team: Team) -> None:
    model = team.train("2T")
    both = {"model": model, "baseline_model": model}
    team.metadata.node("Evaluator", pipeline=LINE, run="2T", took=both)
    team.record("2T", "refused")
    assert f"took: baseline_model #{model}, model #{model}" in lines(typed("2T"))


# --- a run that pushed nothing; mistakes; the page ------------------------------------------------


def test_a_refused_run_leads_to_where_it_stopped(team: Team) -> None:
    statistics = team.ingest("5T")
    team.metadata.node("DataGate", pipeline=LINE, run="5T", state="FAILED", took={"statistics": statistics})
    missed = Check(gate="data", metric="rows", slice="train", bound="<= 0", value=3.0, shortfall=3.0, passed=False)
    team.record(
        "5T", "refused", checks=[missed.model_dump()], nodes=[{"name": "DataGate", "state": "failed", "seconds": 1}]
    )
    said = lines(typed("5T"))
    assert said[0] == f"run 5T of {LINE}"
    assert "DataGate: ended here: it refused or failed" in said
    assert "data gate: rows on train is 3, must be <= 0 (missed by 3)" in said
    assert "champion: not looked up, the run did not get that far" in said
    assert "pushed: no, so nothing can use it" in said


def test_a_number_that_several_lines_hold_asks_for_the_path(team: Team, pushed: int) -> None:
    sample = team.root / "pushed" / "clv-sample-horizon_days-91"
    shutil.copytree(Path(team.path).parent, sample)
    with pytest.raises(UserError, match=rf"{team.path} and {sample}/{pushed}; name the path"):
        typed(pushed)
    assert typed(pushed, "--line", "main") == typed(pushed, "--line", LINE) == typed(team.path)
    with pytest.raises(UserError, match=r"none there; 2 folders; see `pipelines models`"):
        typed(5)
    with pytest.raises(UserError, match="id of a run with a record"):
        typed("nonsense")


def test_json_has_all_of_it(team: Team, pushed: int) -> None:
    told = json.loads(typed(pushed, "--json"))
    assert told["query"] == {"digest": digest_bytes(SQL.encode()), "text": SQL}
    assert told["version"]["path"] == team.path
    assert [node["node"] for node in told["nodes"]] == ["ExampleGen", "StatisticsGen", "Trainer", "Champion", "Pusher"]
    assert told["nodes"][2]["outputs"][0]["there"] is True
    assert told["line"]["versions"][0]["serves"] is True


class _Boxes(HTMLParser):
    """Texts of the <pre> elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "pre":
            self._inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "pre"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data


def test_the_report_has_the_same_text(team: Team, pushed: int) -> None:
    store, result = open_store(team.root), find_record(team.root, "1")
    page = lineage.section(Facts(team.root, result, MODEL, store))
    boxes = _Boxes(str(page)).texts
    assert boxes[0] == typed(pushed).split("\n\n")[0]
    assert boxes[2] == SQL
    assert f"pipelines lineage {team.path} --root {team.root}" in str(page)
    bare = lineage.section(Facts(team.root, result, MODEL, None))
    assert "not known here" in _Boxes(str(bare)).texts[0]


def test_a_run_of_before_reports_has_a_lineage(team: Team) -> None:
    told = team.record("7T", "interrupted", code={}, counts={}, data={"file": "a.csv", "digest": "d"})
    said = lines(text(of_run(team.root, told, open_store(team.root))))
    assert "code: commit not recorded" in said
    assert "what they said is not known here" in said


def test_it_is_told_without_tensorflow(team: Team, pushed: int) -> None:
    assert of_version(team.root, team.path).run == "1"
    program = "import sys; from runners.cli import app; app(sys.argv[1:], standalone_mode=False); print([*sys.modules])"
    command = [sys.executable, "-c", program, "lineage", str(pushed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    heavy = ("tensorflow", "tfx", "matplotlib", "jinja2")
    assert not [name for name in heavy if f"'{name}'" in done.stdout.splitlines()[-1]]
