"""Finding the records of runs: by id, by its beginning, the newest, and of whichever form they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_runs import write_record

from pipeline.contract import UserError
from runners.records import find_record, records
from runners.run import RECORD


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_record(tmp_path, "20261103T120000.000001", model="colorizer", pipeline="colorizer-sample-size-80")
    write_record(tmp_path, "20261101T120000.000001", outcome="pushed")
    write_record(tmp_path, "20261102T120000.000001")
    return tmp_path


def test_records_are_in_the_order_of_their_runs(root: Path) -> None:
    assert [result.run_id[:8] for result in records(root)] == ["20261101", "20261102", "20261103"]
    assert [result.outcome for result in records(root, "clv")] == ["pushed", "refused"]


def test_a_run_is_found_by_its_id_the_beginning_of_it_or_its_folder(root: Path) -> None:
    whole = "20261102T120000.000001"
    folder = root / "records" / "clv-main-horizon_days-91" / whole
    assert {find_record(root, name).run_id for name in (whole, "20261102", str(folder))} == {whole}
    assert find_record(root, None).model == "colorizer"
    assert find_record(root, None, "clv").run_id == whole


@pytest.mark.parametrize("name", ["20261104", "202611", "no run"])
def test_a_run_that_is_not_there_or_not_the_only_one_is_a_mistake_in_words(root: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"the last ones there: .*20261103T120000\.000001.*`pipelines runs`"):
        find_record(root, name)


def test_a_root_without_runs_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the last ones there: none"):
        find_record(tmp_path, None)


def test_a_record_of_before_there_were_reports_is_read(root: Path) -> None:
    path = root / "records" / "clv-main-horizon_days-91" / "20261102T120000.000001" / RECORD
    content = json.loads(path.read_text())
    for name in ("model", "started_at", "seconds", "slices", "champion", "code", "machine"):
        del content[name]
    path.write_text(json.dumps(content))
    assert find_record(root, "20261102").model == "clv"


def test_a_file_that_is_no_record_is_left_out(root: Path) -> None:
    broken = root / "records" / "clv-main-horizon_days-91" / "20261109T000000.000000"
    broken.mkdir()
    (broken / RECORD).write_text('{"run_id": "cut o')
    assert len(records(root)) == 3
