"""What one line of TFX wrote, the other reads: a team can move, and move back, without starting again.

Each model's root goes from this line to the other and back: this line pushes, the other repeats the run and pushes a
model of its own, this line repeats that.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import THIS, pipelines
from PIL import Image

from pipeline.push import versions

SMALL = {"clv": (), "colorizer": ("--set", "size=64", "--set", "epochs=10", "--set", "members=1")}
ANEW = ("--set", "seed=1")
ASK = """
import json, sys
import tensorflow as tf
model, examples = sys.argv[1:]
records = list(tf.data.TFRecordDataset(tf.io.gfile.glob(examples), compression_type="GZIP").take(8).as_numpy_iterator())
loaded = tf.saved_model.load(model)
answer = loaded.signatures["serving_examples"](tf.constant(records))
print(json.dumps({name: values.numpy().tolist() for name, values in answer.items()}))
"""


class Shared:
    """A root that both lines run on.

    Attributes:
      lines: environments by who they are: `this` and `other`.
      records: what each run came to, in order: this line's, the other's repeat, the other's own, this line's repeat.
    """

    def __init__(self, model: str, folder: Path, other: Path) -> None:
        self.model, self.folder = model, folder
        self.lines = {"this": THIS, "other": other}
        self.records = [
            self.run("this"),
            self.run("other"),
            self.run("other", *ANEW),
            self.run("this", *ANEW),
        ]

    def run(self, line: str, *arguments: str) -> dict[str, Any]:
        root = self.folder / "runs"
        command = ("run", self.model, "--root", root, *SMALL[self.model], *arguments)
        done = pipelines(*command, cwd=self.folder, environment=self.lines[line])
        assert done.returncode == 0, done.stdout + done.stderr
        newest = max(root.glob("records/*/*/run.json"), key=lambda record: record.parent.name)
        found: dict[str, Any] = json.loads(newest.read_text())
        return found

    def pushed(self) -> Iterator[Path]:
        for folder in (self.folder / "runs" / "pushed").iterdir():
            yield from (Path(version.path) for version in versions(str(folder)))

    def ask(self, line: str, model: Path) -> dict[str, Any]:
        """What a model answers a line, for rows of the eval split."""
        (examples,) = (self.folder / "runs").glob("artifacts/*/ExampleGen/examples/*/Split-eval")
        command = [str(self.lines[line] / "bin" / "python"), "-c", ASK, str(model), f"{examples}/*"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.fixture(scope="module", params=list(SMALL))
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, other_line: Path) -> Shared:
    return Shared(request.param, tmp_path_factory.mktemp("lines"), other_line)


def test_they_are_two_lines(other_line: Path) -> None:
    said = [pipelines("doctor", cwd=line, environment=line).stdout for line in (THIS, other_line)]
    assert {text.partition("which gets TFX ")[2][:4] for text in said} == {"1.16", "1.21"}


def test_a_run_is_taken_from_the_cache_of_the_other_line(shared: Shared) -> None:
    first, again, anew, back = shared.records
    # The data gate meets a reference after the first push; the same data is its reference after the second.
    for ran, repeated, judged in ((first, again, {"DataGate"}), (anew, back, set())):
        assert (ran["outcome"], repeated["outcome"]) == ("pushed", "unchanged")
        assert repeated["pushed"] == ran["pushed"]
        ran_again = {node["name"] for node in repeated["nodes"] if node["state"] == "run"}
        assert ran_again == {"Evaluator", "Pusher"} | judged


def test_a_model_is_judged_against_the_champion_of_the_other_line(shared: Shared) -> None:
    for record in shared.records[1:]:
        compared = [c for c in record["checks"] if "champion" in c["bound"] or c["metric"] == "future_mae_increase"]
        assert compared
        assert all(check["value"] not in (None, "not measured") and check["passed"] for check in compared)


def test_both_lines_get_the_same_answers_from_a_pushed_model(shared: Shared) -> None:
    pushed = list(shared.pushed())
    assert len(pushed) == 2
    for model in pushed:
        this, other = shared.ask("this", model), shared.ask("other", model)
        assert this.keys() == other.keys()
        for name, answer in this.items():
            np.testing.assert_allclose(answer, other[name], rtol=1e-4, atol=1e-5)


def test_both_lines_colour_a_photo_alike(shared: Shared) -> None:
    if shared.model != "colorizer":
        pytest.skip("the colorizer's command")
    photo = shared.folder / "photo.png"
    Image.fromarray(np.linspace(0, 255, 90 * 120).reshape(90, 120).astype(np.uint8)).save(photo)
    coloured = []
    for line, environment in shared.lines.items():
        command = ("colorize", photo, "--root", shared.folder / "runs", "--out", shared.folder / line)
        done = pipelines(*command, cwd=shared.folder, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        coloured.append(np.asarray(Image.open(shared.folder / line / "photo-colour.png"), np.int16))
    assert np.abs(coloured[0] - coloured[1]).max() <= 1
