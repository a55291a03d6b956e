"""`pipelines predict` on files: what comes in, what goes out, and what becomes of rows that are wrong."""

from __future__ import annotations

import gzip
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image
from small_servable import example

from runners.batch import pictures, sources
from runners.batch.sinks import errors_of
from runners.serving.instances import BadInstances, columns
from runners.serving.loaded import LoadedModel

ROWS: list[dict[str, Any]] = [
    {"id": f"0{n}", "amount": n / 4, "count": n, "country": "Österreich" if n % 2 else ""} for n in range(40)
]
EXPECTED = [{"id": r["id"], "total": r["amount"] * r["count"], "shout": r["country"].upper() or ""} for r in ROWS]


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=15)
    elif path.suffix == ".csv":
        pa_csv.write_csv(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".tfrecord":
        with tf.io.TFRecordWriter(str(path)) as writer:
            for row in rows:
                writer.write(example(**row))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]
    if path.suffix == ".csv":
        text = pa_csv.ConvertOptions(column_types={"id": pa.string()})
        return pa_csv.read_csv(path, convert_options=text).to_pylist()  # type: ignore[no-any-return]
    return _lines(path)


def _shouted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": row["id"], "total": row["total"], "shout": (row["shout"] or "").upper()} for row in rows]


@pytest.mark.parametrize("output", ["out.jsonl", "out.csv", "out.parquet"])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet", ".tfrecord"])
def test_each_row_gets_its_prediction_with_its_key_in_its_place(
    predict: Any, tmp_path: Path, suffix: str, output: str
) -> None:
    source = _write(tmp_path / f"rows{suffix}", ROWS)
    screen = predict("--input", source, "--output", output)
    assert screen.code == 0, screen.err
    assert "Wrote 40 predictions" in screen.err
    found = _read(tmp_path / output)
    if suffix == ".tfrecord":  # All features are kept: what the model reads of an example, only the model knows.
        assert [row["amount"] for row in found] == [row["amount"] for row in ROWS]
    assert _shouted(found) == EXPECTED
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, output])


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tfrecord"])
def test_gzipped_files_are_read(predict: Any, tmp_path: Path, suffix: str) -> None:
    plain = _write(tmp_path / f"rows{suffix}", ROWS)
    source = tmp_path / f"rows{suffix}.gz"
    source.write_bytes(gzip.compress(plain.read_bytes()))
    assert predict("--input", source, "--output", "out.jsonl").code == 0
    assert _shouted(_lines(tmp_path / "out.jsonl")) == EXPECTED


