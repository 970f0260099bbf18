"""Counting accesses without making a read wait: collected in memory, coalesced per record, written later.

A read must never fail, wait, or undo a write because it is being counted. So a read only notes its access here. A
background thread hands the collected accesses to `Backend.record_access`, in a few requests for any number of reads.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Literal, TypeAlias

from datastore.backend import Access, Backend, Document
from datastore.errors import DataStoreError, logger
from datastore.times import format_time
from datastore.turns import Turns

Tracking: TypeAlias = Literal["deferred", "immediate", "off"]

_KEPT_WHILE_FAILING = 100  # times max_pending: the records whose counts are kept while the database does not answer
_MOST_KEPT = 100_000  # and not more than this, unless max_pending is more
_REST = 19  # the thread pauses after a flush for this many times its duration, but never longer than the interval
_LONGEST_REST = 10.0  # seconds; in a longer pause too many accesses could collect
LOOKS = (False, False, True)
"""So often documents are read until no flush began or ended during a read; for each time whether it is the last."""
_HELD = 0.001  # seconds between two checks whether a fork is over
_PER_WRITE = 1_000  # accesses handed to the backend at once
_SUMMED_AT_ONCE = 200  # so many noted accesses are summed up at once: of more, the first left the processor's caches

INTERVALS = 10
"""For how many intervals a record's count waits at most, if it has too few accesses to be worth a write."""

_Noted: TypeAlias = tuple[str, str, str, float]
"""One access: the document's id, when the document was created, the agent, and the time of the access."""

_Pending: TypeAlias = tuple[str, int, str, float, int]
"""The accesses of one document that are not written: ``created_at``, their number, the last agent and time, and for how
many flushes they have waited.

It is a plain tuple of plain values, which the garbage collector does not track. With other objects, reads of ever new
records would spend more time in the garbage collector than in everything else here.
"""


