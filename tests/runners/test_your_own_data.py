"""The page `docs/your-own-data.md`, typed as it stands: from a made-up shop's export to a pushed model."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from commands import pipelines

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(console|yaml|text)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int, str, str]]:
    """Command, exit code, output, and what the page shows of it, one after the other in one folder."""
    folder = tmp_path_factory.mktemp("shop")
    done: list[tuple[str, int, str, str]] = []
    for kind, text in BLOCKS:
        if kind == "yaml":
            path = folder / text.splitlines()[0].removeprefix("# ")
            path.parent.mkdir(parents=True)
            path.write_text(text, encoding="utf-8")
        elif kind == "text":
            done[-1] = (*done[-1][:3], text)
        else:
            program, *words = shlex.split(text.removeprefix("$ "))
            assert program == "pipelines"
            answer = pipelines(*words, cwd=folder)
            done.append((shlex.join(words), answer.returncode, answer.stdout + answer.stderr, ""))
    (record,) = (folder / "runs" / "pushed").glob("*/*/assets.extra/manifest.json")
    done.append(("manifest", 0, record.read_text(), ""))
    return done


@pytest.mark.slow
def test_the_commands_of_the_page_say_what_the_page_says(said: list[tuple[str, int, str, str]]) -> None:
    assert [code for _, code, _, _ in said] == [0, 1, 0, 0, 0], said[-2][2]
    for command, _, output, shown in said:
        for line in shown.splitlines():
            assert line in output, command


@pytest.mark.slow
def test_the_command_that_the_doctor_proposes_is_what_the_page_writes_down(
    said: list[tuple[str, int, str, str]],
) -> None:
    _, _, output, _ = said[1]
    (proposed,) = [line for line in output.splitlines() if "command: " in line]
    pairs = [word for word in shlex.split(proposed) if "=" in word]
    settings = json.loads(said[-1][2])["settings"]["data"]
    written = {key: str(value) for key, value in settings.items()} | {
        f"columns.{name}": column for name, column in settings["columns"].items()
    }
    assert len(pairs) == 10
    for pair in pairs:
        key, _, value = pair.partition("=")
        assert written[key] == value
    assert settings["currency"] == "EUR"
