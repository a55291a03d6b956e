"""The model card: what people have to know is on it, it is part of the version, and nothing foreign is markup."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.cloud import storage
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pipeline.contract import UserError, find_model
from pipeline.fingerprint import digest_bytes, digest_folder
from pipeline.push import Manifest, Pushed, draft, publish, say, verify, versions
from pipeline.push.card import CARD_FILE, UNKNOWN_LICENCE, write_card
from pipeline.push.manifest import Ingested, Said, Told

MakeModel = Callable[..., Path]
Push = Callable[..., Pushed]
CLV = find_model("clv")
SHA = "0" * 64


def manifest(*, source: str = "shop.csv", said: Said | None = None, **changes: Any) -> Manifest:
    """That of a version of which all is known."""
    known: dict[str, Any] = {
        "model": "clv",
        "pipeline": "clv-main-horizon_days-91",
        "data_digest": "d" * 16,
        "settings": {"data": {"line": "main"}, "features": {"cutoff": "2011-09-01"}, "gates": {"min_slice_rows": 30}},
        "bounds": {
            "future_gini": {"lower": 0.5, "upper": None, "slices": None, "worsening": 0.05, "reason": "order is all"}
        },
        "said": said or say(CLV, generated=False),
        "run": "20261121T174459",
        "model_uri": "",
        "model_digest": "c" * 16,
        "files": {},
        "metrics": {
            "eval": {"rows": 353.0, "mae": 407.25, "future_gini": 0.7354},
            "test": {"rows": 339.0, "mae": 460.0, "future_gini": None},
        },
        "slices": {"eval": {"overall": {"rows": 353.0}, "frequency_band=2-3": {"rows": 99.0, "mae": 123456.7}}},
        "examples": {"train": 2638, "eval": 353, "test": 339},
        "naive": {"eval": {"rows": 353.0, "mae": 542.0, "future_gini": 0.4181}},
        "ingested": Ingested(
            unit="rows",
            source=source,
            source_sha256=SHA,
            rows_read=541_909,
            rows_usable=541_900,
            quarantined=9,
            left_out={"no customer id": 135_080},
        ),
        "versions": {"python": "3.12.1", "tfx": "1.21.0"},
        "version": 1_795_283_159,
        "pushed_at": "2026-11-21T17:45:59+00:00",
    }
    return Manifest.model_validate({**known, **changes})


def parsed(card: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(card)


def tables(card: str) -> dict[str, list[list[str]]]:
    """Heading -> the rows of the table below it, the header first; each cell as a reader sees it."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for before, token in itertools.pairwise(parsed(card)):
        if before.type == "heading_open":
            heading = token.content
        if before.type == "tr_open":
            found.setdefault(heading, []).append([])
        if before.type in ("th_open", "td_open"):
            found[heading][-1].append("".join(part.content for part in token.children or ()))
    return found


def test_a_card_says_what_people_have_to_know() -> None:
    card = write_card(manifest())
    assert CLV.about
    assert card.startswith(f"# Model card: {CLV.title}\n")
    assert CLV.about.use in card
    assert all(f"- {limit}\n" in card for limit in CLV.about.limits)
    found = tables(card)
    which, data = dict(found["Which model"][1:]), dict(found["Data"][1:])  # type: ignore[arg-type]
    assert (which["version"], which["model"], which["digest of the model"]) == ("1795283159", "clv", "c" * 16)
    assert which["pushed"] == "2026-11-21T17:45:59+00:00 (UTC) by run 20261121T174459"
    assert (data["data line"], data["source"], data["rows read"]) == ("main", "shop.csv", "541,909")
    assert (data["rows usable"], data["rows left out of these"]) == ("541,900", "135,080 no customer id")
    assert (data["digest of the data as read"], data["setting cutoff"]) == ("d" * 16, "2011-09-01")
    assert data["examples"] == "2,638 train, 353 eval, 339 test"
    assert ["tfx", "1.21.0"] in found["Made with"]