class AccessTracker:
    """Collects accesses and writes them later: every ``interval`` seconds, or when ``max_pending`` records wait.

    A record that has had fewer than ``worth`` accesses waits for a later flush, for `INTERVALS` intervals at most. So
    where writes are billed, a count that is written stands for many reads. What `flush` and `close` write, and what is
    written because ``max_pending`` records wait, is everything.

    With ``mode="immediate"`` every access is written at once, with ``"off"`` no access is noted at all.

    To note an access is one append to a deque, which is atomic. So there is no lock for which a signal handler could
    wait, or which an interrupt could leave locked. Now and then a call sums up what was noted, if no other is doing so.
    """

    def __init__(
        self,
        backend: Backend,
        clock: Callable[[], float],
        mode: Tracking,
        interval: float,
        max_pending: int,
        worth: int = 1,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._off = mode == "off"
        self._immediate = mode == "immediate"
        self._interval = interval
        self._max_pending = max_pending
        self._most_kept = max(max_pending, min(max_pending * _KEPT_WHILE_FAILING, _MOST_KEPT))
        self._worth = worth
        self._sum_at = 1 if self._immediate else min(max_pending, _SUMMED_AT_ONCE)
        self._reset()

    def _reset(self) -> None:
        self.held = False
        """While it is true, the process is about to fork and no flush begins."""
        self._noted: deque[_Noted] = deque()
        self._look_at = 1
        """So many noted accesses are looked at; each, while the thread is not known to run."""
        self._pending: dict[str, _Pending] = {}
        self._in_flight: dict[str, _Pending] = {}
        self.changes = 0
        """Incremented whenever accesses move from one of these three to another."""
        self._summing = Turns("summing up accesses")  # guards _pending and _in_flight; never held during I/O
        self._flushing = Turns("writing access counts")  # held during a flush, so that there is one at a time
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    after_fork = _reset
    """In a forked child the thread is gone, and the parent writes the pending accesses."""

    def note(self, document: Document, agent: str) -> None:
        """Note one access of a document that was read."""
        if self._off:
            return
        noted = self._noted
        noted.append((document.id, document.created_at, agent, self._clock()))
        if len(noted) >= self._look_at:
            self._after_noting()

    def note_all(self, documents: Iterable[Document], agent: str) -> None:
        """Note one access of each document."""
        if self._off:
            return
        at = self._clock()
        noted = self._noted
        noted.extend([(document.id, document.created_at, agent, at) for document in documents])
        if noted:
            self._after_noting()

    @property
    def is_immediate(self) -> bool:
        """Whether `note` writes each access before it returns."""
        return self._immediate

    def flush(self) -> None:
        """Write everything that was noted before this call.

        Raises:
            DataStoreError: If the database refuses or does not answer; the counts are kept for the next flush.
        """
        self._wait_for_fork()
        self._flush()

    def flush_due(self) -> None:
        """Write what an interval that has passed makes due: the counts that are worth it or have waited long enough.

        Raises:
            DataStoreError: As `flush`.
        """
        self._wait_for_fork()
        self._flush(only_due=True)

    def _wait_for_fork(self) -> None:
        while self.held and not self._closing.is_set():
            time.sleep(_HELD)

    def _flush(self, *, only_due: bool = False) -> None:
        with self._flushing.take():
            with self._summing.take():
                self._sum()
                self.changes += 1
                self._in_flight, self._pending = self._due() if only_due else (self._pending, {})
            unwritten = list(self._in_flight.items())
            try:
                while unwritten:
                    batch = unwritten[:_PER_WRITE]
                    self._backend.record_access(
                        [
                            Access(id, created_at, count, agent, format_time(at))
                            for id, (created_at, count, agent, at, _) in batch
                        ]
                    )
                    del unwritten[:_PER_WRITE]
            except Exception:
                raise  # the backend says that they are not counted, or recognises them when they come again
            except BaseException:
                del unwritten[:_PER_WRITE]  # interrupted: they may be counted, and none may be counted twice
                raise
            finally:
                with self._summing.take():
                    self._in_flight = {}
                    self.changes += 1
                    if unwritten:
                        self._take_back(unwritten)

    FLUSHING = _flush.__code__
    """The code that a thread executes while it writes counts; see `datastore.forks`."""

    def _due(self) -> tuple[dict[str, _Pending], dict[str, _Pending]]:
        """Return the pending accesses that are due, and the others."""
        if self._worth == 1 or len(self._pending) >= self._max_pending:
            return self._pending, {}
        due: dict[str, _Pending] = {}
        waiting: dict[str, _Pending] = {}
        for id, pending in self._pending.items():
            created_at, count, agent, at, waited = pending
            if count >= self._worth or waited + 1 >= INTERVALS:
                due[id] = pending
            else:
                waiting[id] = (created_at, count, agent, at, waited + 1)
        return due, waiting

    def with_pending(self, read: Callable[[], Sequence[Document]]) -> Sequence[Document]:
        """Read documents and add the accesses noted here that are not in them; never waits for a flush."""
        for is_last in LOOKS:
            before = self.changes
            documents = self.add_pending(read(), before, is_last=is_last)
            if documents is not None:
                return documents
        raise AssertionError("the last look returns")

    def add_pending(self, documents: Sequence[Document], before: int, *, is_last: bool) -> Sequence[Document] | None:
        """Return documents with the accesses noted here that are not in them.

        Args:
            documents: The documents.
            before: What `changes` was before they were read.
            is_last: Whether they are returned in any case.

        Returns:
            The documents; ``None`` if it is not certain which accesses they include, so that they must be read again.
        """
        # Looked at in this order, each is empty only if what was there went to one that is looked at later, or is
        # written, which is a change.
        if not (self._noted or self._summing.are_taken or self._pending or self._in_flight) and self.changes == before:
            return documents
        with self._summing.take():
            # If no flush began or ended meanwhile, it is certain which accesses the documents do not include.
            if self.changes != before and not is_last:
                return None
            self._sum()
            if not self._pending and not self._in_flight:
                return documents
            return [self._with_pending(document) for document in documents]

    def close(self) -> None:
        """Stop the thread and write the pending accesses; those that cannot be written are lost, and that is logged."""
        self._closing.set()
        self._wake.set()
        thread = self._thread
        if thread is threading.current_thread():
            return  # the garbage collector closes the store on this thread, perhaps in the middle of a flush
        if thread is not None:
            with suppress(RuntimeError):  # an interrupt came before it was started
                thread.join()
        try:
            self.flush()
        except DataStoreError as error:
            logger().warning("access counts of %d records were lost at close: %s", len(self._pending), error)
        except Exception:  # noqa: BLE001 - logged
            logger().exception("the backend broke its contract while counting accesses; the last counts are lost")

    def _with_pending(self, document: Document) -> Document:
        under_way = self._in_flight.get(document.id)
        # If the flush has already written the document, the document has the time of these accesses.
        if under_way is not None and format_time(under_way[3]) > (document.last_accessed_at or ""):
            document = _added(document, under_way)
        pending = self._pending.get(document.id)
        return document if pending is None else _added(document, pending)

    def _take_back(self, unwritten: Iterable[tuple[str, _Pending]]) -> None:
        """Keep the accesses that this flush could not write for the next one, up to a limit."""
        dropped = 0
        for id, old in unwritten:
            newer = self._pending.get(id)
            if newer is not None:
                if newer[0] == old[0]:
                    created_at, count, agent, at, waited = newer
                    self._pending[id] = (created_at, count + old[1], agent, at, max(waited, old[4]))
            elif len(self._pending) < self._most_kept:
                self._pending[id] = old
            else:
                dropped += 1
        if dropped:
            logger().warning("dropped the access counts of %d records: too many wait for the database", dropped)

    def _after_noting(self) -> None:
        if self._immediate:
            self._flush_and_log()
            return
        if len(self._noted) >= self._sum_at:
            turn = self._summing.take_at_once()
            if turn is not None:  # otherwise another thread is doing it
                with turn:
                    self._sum()
            if len(self._pending) >= self._max_pending:
                self._wake.set()
        if self._thread is None or not self._thread.is_alive():  # an interrupt may have prevented its start
            self._start()
        else:
            self._look_at = self._sum_at

    def _sum(self) -> None:
        """Move the noted accesses to the pending ones, coalesced per document."""
        noted, all_pending = self._noted, self._pending
        for _ in range(len(noted)):
            try:
                id, created_at, agent, at = noted.popleft()
            except IndexError:
                return
            pending = all_pending.get(id)
            if pending is not None and pending[0] == created_at:
                all_pending[id] = (created_at, pending[1] + 1, agent, at, pending[4])
            else:
                all_pending[id] = (created_at, 1, agent, at, 0)

    def _flush_and_log(self) -> None:
        try:
            self.flush_due()  # everything, with immediate tracking
        except DataStoreError as error:
            logger().warning("access counts of %d records wait for the database: %s", len(self._pending), error)
        except Exception:  # noqa: BLE001 - logged
            logger().exception("the backend broke its contract while counting accesses")

    def _start(self) -> None:
        turn = self._summing.take_at_once()
        if turn is None:
            return  # the next access starts it
        with turn:
            if (self._thread is None or not self._thread.is_alive()) and not self._closing.is_set():
                # The thread has only a weak reference: a store that nobody closes can still be garbage-collected.
                arguments = (weakref.ref(self), self._wake, self._interval)
                thread = threading.Thread(target=_flush_regularly, args=arguments, name="datastore-access", daemon=True)
                try:
                    self._thread = thread
                    thread.start()
                except RuntimeError:  # the interpreter is shutting down; close() writes what is pending
                    self._thread = None
                except KeyError as error:
                    # An exception arrived in `start` when the thread was running already; the clean-up of Python 3.13
                    # then fails with this `KeyError`.
                    raise error.__context__ or error from None


_formatted = lru_cache(256)(format_time)
"""Accesses that were noted together have one time, and are looked at by each read until they are written."""


def _added(document: Document, pending: _Pending) -> Document:
    created_at, count, agent, last, _ = pending
    if created_at != document.created_at:
        return document
    *before, counted, reader, read_at, writer = document
    at = _formatted(last)
    if at >= (read_at or ""):
        reader, read_at = agent, at
    return Document._make((*before, counted + count, reader, read_at, writer))  # `_replace` takes twice as long


def _flush_regularly(reference: weakref.ref[AccessTracker], wake: threading.Event, interval: float) -> None:
    pause = 0.0
    while True:
        wake.wait(interval - pause)
        tracker = reference()
        if tracker is None or tracker._closing.is_set():
            return
        wake.clear()
        began = time.monotonic()
        if tracker._pending or tracker._noted:
            tracker._flush_and_log()
        # Reads of ever new records can fill max_pending faster than any database can count. A pause after each flush
        # leaves most of the time to the reads, and lets more accesses of one record be combined into one write.
        pause = min((time.monotonic() - began) * _REST, interval, _LONGEST_REST)
        resting = tracker._closing
        del tracker
        resting.wait(pause)
