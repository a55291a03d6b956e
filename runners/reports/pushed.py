"""The report's section "Serving gate and push": how the model was asked, how quickly it answered, where it is now."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.contract import Listing, UserError
from pipeline.latency import LATENCY_FILE, Latency, Timing
from pipeline.push import MANIFEST_FILE, is_bucket
from pipeline.push.card import CARD_FILE
from pipeline.push.serving_version import serving
from pipeline.verdict import JUDGED_SPLIT, Check
from runners.pushed_models import base_of
from runners.reports.exhibits import show
from runners.reports.facts import Facts, version_of
from runners.reports.pages import count, figure, render, seconds

_WORDS = {
    "loads, TensorFlow 2": "loading it as TensorFlow 2 does",
    "loads, TensorFlow 1 style": "loading it as TensorFlow Serving does",
    "answers raw features": "asking with raw features",
    "answers that are NaN or infinite": "counting answers that are no finite number",
    "answers can be measured": "measuring its answers",
    "survives being asked": "asking in a process of its own",
    "tf.Examples = raw": "asking with tf.Examples",
    "raw, TensorFlow 1 style = 2": "asking with raw features, loaded as TensorFlow Serving does",
    "tf.Examples, TensorFlow 1 style = 2": "asking with tf.Examples, loaded as TensorFlow Serving does",
    "one row = many rows": "asking about rows alone, and not many at once",
}
"""Metric of a serving check -> what was tried."""


def section(facts: Facts) -> Markup | None:
    """Returns the section; None of a run that came to an end before the serving gate without being refused."""
    checks = [check for check in facts.result.checks if check.gate == "serving"]
    if not checks and facts.result.outcome != "refused":
        return None
    return render(
        "pushed.html",
        asked=_asked(facts, checks) if checks else "",
        tables=show(_tables(facts, checks)),
        refused_by=next((check.gate for check in facts.result.checks if not check.passed), None),
        serves=_serves(facts),
        rolled_back=facts.result.rolled_back,
        push=_push(facts, facts.result.pushed) if facts.result.pushed else None,
    )


# --- the serving gate ----------------------------------------------------------------------------------


def _asked(facts: Facts, checks: Sequence[Check]) -> str:
    """Says in a sentence or two how much was asked, and how far apart the answers were."""
    compared = [check for check in checks if " = " in check.metric and isinstance(check.value, float)]
    ways = 1 + sum(not check.metric.startswith("one row") for check in compared)
    rows = (facts.result.metrics.get(JUDGED_SPLIT) or {}).get("rows")
    began = "A fresh process, in which nothing of the training was left, loaded the saved model as a server will"
    if not compared or rows is None:
        return f"{began}. What was tried then, until it was refused, is below."
    asked = (
        f"{count(rows)} rows of the {JUDGED_SPLIT} split, each in {ways} ways, which is {count(rows * ways)} answers"
    )
    return f"{began}, and asked about {asked}.{_furthest(compared)}"


def _furthest(compared: Sequence[Check]) -> str:
    """The comparison that came closest to its tolerance, or went furthest beyond it."""
    if not compared:
        return ""
    worst = max(compared, key=lambda check: float(check.value) / _bound(check))
    if not worst.value:
        return " All ways gave the very same answers."
    return (
        f" The greatest relative difference between two answers to the same rows was {figure(worst.value)}, where "
        f"{figure(_bound(worst))} is tolerated ({_words(worst.metric)})."
    )


def _bound(check: Check) -> float:
    return float(check.bound.removeprefix("<= "))


def _tables(facts: Facts, checks: Sequence[Check]) -> Iterator[Listing]:
    if checks:
        rows = tuple((_words(c.metric), figure(c.value), c.bound, _verdict(c)) for c in checks)
        says = "Differences are relative, between answers to the same rows; each is the greatest one found."
        yield Listing("What the serving gate tried", says, ("tried", "found", "must be", "verdict"), rows)
    found = _latency(facts)
    if found:
        timed = (("one row", 1, found.alone), ("a batch", found.batch_rows, found.batch))
        entries = tuple(_timing(*each) for each in timed)
        columns = ("asked about", "rows at once, at most", "answers timed", "median", "slowest")
        yield Listing("How long the model took to answer", _says(facts, found), columns, entries)


def _words(metric: str) -> str:
    further = re.fullmatch(r"(.*?)(, TensorFlow 1 style)? = raw", metric)
    if metric in _WORDS or not further:
        return _WORDS.get(metric, metric)
    loaded = ", loaded as TensorFlow Serving does" if further[2] else ""
    return f"asking through the signature {further[1]}{loaded}"


def _verdict(check: Check) -> str:
    return ("passed" if check.passed else "refused") + (f": {check.note}" if check.note else "")


def _latency(facts: Facts) -> Latency | None:
    folder = facts.folder("ServingGate", "blessing")
    file = folder / LATENCY_FILE if folder else None
    if file is None or not file.is_file() or (content := file.read_text()) == "null":
        return None
    return Latency.model_validate_json(content)


def _timing(what: str, rows: int, found: Timing) -> tuple[str | float, ...]:
    return what, rows, found.answers, _milliseconds(found.median_s), _milliseconds(found.worst_s)


def _milliseconds(value: float) -> str:
    return f"{1000 * value:.3g} ms" if value < 1 else seconds(value)


def _says(facts: Facts, found: Latency) -> str:
    here = any(node.name == "ServingGate" and node.state == "run" for node in facts.result.nodes)
    machine = facts.result.machine
    where = f" ({machine['processor']}, {machine['processors']} processors)" if here and machine else ""
    when = "this run's machine" if here else "the machine of the run that asked first: this one took it from the cache"
    return (
        f"On {when}{where}, in the gate's own process and without HTTP, which a server adds; nothing is judged by it. "
        f"The very first answer took {_milliseconds(found.first_s)}, since TensorFlow prepares the model then."
    )


# --- the push ------------------------------------------------------------------------------------------


def _push(facts: Facts, path: str) -> dict[str, Any]:
    """What the template says of the version that holds this run's model."""
    folder = None if is_bucket(path) else Path(path)
    there = folder is not None and folder.is_dir()
    sizes = _sizes(folder) if folder is not None and there else {}
    known = facts.manifest.files if facts.manifest else {}
    return {
        "version": version_of(path),
        "new": facts.result.outcome == "pushed",
        "state": "bucket" if folder is None else "there" if there else "gone",
        "known": list(_known(facts, path, sizes)),
        "files": [(name, _bytes(size), known.get(name, "-")) for name, size in sizes.items()],
    }


