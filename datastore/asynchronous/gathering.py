"""Reads that gather: those of one turn of a loop, or that arrive while one is under way, leave as one request."""

from __future__ import annotations

import asyncio
import copy
import sys
import threading
import time
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeAlias
from weakref import ref

from datastore import deadlines
from datastore.asynchronous.workers import Workers, call_soon
from datastore.backend import Document, Fields
from datastore.core import described
from datastore.errors import ClosedError, DataStoreError, DeadlineExceededError
from datastore.scope import Scope
from datastore.turns import snapshot

_MOST = 1_000
"""The most records read in one request, where the backend would read more: they are all in memory at once."""

_TURN = 0.001
"""Seconds. A read that has waited for longer may have been left behind, by a loop that was stopped or interrupted."""

_Make: TypeAlias = Callable[[dict[str, Document], Callable[[str, Any], Any] | None], Any]

Answer: TypeAlias = tuple[Any, BaseException | None]
"""What a reader returns, and what it raises. It is no exception of a future, because nobody may be left to hear it."""


class Asked:
    """One call that reads, and waits for its turn.

    Args:
        scope: Whose it is.
        keys: What it reads, by id.
        fields: How much of each document it needs.
        type: What its values are to be made to fit; ``None`` for what they are.
        make: Makes the result of the documents that were found, in the order of the ids, and of `Scope.fitting`'s
            function. It is called in a worker, and its documents are its own.
    """

    __slots__ = ("answer", "began", "context", "fields", "fit", "future", "ids", "loop", "make", "scope", "type")

    def __init__(
        self,
        scope: Scope,
        ids: Sequence[str],
        fields: Fields,
        type: Any,
        make: _Make,
    ) -> None:
        self.scope = scope
        self.ids = ids
        self.fields = fields
        self.type = type
        self.make = make
        self.context: Context | None = None
        """Where it was asked, if somebody watches: the first one's is that of the request."""
        self.fit: Callable[[str, Any], Any] | None = None
        self.loop = asyncio.get_running_loop()
        self.future: Future[Answer] = Future(loop=self.loop)
        self.began = time.monotonic()
        self.answer: Answer = None, None

    @property
    def until(self) -> float:
        """When its time is over."""
        return self.began + self.scope.core.max_seconds


