"""A real backtest, typed as people type it: a shop whose data are fine as of one day, and refused as of a later one."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _pytest.capture import CaptureFixture

from models.clv import MODEL
from models.clv.sample import read_csv, write_sample
from pipeline.contract import UserError
from runners.cli import app

EARLY, LATE = "2011-05-01", "2011-08-01"


def shop(path: Path) -> Path:
    """A sample in which, after the early cut-off, most purchases are made in a country that nobody knows."""
    write_sample(path, customers=700)
    header, *rows = read_csv(path)
    day, country = header.index("InvoiceDate"), header.index("Country")
    for row in rows:
        if row[day][:10] > EARLY:
            row[country] = "Atlantis"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def wide() -> Iterator[str]:
    """Bounds that a network after three epochs meets."""
    for name, bound in MODEL.settings().gates.bounds.items():
        yield from (f"bounds.{name}.lower=-1.0e+9", f"bounds.{name}.upper=1.0e+9")
        if bound.slices:
            yield from (f"bounds.{name}.slices.lower=-1.0e+9", f"bounds.{name}.slices.upper=1.0e+9")


class Typed:
    """The command, in this process: what it says, and its exit code."""

    def __init__(self, folder: Path, said: CaptureFixture[str]) -> None:
        self.folder, self.said = folder, said
        self.data = shop(folder / "shop.csv")

    def __call__(self, *words: str) -> tuple[int, str]:
        settings = [word for pair in ("epochs=3", *wide()) for word in ("--set", pair)]
        fixed = ["--data", str(self.data), "--root", str(self.folder / "runs"), *settings]
        fixed += ["--set", f"destination={self.folder / 'served'}"]
        code = app(["backtest", "clv", *words, *fixed], standalone_mode=False)
        return code, self.said.readouterr().out


@pytest.mark.slow
def test_a_shop_from_the_first_cutoff_to_the_table(tmp_path: Path, capfd: CaptureFixture[str]) -> None:
    typed = Typed(tmp_path, capfd)
    code, said = typed("--cutoffs", f"{LATE},{EARLY}")
    lines = [" ".join(line.split()) for line in said.splitlines()]
    (folder,) = (tmp_path / "runs" / "backtests").iterdir()
    kept = json.loads((folder / "backtest.json").read_text())
    early, late = kept["lines"]

    # The refused day stops nothing, and its line says why.
    assert code == 3
    assert [(line["cutoff"], line["outcome"]) for line in (early, late)] == [(EARLY, "pushed"), (LATE, "refused")]
    assert late["score"] is None
    assert "customer_country" in late["why"][0]
    assert any(line.startswith(f"{LATE} - - - -") and line.endswith("x refused") for line in lines)
    assert any(line.startswith(f"{LATE}: data gate: ") for line in lines)

    # The row of the other day is what its file of predictions says.
    (file,) = folder.glob(f"records/*{EARLY}*/*/predictions/eval.parquet")
    rows = pd.read_parquet(file)
    assert early["score"]["rows"] == len(rows)
    assert early["score"]["mae"] == pytest.approx(np.abs(rows.predicted - rows.actual).mean())
    assert early["score"]["rule_mae"] == pytest.approx(np.abs(rows.naive - rows.actual).mean())
    assert any(line.startswith(f"{EARLY} {len(rows)} ") and line.endswith("+ pushed") for line in lines)
    assert kept["pooled"] == early["score"]

    # Used at the later day: everybody, with what happened then, whatever the gates say of that day's own run.
    (forward,) = kept["forward"]
    assert (forward["trained"], forward["used"]) == (EARLY, LATE)
    everybody = table(tmp_path, typed.data)
    capfd.readouterr()
    naive = everybody.past_monetary_value * (1 + 91 / everybody.tenure_days.clip(lower=91))
    off = np.abs(naive - everybody.target_monetary_value_3M)
    assert forward["score"]["rows"] == len(everybody) > 2 * len(rows)
    assert forward["score"]["rule_mae"] == pytest.approx(off.mean())
    assert 0 < forward["score"]["mae"] < 10 * off.mean()
    assert any(line.startswith(f"{EARLY} {LATE} {len(everybody):,} ") for line in lines)

    # What was pushed is in the backtest's own folder only.
    assert len(list((folder / "pushed").glob("*/*/saved_model.pb"))) == 1
    assert not (tmp_path / "served").exists()
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"backtests", "data"}

    # The same again runs nothing: the runs that came to an end are taken as they are, and the figures are the same.
    code, said = typed("--cutoffs", f"{EARLY},{LATE}", "--json")
    again = json.loads(said)
    assert (code, again["exit_code"]) == (3, 3)
    assert [line["run_id"] for line in again["lines"]] == [early["run_id"], late["run_id"]]
    for part in ("lines", "pooled", "forward", "forward_pooled"):
        assert again[part] == kept[part]
    assert again["says"][0].startswith("On the eval split the model beats the rule on ")


def table(folder: Path, data: Path) -> Any:
    out = folder / "features.parquet"
    app(
        ["features", "clv", "--data", str(data), "--out", str(out), "--set", f"cutoff={LATE}", "--root", f"{folder}/f"],
        standalone_mode=False,
    )
    rows = pd.read_parquet(out)
    return rows[rows["split"] != "EARLIER"]


def test_a_model_without_a_cutoff_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="received colorizer, whose contract has no `backtest`"):
        app(["backtest", "colorizer", "--root", str(tmp_path)], standalone_mode=False)


def test_a_cutoff_is_no_setting_of_a_backtest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected the days in --cutoffs"):
        app(["backtest", "clv", "--set", f"cutoff={LATE}", "--root", str(tmp_path)], standalone_mode=False)


def test_a_shop_that_is_shorter_than_its_horizon_is_told_so(tmp_path: Path) -> None:
    data = tmp_path / "new.csv"
    header = "InvoiceNo,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    data.write_text(header + "".join(f"{day},1,2011-01-{day:02},2.50,c{day},Malta\n" for day in range(1, 31)))
    with pytest.raises(UserError, match="bring more than 91 days of transactions"):
        app(["backtest", "clv", "--data", str(data), "--root", str(tmp_path / "runs")], standalone_mode=False)
