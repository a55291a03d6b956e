"""The report's section "Serving gate and push", made of real records, stores and pushed folders."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import gate_record
import pytest
from markupsafe import Markup

from pipeline.latency import Clock
from pipeline.push import Told, draft, publish
from pipeline.push.serving_version import rollback
from pipeline.verdict import Check
from runners.reports import pushed

LATENCY = {
    "first_s": 0.4,
    "batch_rows": 64,
    "batch": {"answers": 6, "median_s": 0.0042, "worst_s": 0.012},
    "alone": {"answers": 10, "median_s": 0.0009, "worst_s": 1.5},
}


class Seen(HTMLParser):
    """What a reader sees of a part of a page: its text, and its tables' rows."""

    def __init__(self, html: Markup | None) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(str(html))

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.rows and self.rows[-1] and self.tags[-1] in ("td", "th", "code"):
            self.rows[-1][-1] += data.strip()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def push(root: Path, content: str = "weights") -> str:
    """Pushes a stand-in of a model; returns the version's folder."""
    model = root / "trained" / content
    (model / "variables").mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(b"graph")
    (model / "variables" / "variables.index").write_text(content * 1000)
    told = Told(model="clv", pipeline=gate_record.PIPELINE, data_digest="", settings={}, bounds={})
    manifest = draft(told, model, run="run-7", model_uri="", metrics={})
    return publish(str(root / "pushed" / gate_record.PIPELINE), model, manifest).version.path


@pytest.fixture
def blessing(tmp_path: Path) -> Path:
    folder = tmp_path / "blessing"
    folder.mkdir()
    (folder / "latency.json").write_text(json.dumps(LATENCY))
    return folder


def seen(*arguments: Any, **changes: Any) -> Seen:
    return Seen(pushed.section(gate_record.facts(*arguments, **changes)))


def test_it_says_how_the_model_was_asked_and_how_far_apart_the_answers_were(tmp_path: Path, blessing: Path) -> None:
    found = seen(tmp_path, blessing=blessing, pushed=push(tmp_path))
    assert "asked about 353 rows of the eval split, each in 2 ways, which is 706 answers." in found.text
    assert "the same rows was 2e-07, where 1e-05 is tolerated (asking with tf.Examples)." in found.text
    assert ["loading it as TensorFlow 2 does", "no error", "no error", "passed"] in found.rows
    assert ["asking with tf.Examples", "2e-07", "<= 1e-05", "passed"] in found.rows


def test_it_says_how_quickly_the_model_answered_and_where(tmp_path: Path, blessing: Path) -> None:
    found = seen(tmp_path, blessing=blessing, pushed=push(tmp_path))
    assert ["one row", "1", "10", "0.9 ms", "1.5 s"] in found.rows
    assert ["a batch", "64", "6", "4.2 ms", "12 ms"] in found.rows
    assert "On this run's machine (<i>Fast</i> CPU, 2 processors), in the gate's own process and without" in found.text
    assert "i" not in found.tags
    assert "The very first answer took 400 ms" in found.text


def test_times_of_a_gate_that_was_taken_from_the_cache_are_another_runs(tmp_path: Path, blessing: Path) -> None:
    found = seen(tmp_path, blessing=blessing, state="CACHED", pushed=push(tmp_path), outcome="unchanged")
    assert "On the machine of the run that asked first: this one took it from the cache, in the gate's" in found.text
    assert "This very model had been pushed before, as version" in found.text


@pytest.mark.parametrize("content", [None, "null"])
def test_a_gate_without_times_is_shown_without_them(tmp_path: Path, blessing: Path, content: str | None) -> None:
    """One of an older version; and one that was refused before there were any."""
    (blessing / "latency.json").unlink() if content is None else (blessing / "latency.json").write_text(content)
    found = seen(tmp_path, blessing=blessing, pushed=push(tmp_path))
    assert "asking with tf.Examples" in found.text
    assert "median" not in found.text


def test_it_says_what_was_pushed_where_and_what_serves(tmp_path: Path) -> None:
    path = push(tmp_path)
    found = seen(tmp_path, pushed=path)
    number = path.rpartition("/")[2]
    assert f"The model was pushed as version {number}." in found.text
    assert f"version {number} at {Path(path).parent} served, which holds this run's model." in found.text
    assert f"{path}/assets.extra/manifest.json" in found.text
    assert f"{path}/assets.extra/model_card.md" in found.text
    assert "by run run-7" in found.text
    size = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    assert f"{size / 1000:.3g} kB in 4 files" in found.text
    assert ["saved_model.pb", "5 bytes"] in [row[:2] for row in found.rows]


def test_it_says_so_where_another_version_serves(tmp_path: Path) -> None:
    older, newer = push(tmp_path, "a"), push(tmp_path, "b")
    rollback(str(Path(newer).parent))
    found = seen(tmp_path, pushed=newer, outcome="unchanged", rolled_back="Version 2 was rolled back <today>")
    assert f"version {older.rpartition('/')[2]} at {Path(older).parent} served." in found.text
    assert "Version 2 was rolled back <today>" in found.text


def test_a_version_that_is_gone_or_in_a_bucket_is_told_without_its_files(tmp_path: Path) -> None:
    path = push(tmp_path)
    shutil.rmtree(path)
    gone = seen(tmp_path, pushed=path)
    assert "Its folder is not on this machine any more." in gone.text
    assert f"there was no version at {Path(path).parent}" in gone.text
    away = seen(tmp_path, pushed="gs://models/clv/17")
    assert "It lies in a bucket" in away.text
    assert "Which version serves at gs://models/clv, pipelines models clv says." in away.text


def test_of_a_refused_model_it_says_why_and_what_goes_on_serving(tmp_path: Path) -> None:
    path = push(tmp_path)
    missed = Check(gate="model", metric="gini", bound=">= 0.5", value=0.4, shortfall=0.1, passed=False)
    found = seen(tmp_path, outcome="refused", checks=[gate_record.loads(), missed], pushed=None)
    assert "Nothing was pushed, since the model gate refused the model." in found.text
    assert f"version {path.rpartition('/')[2]} at" in found.text


def test_of_a_model_that_the_serving_gate_refused_it_says_what_was_tried(tmp_path: Path) -> None:
    found = seen(tmp_path, outcome="refused", checks=[gate_record.loads("KeyError: <b>")], metrics={}, pushed=None)
    assert "What was tried then, until it was refused, is below." in found.text
    assert ["loading it as TensorFlow 2 does", "an error", "no error", "refused: KeyError: <b>"] in found.rows
    assert "b" not in found.tags


@pytest.mark.parametrize("outcome", ["failed", "interrupted", "unfinished"])
def test_of_a_run_that_ended_before_the_gate_there_is_nothing_to_say(tmp_path: Path, outcome: str) -> None:
    assert pushed.section(gate_record.facts(tmp_path, outcome=outcome, checks=[], metrics={}, pushed=None)) is None


def test_a_clock_tells_the_first_answer_from_the_others() -> None:
    clock = Clock()
    assert clock.read() is None
    for rows in (64, 64, 3):
        assert clock.batch(lambda: "answer", rows)() == "answer"
    assert clock.read() is None
    clock.alone(lambda: None)()
    found = clock.read()
    assert found
    assert (found.batch_rows, found.batch.answers, found.alone.answers) == (64, 2, 1)
    assert found.batch.worst_s >= found.batch.median_s > 0