BAD: dict[str, tuple[Any, str]] = {
    "text for a number": ({"amount": "2"}, "amount: Input should be a valid number, received '2'"),
    "true for a number": ({"amount": True}, "amount: Input should be a valid number, received True"),
    "true among integers": ({"count": True}, "count: Input should be a valid integer"),
    "a part of an integer": ({"count": 1.5}, "count: Input should be a valid integer"),
    "too large for float32": ({"amount": 1e39}, "amount: Input should be less than or equal to"),
    "too large for int64": ({"count": 2**63}, "count: Input should be less than or equal to"),
    "null": ({"amount": None}, "amount: Input should be a valid number, received None"),
    "a number for text": ({"country": 3}, "country: Value error"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_of_jsonl_is_told_and_the_others_are_predicted(
    predict: Any, root: Path, tmp_path: Path, kind: str
) -> None:
    change, reason = BAD[kind]
    rows = [*ROWS[:5], {**ROWS[5], **change}, *ROWS[6:]]
    source = _write(tmp_path / "rows.jsonl", rows)
    screen = predict("--input", source, "--output", "out.jsonl", "--max-bad-share", ".03")
    assert screen.code == 0, screen.err
    assert "39 predictions" in screen.err
    assert "1 without, in out.jsonl.errors.jsonl" in screen.err
    assert _shouted(_lines(tmp_path / "out.jsonl")) == [*EXPECTED[:5], *EXPECTED[6:]]
    (told,) = _lines(tmp_path / "out.jsonl.errors.jsonl")
    assert (told["line"], told["instance"]) == (6, rows[5])
    assert told["reason"].startswith(reason)
    # As a server would refuse it.
    signature = LoadedModel.load(next((root / "pushed" / "clv-small").glob("1*"))).signatures["serving_default"]
    with pytest.raises(BadInstances, match="instances"):
        columns(signature, [{name: rows[5][name] for name in signature.inputs}])


def test_lines_that_are_no_json_no_object_or_lack_a_field_are_told_with_their_numbers(
    predict: Any, tmp_path: Path
) -> None:
    good = json.dumps(ROWS[3])
    source = tmp_path / "rows.jsonl"
    source.write_text(f'{good}\n\nnothing\n[1, 2]\n{{"amount": 1.0, "count": 3}}\n{{"amount": NaN}}\n{good}')
    screen = predict("--input", source, "--output", "out.jsonl")
    assert screen.code == 2
    assert "at most 1.00% of the rows" in screen.err
    assert "4 of 6 (66.67%)" in screen.err
    assert len(_lines(tmp_path / "out.jsonl")) == 2
    told = _lines(tmp_path / "out.jsonl.errors.jsonl")
    assert [row["line"] for row in told] == [3, 4, 5, 6]
    assert [row["reason"].partition(":")[0] for row in told] == ["no JSON", "the row", "country", "no JSON"]


def test_whole_floats_are_integers_and_integers_are_floats_as_for_a_server(predict: Any, tmp_path: Path) -> None:
    rows = [{"amount": 2, "count": 3.0, "country": "a"}, {"amount": 2.5, "count": 2, "country": {"b64": "Yg=="}}]
    assert predict("--input", _write_json(tmp_path, rows), "--output", "out.jsonl").code == 0
    assert _lines(tmp_path / "out.jsonl") == [{"total": 6.0, "shout": "A"}, {"total": 5.0, "shout": "B"}]


def _write_json(folder: Path, rows: list[Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_cells_of_a_csv_that_do_not_parse_are_told(predict: Any, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text(
        'id,amount,count,country,note\n1, 1.5 ,2,"a\nb",x\n2,one,2,a,x\n3,,2,a,x\n4,1,2.5,a,x\n5,1\n'
        '6,nan,1,a,x\n7,2,3.0,"a,c",01\n8,1e400,2,a,x\n9,1,2,,x\n10,1,2,a,x,y\n'
    )
    assert predict("--input", source, "--output", "out.jsonl", "--max-bad-share", "1").code == 0
    found = _lines(tmp_path / "out.jsonl")
    assert [(row["id"], row["total"], row["shout"]) for row in found] == [
        ("1", 3.0, "A\nB"), ("7", 6.0, "A,C"), ("9", 2.0, "")
    ]  # fmt: skip
    assert [row["note"] for row in found] == ["x", "01", "x"]
    told = _lines(tmp_path / "out.jsonl.errors.jsonl")
    assert [(row["row"], row["reason"].partition(",")[0]) for row in told] == [
        (2, "amount: Input should be a valid number"), (3, "amount: Field required"),
        (4, "count: Input should be a valid integer"), (5, "expected 5 cells"),
        (6, "amount: Input should be a finite number"), (8, "amount: Input should be a finite number"),
        (10, "expected 5 cells"),
    ]  # fmt: skip


def test_a_parquet_of_other_types_is_understood_and_its_gaps_are_told(predict: Any, tmp_path: Path) -> None:
    table = pa.table(
        {
            "amount": pa.array([Decimal("1.50"), None, Decimal("2.00")], pa.decimal128(8, 2)),
            "count": pa.array([2.0, 1.0, 3.5], pa.float64()),
            "country": pa.array(["a", "b", "c"]).dictionary_encode(),
            "day": pa.array([0, 1, 2], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    assert predict("--input", "rows.parquet", "--output", "out.jsonl", "--max-bad-share", "1").code == 0
    assert _lines(tmp_path / "out.jsonl") == [{"day": "1970-01-01", "total": 3.0, "shout": "A"}]
    told = _lines(tmp_path / "out.jsonl.errors.jsonl")
    assert [(row["row"], row["reason"].partition(",")[0]) for row in told] == [
        (2, "amount: Field required"), (3, "count: Input should be a valid integer")
    ]  # fmt: skip


def test_records_that_are_no_examples_or_lack_a_feature_are_told(predict: Any, tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "rows.tfrecord")) as writer:
        for record in (example(**ROWS[1]), b"\xff\xffno", example(amount=1.0), example(**ROWS[2])):
            writer.write(record)
    assert predict("--input", "rows.tfrecord", "--output", "out.csv", "--max-bad-share", "1").code == 0
    assert [row["id"] for row in _read(tmp_path / "out.csv")] == ["01", "02"]
    told = _lines(tmp_path / "out.csv.errors.jsonl")
    assert [row["record"] for row in told] == [2, 3]
    assert told[0]["reason"] == "no serialized tf.Example"
    assert "count" in told[1]["reason"] or "country" in told[1]["reason"]


def test_bare_arrays_of_different_sizes_are_answered_one_a_line(predict: Any, tmp_path: Path) -> None:
    grays = [np.full((h, w, 1), n / 8).tolist() for n, (h, w) in enumerate([(2, 3), (2, 3), (1, 4), (2, 3)])]
    source = _write_json(tmp_path, [*grays, {"id": 7, "gray": grays[0]}, [[1, 2]], [[["1"]]]])
    call = ("--input", source, "--signature", "arrays", "--max-bad-share", ".5")
    assert predict(*call, "--output", "out.jsonl").code == 0
    found = _lines(tmp_path / "out.jsonl")
    assert [np.shape(row["rgb"]) for row in found] == [(2, 3, 3), (2, 3, 3), (1, 4, 3), (2, 3, 3), (2, 3, 3)]
    assert [row["rgb"][0][0][0] for row in found] == [0, 0.125, 0.25, 0.375, 0]
    assert found[4]["id"] == 7
    assert [row["line"] for row in _lines(tmp_path / "out.jsonl.errors.jsonl")] == [6, 7]
    _write_json(tmp_path, grays)
    assert predict(*call, "--output", "out.parquet").code == 0
    assert [np.shape(row["rgb"]) for row in _read(tmp_path / "out.parquet")] == [
        np.shape(row["rgb"]) for row in found[:4]
    ]


def test_a_folder_of_pictures_becomes_a_folder_of_pictures(predict: Any, tmp_path: Path) -> None:
    for n, name in enumerate(("a.png", "b/c.jpg", "b/d.PNG")):
        file = tmp_path / "pictures" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (3 + n, 2), 40 * n).save(file)
    (tmp_path / "pictures" / "broken.png").write_bytes(b"no picture")
    (tmp_path / "pictures" / "notes.txt").write_text("none")
    screen = predict("--input", "pictures", "--output", "out", "--max-bad-share", ".5")
    assert screen.code == 0, screen.err
    listed = _lines(tmp_path / "out" / "predictions.jsonl")
    assert listed == [
        {"file": "a.png", "png": "a.png", "pixels": 6},
        {"file": "b/c.jpg", "png": "b/c.jpg.png", "pixels": 8},
        {"file": "b/d.PNG", "png": "b/d.PNG.png", "pixels": 10},
    ]
    answer = Image.open(io.BytesIO((tmp_path / "out" / "b" / "d.PNG.png").read_bytes()))
    assert answer.size == (5, 2)
    assert answer.getpixel((0, 0)) == 255 - 80
    (told,) = _lines(tmp_path / "out.errors.jsonl")
    assert told["instance"] == "broken.png"
    assert predict("--input", "pictures", "--output", "out").code == 2


def test_large_pictures_are_asked_about_a_few_at_a_time(
    predict: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pictures").mkdir()
    for n, side in enumerate((2, 2, 9, 2, 2, 2, 2)):
        Image.new("L", (side, side)).save(tmp_path / "pictures" / f"{n}.png")
    sizes: list[int] = []
    ask = LoadedModel.ask

    def counted(model: LoadedModel, signature: str, batch: Any) -> Any:
        sizes.append(len(batch["image_bytes"]))
        return ask(model, signature, batch)

    monkeypatch.setattr(LoadedModel, "ask", counted)
    monkeypatch.setattr(pictures, "BATCH_PIXELS", 12)
    assert predict("--input", "pictures", "--output", "out").code == 0
    assert sizes == [2, 1, 3, 1]
    assert [row["file"] for row in _lines(tmp_path / "out" / "predictions.jsonl")] == [f"{n}.png" for n in range(7)]


def test_a_file_that_is_cut_off_leaves_what_was_there(predict: Any, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("before")
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode())
    (tmp_path / "rows.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    screen = predict("--input", "rows.jsonl.gz", "--output", "out.jsonl")
    assert screen.code == 2
    assert "can be read to its end" in screen.err
    assert (tmp_path / "out.jsonl").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "rows.jsonl.gz"]


def test_reasons_of_an_earlier_call_do_not_stay(predict: Any, tmp_path: Path) -> None:
    errors_of(tmp_path / "out.jsonl").write_text("old")
    assert predict("--input", _write(tmp_path / "rows.jsonl", ROWS), "--output", "out.jsonl").code == 0
    assert not errors_of(tmp_path / "out.jsonl").exists()


REFUSALS: dict[str, tuple[tuple[str, ...], str]] = {
    "no such file": (("--input", "none.csv", "--output", "o.csv"), "none.csv, which does not exist"),
    "another kind of file": (("--input", "a.xlsx", "--output", "o.csv"), "a.xlsx, which is of another kind"),
    "another kind of output": (("--input", "rows.csv", "--output", "o.txt"), "ends in .jsonl, .csv or .parquet"),
    "no column": (("--input", "lacks.csv", "--output", "o.csv"), "without country"),
    "a column twice": (("--input", "twice.csv", "--output", "o.csv"), "names each column once"),
    "a column of an answer's name": (("--input", "taken.csv", "--output", "o.csv"), "columns of these names: total"),
    "no row": (("--input", "empty.jsonl", "--output", "o.csv"), "an empty input"),
    "no such signature": (("--input", "rows.csv", "--output", "o.csv", "--signature", "x"), "--signature"),
    "two inputs": (
        ("--input", "rows.csv", "--transactions", "rows.csv", "--as-of", "2011-09-01", "--output", "o.csv"),
        "either --input, or --transactions with --as-of",
    ),
    "no input": (("--output", "o.csv"), "none of them"),
    "beam without examples": (("--input", "rows.csv", "--output", "o.csv", "--beam"), "leave out --beam"),
    "no picture": (("--input", "nothing", "--output", "o"), "files that end in .png"),
    "no table": (("--input", "bq://table", "--output", "o.csv"), "project.dataset.table"),
    "a version that is not there": (("--input", "rows.csv", "--output", "o.csv", "--model", "7"), "version 7"),
}


@pytest.mark.parametrize("mistake", REFUSALS)
def test_a_mistake_is_told_and_nothing_is_written(predict: Any, tmp_path: Path, mistake: str) -> None:
    (tmp_path / "rows.csv").write_text("amount,count,country\n1,2,a\n")
    (tmp_path / "lacks.csv").write_text("amount,count\n1,2\n")
    (tmp_path / "twice.csv").write_text("amount,count,country,amount\n1,2,a,1\n")
    (tmp_path / "taken.csv").write_text("amount,count,country,total\n1,2,a,3\n")
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "a.xlsx").touch()
    (tmp_path / "nothing").mkdir()
    before = sorted(tmp_path.iterdir())
    arguments, told = REFUSALS[mistake]
    screen = predict(*arguments)
    assert screen.code == 2
    assert told in " ".join(screen.err.split())
    assert sorted(tmp_path.iterdir()) == before


def test_rows_that_change_their_columns_midway_go_to_jsonl_only(predict: Any, tmp_path: Path) -> None:
    rows = [{**ROWS[1], "id": n} for n in range(9000)] + [{**ROWS[1], "id": "nine"}]
    source = _write_json(tmp_path, rows)
    screen = predict("--input", source, "--output", "out.parquet")
    assert screen.code == 2
    assert "write to a .jsonl" in screen.err
    assert not (tmp_path / "out.parquet").exists()
    assert predict("--input", source, "--output", "out.jsonl").code == 0
    assert [row["id"] for row in _lines(tmp_path / "out.jsonl")] == [*range(9000), "nine"]


def test_a_csv_of_uneven_rows_does_not_fill_the_memory(
    predict: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "UNEVEN_ROWS", 10)
    (tmp_path / "rows.csv").write_text("id,amount,count,country\n" + "1,2.5,3,a,\n" * 20)
    screen = predict("--input", "rows.csv", "--output", "out.csv")
    assert (screen.code, "Expected 4 columns, got 5" in screen.err) == (2, True), screen.err
    assert not (tmp_path / "out.csv").exists()


def test_what_one_example_has_several_of_is_missing_in_that_row_only(predict: Any, tmp_path: Path) -> None:
    records = [example(**row) for row in ROWS]
    twice = tf.train.Example.FromString(records[3])
    twice.features.feature["id"].bytes_list.value.append(b"other")
    with tf.io.TFRecordWriter(str(tmp_path / "rows.tfrecord")) as writer:
        for record in [*records[:3], twice.SerializeToString(), *records[4:]]:
            writer.write(record)
    assert predict("--input", "rows.tfrecord", "--output", "out.parquet").code == 0
    found = pq.read_table(tmp_path / "out.parquet")["id"].to_pylist()
    assert found == [None if number == 3 else row["id"] for number, row in enumerate(ROWS)]


def test_an_input_that_has_the_models_answers_already_is_refused(predict: Any, tmp_path: Path) -> None:
    _write(tmp_path / "rows.jsonl", [{**row, "total": 1} for row in ROWS])
    screen = predict("--input", "rows.jsonl", "--output", "out.jsonl")
    assert (screen.code, "other fields in the rows than the model answers" in screen.err) == (2, True), screen.err


def test_a_picture_that_cannot_be_read_is_told_and_the_others_are_answered(predict: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("L", (4, 4)).save(folder / "a.png")
    (folder / "b.png").symlink_to("/proc/self/mem")  # It opens, and cannot be read.
    screen = predict("--input", folder, "--output", "out", "--max-bad-share", "1")
    assert screen.code == 0, screen.err
    assert [row["file"] for row in _lines(tmp_path / "out" / "predictions.jsonl")] == ["a.png"]
    assert _lines(tmp_path / "out.errors.jsonl")[0]["instance"] == "b.png"


def test_beam_predicts_what_the_model_here_predicts(predict: Any, tmp_path: Path) -> None:
    source = _write(tmp_path / "rows.tfrecord", ROWS)
    call = ("--input", source, "--signature", "totals", "--output")
    assert predict(*call, "here.jsonl").code == 0
    screen = predict(*call, "beam.jsonl", "--beam")
    assert screen.code == 0, screen.err
    here, beam = _lines(tmp_path / "here.jsonl"), _lines(tmp_path / "beam.jsonl")
    assert [row["id"] for row in beam] == [row["id"] for row in ROWS]
    np.testing.assert_allclose([row["total"] for row in beam], [row["total"] for row in here], rtol=1e-6)
    screen = predict("--input", source, "--output", "text.jsonl", "--beam")
    assert screen.code == 2
    assert "numbers only" in screen.err