def test_its_metrics_are_by_slice_and_beside_the_naive_rules() -> None:
    card = write_card(manifest())
    found = tables(card)
    assert found["How good it is"] == [
        ["split", "slice", "rows", "mae", "future_gini"],
        ["eval", "overall", "353", "407.2", "0.7354"],
        ["eval", "frequency_band=2-3", "99", "123,457", "undefined"],
        ["test", "overall", "339", "460", "undefined"],
    ]
    assert "- lower is better: `mae`\n- higher is better: `future_gini`\n" in card
    assert found["Against the naive rule"][1:] == [["mae", "407.2", "542"], ["future_gini", "0.7354", "0.4181"]]
    assert "`models.clv.naive.naive`" in card
    assert found["Bounds that it met"][1] == [
        "future_gini",
        ">= 0.5",
        "0.7354",
        "-",
        "at most 0.05 worse",
        "order is all",
    ]
    assert "Those on slices hold from 30 rows." in card


def test_bounds_of_single_slices_stand_beside_those_of_all() -> None:
    bound: dict[str, Any] = {"upper": 0.25, "slices": {"upper": 0.6}, "reason": "a total misleads"}
    bound["at"] = {"frequency_band=1": {"upper": 0.9}}
    card = write_card(manifest(bounds={"future_bias": bound}))
    (row,) = [line for line in card.splitlines() if line.startswith("| `future_bias` | ")]
    assert "0.6; frequency\\_band" in row or "0.6; frequency_band" in row
    assert row.index("0.25") < row.index("0.6;") < row.index("0.9")


def test_the_licence_is_said_where_it_is_known() -> None:
    def licence(card: str) -> str:
        return next(row[1] for row in tables(card)["Data"] if row[0] == "licence of the data")

    public = Said(dataset={"title": "Shop", "licence": "CC BY 4.0", "homepage": "https://a.b/c", "sha256": SHA})
    assert licence(write_card(manifest(said=public))) == "CC BY 4.0. The file is Shop, from https://a.b/c."
    assert licence(write_card(manifest())) == UNKNOWN_LICENCE
    sample = write_card(manifest(said=say(CLV, generated=True)))
    assert licence(sample) == "None is needed: the data are generated, and nobody is behind them."
    assert ["source", "generated sample, shop.csv"] in tables(sample)["Data"]


def test_a_model_of_which_nothing_was_said_or_measured_has_a_card_that_says_so() -> None:
    bare = manifest(said=Said(), settings={}, bounds={}, metrics={"mae": 3.5}, slices={}, naive={}, ingested=None)
    card = write_card(bare)
    assert "## Intended use\n\nThe model's developers said nothing.\n" in card
    assert "said nothing. That does not mean that there are none." in card
    assert ["source", "not on record"] in tables(card)["Data"]
    assert "The serving gate left no record." in card
    assert "How it would have done is not on record." in card


@pytest.mark.parametrize("name", ["clv", "colorizer"])
def test_each_model_says_what_it_is_for_and_what_not(name: str) -> None:
    card = write_card(manifest(said=say(find_model(name), generated=False)))
    assert "said nothing" not in card
    items = [token for token in parsed(card) if token.type == "list_item_open"]
    assert len(items) >= 5


