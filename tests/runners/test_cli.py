"""The command `pipelines`, as people type it: real processes, exit codes, what stands on the screen."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import THIS, pipelines

from models.clv.sample import write_sample
from pipeline.fingerprint import digest_folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "shop.csv"
    write_sample(path, customers=500)
    return path


# --- a push, then a refusal ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def first(root: Path) -> subprocess.CompletedProcess[str]:
    return pipelines("run", "clv", "--root", root, cwd=root)


def test_a_run_without_data_pushes_the_sample(first: subprocess.CompletedProcess[str], root: Path) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    assert "clv-sample-horizon_days-91" in first.stdout
    for node in ("ExampleGen", "DataGate", "Transform", "Trainer", "ServingGate", "Evaluator", "Pusher"):
        assert f"> {node}" in first.stdout
        assert f"+ {node}" in first.stdout
    for metric in ("future_mae_vs_naive", "future_bias", "future_spearman", "future_gini"):
        (line,) = [line for line in first.stdout.splitlines() if f"{metric} " in line and "overall" in line]
        assert "passed" in line
    assert "left out: no customer id" in first.stdout
    assert "22,696" in first.stdout
    assert "PUSHED" in first.stdout
    assert str(root / "pushed" / "clv-sample-horizon_days-91") in first.stdout
    (folder,) = root.glob("records/clv-sample-horizon_days-91/*/predictions")
    for split in ("eval", "test"):
        assert f"Predictions of the {split} split, row by row: {folder}/{split}.parquet" in first.stdout
        assert pq.read_metadata(folder / f"{split}.parquet").num_rows > 300


def test_a_run_ends_in_its_report(first: subprocess.CompletedProcess[str], root: Path) -> None:
    told = [line for line in first.stdout.splitlines() if line.startswith("Report: ")]
    (report,) = root.glob("records/clv-sample-horizon_days-91/*/report.html")
    assert told == [f"Report: {report}"]
    before = report.read_text()
    done = pipelines("report", "--no-open", "--root", root, cwd=root)
    assert (done.returncode, done.stdout.strip()) == (0, f"Report: {report}")
    # When it was made, and the end of the log, which says that it was.
    end_of_log = r'the last \d+ lines</h4>\s*<pre [^>]*"Log of Pusher">.*?</pre>'
    later = re.compile(rf"When this page was made \(.*? UTC\)|{end_of_log}", re.DOTALL)
    assert len(later.findall(before)) == 2
    assert later.sub("", report.read_text()) == later.sub("", before), (
        "made again from the metadata store, it is the same"
    )


def test_libraries_write_to_the_log_and_not_to_the_screen(first: subprocess.CompletedProcess[str], root: Path) -> None:
    assert first.stderr == ""
    assert "WARNING" not in first.stdout
    (log,) = (root / "records").glob("*/*/tfx.log")
    assert "Running launcher" in log.read_text()


def test_a_spoilt_sample_is_refused_in_plain_words(first: subprocess.CompletedProcess[str], root: Path) -> None:
    before = digest_folder(root / "pushed")
    spoilt = root / "spoilt.csv"
    assert pipelines("sample-data", "clv", "--spoilt", "--out", spoilt, cwd=root).returncode == 0
    for how in ([], ["--quiet"]):
        done = pipelines("run", "clv", "--root", root, "--data", spoilt, "--set", "line=sample", *how, cwd=root)
        assert done.returncode == 3, done.stdout + done.stderr
        assert "REFUSED" in done.stdout
        assert "rows with negative price on raw rows is 1407, must be <= 0 (missed by 1407)" in done.stdout
        assert ("x DataGate" in done.stdout) == (not how)
        assert "Transform" not in done.stdout
    assert done.stdout.startswith("REFUSED"), "quiet: the verdict and what was missed, nothing else"
    assert digest_folder(root / "pushed") == before


# --- a user's mistakes -----------------------------------------------------------------------------------


def mistake(*arguments: object, cwd: Path) -> str:
    done = pipelines(*arguments, cwd=cwd)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["Expected", "Received", "What to do"]
    return done.stderr


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    assert "empty.csv" in mistake("run", "clv", "--data", "empty.csv", cwd=tmp_path)


def test_a_renamed_column_is_named_with_its_likely_new_name(sample: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(sample.read_text().replace("CustomerID", "Customer ID", 1))
    said = mistake("run", "clv", "--data", renamed, cwd=tmp_path)
    assert "CustomerID" in said
    assert "Customer ID" in said


def test_data_that_end_before_the_horizon(sample: Path, tmp_path: Path) -> None:
    said = mistake("run", "clv", "--data", sample, "--set", "cutoff=2011-11-01", cwd=tmp_path)
    assert "up to 2012-01-30" in said
    assert "2011-12-0" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "clw"], ["'clw'", "clv"]),
        (["run", "clv", "--data", "nowhere.csv"], ["nowhere.csv"]),
        (["run", "clv", "--set", "cutof=2011-09-01"], ["'cutof'", "did you mean cutoff?"]),
        (["run", "clv", "--set", "cutoff=soon"], ["features.cutoff", "'soon'"]),
        (["run", "clv", "--set", "cutoff"], ["key=value"]),
        (["run", "clv", "--set", "bounds.mea={upper: 1, reason: a typo in a name}"], ["mea", "future_gini"]),
        (["run", "clv", "--env", "moon"], ["moon.yaml", "environments there: none"]),
        (["features", "colorizer", "--out", "x.csv"], ["a model that reads a table", "which reads pictures"]),
        (["run", "colorizer", "--data", "nowhere"], ["a folder or an archive of pictures", "nowhere"]),
        (["run", "colorizer", "--set", "size=72"], ["features.size", "multiple of 16", "72"]),
        (["colorize", "photo.jpg", "--out", "out"], ["a pushed model of colorizer", "pipelines run colorizer"]),
    ],
)
def test_a_wrong_word(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    said = mistake(*arguments, cwd=tmp_path)
    assert all(word in said for word in words), said


def test_places_that_cannot_be_written(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "--root" in mistake("run", "clv", "--data", sample, "--root", "file/below", cwd=tmp_path)
    assert "--out" in mistake("sample-data", "clv", "--out", "file/below/x.csv", cwd=tmp_path)


def test_two_runs_in_one_root(sample: Path, tmp_path: Path) -> None:
    command = [str(THIS / "bin" / "pipelines"), "run", "clv", "--data", str(sample)]
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert any("Loading TFX" in line for line in first.stdout)  # It takes the lock next, and keeps it for minutes.
        time.sleep(1)
        done = pipelines("run", "clv", "--data", sample, cwd=tmp_path)
    finally:
        first.terminate()
        said, _ = first.communicate()
    assert first.returncode == 143, said
    assert f"To go on: pipelines run clv --data {sample}" in said
    (record,) = (tmp_path / "runs" / "records").glob("*/*/run.json")
    assert json.loads(record.read_text())["outcome"] == "interrupted"
    assert not (tmp_path / "runs" / "tmp").exists()
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no other run in" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_leaves_alone_what_is_pushed(
    first: subprocess.CompletedProcess[str], sample: Path, root: Path, tmp_path: Path
) -> None:
    before = digest_folder(root / "pushed")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "renamed.csv").write_text(sample.read_text().replace("Quantity", "Qty", 1))
    for name in ("empty.csv", "renamed.csv"):
        mistake("run", "clv", "--root", root, "--data", name, "--set", "line=sample", cwd=tmp_path)
    assert first.returncode == 0
    assert digest_folder(root / "pushed") == before


def test_an_environment_lies_under_the_command_line(sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deploy" / "environments"
    folder.mkdir(parents=True)
    (folder / "nightly.yaml").write_text("clv: {training: {seed: 3, epochs: 5}}\n")
    shown = pipelines("settings", "clv", "--env", "nightly", "--set", "epochs=6", cwd=tmp_path)
    assert "seed: 3" in shown.stdout
    assert "epochs: 6" in shown.stdout


# --- the small commands ----------------------------------------------------------------------------------


def test_help_is_there_before_tensorflow(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from runners.cli import app
        try:
            app(["run", "--help"])
        except SystemExit:
            print([name for name in ("tensorflow", "tfx", "apache_beam") if name in sys.modules])
    """)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Exit codes" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_features_for_analysts(sample: Path, tmp_path: Path) -> None:
    done = pipelines("features", "clv", "--data", sample, "--out", "features.parquet", cwd=tmp_path)
    table = pq.read_table(tmp_path / "features.parquet")
    assert done.returncode == 0, done.stderr
    assert f"{table.num_rows:,} rows" in done.stdout
    assert set(table.column("split").to_pylist()) == {"TRAIN", "VALIDATE", "TEST", "EARLIER"}


def test_doctor_says_that_this_machine_is_fit(tmp_path: Path) -> None:
    done = pipelines("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "Python" in done.stdout
