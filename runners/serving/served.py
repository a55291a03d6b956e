"""The version that answers, and its change to the one that was pushed since."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from pipeline.contract import Model, UserError
from pipeline.push import Version
from runners.serving.batching import Batcher
from runners.serving.limits import LARGE, check_size
from runners.serving.loaded import Columns, LoadedModel, rows_of
from runners.serving.refusals import Refused, busy
from runners.serving.settings import ServeSettings
from runners.serving.source import Source, local_folder
from runners.serving.telemetry import Telemetry
from runners.serving.warming import warm_up

logger = logging.getLogger("pipelines.serve")

FEW = 16
"""Rows that are looked at without a thread: pictures take a moment each."""

AGAIN_S = 60
"""Seconds until a version that could not be served is tried again."""

Answer = dict[str, NDArray[Any]]


class Served:
    """A model of which always one whole version answers.

    Attributes:
      model: the contract.
      settings: limits.
      telemetry: what is told to Prometheus.
      refused: what is wrong with versions that could not be served, by their address.
      stopping: whether the server is about to end.
    """

    def __init__(self, model: Model, source: Source, settings: ServeSettings) -> None:
        self.model, self.source, self.settings = model, source, settings
        self.telemetry = Telemetry()
        self.refused: dict[str, str] = {}
        self._again: dict[str, float] = {}
        self.stopping = False
        self._current: LoadedModel | None = None
        self._path = ""
        self._drained = True
        self._users: Counter[LoadedModel] = Counter()
        self._batcher = Batcher(settings, self.telemetry)
        self._explainer = ThreadPoolExecutor(1, "explanations")
        self._explained = 0
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="versions", daemon=True)

    # --- asking ------------------------------------------------------------------------------------------

    @property
    def current(self) -> LoadedModel:
        """The version that answers.

        Raises:
          Refused: there is none.
        """
        if self._current is None:
            raise Refused(503, "no version is loaded yet")
        return self._current

    @property
    def ready(self) -> bool:
        """Whether requests are welcome."""
        return self._current is not None and not self.stopping

    def version(self, number: int | None) -> LoadedModel:
        """Returns the version that answers, if it is the one asked for.

        Raises:
          Refused: it is another.
        """
        current = self.current
        if number not in (None, current.version):
            raise Refused(404, f"Servable not found for request: Specific({self.model.name}, {number})")
        return current

    @contextmanager
    def using(self, number: int | None = None) -> Iterator[LoadedModel]:
        """Lends the version that answers, to one request from its first byte to its last: it is not unloaded meanwhile.

        Args:
          number: of the version that must answer; None for whichever does.

        Raises:
          Refused: it is another.
        """
        loaded = self.version(number)
        self._users[loaded] += 1
        try:
            yield loaded
        finally:
            self._users[loaded] -= 1
            if not self._users[loaded]:
                del self._users[loaded]

    async def ask(self, loaded: LoadedModel, signature: str, columns: Columns) -> Answer:
        """Returns the answer to a batch of rows.

        Args:
          loaded: the version that the request began with, from `using`.
          signature: one of the version's.
          columns: its inputs.

        Raises:
          Refused: with the status and the words for the client.
        """
        if rows_of(columns) > FEW or _bytes(columns) > LARGE:
            await asyncio.to_thread(check_size, columns, self.settings, self.settings.max_rows)
        else:
            check_size(columns, self.settings, self.settings.max_rows)
        answer: Answer = await self._in_time(self._batcher.ask(loaded, signature, columns))
        self.telemetry.predictions.labels(signature).inc(rows_of(columns))
        return answer

    async def in_thread(self, rows: int, function: Any) -> Any:
        """Runs what asks a version many times, such as an explanation, beside the queue: one at a time.

        Raises:
          Refused: as `ask`.
        """
        most = self.settings.max_explained_rows
        if rows > most:
            raise Refused(413, f"expected at most {most} instances a request that asks why, received {rows}")
        if self._explained + rows > 4 * most:
            raise busy(f"{self._explained} instances wait for explanations already")
        self._explained += rows
        try:
            return await self._in_time(asyncio.get_running_loop().run_in_executor(self._explainer, function))
        finally:
            self._explained -= rows

    async def _in_time(self, answer: Any) -> Any:
        try:
            return await asyncio.wait_for(answer, self.settings.model_timeout_s)
        except asyncio.TimeoutError:
            raise Refused(504, f"the model did not answer within {self.settings.model_timeout_s:g} s") from None
        except ValueError as error:
            raise Refused(400, f"the model refuses the values: {error}") from None

    def stop(self) -> None:
        """Ends readiness; requests that still come are answered."""
        self.stopping = True
        self.telemetry.ready.set(0)

    # --- versions ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Loads the version that should serve, or the newest whole one below it, and watches for others.

        Raises:
          UserError: none can be served.
        """
        wanted = self.source.wanted()
        there = [wanted, *self.source.instead_of(wanted)] if wanted else []
        if not any(self._try(version) for version in there):
            raise UserError(
                expected=f"a version of {self.model.name} that can be served, {self.source.place}",
                received="; ".join(self.refused.values()) or "none there",
                todo=f"push one: pipelines run {self.model.name}",
            )
        if not self.source.pinned:
            self._watcher.start()

    def close(self) -> None:
        """Ends the watching and the threads."""
        self._stop.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self._batcher.close()
        self._explainer.shutdown(wait=False, cancel_futures=True)

    def _watch(self) -> None:
        told = ""
        while not self._stop.wait(self.settings.poll_s):
            self._settle_once_drained()
            try:
                wanted = self.source.wanted()
            except Exception as error:  # A destination that is out of reach for now, or a choice that is no good.
                if str(error) != told:
                    logger.warning("the version before goes on: %s", error)
                told = str(error)
                continue
            told = ""
            if wanted and wanted.path != self._path and time.monotonic() >= self._again.get(wanted.path, 0):
                self._try(wanted)

    def _try(self, version: Version) -> bool:
        """Makes a version the one that answers, unless it cannot be served: that is told once."""
        began = time.monotonic()
        try:
            with local_folder(version) as folder:
                loaded = LoadedModel.load(folder)
                self._check(loaded)
                warm_up(loaded)
        except Exception as error:  # Whatever is wrong with a version must not end the server.
            self._refuse(version, str(error))
            return False
        self._switch(version, loaded)
        seconds = time.monotonic() - began
        digest = loaded.manifest.model_digest[:16]
        logger.info("version %d of %s answers, digest %s, %.1f s", loaded.version, self.model.name, digest, seconds)
        return True

    def _refuse(self, version: Version, reason: str) -> None:
        """Notes what is wrong with a version, once; it may be a bucket that was out of reach, so it is tried again."""
        self._again[version.path] = time.monotonic() + AGAIN_S
        if self.refused.get(version.path) != reason:
            self.refused[version.path] = reason
            self.telemetry.refused.inc()
            logger.error("version at %s is not served: %s", version.path, reason)

    def _check(self, loaded: LoadedModel) -> None:
        if loaded.manifest.model != self.model.name:
            raise UserError(
                expected=f"a version of {self.model.name}",
                received=f"one of {loaded.manifest.model}",
                todo="name the model that it is of",
            )

    def _switch(self, version: Version, loaded: LoadedModel) -> None:
        before, self._current, self._path = self._current, loaded, version.path
        self.refused.pop(version.path, None)
        self.telemetry.serves(self.model.name, loaded.version, loaded.manifest.model_digest)
        self.telemetry.ready.set(int(not self.stopping))
        if before is not None:
            self.telemetry.switches.inc()
        del before
        self._drained = False
        self._settle_once_drained()

    def _settle_once_drained(self) -> None:
        """Frees the versions before, once the requests that began with them have ended."""
        if self._drained or set(list(self._users)) - {self._current}:
            return
        self._drained = True
        _settle()


def _bytes(columns: Columns) -> int:
    return sum(len(value) for array in columns.values() if array.dtype == object for value in array.flat)


def _settle() -> None:
    """Frees what is over, then spares the collector the model and its libraries: a full pass takes a long moment."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
