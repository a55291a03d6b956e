"""A search for hyper-parameters with KerasTuner: in which order sets of values are tried, and what is kept of them.

The order is random search (Bergstra & Bengio 2012, "Random Search for Hyper-Parameter Optimization", JMLR 13, 281-305)
without repetition, from a seed; the first set is the settings as they are, so that what is found scores no worse.
"""

from __future__ import annotations

import json
import logging
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras_tuner
from keras_tuner.engine import base_tuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.errors import FatalError
from keras_tuner.oracles import RandomSearchOracle

from pipeline.contract import TRAINING_LOGGER, TUNED, tell_epoch

SCORE = "score"

Settings = Mapping[str, Any]
Space = Mapping[str, tuple[Any, ...]]
"""Training setting -> the values to choose from."""


class Tuning(NamedTuple):
    """What TFX's Tuner wants of a `tuner_fn`: its TunerFnResult, which takes as long to import as all of TFX."""

    tuner: base_tuner.BaseTuner
    fit_kwargs: dict[str, Any]


def search(
    score: Callable[[dict[str, Any]], float], settings: Settings, space: Space, *, trials: int, objective: str
) -> Tuning:
    """Returns what a `tuner_fn` returns.

    Args:
      score: of training settings; less is better. One that is no finite number counts as the worst of all.
      settings: the training settings as they were given, as plain data; their `seed` is also that of the search.
      space: what to choose from; a value that was given is tried as well where it is not among them.
      trials: sets of values that are scored at most; fewer once what is drawn at random was all tried before.
      objective: what the score is, in words.
    """
    oracle = _GivenFirst(
        objective=keras_tuner.Objective(SCORE, "min"),
        max_trials=trials,
        seed=settings["seed"] + 1,  # KerasTuner takes 0 for no seed.
        hyperparameters=_hyperparameters(settings, space),
    )
    return Tuning(tuner=_Search(oracle, score, settings, objective), fit_kwargs={})


def _hyperparameters(settings: Settings, space: Space) -> keras_tuner.HyperParameters:
    """Values as JSON: KerasTuner chooses among texts and numbers, and a setting may be a list."""
    found = keras_tuner.HyperParameters()
    for name, values in space.items():
        given = json.dumps(settings[name])
        choices = dict.fromkeys([*map(json.dumps, values), given])
        found.Choice(name, list(choices), default=given)
    return found


class _GivenFirst(RandomSearchOracle):
    """Random search whose first trial is the settings as they were given."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns the values of a trial."""
        if self.trials:
            drawn: dict[str, Any] = super().populate_space(trial_id)
            return drawn
        return {"status": TrialStatus.RUNNING, "values": {each.name: each.default for each in self.get_space().space}}


class _Search(base_tuner.BaseTuner):
    """Scores one set of values after the other, and tells of each as of an epoch."""

    def __init__(
        self, oracle: RandomSearchOracle, score: Callable[[dict[str, Any]], float], settings: Settings, objective: str
    ) -> None:
        """Keeps KerasTuner's own notes in a temporary folder; see `search`."""
        super().__init__(oracle, directory=tempfile.mkdtemp(prefix="search-"))
        self.score, self.settings, self.objective = score, settings, objective
        self.best = math.inf

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Scores all trials. What a trial raises ends the search: KerasTuner would go on, with a worse choice."""
        try:
            super().search(*args, **kwargs)
        except FatalError as error:
            raise error.__cause__ or error from None

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Scores the settings with a trial's values over them."""
        values = {name: json.loads(value) for name, value in trial.hyperparameters.values.items()}
        try:
            with _untold_epochs():
                score = self.score({**self.settings, **values})
        except Exception as error:
            raise FatalError(str(error)) from error
        score = score if math.isfinite(score) else math.inf
        self.best = min(self.best, score)
        tell_epoch(len(self.oracle.trials), self.oracle.max_trials, {SCORE: score, "best": self.best})
        return {SCORE: score}

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[keras_tuner.HyperParameters]:
        """Returns the best sets of values, each with what `pipeline.contract.Tuned` holds besides."""
        return [self._told(trial) for trial in self.oracle.get_best_trials(num_trials)]

    def _told(self, trial: Any) -> keras_tuner.HyperParameters:
        found = trial.hyperparameters.copy()
        first = self.oracle.trials[self.oracle.start_order[0]]
        scores = {"score": _finite(trial.score), "given": _finite(first.score)}
        found.values[TUNED] = {"trials": len(self.oracle.trials), "objective": self.objective, **scores}
        return found


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None


@contextmanager
def _untold_epochs() -> Iterator[None]:
    """A trial fits several networks: what is followed is the trials, not their epochs."""
    logger = logging.getLogger(TRAINING_LOGGER)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
