"""Pushing a model: versions that appear whole or not at all, each with a manifest that says what it is.

A *destination* is a local folder or `gs://bucket/folder` in TensorFlow Serving's layout,
`<destination>/<version>/saved_model.pb`.
The executor of the standard Pusher component is in `pipeline.push.executor`; nothing here imports TFX.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.contract import UserError
from pipeline.push import local
from pipeline.push.manifest import MANIFEST_FILE, Manifest, Said, Told, custom_config, draft, say, verify
from pipeline.push.version import LOCK_WAIT_S, MODEL_FILE, Pushed, Version

__all__ = [
    "MANIFEST_FILE",
    "Manifest",
    "Pushed",
    "Said",
    "Told",
    "Version",
    "custom_config",
    "draft",
    "is_bucket",
    "publish",
    "say",
    "verify",
    "versions",
]


def versions(destination: str) -> list[Version]:
    """Returns the complete versions at a destination, ascending; none where it does not exist.

    Raises:
      UserError: the destination is of an unknown kind or cannot be read.
    """
    if is_bucket(destination):
        from pipeline.push import gcs  # Google's client takes seconds to import; local users need none of it.

        return gcs.versions(destination)
    return local.versions(Path(destination))


def publish(destination: str, model: Path, manifest: Manifest, wait_s: float = LOCK_WAIT_S) -> Pushed:
    """Makes a destination hold a model, unless its newest version already is that model.

    Args:
      destination: where to.
      model: local folder of a SavedModel.
      manifest: what the model is, from `draft`.
      wait_s: how long to wait, in seconds, while another push to this destination is under way.

    Raises:
      UserError: the folder is no SavedModel, the destination is of an unknown kind or cannot be written to,
        or another push did not end in time. No version has become visible then.
    """
    if not (model / MODEL_FILE).is_file():
        raise UserError(
            expected=f"a SavedModel, a folder with {MODEL_FILE}",
            received=str(model),
            todo="let the trainer export a SavedModel",
        )
    if is_bucket(destination):
        from pipeline.push import gcs

        return gcs.publish(destination, model, manifest, wait_s)
    return local.publish(Path(destination), model, manifest, wait_s)


def is_bucket(destination: str) -> bool:
    """Whether a destination is in a bucket, and not a local folder.

    Raises:
      UserError: it is of another kind.
    """
    if destination.startswith("gs://"):
        return True
    if not destination or "://" in destination:
        raise UserError(
            expected="a local folder or gs://bucket/folder as push destination",
            received=repr(destination),
            todo="correct gates.destination",
        )
    return False
