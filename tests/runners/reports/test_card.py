"""The report's section "Model card": the file beside the model, as a part of the page."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import gate_record
import pytest
from markupsafe import Markup

from models.clv import MODEL
from pipeline.push import Told, draft, publish, say
from pipeline.push.card import CARD_FILE
from pipeline.push.manifest import Ingested
from runners.reports import card


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A pushed version, of a file with a name that is markup."""
    model = tmp_path / "trained"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"graph")
    said = say(MODEL, generated=False)
    told = Told(model="clv", pipeline=gate_record.PIPELINE, data_digest="", settings={}, bounds={}, said=said)
    count = {"rows_read": 1234, "rows_usable": 1234, "quarantined": 0}
    ingested = Ingested(unit="rows", source="<b onclick=x>|name", source_sha256="", left_out={}, **count)
    manifest = draft(told, model, run="", model_uri="", metrics={"eval": {"rows": 353.0, "mae": 407.0}})
    manifest = manifest.model_copy(update={"ingested": ingested})
    return Path(publish(str(tmp_path / "pushed" / gate_record.PIPELINE), model, manifest).version.path)


def section(root: Path, **changes: Any) -> Markup:
    found = card.section(gate_record.facts(root, **changes))
    assert found is not None
    return found


def test_the_card_of_a_pushed_model_is_a_part_of_the_page(tmp_path: Path, version: Path) -> None:
    html = section(tmp_path, pushed=str(version))
    assert "<h3>Intended use</h3>" in html
    assert "<h1" not in html
    assert "<h2" not in html
    assert MODEL.about
    assert all(limit in unescape(html) for limit in MODEL.about.limits)
    assert f"goes wherever the model goes: <code>{version / CARD_FILE}</code>" in html
    assert '<div class="scrolls" tabindex="0" role="region" aria-label="Model card: How good it is"><table>' in html
    assert '<td style="text-align:right">407</td>' in html
    assert '<th scope="col">' in html
    assert html.count("<table>") == html.count("</table>\n</div>")


def test_the_name_of_a_file_is_text_in_one_cell(tmp_path: Path, version: Path) -> None:
    html = section(tmp_path, pushed=str(version))
    assert "<td><code>&lt;b onclick=x&gt;|name</code></td>" in html
    assert "<b" not in html.replace("<body", "")


def test_a_card_that_somebody_changed_is_shown_as_such_and_reaches_nobody(tmp_path: Path, version: Path) -> None:
    (version / CARD_FILE).write_text(
        "# x\n\n<script>alert(1)</script>\n\n![a](http://h/a.png) [b](http://h) <http://h>\n"
    )
    html = section(tmp_path, pushed=str(version))
    assert "Careful: this page is not as it was when the model was pushed." in html
    assert "&lt;script&gt;" in html
    assert not [tag for tag in ("<script", "<img", "<a ") if tag in html]


def test_a_version_without_a_card_is_told_from_one_that_is_gone(tmp_path: Path, version: Path) -> None:
    (version / CARD_FILE).unlink()
    assert "was pushed before there were model cards" in section(tmp_path, pushed=str(version))
    assert "not on this machine any more" in section(tmp_path, pushed=str(tmp_path / "gone" / "17"))
    assert "lies in the bucket" in section(tmp_path, pushed="gs://models/clv/17")


def test_where_nothing_was_pushed_there_is_no_card(tmp_path: Path) -> None:
    assert card.section(gate_record.facts(tmp_path, outcome="refused", pushed=None)) is None
    assert card.section(gate_record.facts(tmp_path, outcome="failed", pushed=None)) is None
