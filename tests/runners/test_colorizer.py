"""The colorizer through the very same DAG: sample pictures to a push, and what each gate refuses.

All runs share a root, as a team's would: what did not change comes from the cache.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import predicted
import pytest
from tensorflow.io import decode_png
from verdicts import refused

from models.colorizer import MODEL
from models.colorizer.sample import spoil, write_sample
from pipeline.fingerprint import digest_folder
from pipeline.model_gate import metric_values
from pipeline.push import verify
from runners.local import execute
from runners.reports.facts import gather
from runners.run import RunResult, prepare

SMALL = {"data": {"line": "sample"}, "features": {"size": 64}, "training": {"epochs": 10, "members": 1}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("colorizer")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "sample.zip"
    write_sample(path)
    return path


@pytest.fixture(scope="module")
def pushed(pictures: Path, root: Path) -> RunResult:
    """The product's own model."""
    return run(root, pictures)


@pytest.fixture
def untouched(pushed: RunResult, root: Path) -> Iterator[None]:
    """Whatever is pushed stays as it is, byte for byte."""
    before = digest_folder(root / "pushed")
    yield
    assert digest_folder(root / "pushed") == before


def run(root: Path, pictures: Path, trainer: str = MODEL.run_fn, **layer: Any) -> RunResult:
    model = MODEL.model_copy(update={"run_fn": trainer})
    return execute(prepare(model, root, data=pictures, layers=(SMALL, layer)))


# --- the product's model -------------------------------------------------------------------------------


def test_the_sample_ends_in_a_push(pushed: RunResult) -> None:
    assert (pushed.outcome, pushed.exit_code) == ("pushed", 0), pushed
    assert pushed.pipeline == "colorizer-sample-size-64"
    bounds = {(check.metric, check.slice): check for check in pushed.checks if check.gate == "model"}
    assert float(bounds["mse_vs_tint", "overall"].value) < 0.9
    assert float(bounds["mse_vs_gray", "overall"].value) < 0.9
    assert ("mse_vs_tint", "luminance_band=middle") in bounds
    assert any(name.startswith("class=") for _, name in bounds)


def test_the_manifest_says_what_was_pushed(pushed: RunResult) -> None:
    manifest = verify(Path(pushed.pushed or ""))
    assert (manifest.model, manifest.pipeline) == ("colorizer", pushed.pipeline)
    assert manifest.settings["features"] == {"size": 64}
    assert set(manifest.bounds) == {"mse_vs_gray", "mse_vs_tint", "colourfulness"}
    assert manifest.metrics == pushed.metrics


def test_served_answers_have_the_evaluators_metrics(pushed: RunResult, root: Path) -> None:
    (evaluation,) = (root / "artifacts" / pushed.pipeline / "Evaluator" / "evaluation").iterdir()
    evaluated = metric_values(str(evaluation))["candidate"]
    assert pushed.metrics["eval"] == pytest.approx(evaluated["overall"], rel=1e-4)
    manifest = verify(Path(pushed.pushed or ""))
    assert manifest.slices["eval"].keys() == evaluated.keys()
    for where, values in manifest.slices["eval"].items():
        assert values == pytest.approx(evaluated[where], rel=1e-4), where
    assert manifest.naive["eval"]["mse_vs_tint"] == pytest.approx(1)


@pytest.mark.parametrize("split", ["eval", "test", "train"])
def test_each_picture_is_kept_as_its_name_and_the_numbers_of_its_metrics(
    pushed: RunResult, root: Path, split: str
) -> None:
    found = predicted.columns(pushed, split)
    named, measured = ("file", "class", "luminance_band"), ("error", "gray_error", "tint_error", "ssim")
    assert list(found) == [*named, *measured, "colourfulness", "true_colourfulness"]
    names = [found[name] for name in named]
    assert list(zip(*names, strict=True)) == predicted.examples(root, pushed.pipeline, split, *named)
    assert all(found[name].shape == found["file"].shape and found[name].dtype == np.float64 for name in measured)
    assert predicted.metrics(MODEL, found) == predicted.reported(pushed, split)


