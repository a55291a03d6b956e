"""The model card: a page of Markdown beside a pushed model that says what people have to know before they use it.

A pure function of the version's manifest. What comes from outside, such as the name of a file, is escaped: it is text
in the card, never markup. The sections follow Mitchell et al. 2019, "Model Cards for Model Reporting", FAT* 2019.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.contract import Bound
from pipeline.fingerprint import digest_bytes
from pipeline.push.manifest import MANIFEST_FILE, Manifest
from pipeline.verdict import JUDGED_SPLIT, OVERALL, bound_text

CARD_FILE = "assets.extra/model_card.md"
UNKNOWN_LICENCE = "That of the data's owner, which the pipeline does not know: ask before you pass the model on."
_BETTER = {"lower": "lower is better", "higher": "higher is better", "zero": "the nearer to 0, the better"}
_ROWS = "rows"


def with_card(manifest: Manifest) -> Manifest:
    """Returns the manifest of a version with its card among the files."""
    digest = digest_bytes(write_card(manifest).encode())
    return manifest.model_copy(update={"files": {**manifest.files, CARD_FILE: digest}})


def written(manifest: Manifest) -> dict[str, str]:
    """Returns name in the version's folder -> content, of the texts that a push writes beside the model."""
    return {CARD_FILE: write_card(manifest), MANIFEST_FILE: manifest.text()}


def write_card(manifest: Manifest) -> str:
    """Returns the card of a version."""
    title = manifest.said.title or manifest.model
    parts = {
        "Which model": _which(manifest),
        "Intended use": [_text(manifest.said.use) or "The model's developers said nothing."],
        "Limits": _limits(manifest),
        "Data": _data(manifest),
        "How good it is": _metrics(manifest),
        "Against the naive rule": _naive(manifest),
        "Bounds that it met": _bounds(manifest),
        "Made with": [*_table(("package", "version"), ((_text(k), _text(v)) for k, v in manifest.versions.items()))],
    }
    lines = [f"# Model card: {_text(title)}"]
    for heading, content in parts.items():
        lines += ["", f"## {heading}", "", *content]
    return "\n".join(lines) + "\n"


def _which(manifest: Manifest) -> Iterator[str]:
    facts = {
        "version": str(manifest.version),
        "model": _code(manifest.model),
        "pipeline": _code(manifest.pipeline),
        "pushed": f"{_text(manifest.pushed_at)} (UTC) by run {_code(manifest.run or 'unknown')}",
        "digest of the model": _code(manifest.model_digest),
    }
    yield from _table(("fact", "this version"), facts.items())
    yield ""
    yield "The file `manifest.json` beside this card has the digest of each file, and all settings of the run."


def _limits(manifest: Manifest) -> Iterator[str]:
    if not manifest.said.limits:
        yield "The model's developers said nothing. That does not mean that there are none."
    for limit in manifest.said.limits:
        yield f"- {_text(limit)}"


# --- data ----------------------------------------------------------------------------------------------


def _data(manifest: Manifest) -> Iterator[str]:
    facts = {
        "data line": _code(manifest.settings.get("data", {}).get("line", "unknown")),
        **_raw(manifest),
        "digest of the data as read": _code(manifest.data_digest or "unknown"),
        "examples": _counts(manifest),
        **{f"setting {_code(name)}": _code(value) for name, value in manifest.settings.get("features", {}).items()},
        "licence of the data": _licence(manifest),
    }
    yield from _table(("fact", "data of this version"), facts.items())


def _raw(manifest: Manifest) -> dict[str, str]:
    found = manifest.ingested
    if found is None:
        return {"source": "not on record"}
    left_out = [f"{count:,} {_text(name)}" for name, count in found.left_out.items() if count]
    return {
        "source": ("generated sample, " if manifest.said.generated else "") + _code(found.source),
        "digest of the source": _code(found.source_sha256),
        f"{found.unit} read": f"{found.rows_read:,}",
        f"{found.unit} usable": f"{found.rows_usable:,}",
        f"{found.unit} left out of these": ", ".join(left_out) or "0",
        f"{found.unit} unusable": f"{found.quarantined:,}",
    }


def _counts(manifest: Manifest) -> str:
    return ", ".join(f"{count:,} {_text(split)}" for split, count in manifest.examples.items()) or "not on record"


def _licence(manifest: Manifest) -> str:
    if manifest.said.generated:
        return "None is needed: the data are generated, and nobody is behind them."
    public = manifest.said.dataset
    known = public.get("sha256")
    if known and manifest.ingested and manifest.ingested.source_sha256 == known:
        return _text(f"{public['licence']}. The file is {public['title']}, from {public['homepage']}.")
    return UNKNOWN_LICENCE


# --- metrics -------------------------------------------------------------------------------------------


