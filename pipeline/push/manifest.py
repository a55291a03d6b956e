"""The manifest: a file beside a pushed model that says what the model is and by what right it is there.

It lies in `assets.extra/`, the folder that the SavedModel format reserves for files of its users: loaders leave it
alone, and it travels wherever the version's folder is copied to.
"""

from __future__ import annotations

import platform
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.contract import Model, Settings, Tuned, UserError
from pipeline.fingerprint import digest_file, digest_folder
from pipeline.verdict import JUDGED_SPLIT

MANIFEST_FILE = "assets.extra/manifest.json"
METRICS_FILE, SLICES_FILE, NAIVE_FILE = "metrics.json", "slices.json", "naive.json"
"""Where the serving gate leaves the metrics that it measured, beside its InfraBlessing."""
INGESTION_FILE, EXAMPLES_FILE = "ingestion.json", "examples.json"
"""Where it leaves what became of the raw data (`pipeline.ingestion.raw.RawReport`), and split -> examples."""
TUNED_FILE = "tuned.json"
"""Where it leaves what a search for hyper-parameters came to, if there was one (`pipeline.contract.Tuned`)."""
_PACKAGES = ("tfx", "tensorflow", "tfx-pipelines")


class Said(BaseModel):
    """What the contract says of a model, for its card.

    Attributes:
      title: of the model, one line.
      use, limits: see `pipeline.contract.About`; empty where it says nothing.
      naive: dotted path of the rule that the model must beat.
      better: metric name -> which direction an improvement has.
      dataset: `title`, `licence`, `homepage` and `sha256` of the public data set; empty if there is none.
      generated: whether the run read a generated sample.
    """

    model_config = ConfigDict(frozen=True)

    title: str = ""
    use: str = ""
    limits: tuple[str, ...] = ()
    naive: str = ""
    better: dict[str, str] = {}
    dataset: dict[str, str | None] = {}
    generated: bool = False


NOTHING_SAID = Said()


class Ingested(BaseModel):
    """What became of the raw data: the part of a `RawReport` that holds no content of any row."""

    model_config = ConfigDict(frozen=True)

    unit: str
    source: str
    source_sha256: str
    rows_read: int
    rows_usable: int
    quarantined: int
    left_out: dict[str, int]


class Told(BaseModel):
    """What the pipeline knows about a model when the DAG is built. All of it is part of the push's cache key.

    Attributes:
      model: the model's name.
      pipeline: name of the pipeline, within which models compete.
      data_digest: digest of the data that the run read.
      settings: all settings of the run.
      bounds: metric name -> the bounds that it met.
      said: what the contract says of it; nothing in manifests of before there were model cards.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model: str
    pipeline: str
    data_digest: str
    settings: dict[str, Any]
    bounds: dict[str, Any]
    said: Said = NOTHING_SAID


class Manifest(Told):
    """What a pushed model is.

    Attributes:
      run: id of the pipeline run that pushed it.
      model_uri: uri of the Model artifact in the metadata store.
      model_digest: `pipeline.fingerprint.digest_folder` of the model.
      files: name in the version's folder -> digest, for all files of the model and, in a version, for its card.
      metrics: split -> metric -> value, as the serving gate measured; empty if it left no record.
      slices: judged split -> slice -> metric -> value.
      naive: as `metrics`, had the naive rule been the model.
      ingested: what became of the raw data, if that is known.
      examples: split -> how many there are.
      tuned: the hyper-parameters that it was trained with, over those in `settings`, if a search found them.
      versions: of Python and packages.
      version: number of the version; 0 in a draft.
      pushed_at: UTC, ISO 8601; empty in a draft.
    """

    run: str
    model_uri: str
    model_digest: str
    files: dict[str, str]
    metrics: dict[str, Any]
    slices: dict[str, Any] = {}
    naive: dict[str, Any] = {}
    ingested: Ingested | None = None
    examples: dict[str, int] = {}
    tuned: Tuned | None = None
    versions: dict[str, str]
    version: int = 0
    pushed_at: str = ""

    def stamped(self, version: int) -> Manifest:
        """Returns the manifest of a version that is pushed now."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return self.model_copy(update={"version": version, "pushed_at": now})

    def bounded(self) -> dict[str, float | None]:
        """Returns the metrics with bounds, of the split that the gates judged."""
        judged = self.metrics.get(JUDGED_SPLIT) or {}
        return {name: value for name, value in judged.items() if name in self.bounds}

    def text(self) -> str:
        """Returns the content of the manifest's file."""
        return self.model_dump_json(indent=2) + "\n"


def say(model: Model, *, generated: bool) -> Said:
    """Returns what a contract says of its model, and whether the data are a generated sample."""
    public = {"title", "licence", "homepage", "sha256"}
    return Said(
        title=model.title,
        use=model.about.use if model.about else "",
        limits=model.about.limits if model.about else (),
        naive=model.naive,
        better={metric.name: metric.better for metric in model.metrics if metric.better},
        dataset=model.dataset.model_dump(include=public) if model.dataset else {},
        generated=generated,
    )


def custom_config(
    model: str, settings: Settings, *, pipeline: str, data_digest: str, said: Said = NOTHING_SAID
) -> dict[str, Any]:
    """Returns the Pusher's `custom_config`, as JSON primitives: the same for the same model, data and settings."""
    plain = settings.model_dump(mode="json")
    told = Told(
        model=model,
        pipeline=pipeline,
        data_digest=data_digest,
        settings=plain,
        bounds=plain["gates"]["bounds"],
        said=said,
    )
    return {"manifest": told.model_dump(mode="json")}


def draft(told: Told, folder: Path, *, run: str, model_uri: str, metrics: dict[str, Any], **measured: Any) -> Manifest:
    """Returns the manifest of the model in `folder`, without version and time; `measured` are `slices`, `naive` …"""
    return Manifest(
        **told.model_dump(),
        run=run,
        model_uri=model_uri,
        model_digest=digest_folder(folder),
        files=_digests(folder),
        metrics=metrics,
        **measured,
        versions=_versions(),
    )


def verify(version_folder: Path) -> Manifest:
    """Returns the manifest of a version in a local folder, after comparing each file with it.

    The digests find damage and edits by mistake; whoever rewrites the manifest as well is not found.

    Raises:
      UserError: there is no readable manifest, or a file was changed, added or removed since the push.
    """
    file = version_folder / MANIFEST_FILE
    try:
        manifest = Manifest.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise _tampered(f"{file}: {error}") from error
    found = _digests(version_folder)
    wrong = sorted(name for name in found.keys() | manifest.files if found.get(name) != manifest.files.get(name))
    if wrong:
        raise _tampered(f"{version_folder} with other content in {', '.join(wrong)}")
    return manifest


def _tampered(received: str) -> UserError:
    return UserError(
        expected="a pushed version whose files are as its manifest says",
        received=received,
        todo="do not serve it; push the model again",
    )


def _digests(folder: Path) -> dict[str, str]:
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: digest_file(path) for name, path in files.items() if name != MANIFEST_FILE}


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
