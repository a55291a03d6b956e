"""The pushed versions below a root or at a `gates.destination`: what they are, which serves, which is the champion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.contract import UserError
from pipeline.push import MANIFEST_FILE, Manifest, Version, is_bucket, verify, versions
from pipeline.push.history import MODEL_URI, Push, champion
from pipeline.push.serving_version import Choice, chosen, read_file, serving
from pipeline.settings import on_line
from runners.run import METADATA


class PushedVersion(BaseModel):
    """A version of a line.

    Attributes:
      pushed_at: UTC, ISO 8601; empty where the manifest does not say.
      metrics: those with bounds, of the served answers to the eval split.
      model_digest: of the manifest.
      state: damaged if a file was changed, added or removed since the push. In a bucket only names are compared.
      problem: what is damaged, or empty.
      serves: whether servers are to load it.
      champion: whether the next candidate is compared with it; None where this root's metadata cannot tell.
    """

    model_config = ConfigDict(protected_namespaces=())

    version: int
    path: str
    pushed_at: str
    metrics: dict[str, float | None]
    model_digest: str
    state: Literal["whole", "damaged"]
    problem: str
    serves: bool
    champion: bool | None


class Line(BaseModel):
    """A pushed folder, which is a pipeline: models of one line compete.

    Attributes:
      name: of the pipeline.
      choice: a person's choice, while it holds.
      problem: why no version serves, or empty.
      versions: ascending.
    """

    name: str
    destination: str
    choice: Choice | None
    problem: str
    versions: list[PushedVersion]


def base_of(root: Path, destination: str | None) -> str:
    """Returns where the pushed folders are: at a `gates.destination`, or below the root."""
    return (destination or str(root.resolve() / "pushed")).rstrip("/")


def lines(base: str, model: str | None = None) -> list[str]:
    """Returns the names of the pushed folders, of a model or of all.

    Raises:
      UserError: a bucket that cannot be read.
    """
    if is_bucket(base):
        from pipeline.push import gcs

        names = gcs.folders(base)
    else:
        names = sorted(path.name for path in Path(base).glob("*") if path.is_dir())
    return [name for name in names if model is None or on_line(name, model)]


def find_line(base: str, model: str, line: str | None = None, version: int | None = None) -> str:
    """Returns the address of a model's pushed folder.

    Args:
      base: from `base_of`.
      model: its name.
      line: name of the folder, or how it goes on after the model's name: `main`.
      version: one that it has to have, where there are several.

    Raises:
      UserError: there is none, or more than one.
    """
    there = lines(base, model)
    found = [name for name in there if on_line(name, model, line)]
    if len(found) > 1 and version is not None:
        found = [name for name in found if version in [each.number for each in versions(f"{base}/{name}")]]
    if len(found) != 1:
        raise UserError(
            expected=f"one pushed folder of {model} at {base}" + (f", {line}" if line else ""),
            received=", ".join(found or there) or "none",
            todo="name one with --line" if there else f"correct --root, or push a model: pipelines run {model}",
        )
    return f"{base}/{found[0]}"


def look(root: Path, base: str, name: str) -> Line:
    """Returns what is at a pushed folder.

    Args:
      root: whose metadata says which model is the champion.
      base: from `base_of`.
      name: of the folder.

    Raises:
      UserError: the folder cannot be read.
    """
    destination = f"{base}/{name}"
    there = versions(destination)
    problem, served, choice = "", None, None
    try:
        choice = chosen(destination, there)
        served = serving(destination)
    except UserError as error:
        problem = str(error)
    beaten = champion(_pushes(root, name))
    told = [_version(destination, each, each == served, beaten and beaten.address == each.path) for each in there]
    return Line(name=name, destination=destination, choice=choice, problem=problem, versions=told)


def _version(destination: str, version: Version, serves: bool, is_champion: bool | None) -> PushedVersion:
    manifest, problem = _manifest(destination, version)
    return PushedVersion(
        version=version.number,
        path=version.path,
        pushed_at=manifest.pushed_at if manifest else "",
        metrics=manifest.bounded() if manifest else {},
        model_digest=manifest.model_digest if manifest else "",
        state="damaged" if problem else "whole",
        problem=problem,
        serves=serves,
        champion=is_champion,
    )


def _manifest(destination: str, version: Version) -> tuple[Manifest | None, str]:
    """Returns a version's manifest, if it can be read, and what is wrong with its files."""
    manifest = read_manifest(destination, str(version.number))
    if manifest is None:
        return None, f"{version.path} has no manifest that can be read"
    try:
        _compare(version, manifest)
    except UserError as error:
        return manifest, error.received
    return manifest, ""


def read_manifest(destination: str, version: str) -> Manifest | None:
    """Returns the manifest of a version at a destination, local or in a bucket; None if none can be read.

    Raises:
      UserError: a destination that cannot be read.
    """
    content = read_file(destination, f"{version}/{MANIFEST_FILE}")
    try:
        return Manifest.model_validate_json(content or b"")
    except ValidationError:
        return None


def _compare(version: Version, manifest: Manifest) -> None:
    if not is_bucket(version.path):
        verify(Path(version.path))
        return
    from pipeline.push import gcs

    differs = sorted(gcs.names(version.path) ^ {*manifest.files, MANIFEST_FILE})
    if differs:
        received = f"{version.path} with other files: {', '.join(differs)}"
        raise UserError(expected="the files of the manifest", received=received, todo="push the model again")


def _pushes(root: Path, pipeline: str) -> Sequence[Push]:
    """Reads a pipeline's pushes of models that are still known, as `pipeline.champion` is given them; none in doubt."""
    if not (root / METADATA).is_file():
        return []
    from ml_metadata import errors
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    from runners.reports.store import connect

    try:
        store = connect(root)
        if store is None:
            return []
        context = store.get_context_by_type_and_name("pipeline", pipeline)
        artifacts = store.get_artifacts_by_context(context.id) if context else []
    except errors.StatusError:  # A run may be writing to it at this moment.
        return []
    live = [found for found in artifacts if found.state == mlmd.Artifact.LIVE]
    models = {found.uri for found in live if found.type == "Model"}
    pushes = [_push(found) for found in live if found.type == "PushedModel"]
    return [push for push in pushes if push.model_uri in models]


def _push(artifact: Any) -> Push:
    told = artifact.custom_properties
    return Push(
        artifact.id,
        ok=told["pushed"].int_value == 1,
        address=told["pushed_destination"].string_value,
        model_uri=told[MODEL_URI].string_value,
    )