def test_the_best_the_median_and_the_worst_pictures_are_kept(pushed: RunResult, root: Path) -> None:
    kept = gather(root, pushed.run_id).illustrations
    assert kept is not None
    found = kept.to_pydict()
    assert found["kind"] == ["best"] * 6 + ["median"] * 6 + ["worst"] * 6
    errors = np.sort(predicted.columns(pushed, "eval")["error"])
    assert found["error"] == [*errors[:6], *errors[len(errors) // 2 - 3 :][:6], *errors[-6:]]
    for row, error in enumerate(found["error"]):
        answer, truth = (decode_png(found[name][row], 3).numpy() / 127.5 - 1 for name in ("predicted", "true"))
        # A level is rounded in the picture, and not in the answer.
        assert np.mean((answer - truth) ** 2) == pytest.approx(error, abs=0.001)


def test_the_record_says_what_waited_for_what(pushed: RunResult) -> None:
    assert list(pushed.planned) == [node.name for node in pushed.nodes]
    assert "DataGate" in pushed.planned["Transform"]
    assert set(pushed.planned["Pusher"]) == {"Trainer", "ServingGate", "Evaluator"}


def test_training_left_its_record_and_no_checkpoint(pushed: RunResult, root: Path) -> None:
    folder = root / "artifacts" / pushed.pipeline / "Trainer" / "model_run"
    (record,) = folder.rglob("training.json")
    told = json.loads(record.read_text())
    assert told["resumed_from"] == 0
    assert {layer.get("within") for layer in told["layers"]} == {None, "painter"}
    assert list(folder.rglob("events.out.tfevents.*"))
    assert not [path for path in (root / "checkpoints").rglob("*") if path.is_file()]


def test_a_second_run_meets_the_champion(pushed: RunResult, pictures: Path, root: Path) -> None:
    second = run(root, pictures)
    assert (second.outcome, second.pushed) == ("unchanged", pushed.pushed)
    (champion,) = [check for check in second.checks if "champion" in check.bound]
    assert (champion.metric, champion.passed) == ("mse_vs_tint", True)
    assert {node.name for node in second.nodes if node.state == "run"} == {"DataGate", "Evaluator", "Pusher"}
    # The serving gate was cached, and what it wrote is beside this run too.
    assert second.predictions.keys() == pushed.predictions.keys() == {"eval", "test", "train"}
    for split, file in second.predictions.items():
        assert Path(file).is_relative_to(second.folder)
        assert Path(file).read_bytes() == Path(pushed.predictions[split]).read_bytes()
    kept, first = (Path(each.folder) / "illustrations" / "eval.parquet" for each in (second, pushed))
    assert kept.read_bytes() == first.read_bytes()


# --- the data gate -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("untouched")
def test_a_set_of_gray_pictures_is_refused_before_anything_is_trained(
    pictures: Path, root: Path, tmp_path: Path
) -> None:
    spoil(pictures, tmp_path / "gray.zip")
    result = run(root, tmp_path / "gray.zip")
    check = refused(result)["data unknown chroma"]
    assert (check.bound, check.value) == ("<= 0.2", 1.0)
    assert check.note.startswith("gray (")
    assert "Trainer" not in {node.name for node in result.nodes}


@pytest.mark.usefixtures("untouched")
def test_too_many_files_that_are_no_pictures_are_refused_with_their_reasons(
    pictures: Path, root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    shutil.unpack_archive(pictures, folder)
    count = sum(path.is_file() for path in folder.rglob("*"))
    for number in range(count // 10):
        (folder / f"broken_{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    result = run(root, folder)
    check = refused(result)["data quarantined share"]
    assert (check.slice, check.bound) == ("raw files", "<= 0.05")
    assert f"{count // 10} of {count + count // 10} files are unusable" in check.note
    assert "broken_0.jpg" in Path(result.data["quarantine"]).read_text()
    assert result.counts["quarantined"] == count // 10


# --- the model gate and the serving gate ---------------------------------------------------------------


@pytest.mark.usefixtures("untouched")
def test_a_model_that_copies_gray_is_refused(pictures: Path, root: Path) -> None:
    result = run(root, pictures, "colorizer_variants.copies_gray")
    missed = refused(result)
    assert float(missed["model mse_vs_gray"].value) == pytest.approx(1, abs=0.01)
    assert float(missed["model colourfulness"].value) == pytest.approx(0, abs=0.01)
    found = predicted.columns(result, "eval")
    assert found["error"] == pytest.approx(found["gray_error"], rel=0.01)


@pytest.mark.usefixtures("untouched")
def test_a_model_that_tints_is_refused(pictures: Path, root: Path) -> None:
    missed = refused(run(root, pictures, "colorizer_variants.tints"))
    assert missed["model mse_vs_tint"].bound == "<= 0.99"
    assert float(missed["model mse_vs_tint"].value) == pytest.approx(1, abs=0.01)


@pytest.mark.usefixtures("untouched")
def test_a_model_that_answers_files_wrongly_is_refused(pictures: Path, root: Path) -> None:
    missed = refused(run(root, pictures, "colorizer_variants.wrong_files"))
    check = missed["serving serving_bytes = raw"]
    assert (check.slice, check.bound) == ("eval", "<= 0.005")
    assert float(check.value) == pytest.approx(2 * 20 / 255, abs=0.01)


# --- the real photos, and the reference network --------------------------------------------------------


def test_a_few_real_photos_become_examples(real_data: Path, root: Path, tmp_path: Path) -> None:
    """Photos of breeds with their classes; the whole set is what docs/colorizer.md measures."""
    shutil.unpack_archive(real_data / "pets" / "oxford_pets.tar", tmp_path / "photos")
    for path in sorted((tmp_path / "photos" / "images").iterdir())[120:]:
        path.unlink()
    chosen = {
        "data": {"line": "photos"},
        "features": {"size": 64},
        "training": {"network": "reference", "epochs": 1, "early_stopping": False},
    }
    result = execute(prepare(MODEL, root, data=tmp_path / "photos", layers=(chosen,)))
    assert result.counts == {"read": 120, "quarantined": 0, "usable": 120} | {
        "left out: system file": 0,
        "left out: copy of another picture": 0,
    }
    assert result.outcome == "refused"
    assert not [check for check in result.checks if check.gate in ("data", "serving") and not check.passed]
    assert any(check.slice.startswith("class=Abyssinian") for check in result.checks)
