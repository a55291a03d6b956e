"""A lineage as text: a tree, and below it what is too long for one: the settings and the query."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO
from typing import NamedTuple

import yaml
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from pipeline.verdict import number, sentence
from runners.lineage import Lineage
from runners.lineage_nodes import Step
from runners.lineage_versions import Pushed
from runners.pushed_models import PushedVersion

WIDTH = 100_000
"""Columns: nothing is wrapped, so that what is copied is whole."""

SHOWN = 10
"""Versions and uses that are listed, the newest."""

STATES = {
    "run": "ran",
    "cached": "taken from the cache",
    "resolved": "looked up",
    "skipped": "skipped",
    "failed": "ended here: it refused or failed",
    "interrupted": "ended here: it was interrupted",
    "unfinished": "has no end on record",
}
ROLES = {
    "champion": "champion that the candidate had to meet",
    "drift reference": "reference for drift",
    "same model": "came to the same model again, which was there already",
}


class Part(NamedTuple):
    """A part of the text, to be copied on its own."""

    title: str
    text: str


def text(found: Lineage) -> str:
    """Returns all parts as one text, each under its title but the first."""
    first, *others = parts(found)
    return "\n".join([first.text, *(f"\n{part.title}\n{'-' * len(part.title)}\n{part.text}" for part in others)])


def parts(found: Lineage) -> list[Part]:
    """Returns the tree, the settings, and the query if there is one."""
    settings = yaml.safe_dump(found.settings, sort_keys=False, allow_unicode=True, width=WIDTH).rstrip()
    made = [Part("Lineage", _tree(found)), Part(f"Settings, digest {found.settings_digest}", settings)]
    query = found.query
    return [*made, Part(f"Query, digest {query.digest}, in BigQuery's dialect", query.text)] if query else made


def _tree(found: Lineage) -> str:
    version = found.version
    title = f"version {version.version} of {found.pipeline}" if version else f"run {found.run} of {found.pipeline}"
    tree = Tree(Text(title))
    if found.unknown:
        _add(tree, "not known here", found.unknown)
    _data(tree, found)
    _add(tree, f"settings: digest {found.settings_digest}, see below", [])
    _code(tree, found)
    _run(tree, found)
    _gates(tree, found)
    _met(tree, "champion", found.champion, found, "Champion")
    _met(tree, "drift reference", found.reference, found, "Reference")
    if version:
        _version(tree, version)
        _forward(tree, found)
    else:
        _add(tree, "pushed: no, so nothing can use it", [])
    written = StringIO()
    Console(file=written, width=WIDTH, color_system=None, force_terminal=False).print(tree, soft_wrap=True)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def _add(tree: Tree, label: str, below: Iterable[str]) -> Tree:
    branch = tree.add(Text(label))
    for line in below:
        branch.add(Text(line))
    return branch


def _data(tree: Tree, found: Lineage) -> None:
    branch = _add(tree, f"raw data: {found.data.get('file') or 'name not known'}", [])
    branch.add(Text(f"digest: {found.data.get('digest') or 'not known'}"))
    for name, title in (("kept", "kept as it was read"), ("quarantine", "what was unusable")):
        if found.data.get(name):
            branch.add(Text(f"{title}: {found.data[name]}"))
    if found.counts:
        branch.add(Text("counted: " + ", ".join(f"{count:,} {name}" for name, count in found.counts.items())))
    if found.query:
        branch.add(Text(f"query: digest {found.query.digest}, see below"))


def _code(tree: Tree, found: Lineage) -> None:
    code = {**(found.version.packages if found.version else {}), **found.code}
    commit, changed = code.pop("commit", ""), code.pop("changed", "")
    label = f"code: {f'commit {commit}' if commit else 'commit not recorded'}"
    if commit and changed not in ("", "0"):
        label += f", with {changed} changed files"
    packages = ", ".join(f"{name} {version}" for name, version in code.items())
    _add(tree, label, [packages] if packages else [])


def _run(tree: Tree, found: Lineage) -> None:
    told = ", ".join(filter(None, (found.started_at and f"started {found.started_at}", found.outcome)))
    branch = _add(tree, f"run {found.run or 'not named'}{f': {told}' if told else ''}", [])
    for step in found.nodes:
        _node(branch, step, found.code.get("commit", ""))
    if found.error:
        branch.add(Text(f"error: {found.error}"))


def _node(tree: Tree, step: Step, commit_of_run: str) -> None:
    made_by = f", made by run {step.made_by}" if step.made_by else ""
    other = f" by the code of commit {step.commit}" if step.commit and step.commit != commit_of_run else ""
    branch = _add(tree, f"{step.node}: {STATES.get(step.state, step.state)}{made_by}{other}", [])
    if step.functions or step.code:
        branch.add(Text(f"source: {', '.join([*step.functions, *(f'digest {digest}' for digest in step.code)])}"))
    if step.inputs:
        taken = (f"{key} {' '.join(f'#{each}' for each in ids)}" for key, ids in step.inputs.items())
        branch.add(Text(f"took: {', '.join(taken)}"))
    verb = "found" if step.state == "resolved" else "left"
    for made in step.outputs:
        branch.add(Text(f"{verb}: {made.key} #{made.id} {made.uri}{'' if made.there else ' (deleted since)'}"))
    if step.state == "resolved" and not step.outputs:
        branch.add(Text("found: none"))


def _gates(tree: Tree, found: Lineage) -> None:
    branch = _add(tree, "gates", [] if found.checks else ["what they said is not known here"])
    for gate in dict.fromkeys(check.gate for check in found.checks):
        checks = [check for check in found.checks if check.gate == gate]
        missed = [check for check in checks if not check.passed]
        verdict = f"refused, {len(missed)} of {len(checks)} checks missed" if missed else f"passed {len(checks)} checks"
        _add(branch, f"{gate} gate: {verdict}", map(sentence, missed))


def _met(tree: Tree, role: str, met: Pushed | None, found: Lineage, node: str) -> None:
    """The version that the run met; whether there was none, or nobody looked, is two things."""
    if met:
        _add(tree, f"{role}: version {met.version}", _whose(met))
    elif found.nodes and node not in [step.node for step in found.nodes]:
        _add(tree, f"{role}: not looked up, the run did not get that far", [])
    else:
        none = "none, since this root knew no pushed version of this pipeline"
        _add(tree, f"{role}: {none if found.nodes else 'not known here'}", [])


def _version(tree: Tree, version: Pushed) -> None:
    told = [*_whose(version)]
    if version.pushed_at:
        told.append(f"pushed at: {version.pushed_at}")
    values = (f"{name} {'undefined' if value is None else number(value)}" for name, value in version.metrics.items())
    if version.metrics:
        told.append(f"measured on eval: {', '.join(values)}")
    _add(tree, f"version {version.version}", told)


def _whose(version: Pushed) -> Iterable[str]:
    yield f"path: {version.path}"
    names = (("digest", "digest"), ("run", "pushed by run"), ("model_uri", "trained as"))
    yield from (f"{title}: {value}" for name, title in names if (value := getattr(version, name)))


def _forward(tree: Tree, found: Lineage) -> None:
    branch = _add(tree, "what used it", [])
    branch.add(Text(f"serves: {_serves(found)}"))
    for use in found.uses[-SHOWN:]:
        outcome = f" ({use.outcome})" if use.outcome else ""
        branch.add(Text(f"run {use.run}{outcome}: {ROLES.get(use.role, use.role)}"))
    if not found.uses:
        branch.add(Text("no run met it as its champion or its reference for drift"))
    elif len(found.uses) > SHOWN:
        branch.add(Text(f"and {len(found.uses) - SHOWN} runs before"))
    if found.line:
        versions = found.line.versions
        listed = _add(tree, f"versions at {found.line.destination}: {len(versions)}", [])
        for each in versions[-SHOWN:]:
            listed.add(Text(_listed(each, found)))


def _serves(found: Lineage) -> str:
    line, version = found.line, found.version
    if not line or not version or version.path not in [each.path for each in line.versions]:
        return "not known here"
    if line.problem:
        return f"not known: {line.problem}"
    now = next((each.version for each in line.versions if each.serves), None)
    choice = line.choice
    chosen = choice is not None and choice.version != choice.instead_of
    why = f", chosen by {choice.why} at {choice.at}" if choice and chosen else ", the newest one"
    return f"yes{why}" if now == version.version else f"no: version {now} does{why}"


def _listed(each: PushedVersion, found: Lineage) -> str:
    version = found.version
    marks = {
        "this one": version is not None and each.path == version.path,
        "the same model": version is not None and each.path != version.path and each.model_digest == version.digest,
        "serves": each.serves,
        "champion of the next run": bool(each.champion),
        f"damaged: {each.problem}": each.state == "damaged",
    }
    return ", ".join(
        [f"{each.version}, digest {each.model_digest or 'not known'}", *(m for m, on in marks.items() if on)]
    )
