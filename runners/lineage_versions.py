"""Pushed versions for a lineage: what is known of one, and which runs met it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict

from pipeline.contract import UserError
from pipeline.push import MANIFEST_FILE, Manifest, is_bucket
from runners import pushed_models
from runners.lineage_nodes import LOOKED_UP
from runners.reports.store import Artifact, Execution, Store
from runners.run import RunResult

PUSHED = "PushedModel"
"""Type of the artifact of a push."""


class Pushed(BaseModel):
    """A pushed version, as its manifest or the metadata tells of it; what is not known is empty.

    Attributes:
      path: folder of the version.
      version: its number.
      digest: of the model.
      run: id of the run that pushed it.
      model_uri: where its training left it.
      pushed_at: UTC, ISO 8601.
      metrics: those with bounds, of the served answers to the eval split.
      packages: versions of Python and packages.
    """

    model_config = ConfigDict(protected_namespaces=())

    path: str
    version: int
    digest: str = ""
    run: str = ""
    model_uri: str = ""
    pushed_at: str = ""
    metrics: dict[str, float | None] = {}
    packages: dict[str, str] = {}


class Use(BaseModel):
    """A run that met a version: as `champion`, as `drift reference`, or it came to the `same model` again.

    `outcome` is the run's, or empty if its record is gone.
    """

    run: str
    role: str
    outcome: str


def read_manifest(address: str) -> Manifest:
    """Returns the manifest of a version, in a folder or a bucket.

    Raises:
      UserError: there is none that can be read.
    """
    destination, _, name = address.rpartition("/")
    manifest = pushed_models.read_manifest(destination, name)
    if manifest is None:
        raise UserError(
            expected=f"the folder of a pushed version, with {MANIFEST_FILE}",
            received=address,
            todo="correct the path or the number; `pipelines models` lists the pushed versions",
        )
    return manifest


def described(address: str, manifest: Manifest | None) -> Pushed:
    """Returns what a manifest says of the version in a folder; the number alone without one."""
    if manifest is None:
        name = address.rpartition("/")[2]
        return Pushed(path=address, version=int(name) if name.isdigit() else 0)
    return Pushed(
        path=address,
        version=manifest.version,
        digest=manifest.model_digest,
        run=manifest.run,
        model_uri=manifest.model_uri,
        pushed_at=manifest.pushed_at,
        metrics=manifest.bounded(),
        packages=manifest.versions,
    )


def recorded(address: str | None) -> Pushed | None:
    """Returns a version that a run recorded, with its manifest if that is still on this machine."""
    if not address:
        return None
    try:
        return described(address, None if is_bucket(address) else read_manifest(address))
    except UserError:
        return described(address, None)


def looked_up(resolver: Execution | None) -> Pushed | None:
    """Returns the version that a resolver looked up; None if it found none, or did not run."""
    pushes = resolver.outputs.get("pushed_model", []) if resolver else []
    if not pushes:
        return None
    told = pushes[0].properties
    found = recorded(told["pushed_destination"])
    if found and found.digest != told["model_digest"]:  # Emptied since, and perhaps filled again.
        found = described(found.path, None).model_copy(
            update={"digest": told["model_digest"], "model_uri": told["model_uri"]}
        )
    return found


def uses(version: Pushed, run: str, pipeline: str, known: Mapping[str, RunResult], store: Store | None) -> list[Use]:
    """Returns the runs that met a version, the oldest first.

    Args:
      version: which.
      run: id of the run that it is the model of.
      pipeline: of the version.
      known: id -> record, of all runs.
      store: the metadata.
    """
    place = f"/{pipeline}/{version.version}"
    met = set(_lookups(version, place, store)) if store else set()
    again = {
        (result.run_id, "same model")
        for result in known.values()
        if result.run_id not in (version.run, run) and (result.pushed or "").endswith(place)
    }
    return [
        Use(run=name, role=role, outcome=known[name].outcome if name in known else "")
        for name, role in sorted(met | again)
    ]


def _lookups(version: Pushed, place: str, store: Store) -> Iterator[tuple[str, str]]:
    """Yields runs and roles; the root may have been moved since, so its name is not compared."""
    for push in store.artifacts(PUSHED):
        if _is_of(push, place, version):
            yield from ((found.run, LOOKED_UP[found.node]) for found in store.finders(push) if found.node in LOOKED_UP)


def _is_of(push: Artifact, place: str, version: Pushed) -> bool:
    told = push.properties
    same = not version.digest or told.get("model_digest") == version.digest
    return same and str(told.get("pushed_destination", "")).endswith(place)
