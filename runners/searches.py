"""Whether a root holds what a search for hyper-parameters found. Imports ml_metadata only where it is asked."""

from __future__ import annotations

from pathlib import Path

from pipeline.contract import UserError
from runners.run import Run

PIPELINE, FOUND = "pipeline", "HyperParameters"
"""Types of TFX's context of a pipeline, and of the artifact that a search leaves."""


def check_reusable(run: Run) -> None:
    """Refuses a run that is to reuse hyper-parameters where there are none, before its first node.

    Raises:
      UserError: no search of this pipeline has left any in this root, or its files are gone.
    """
    if run.settings.training.tuning != "reuse":
        return
    newest = _newest(run.root, run.pipeline)
    if newest is None or not Path(newest).exists():
        raise UserError(
            expected=f"hyper-parameters that a search of pipeline {run.pipeline} left in {run.root}",
            received="none" if newest is None else f"a search whose files are gone: {newest}",
            todo="search first, with --set tuning=search; or train with the settings as they are, with tuning=off",
        )


def _newest(root: Path, pipeline: str) -> str | None:
    """Returns the folder of the newest hyper-parameters of a pipeline: those that its resolver will find."""
    from ml_metadata.proto import metadata_store_pb2 as mlmd

    from runners.reports.store import connect

    store = connect(root)
    context = store and store.get_context_by_type_and_name(PIPELINE, pipeline)
    if not store or not context:
        return None
    artifacts = store.get_artifacts_by_context(context.id)
    left = [each for each in artifacts if each.type == FOUND and each.state == mlmd.Artifact.LIVE]
    return str(max(left, key=lambda each: each.id).uri) if left else None