class Line:
    """Reads that wait for the one under way. It is a task for `Workers`.

    Several loops and the workers share it without a lock: ``_busy`` is only ever tried, and whoever releases it looks
    once more whether somebody came meanwhile. Whoever finds a read of the same turn waiting leaves with that one.
    """

    __slots__ = ("__weakref__", "_busy", "_looking", "_waiting", "_workers")

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.reset()

    def reset(self) -> None:
        """Begin again, in a forked child."""
        self._waiting: deque[Asked] = deque()
        self._busy = threading.Lock()
        self._looking: set[AbstractEventLoop] = set()
        """The loops on which somebody will look whether the time of those that wait is over."""

    def ask(self, asked: Asked) -> Future[Answer]:
        """Let a read go in this turn of its loop, or when the one under way is back.

        It goes when the other coroutines of the turn have run, so that all that they ask is one request. Whoever
        cancels the future forgets it.

        Raises:
            ClosedError: If the store was closed.
        """
        asked.scope.core.check_open()
        if asked.scope.stand_in is not None:
            asked.context, asked.make = copy_context(), partial(_make_in, copy_context(), asked.make)
        if not self._is_leaving(asked):
            asked.loop.call_soon(self._leave)
        self._waiting.append(asked)
        return asked.future

    def _is_leaving(self, asked: Asked) -> bool:
        """Return whether another one of this turn has seen to it that they leave."""
        try:
            last = self._waiting[-1]
        except IndexError:
            return False
        return last.loop is asked.loop and asked.began - last.began < _TURN

    def _leave(self) -> None:
        if self._waiting and not (self._busy.acquire(blocking=False) and self._workers.submit(self)):
            self._look_in_time()

    def _look_in_time(self) -> None:
        """Look at those that wait on this loop when the time of the first of them is over: nobody may be free before.

        There is one timer for each loop, which nearly always finds that all have been answered.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._looking:
            waiting = [one for one in snapshot(self._waiting) if one.loop is loop and not one.future.done()]
            until = min((one.until for one in waiting), default=None)
            if until is not None:
                self._looking.add(loop)
                loop.call_later(max(until - time.monotonic(), 0.0), _look, ref(self), loop)

    def look(self, loop: AbstractEventLoop) -> None:
        """Give up those whose time is over."""
        self._looking.discard(loop)
        now = time.monotonic()
        for asked in snapshot(self._waiting):
            if asked.loop is loop and asked.until <= now and not asked.future.done():
                _share(deadlines.exceeded(asked.scope.core.max_seconds), [asked])
                asked.future.set_result(asked.answer)
        self._look_in_time()

    def run(self) -> None:
        """Read for those that wait, batch after batch, as long as no other task waits for a worker."""
        while True:
            batch = self._next()
            if batch:
                context = batch[0].context
                try:
                    if context is None:
                        _read(batch)
                    else:
                        context.run(_read, batch)
                except BaseException as error:  # noqa: BLE001 - raised in the coroutines
                    for asked in batch:
                        asked.answer = None, error
                _deliver(batch)
                del batch
            if not self._waiting:
                self._busy.release()
                if not self._waiting or not self._busy.acquire(blocking=False):
                    return
            if not self._workers.is_free():
                self._workers.submit(self)
                return

    def _next(self) -> list[Asked]:
        """Return those that wait and still want to know, as many as fit in one request, and at least one."""
        batch: list[Asked] = []
        number, most = 0, _MOST
        while self._waiting:
            first = self._waiting[0]
            if not batch:
                most = min(first.scope.core.backend.capabilities.read_batch, _MOST)
            elif number + len(first.ids) > most:
                break
            self._waiting.popleft()
            if not first.future.done():
                batch.append(first)
                number += len(first.ids)
        return batch


def _look(line: ref[Line], loop: AbstractEventLoop) -> None:
    if (there := line()) is not None:
        there.look(loop)


def _deliver(batch: Iterable[Asked]) -> None:
    """Give all of a batch their answers, with one call for each loop."""
    by_loop: dict[AbstractEventLoop, list[Asked]] = {}
    for asked in batch:
        by_loop.setdefault(asked.loop, []).append(asked)
    for loop, its_own in by_loop.items():
        call_soon(loop, _answer, its_own)


def _answer(batch: list[Asked]) -> None:
    for asked in batch:
        if not asked.future.done():
            asked.future.set_result(asked.answer)


def _read(batch: list[Asked]) -> None:
    """Read for a batch, and give each its answer."""
    batch = [asked for asked in batch if asked.type is None or _is_fitting(asked)]
    while batch:
        if len(batch) == 1:
            _read_alone(batch[0])
            return
        core = batch[0].scope.core
        ids = list(dict.fromkeys(id for asked in batch for id in asked.ids))
        fields = batch[0].fields if len({asked.fields for asked in batch}) == 1 else Fields.VALUE
        # The first of them has the least time left.
        before = deadlines.begin(core.max_seconds, sys._getframe(), min(asked.began for asked in batch))
        try:
            deadlines.check()
            found = core.read(ids, fields)
        except DeadlineExceededError as error:
            late = max(time.monotonic() - core.max_seconds, min(asked.began for asked in batch))
            _share(error, [asked for asked in batch if asked.began <= late])
            batch = [asked for asked in batch if asked.began > late]  # these have time left, and ask again
        except DataStoreError as error:
            if error.retryable or isinstance(error, ClosedError):
                _share(error, batch)  # whatever any of them had asked
            else:
                for asked in batch:  # it is about one of the records: find out about which
                    _read_alone(asked)
            return
        else:
            used: set[str] = set()
            for asked in batch:
                if asked.future.done():
                    continue
                if len(asked.ids) == 1:  # most are; this takes half the time
                    (id,) = asked.ids
                    document = found.get(id)
                    _make(asked, {} if document is None else {id: _own(document, used)})
                else:
                    _make(asked, {id: _own(found[id], used) for id in asked.ids if id in found})
            return
        finally:
            deadlines.end(before)


def _read_alone(asked: Asked) -> None:
    core = asked.scope.core
    before = deadlines.begin(core.max_seconds, sys._getframe(), asked.began)
    try:
        deadlines.check()
        if len(asked.ids) == 1:
            (id,) = asked.ids
            document = core.read_one(id, asked.fields)
            found = {} if document is None else {id: document}
        else:
            found = core.read(asked.ids, asked.fields)
    except BaseException as error:  # noqa: BLE001 - raised in the coroutine
        asked.answer = None, error
        return
    finally:
        deadlines.end(before)
    _make(asked, found)


def _make_in(context: Context, make: _Make, found: dict[str, Document], fit: Callable[[str, Any], Any] | None) -> Any:
    return context.run(make, found, fit)


def _make(asked: Asked, found: dict[str, Document]) -> None:
    try:
        asked.answer = asked.make(found, asked.fit), None
    except BaseException as error:  # noqa: BLE001 - raised in the coroutine
        asked.answer = None, error


def _is_fitting(asked: Asked) -> bool:
    """Prepare for the type that a call asks for. In a worker, because this imports Pydantic."""
    try:
        asked.fit = asked.scope.fitting(asked.type)
    except BaseException as error:  # noqa: BLE001 - raised in the coroutine
        asked.answer = None, error
    return asked.fit is not None


def _share(error: DataStoreError, batch: Iterable[Asked]) -> None:
    """Give each an error of its own, which names what that one was reading and not what the others were."""
    for asked in batch:
        its_own = copy.copy(error)
        its_own.__cause__ = error.__cause__
        its_own.operation = None
        asked.answer = None, its_own.during(described(asked.ids), asked.scope.core.backend.name)


def _own(document: Document, used: set[str]) -> Document:
    """Return a document with a value that no other caller has."""
    if document.id in used:
        return document._replace(value=_copy(document.value))
    used.add(document.id)
    return document


def _copy(value: Any) -> Any:
    """Return a copy of a stored value, which has no other types than JSON's."""
    if type(value) is dict:
        return {name: _copy(member) for name, member in value.items()}
    if type(value) is list:
        return [_copy(element) for element in value]
    return value
