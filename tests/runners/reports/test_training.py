"""How a training is told and drawn: its end, its curves and its network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from browsing import Open
from metadata_by_hand import Made, Ran, store_run
from playwright.sync_api import expect
from recorded_runs import write_record
from report_page import looked_at

from pipeline.contract import Sought, Tuned
from runners.reports.facts import gather
from runners.reports.report import write

RUN, LATER = "20261101T120000.000001", "20261102T120000.000001"
HISTORY = [
    {"loss": 9 / epoch + 1, "val_loss": 9 / epoch + 1 + max(0, epoch - 8) / 4, "learning_rate": 0.01 / epoch}
    for epoch in range(1, 13)
]


def _layer(name: str, kind: str, shape: list[int | None], parameters: int, *inputs: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "shape": shape, "parameters": parameters, "inputs": inputs, **more}


LAYERS = [
    _layer("gray", "InputLayer", [None, 80, 80, 1], 0),
    _layer("painter", "Painter", [None, 10, 10, 2], 3000, "gray"),
    *(
        {**layer, "within": "painter", "copies": 3}
        for layer in (
            _layer("input", "InputLayer", [None, 80, 80, 1], 0),
            _layer("conv", "Conv2D", [None, 10, 10, 4], 900, "input"),
            _layer("norm", "BatchNormalization", [None, 10, 10, 4], 16, "conv"),
            _layer("relu", "relu", [None, 10, 10, 4], 0, "norm"),
            _layer("skip", "Conv2D", [None, 10, 10, 4], 84, "relu"),
            _layer("add", "Add", [None, 10, 10, 4], 0, "skip", "relu"),
        )
    ),
]
TOLD = {
    "rows": 1956,
    "held_out_rows": 212,
    "epochs": 12,
    "best_epoch": 9,
    "resumed_from": 0,
    "history": HISTORY,
    "parameters": 3000,
    "layers": LAYERS,
    "devices": ["CPU:0", "GPU:0 (NVIDIA H100)"],
}


def _report(root: Path, told: dict[str, Any], **more: Any) -> Path:
    result = write_record(root, RUN, outcome="refused", **more)
    folder = root / "model_run"
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps(told))
    store_run(root, result, [Ran("Trainer", outputs={"model_run": Made("ModelRun", str(folder))})])
    return write(gather(root, RUN))


def test_a_training_is_told_drawn_and_listed(tmp_path: Path, opened: Open) -> None:
    page = looked_at(opened, _report(tmp_path, TOLD))
    told = page.locator("#training")
    expect(told).to_contain_text(
        "Stopped after epoch 12 of at most 30, as 3 epochs in a row brought no improvement; epoch 9 was best"
    )
    expect(told).to_contain_text("held-out loss 2.25")
    expect(told).to_contain_text("The least held-out loss of all was 2.125, after epoch 8")
    expect(told).to_contain_text("The held-out loss went from 10 to 2.75, 29.4% above its least value.")
    curves = told.get_by_role("img", name="Loss after each epoch")
    expect(curves).to_contain_text("examples held out")
    expect(curves).to_contain_text("epoch 9, kept")
    expect(told).to_contain_text("GPU:0 (NVIDIA H100)")
    rows = told.get_by_role("row")
    expect(rows.filter(has_text="Seed of every random choice")).to_contain_text("7")
    expect(rows.filter(has_text="Examples held out")).to_contain_text("212")


def test_layers_that_only_reshape_or_activate_stand_in_the_box_before(tmp_path: Path, opened: Open) -> None:
    page = opened(_report(tmp_path, {**TOLD, "history": []}).as_uri()).page
    expect(page.locator(".network h4")).to_have_text(
        "Inside of painter: 3 networks of this form side by side, each with 1,000 parameters"
    )
    boxes = page.locator(".network").nth(1).locator(".box").all_text_contents()
    assert [" ".join(text.split()) for text in boxes] == [
        "input (input) gives 80 x 80 x 1",
        "Conv2D + BatchNormalization, relu gives 10 x 10 x 4 916 parameters",
        "Conv2D gives 10 x 10 x 4 84 parameters",
        "Add gives 10 x 10 x 4",
    ]
    page.get_by_text("All 8 layers as a table").click()
    expect(page.get_by_role("row").filter(has_text="skip Add")).to_have_count(0)
    expect(page.get_by_role("row", name="add painter Add 10 x 10 x 4 0 skip, relu")).to_be_visible()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            {"epochs": 60, "best_epoch": 48, "val_loss": 4.725},
            "All 60 epochs ran; epoch 48 was best and is what was kept: held-out loss 4.725.",
        ),
        (
            {"epochs": 60, "best_epoch": 60, "loss": 3.2, "history": [{"loss": 3.2 + 60 - n} for n in range(1, 61)]},
            "All 60 epochs ran; no examples were held out, and epoch 60 is what was kept.",
        ),
        ({"history": HISTORY}, "The held-out loss went from 10 to 2.75"),
        ({"epochs": 1, "best_epoch": 1, "history": [{"loss": float("nan"), "held_out_loss": None}]}, "epoch 1 is what"),
    ],
)
def test_trainings_without_a_history_or_held_out_rows_are_told_too(
    tmp_path: Path, told: dict[str, Any], said: str
) -> None:
    page = _report(tmp_path, told).read_text()
    assert said in page
    assert "could not be shown" not in page


def test_a_cached_training_names_the_run_that_trained(tmp_path: Path) -> None:
    write(gather(tmp_path, write_record(tmp_path, LATER, outcome="unchanged").run_id))
    _report(tmp_path, {**TOLD, "history": []})
    made = Made("ModelRun", "", again=1)
    store_run(tmp_path, gather(tmp_path, LATER).result, [Ran("Trainer", "CACHED", {"model_run": made})])
    assert f"its result is that of run {RUN}." in write(gather(tmp_path, LATER)).read_text()


def test_a_run_that_did_not_train_has_no_such_section(tmp_path: Path) -> None:
    write_record(tmp_path, RUN)
    assert 'id="training"' not in write(gather(tmp_path, RUN)).read_text()


def test_what_a_search_chose_is_listed_beside_what_was_set(tmp_path: Path, opened: Open) -> None:
    tuned = Tuned(
        settings={
            "learning_rate": Sought(given=0.01, tried=(0.003, 0.01, 0.03), found=0.03),
            "hidden_units": Sought(given=[32, 16], tried=([], [8], [32, 16]), found=[]),
        },
        trials=12,
        score=0.9312,
        given=0.9555,
        objective="error beside the rule's",
    )
    told = looked_at(opened, _report(tmp_path, TOLD, tuned=tuned)).locator("#training")
    expect(told).to_contain_text("12 trials. Score (error beside the rule's; less is better): 0.9312 of what was found")
    expect(told).to_contain_text("0.9555 of the settings as they were given. What was found went over what was set.")
    rows = told.get_by_role("row")
    expect(rows.filter(has_text="0.003; 0.01; 0.03")).to_have_text(
        re.compile(r"learning_rate\s*0\.01\s*0\.003; 0\.01; 0\.03\s*0\.03")
    )
    expect(rows.filter(has_text="none; 8; 32, 16")).to_have_text(re.compile(r"32, 16\s*none; 8; 32, 16\s*none"))
    expect(told.get_by_role("row", name="learning_rate 0.03", exact=True)).to_be_visible()