FOREIGN = [
    "<b>|x",
    "<script>alert(1)</script>",
    "a`|`b``c",
    r"c:\|d|\\",
    "![p](http://h/p.png) [l](javascript:x) *e* _u_ &lt; <http://h>",
    "__a__ _b_ c_d *",
    "two\nlines\n\n# heading | x",
]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_foreign_text_is_neither_markup_nor_a_cell(foreign: str) -> None:
    seen = " ".join(foreign.split())
    told = Said(title=foreign, use=f"For {foreign}", limits=(f"Not {foreign}",))
    card = write_card(
        manifest(
            source=foreign,
            said=told,
            slices={"eval": {f"class={foreign}": {"rows": 1.0}}},
            settings={"data": {"line": foreign}},
        )
    )
    found = tables(card)
    assert {"source": seen, "data line": seen}.items() <= dict(found["Data"]).items()  # type: ignore[arg-type]
    assert ["eval", f"class={seen}", "1", "undefined", "undefined"] in found["How good it is"]
    assert {len(row) for row in found["How good it is"]} == {5}
    inline = [part for token in parsed(card) for part in [token, *(token.children or [])]]
    assert not {token.type for token in inline} & {"html_block", "html_inline", "image", "link_open", "em_open"}
    assert [token.tag for token in inline if token.type == "heading_open"] == ["h1", *["h2"] * 8]
    plain = ["".join(part.content for part in token.children or ()) for token in inline if token.type == "inline"]
    assert {f"Model card: {seen}", f"For {seen}", f"Not {seen}"} <= set(plain)


# --- beside the model ----------------------------------------------------------------------------------


def recorded(version: Path) -> Manifest:
    return Manifest.model_validate_json((version / "assets.extra" / "manifest.json").read_bytes())


def test_a_card_is_part_of_its_version(tmp_path: Path, destination: Path, make_model: MakeModel, push: Push) -> None:
    model = make_model(tmp_path / "model")
    version = Path(push(destination, model).version.path)
    found = verify(version)
    card = (version / CARD_FILE).read_bytes()
    assert card.decode() == write_card(found)
    assert found.files[CARD_FILE] == digest_bytes(card)
    assert found.model_digest == digest_folder(model), "the digest of a model is that of the model alone"
    assert not push(destination, model).new


def test_a_card_that_was_edited_is_found(tmp_path: Path, destination: Path, make_model: MakeModel, push: Push) -> None:
    version = Path(push(destination, make_model(tmp_path / "model")).version.path)
    (version / CARD_FILE).write_text("# A very good model\n")
    with pytest.raises(UserError, match=r"other content in assets\.extra/model_card\.md; do not serve it"):
        verify(version)


def test_a_bucket_receives_the_card_too(
    tmp_path: Path, bucket: storage.Bucket, make_model: MakeModel, push: Push
) -> None:
    number = push("gs://models/clv", make_model(tmp_path / "model")).version.number
    blob = bucket.get_blob(f"clv/{number}/{CARD_FILE}")
    told = Manifest.model_validate_json(bucket.blob(f"clv/{number}/assets.extra/manifest.json").download_as_bytes())
    assert blob.content_type.startswith("text/markdown")
    assert digest_bytes(blob.download_as_bytes()) == told.files[CARD_FILE]


def test_a_version_of_before_there_were_cards_is_whole_and_is_not_pushed_again(
    tmp_path: Path, destination: Path, make_model: MakeModel, push: Push
) -> None:
    model = make_model(tmp_path / "model")
    version = Path(push(destination, model).version.path)
    (version / CARD_FILE).unlink()
    told = recorded(version)
    fresh = {"said", "slices", "naive", "ingested", "examples"}
    old = told.model_copy(update={"files": {name: one for name, one in told.files.items() if name != CARD_FILE}})
    (version / "assets.extra" / "manifest.json").write_text(old.model_dump_json(exclude=fresh))
    assert verify(version).said == Said()
    assert not push(destination, model).new
    assert [found.path for found in versions(str(destination))] == [str(version)]


def test_a_file_in_the_place_of_the_card_gives_way_to_it(
    tmp_path: Path, destination: Path, make_model: MakeModel
) -> None:
    """As of a model that was exported from a pushed version."""
    model = make_model(tmp_path / "model")
    (model / "assets.extra").mkdir()
    (model / CARD_FILE).write_text("of another version")
    told = Told(model="tiny", pipeline="tiny-main", data_digest="", settings={}, bounds={})
    pushed = publish(str(destination), model, draft(told, model, run="", model_uri="", metrics={}))
    assert (Path(pushed.version.path) / CARD_FILE).read_text() == write_card(verify(Path(pushed.version.path)))
