"""Which of the models that were pushed is the champion. Imports no TFX, so that a command that lists it is quick."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipeline.contract import UserError
from pipeline.push.serving_version import Choice, chosen
from pipeline.push.version import Version

MODEL_URI = "model_uri"
"""Custom property of a PushedModel: uri of the Model artifact."""


class Push(NamedTuple):
    """What a PushedModel artifact records.

    Attributes:
      id: of the artifact; a later one has a greater one.
      ok: whether the model got to the destination, now or earlier.
      address: of the version's folder.
      model_uri: of the Model artifact.
    """

    id: int
    ok: bool
    address: str
    model_uri: str


def champion(pushes: Iterable[Push]) -> Push | None:
    """Returns the push whose model the next candidate has to meet, of those that are `ok`.

    That is the last one; or the last one of the version that a person chose to serve in that place. None if there is
    no push, or none of the version that was chosen: another root pushed it.
    """
    found = sorted(push for push in pushes if push.ok)
    if not found:
        return None
    destination = found[-1].address.rpartition("/")[0]
    choice = choice_or_none(destination) if destination else None
    if choice is None:
        return found[-1]
    address = f"{destination}/{choice.version}"
    return next((push for push in reversed(found) if push.address == address), None)


def choice_or_none(destination: str, there: Sequence[Version] | None = None) -> Choice | None:
    """As `chosen`, but logs what is wrong: a destination that cannot be asked any more must not stop a run."""
    try:
        return chosen(destination, there)
    except UserError as error:
        logging.warning("Whether a version was rolled back is not known: %s", error)
        return None