def _known(facts: Facts, path: str, sizes: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yields what is known of a version, each with its name."""
    yield "folder", path
    if facts.manifest:
        yield "pushed", f"{facts.manifest.pushed_at} (UTC), by run {facts.manifest.run}"
        yield "digest of the model", facts.manifest.model_digest
    if sizes:
        yield "size", f"{_bytes(sum(sizes.values()))} in {len(sizes)} files"
    for name, file in (("manifest", MANIFEST_FILE), ("model card", CARD_FILE)):
        if file in sizes:
            yield name, f"{path}/{file}"


def _sizes(folder: Path) -> dict[str, int]:
    """Returns name -> bytes of the files of a version."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}


def _bytes(size: float) -> str:
    """Writes a size: `812 bytes`, `1.2 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def _serves(facts: Facts) -> str:
    """Says which version serves while this page is made."""
    destination = _destination(facts)
    if is_bucket(destination):
        return f"Which version serves at {destination}, pipelines models {facts.result.model} says."
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    try:
        version = serving(destination)
    except UserError as error:
        return f"When this page was made ({now}), no version served: {error}."
    if version is None:
        return f"When this page was made ({now}), there was no version at {destination}."
    its = ", which holds this run's model" if version.path == facts.result.pushed else ""
    return f"When this page was made ({now}), version {version.number} at {destination} served{its}."


def _destination(facts: Facts) -> str:
    """Where models of this pipeline are pushed to."""
    if facts.result.pushed:
        return facts.result.pushed.rstrip("/").rpartition("/")[0]
    base = base_of(facts.root, facts.result.settings.get("gates", {}).get("destination"))
    return f"{base}/{facts.result.pipeline}"