def _metrics(manifest: Manifest) -> Iterator[str]:
    names = [name for name in _first(_splits(manifest).values()) if name != _ROWS]
    if not names:
        yield "The serving gate left no record."
        return
    yield (
        f"As a server answers. The gates judge the {JUDGED_SPLIT} split, to which nothing was fitted. Other splits are "
        "shown, and gate nothing; of a large training split, a part was asked."
    )
    yield ""
    yield from _directions(manifest, names)
    rows = ([split, where, *_numbers(found, (_ROWS, *names))] for split, where, found in _measured(manifest))
    yield from _table(("split", "slice", "rows", *map(_code, names)), rows, words=2)


def _splits(manifest: Manifest) -> dict[str, Mapping[str, Any]]:
    """What was measured, by split; older manifests may hold other things besides."""
    return {split: found for split, found in manifest.metrics.items() if isinstance(found, Mapping)}


def _measured(manifest: Manifest) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for split, values in _splits(manifest).items():
        yield _text(split), OVERALL, values
        for where, sliced in manifest.slices.get(split, {}).items():
            if where != OVERALL:
                yield _text(split), _text(where), sliced


def _directions(manifest: Manifest, names: Sequence[str]) -> Iterator[str]:
    for better, words in _BETTER.items():
        if named := ", ".join(_code(name) for name in names if manifest.said.better.get(name) == better):
            yield f"- {words}: {named}"
    yield ""


def _naive(manifest: Manifest) -> Iterator[str]:
    rule = f", {_code(manifest.said.naive)}" if manifest.said.naive else ""
    yield f"A rule of thumb that needs no training{rule}. A model that does not beat it is not worth its upkeep."
    yield ""
    if not manifest.naive:
        yield "How it would have done is not on record."
        return
    names = [name for name in _first(manifest.naive.values()) if name != _ROWS]
    splits = [split for split in manifest.naive if split in _splits(manifest)]
    header = ("metric", *(f"{_text(split)}: {who}" for split in splits for who in ("model", "naive rule")))
    yield from _table(header, ([_code(name), *_against(manifest, splits, name)] for name in names), words=1)


def _against(manifest: Manifest, splits: Iterable[str], name: str) -> Iterator[str]:
    for split in splits:
        yield from (_number(found[split].get(name)) for found in (manifest.metrics, manifest.naive))


def _bounds(manifest: Manifest) -> Iterator[str]:
    if not manifest.bounds:
        yield "There was none."
        return
    least = manifest.settings.get("gates", {}).get("min_slice_rows")
    slices = f" Those on slices hold from {least} rows." if least else ""
    yield f"On the {JUDGED_SPLIT} split. Had it missed one of these, it would not have been pushed.{slices}"
    yield ""
    header = ("metric", "bound", "this model", "bound on each slice", "against the champion", "why")
    yield from _table(header, (_bound(manifest, name, told) for name, told in manifest.bounds.items()))


def _bound(manifest: Manifest, name: str, told: Mapping[str, Any]) -> list[str]:
    bound = Bound.model_validate({"reason": "no reason on record", **told})
    return [
        _code(name),
        _text(bound_text(bound)),
        _number(_splits(manifest).get(JUDGED_SPLIT, {}).get(name)),
        _text(_sliced(bound)),
        "-" if bound.worsening is None else f"at most {_number(bound.worsening)} worse",
        _text(bound.reason),
    ]


def _sliced(bound: Bound) -> str:
    """What holds on slices: on each, and then on those that have a bound of their own."""
    each = [bound_text(bound.slices)] if bound.slices else []
    return "; ".join([*each, *(f"{where}: {bound_text(held)}" for where, held in bound.at.items())]) or "-"


def _first(found: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    return next(iter(found), {})


def _numbers(values: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [_number(values.get(name)) for name in names]


def _number(value: float | None) -> str:
    """Four significant digits, or the whole number."""
    if value is None:
        return "undefined"
    if abs(value) >= 10_000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.4g}"


# --- Markdown ------------------------------------------------------------------------------------------


def _table(header: Sequence[str], rows: Iterable[Iterable[str]], words: int = 9) -> Iterator[str]:
    """A table of GitHub's Markdown, whose cells end at a pipe even within code. After `words` columns come numbers."""
    rule = ["---" if column < words else "---:" for column in range(len(header))]
    for cells in (header, rule, *rows):
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _text(value: object) -> str:
    """Text as it stands, in one line: nothing in it is markup. Neither is `a_b`, nor a `<` before a space or an =."""
    markup = r"([\\`*\[\]&~#]|<(?![ =])|(?<![^\W_])_|_(?![^\W_]))"
    return re.sub(markup, r"\\\1", _flat(value))


def _code(value: object) -> str:
    """Text as code; the fence is longer than any run of backticks in it."""
    flat = _flat(value)
    fence = "`" * (max((len(run) for run in re.findall("`+", flat)), default=0) + 1)
    edge = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{edge}{flat}{edge}{fence}" if flat else "-"


def _flat(value: object) -> str:
    return " ".join(str(value).split())
