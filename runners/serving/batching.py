"""Requests that wait for the model are asked about together.

A request never waits while a thread is free: batches form only from what came in while all threads were busy, so that a
lone client pays nothing for them. Batches hold requests of one version, one signature and one shape.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from numpy.typing import NDArray

from runners.serving.loaded import Columns, LoadedModel, concatenate, rows_of
from runners.serving.refusals import Refused, busy
from runners.serving.settings import ServeSettings
from runners.serving.telemetry import Telemetry

Answer = dict[str, NDArray[Any]]


class _Asked(NamedTuple):
    """Rows that wait, and where their answer goes."""

    columns: Columns
    rows: int
    answer: asyncio.Future[Answer]


class _Kind(NamedTuple):
    """What rows have in common that can be asked about together."""

    loaded: LoadedModel
    signature: str
    shapes: Hashable


class Batcher:
    """Asks models in threads. All methods are called on one event loop."""

    def __init__(self, settings: ServeSettings, telemetry: Telemetry) -> None:
        self.settings, self.telemetry = settings, telemetry
        self.rows = 0
        self._waiting: OrderedDict[_Kind, deque[_Asked]] = OrderedDict()
        self._free = settings.model_threads
        self._threads = ThreadPoolExecutor(settings.model_threads, "model")
        self._running: set[asyncio.Task[None]] = set()
        telemetry.watch_queue(lambda: self.rows)

    async def ask(self, loaded: LoadedModel, signature: str, columns: Columns) -> Answer:
        """Returns the answer to a batch of rows, asked in parts where it is large.

        Raises:
          ValueError: TensorFlow refuses the values.
          Refused: too many rows wait already, or the answer is too large.
        """
        rows, most = rows_of(columns), self.settings.max_batch_rows
        if self.rows + rows > self.settings.max_queued_rows:
            raise busy(f"{self.rows} rows wait for the model already, of at most {self.settings.max_queued_rows}")
        parts = [{n: v[first : first + most] for n, v in columns.items()} for first in range(0, rows, most)]
        waiting = [self._put(loaded, signature, part) for part in parts]
        answers: list[Answer] = []
        try:
            for one in waiting:
                answers.append(await one)
                self._check_size(answers)
        finally:
            for one in waiting:  # Nobody wants the rest of a request that was refused or given up.
                one.cancel()
        return answers[0] if len(answers) == 1 else concatenate(list(answers))

    def _check_size(self, answers: list[Answer]) -> None:
        values, most = sum(array.size for one in answers for array in one.values()), self.settings.max_answer_values
        if values > most:
            raise Refused(413, f"the answer has more than {most} numbers; ask in several requests")

    def close(self) -> None:
        """Ends the threads, once they are done."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _put(self, loaded: LoadedModel, signature: str, columns: Columns) -> asyncio.Future[Answer]:
        kind = _Kind(loaded, signature, tuple((name, values.shape[1:]) for name, values in sorted(columns.items())))
        asked = _Asked(columns, rows_of(columns), asyncio.get_running_loop().create_future())
        self.rows += asked.rows
        self._waiting.setdefault(kind, deque()).append(asked)
        self._start()
        return asked.answer

    def _start(self) -> None:
        while self._free and self._waiting:
            kind, batch = self._next()
            if not batch:
                continue
            self._free -= 1
            task = asyncio.create_task(self._run(kind, batch))
            self._running.add(task)
            task.add_done_callback(self._done)

    def _next(self) -> tuple[_Kind, list[_Asked]]:
        """Takes a batch of the kind whose turn it is; the kinds take turns."""
        kind, waiting = self._waiting.popitem(last=False)
        batch: list[_Asked] = []
        rows = 0
        while waiting and (not batch or rows + waiting[0].rows <= self.settings.max_batch_rows):
            asked = waiting.popleft()
            self.rows -= asked.rows
            if not asked.answer.done():  # Its client may have given up.
                batch.append(asked)
                rows += asked.rows
        if waiting:
            self._waiting[kind] = waiting
        return kind, batch

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._free += 1
        self._start()

    async def _run(self, kind: _Kind, batch: list[_Asked]) -> None:
        try:
            answer = await self._in_thread(kind, concatenate([asked.columns for asked in batch]))
            _check_rows(answer, sum(asked.rows for asked in batch))
        except Exception as error:
            waiting = [asked for asked in batch if not asked.answer.done()]
            if len(batch) > 1 and isinstance(error, ValueError):  # One of them may be the reason: it spoils no other.
                for asked in waiting:
                    await self._run(kind, [asked])
            else:
                for asked in waiting:
                    asked.answer.set_exception(error)
            return
        first = 0
        for asked in batch:
            if not asked.answer.done():
                asked.answer.set_result({name: values[first : first + asked.rows] for name, values in answer.items()})
            first += asked.rows

    async def _in_thread(self, kind: _Kind, columns: Columns) -> Answer:
        began = time.perf_counter()
        answer = await asyncio.get_running_loop().run_in_executor(
            self._threads, kind.loaded.ask, kind.signature, columns
        )
        self.telemetry.model_seconds.labels(kind.signature).observe(time.perf_counter() - began)
        self.telemetry.batch_rows.labels(kind.signature).observe(rows_of(columns))
        return answer


def _check_rows(answer: Answer, rows: int) -> None:
    """Sees to it that nobody is given another's answer."""
    wrong = [name for name, values in answer.items() if values.shape[:1] != (rows,)]
    if wrong:
        raise Refused(500, f"the model answers {', '.join(wrong)} without a row for each instance")
