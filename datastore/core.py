"""What all calls share: reading, writing and scanning through a backend, in the same way on every database.

This is done once for all adapters: batches are cut to the size that the backend takes, calls that fail for a transient
reason are repeated where that is safe, expired documents are hidden, and errors are told what was attempted.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast

from datastore import deadlines, forks
from datastore.access import LOOKS, AccessTracker, Tracking
from datastore.backend import (
    ABILITIES,
    DONE,
    Access,
    Backend,
    Document,
    DocumentPage,
    Fields,
    IdRange,
    Outcome,
    Plan,
    Put,
    Restore,
    WouldWaitError,
    Write,
)
from datastore.deadlines import unlimited, within
from datastore.documents import NO_TIME, are_sound, check, checked, damaged, expires, living, skip
from datastore.errors import (
    BackendUnusableError,
    ClosedError,
    DamagedRecordError,
    DataStoreError,
    ReentrantCallError,
    of_the_store,
)
from datastore.fences import Fence
from datastore.ids import area_of, decode_id, decode_prefix, encode_key, home_of, is_system, system_prefix
from datastore.loops import is_on_loop, warn_if_on_loop
from datastore.places import Places
from datastore.retry import Backoff
from datastore.times import format_time
from datastore.values import prepare

if TYPE_CHECKING:
    from datastore.backend import Query

T = TypeVar("T")
W = TypeVar("W", bound=Write | Restore)

_ALL = Fields.ALL
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 2.0  # seconds between attempts of a call that failed for a transient reason
_HELD = 0.001  # seconds between two checks whether a fork is over
_PROBE = system_prefix("", "health") + encode_key("health")
_NO_MORE: Iterator[Any] = iter(())  # whoever asks it for more: it stays at its end
_NOT_CLEAN = (
    "the process was forked while a call to the database went on for longer than the fork could wait; what this child "
    "has inherited cannot be used. Open the store after the fork, with datastore.connect()"
)


class Twin(Protocol):
    """The threads of the awaited calls of a store (`datastore.asynchronous`)."""

    def stop(self) -> None:
        """End them, when what they are doing is done: the store was closed. Idempotent."""

    def after_fork(self) -> None:
        """Start over in a child, which does not have them."""


class Keeping(Protocol):
    """What renews the leases of a store (`datastore.holding`)."""

    def close(self, backend: Backend) -> None:
        """Release them: the store is being closed. Idempotent."""

    def after_fork(self) -> None:
        """Forget them in a child: they are the parent's."""


K = TypeVar("K", bound=Keeping)


class Core:
    """A backend with its access tracker and its clock; shared by a `DataStore` and all its agents."""

    def __init__(
        self,
        backend: Backend,
        *,
        tracking: Tracking,
        flush_interval: float | None,
        max_pending: int | None,
        retry_seconds: float,
        max_seconds: float,
        clock: Callable[[], float],
        warn_on_loop: bool,
    ) -> None:
        prepare()
        self.backend: Backend = backend
        self.clock = clock
        able = backend.capabilities
        worth = 1 if tracking == "immediate" or flush_interval is not None else able.reads_worth_a_write
        self.tracker = AccessTracker(
            backend,
            clock,
            tracking,
            able.flush_interval if flush_interval is None else flush_interval,
            able.max_pending if max_pending is None else max_pending,
            worth,
        )
        self.max_seconds = max_seconds
        self.for_get = Fields.BARE_VALUE if able.bare_values else Fields.VALUE
        """What `get` reads."""
        self.places = Places()
        self.ends: dict[str, Any] = {}
        """The next numbers of logs (`datastore.logs`)."""
        self.reminders: dict[str, float] = {}
        """When the host is reminded of an area (`datastore.reminders`), by what its ids begin with."""
        self.lent: dict[tuple[str, str], Any] = {}
        """Leases that are recorded here and held by another process (`datastore.calls.lending`)."""
        self.embedder: Any = None
        """The host's `datastore.memory.Embedder`, if it has given one."""
        self.spaces: Any = None
        """The vectors that are in memory (`datastore.memory.spaces`), if some were searched."""
        self.twin: Twin | None = None
        """The threads of the awaited calls, if there are any."""
        self.place: Hashable = None
        """Identifies the database, whichever URL named it; ``None`` if that is unknown (`datastore.connecting`)."""
        self._retry_seconds = retry_seconds
        self._at_once = able.at_once
        self._warns = warn_on_loop and not self._at_once
        self._keepers: list[Keeping] = []  # one at most, and none before the first lease
        self._left = weakref.finalize(self, _let_go, self.tracker, backend, self._keepers)
        """What is to be released, once: when the store is closed or collected, or at exit."""
        self._held: Backend = backend
        forks.take_part(self)

    def _wait_for_backend(self) -> Backend:
        if forks.is_forking():
            raise ReentrantCallError("this thread is about to fork; call the store when it has")
        while isinstance(backend := self.backend, _OnHold):
            time.sleep(_HELD)
        return backend

    watcher: Any = None
    """The `datastore.watching.Watcher` of the store, if somebody watches what its agents do."""

    removes_ranges = True
    """Whether the records of a range may be removed without saying which (`datastore.backend.Backend.clear`)."""
    keeper: Any = None
    """The `datastore.holding.Keeper` of the store, if its agents have taken leases."""
    takes_leases: Callable[..., Any] | None = None
    """Takes a lease (`datastore.calls.leases.take_here`), where another process writes the records of leases."""

    line = ""
    """Awaited reads gather with those of the same line (`datastore.asynchronous`): an agent with grants has its own."""

    def keep_with(self, keeper: K) -> K:
        """Return what renews the leases of the store: the given one, unless there is one already."""
        kept: K = self.__dict__.setdefault("keeper", keeper)
        if kept is keeper:
            self._keepers.append(keeper)
        return kept

    @property
    def root(self) -> Core:
        """The store's own core: this one, unless it stands in front of another (`datastore.guarded`)."""
        return self

    module = __name__
    inside: frozenset[CodeType] = frozenset({AccessTracker.FLUSHING})
    waiting: frozenset[CodeType] = frozenset({_wait_for_backend.__code__})

    def hold(self) -> None:
        """See `datastore.forks.Participant`."""
        if not isinstance(self.backend, _OnHold):
            self._held = self.backend
        if not is_closed_backend(self._held):  # whoever closes the store may wait for a call, and the fork for that one
            self.backend = cast(Backend, _OnHold(self))
        self.tracker.held = True

    def before_fork(self) -> None:
        """See `datastore.forks.Participant`."""
        self._held.before_fork()

    def resume(self) -> None:
        """See `datastore.forks.Participant`."""
        self.backend = self._held
        self.tracker.held = False

    def after_fork(self, clean: bool) -> None:
        """See `datastore.forks.Participant`."""
        if not isinstance(self.backend, _OnHold):
            self._held = self.backend
        backend = self._held
        backend.after_fork()
        self.tracker.after_fork()
        self.spaces = None  # another thread may have been changing what is there
        if self.twin is not None:
            self.twin.after_fork()
        if self.keeper is not None:
            self.keeper.after_fork()
        if not clean and not isinstance(backend, _Closed):
            self._held = _Closed(backend, BackendUnusableError, _NOT_CLEAN)
        self.backend = self._held

    def now(self) -> str:
        """Return the time as documents hold it."""
        return format_time(self.clock())

    def read_one(self, id: str, fields: Fields) -> Document | None:
        """Return the live document under an id, or ``None``. The hot path of `get`."""
        ids = (id,)
        if not self._at_once:
            with within(self.max_seconds):
                document = self.call(_Reading(ids), partial(self.backend.read, ids, fields)).get(id)
        else:
            try:
                document = self.backend.read(ids, fields).get(id)
            except Exception as error:  # noqa: BLE001 - raised by `_repeat`
                document = self._repeat(error, _Reading(ids), partial(self.backend.read, ids, fields)).get(id)
        try:
            if document is None or (document.expires_at is not None and document.expires_at <= self.now()):
                return None
        except TypeError:
            raise damaged(id, NO_TIME).during(str(_Reading(ids)), self.backend.name) from None
        return document

    def read_at_once(self, id: str, most: int) -> Document | None:
        """Return the live document under an id as `read_one` does, on an event loop; see `Backend.read_at_once`.

        Raises:
            WouldWaitError: If it would have to wait, or anything is wrong: `read_one` says what.
        """
        try:
            document = self.backend.read_at_once(id, most)
            if document is None or (document.expires_at is not None and document.expires_at <= self.now()):
                return None
        except Exception as error:
            raise WouldWaitError from error
        return document

    def read_whole(self, id: str) -> Document | None:
        """Return the whole live document under an id, including accesses that are noted here and not yet written."""
        if self._at_once:
            return self._read_whole(id)
        with within(self.max_seconds):  # of all looks together
            return self._read_whole(id)

    def _read_whole(self, id: str) -> Document | None:
        tracker = self.tracker
        for is_last in LOOKS:
            changes = tracker.changes
            document = self.read_one(id, _ALL)
            if document is None:
                return None
            try:
                found = tracker.add_pending((check(document),), changes, is_last=is_last)
            except DamagedRecordError as error:
                raise error.during(str(_Reading((id,))), self.backend.name) from None
            if found is not None:
                return found[0]
        raise AssertionError("the last look returns")

    def read(self, ids: Sequence[str], fields: Fields, *, expired: bool = False) -> dict[str, Document]:
        """Return the live documents under distinct ids, in the order of the ids; with ``expired`` the others, too.

        Raises:
            DamagedRecordError: For the first damaged document, as far as the fields are read.
        """
        size = self.backend.capabilities.read_batch
        found = self._read(ids[:size], fields) if ids else {}
        if len(ids) > size:
            found = dict(found)
            for start in range(size, len(ids), size):
                found.update(self._read(ids[start : start + size], fields))
        now = self.now()
        live: dict[str, Document] = {}
        unchecked = fields is Fields.ALL and not are_sound(list(found.values()))
        for id in ids:
            document = found.get(id)
            if document is not None:
                try:
                    if document.expires_at is None or document.expires_at > now or expired:
                        live[id] = check(document) if unchecked else document
                except TypeError:
                    raise damaged(id, NO_TIME).during(str(_Reading((id,))), self.backend.name) from None
                except DamagedRecordError as error:
                    raise error.during(str(_Reading((id,))), self.backend.name) from None
        return live

    def _read(self, batch: Sequence[str], fields: Fields) -> dict[str, Document]:
        """Read one batch. What describes it is made only if there is an error, as in `read_one`."""
        deadlines.check()
        if self._warns:
            warn_if_on_loop()
        try:
            return self.backend.read(batch, fields)
        except Exception as error:  # noqa: BLE001 - raised by `_repeat`
            return self._repeat(error, _Reading(batch), partial(self.backend.read, batch, fields))

    def scan(
        self,
        range: IdRange,
        fields: Fields,
        at_once: int | None = None,
        on_damaged: Callable[[DamagedRecordError], None] = skip,
        *,
        reverse: bool = False,
    ) -> Iterator[Document]:
        """Yield the live documents of a range; the parameters are those of `pages`."""
        for documents in self.pages(range, fields, None, at_once, on_damaged, reverse=reverse):
            for document in documents:
                yield document
                self.check_open()

    def pages(
        self,
        range: IdRange,
        fields: Fields,
        after: str | None = None,
        at_once: int | None = None,
        on_damaged: Callable[[DamagedRecordError], None] = skip,
        *,
        reverse: bool = False,
        plan: Plan | None = None,
    ) -> Iterator[Sequence[Document]]:
        """Yield the live documents of a range in id order, page by page.

        Who hands them on to the program one by one calls `check_open` before each: no document may be handed out after
        the store was closed.

        Args:
            range: The ids.
            fields: How much of each document is needed.
            after: Where to go on.
            at_once: How many documents to read at first; ``None`` for as many as fit.
            on_damaged: Called for each damaged document, as far as the fields are read; these are not yielded.
            reverse: Whether to read in the opposite order.
            plan: What to find; ``None`` for every document.
        """
        most = self.backend.capabilities.scan_page
        limit = min(at_once or most, most)
        while True:
            backend = self.backend
            if plan is None:
                read = partial(backend.scan, range, fields, limit, after, reverse)
            else:
                read = partial(backend.find, range, plan, fields, limit, after, reverse)
            page = self.page(read, fields)
            found = len(page.documents)
            page = self._live(page, on_damaged)
            yield page.documents
            if page.after is None:
                return
            after = page.after
            if at_once is not None and found == len(page.documents) == limit < at_once:
                at_once -= found
                limit = min(at_once, most)  # the rest of what one page had no room for
            else:  # more are needed than expected: some have expired, or their keys do not have the prefix
                at_once, limit = None, min(limit * 8, most)

    def pages_of_call(
        self,
        range: IdRange,
        fields: Fields,
        after: str | None,
        at_once: int | None,
        on_damaged: Callable[[DamagedRecordError], None] = skip,
        *,
        reverse: bool,
    ) -> tuple[Sequence[Document], Iterator[Sequence[Document]]]:
        """Return the first page that `pages` yields, and an iterator over the others.

        It is for calls that are `datastore.scope.bounded`: their time is that of all pages. Where all that is asked for
        is on the first page, as in most calls, this takes hardly more than asking the database.

        Args:
            range: The ids.
            fields: How much of each document is needed.
            after: Where to go on.
            at_once: How many documents to read at first; ``None`` for as many as fit.
            on_damaged: Called for each damaged document, as by `pages`.
            reverse: Whether to read in the opposite order.
        """
        backend = self.backend
        most = backend.capabilities.scan_page
        limit = most if at_once is None or at_once > most else at_once
        deadlines.check()
        page = self._first_page(backend, range, fields, limit, after, reverse)
        found = len(page.documents)
        if page.damaged or expires(page.documents):
            page = self._live(page, on_damaged)
        if page.after is None:
            return page.documents, _NO_MORE
        if at_once is not None and found == len(page.documents) == limit < at_once:
            at_once -= found  # as in `pages`
        else:
            at_once = min(limit * 8, most)
        return page.documents, self.pages(range, fields, page.after, at_once, on_damaged, reverse=reverse)

    def _first_page(
        self, backend: Backend, range: IdRange, fields: Fields, limit: int, after: str | None, reverse: bool
    ) -> DocumentPage:
        """Return what `_page` does. Only if that is not certain at once is anything made that describes the read."""
        scan, changes = backend.scan, self.tracker.changes
        if self._warns:
            warn_if_on_loop()
        try:
            page = scan(range, fields, limit, after, reverse)
        except Exception as error:  # noqa: BLE001 - raised by `_repeat`
            page = self._repeat(error, "listing", partial(scan, range, fields, limit, after, reverse))
        if fields is not _ALL:
            return page
        page = checked(page)
        found = self.tracker.add_pending(page.documents, changes, is_last=False)
        if found is page.documents:
            return page
        if found is None:  # it is read again
            return self._page(partial(scan, range, fields, limit, after, reverse), fields)
        return DocumentPage(found, page.after, page.damaged)

    def _live(self, page: DocumentPage, on_damaged: Callable[[DamagedRecordError], None]) -> DocumentPage:
        """Return a page without what has expired, after telling of what is damaged."""
        if expires(page.documents):
            page = living(page, self.now())
        for error in page.damaged:
            on_damaged(error)
        return page

    def all_ids(self, range: IdRange) -> Iterator[list[str]]:
        """Yield the ids of a range page by page, including expired and damaged documents, but not foreign ones."""
        after = None
        size = self.backend.capabilities.write_batch
        while True:
            page = self.page(partial(self.backend.scan, range, Fields.KEY, size, after), Fields.KEY)
            ids = [document.id for document in page.documents]
            ids += [error.id for error in page.damaged if error.id is not None and not error.foreign]
            if ids:
                yield ids
            if page.after is None:
                return
            after = page.after

    def page(self, read: Callable[[], DocumentPage], fields: Fields, *, as_stored: bool = False) -> DocumentPage:
        """Return a page of a listing, checked as far as the fields are read, with the accesses that are noted here.

        Args:
            read: Asks the backend for the page.
            fields: How much of each document ``read`` asks for.
            as_stored: Leave out the accesses that are noted here: what is returned will be stored again.
        """
        deadlines.check()
        before = deadlines.begin(self.max_seconds, sys._getframe())  # each page of a stream has this time
        try:
            return self._page(read, fields, as_stored=as_stored)
        finally:
            deadlines.end(before)

    def _page(self, read: Callable[[], DocumentPage], fields: Fields, *, as_stored: bool = False) -> DocumentPage:
        """Return what `page` does, in the time of the call under way."""
        if fields is not _ALL:
            return self.call("listing", read)
        tracker = self.tracker
        for is_last in LOOKS:
            changes = tracker.changes
            page = checked(self.call("listing", read))
            if as_stored:
                return page
            found = tracker.add_pending(page.documents, changes, is_last=is_last)
            if found is not None:
                return page if found is page.documents else DocumentPage(found, page.after, page.damaged)
        raise AssertionError("the last look returns")

    def write_one(self, write: Write) -> Outcome:
        """Apply one write and return its outcome, or raise the error in it."""
        before = deadlines.begin(self.max_seconds, sys._getframe())
        try:
            (outcome,) = self._write((write,))
            if outcome.error is not None:
                (outcome,) = self._resend((write,), [outcome], self.backend.write)
                if outcome.error is not None:
                    raise outcome.error.during(str(_Writing((write,))), self.backend.name)
            return outcome
        finally:
            deadlines.end(before)

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """Apply writes to distinct ids and return an outcome for each, in order.

        If a batch fails as a whole, the later ones are not sent: the outcomes of all of these hold the error. If
        nothing had been done before, the error is raised.
        """
        outcomes: list[Outcome] = []
        size = self.backend.capabilities.write_batch
        for start in range(0, len(writes), size):
            batch = writes[start : start + size]
            try:
                deadlines.check()
                result = self._write(batch)
            except DataStoreError as error:
                if start == 0:
                    raise
                return outcomes + [Outcome(False, error=error)] * (len(writes) - start)
            outcomes += self._resend(batch, result, self.backend.write)
        return outcomes

    def restore(self, restores: Sequence[Restore]) -> list[Outcome]:
        """Write whole documents, with distinct ids, and return an outcome for each, in order."""
        outcomes: list[Outcome] = []
        restore, size = self.backend.restore, self.backend.capabilities.write_batch
        for start in range(0, len(restores), size):
            batch = restores[start : start + size]
            with within(self.max_seconds):
                result = self.call("restoring records", partial(restore, batch))
            outcomes += self._resend(batch, result, restore)
        return outcomes

    def call(self, attempted: object, call: Callable[[], T]) -> T:
        """Call the backend, and repeat the call if it fails for a transient reason."""
        if self._warns:
            warn_if_on_loop()
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - raised by `_repeat`
            return self._repeat(error, attempted, call)

    def probe(self, seconds: float) -> float:
        """Read one record, which need not be there, within a time, and return the seconds that this took.

        It does not wait for the database to come back, as `call` does. But a connection that is broken is made once
        more at once: the server may have closed it while it was idle.
        """
        if self._warns:
            warn_if_on_loop()
        before = deadlines.begin(seconds, sys._getframe())
        try:
            for is_last in (False, True):
                began = time.perf_counter()
                try:
                    self.backend.read((_PROBE,), Fields.KEY)
                except Exception as error:  # noqa: BLE001 - raised as an error of the store
                    known = of_the_store(error)
                    if is_last or not _worth_repeating(known):
                        known = known.during("looking whether the database answers", self.backend.name)
                        raise known from known.__cause__
                else:
                    return time.perf_counter() - began
                deadlines.check()
            raise AssertionError
        finally:
            deadlines.end(before)

    def flush(self) -> None:
        """Write the pending accesses."""
        self.check_open()
        try:
            with unlimited():
                self.tracker.flush()
        except Exception as error:  # noqa: BLE001 - raised as an error of the store
            known = of_the_store(error)
            raise known.during("counting accesses", self.backend.name) from known.__cause__

    @property
    def is_closed(self) -> bool:
        """Whether the store refuses every call: it was closed, or cannot be used after a fork."""
        return type(self.backend) is _Closed

    def check_open(self) -> None:
        """Raise if the store was closed."""
        backend = self.backend
        if type(backend) is _Closed:  # `isinstance` takes five times as long for an abstract class
            raise backend.refusal()

    fence: Fence | None = None
    """The number of the lease that writes are under (`datastore.fencing`), if they are under one."""

    def check_fences(self, fences: str) -> None:
        """Raise if writes are under a lease that somebody else has by now, as what a record remembers says.

        For a write of a new record on the condition that nothing has followed the record that remembers.
        """

    def check_reads(self, prefix: str) -> None:
        """Raise if the agent has grants, and no one to read the namespace whose ids begin with a prefix."""

    def check_writes(self, prefix: str) -> None:
        """Raise if the agent has grants, and no one to write to the namespace whose ids begin with a prefix.

        A call that reads before it writes asks first; for all others the write itself does.
        """

    def close(self) -> None:
        """Write the pending accesses, close the backend, and refuse every call from here on. Idempotent.

        Raises:
            ReentrantCallError: If this thread is in the middle of a call of this store: it would wait for itself.
        """
        if self._is_on(sys._getframe(1)):
            raise ReentrantCallError(
                "this thread is in the middle of a call of this store; close it when the call has ended"
            )
        if not isinstance(self.backend, _Closed):
            self.backend = _Closed(self.backend)
        self.spaces = None
        self._warns = False  # from here on no call waits for the database
        try:
            with unlimited():
                left = self._left.detach()
                if left is not None:
                    _release(*left[2])
        except Exception as error:  # noqa: BLE001 - raised as an error of the store
            known = of_the_store(error)
            raise known.during("closing", self.backend.name) from known.__cause__
        finally:
            if self.twin is not None:
                self.twin.stop()

    def _is_on(self, frame: FrameType | None) -> bool:
        """Return whether a frame, or one that called it, is executing a call of this store."""
        while frame is not None:
            if frame.f_globals.get("__name__") in (__name__, AccessTracker.__module__):
                owner = frame.f_locals.get("self")
                if owner is self or owner is self.tracker or (isinstance(owner, Core) and owner.root is self):
                    return True
            frame = frame.f_back
        return False

    def _write(self, writes: Sequence[Write]) -> list[Outcome]:
        if self._warns:
            warn_if_on_loop()
        try:
            return self.backend.write(writes)
        except Exception as error:  # noqa: BLE001 - raised by `_repeat`
            outcomes = self._repeat(error, _Writing(writes), partial(self.backend.write, writes))
            return [_recognise(write, outcome) for write, outcome in zip(writes, outcomes, strict=True)]

    def _repeat(self, error: Exception, attempted: object, call: Callable[[], T]) -> T:
        """Repeat a call that failed, as long as its error is transient and the time budget lasts."""
        known = of_the_store(error)
        backoff = Backoff(self._retry_seconds, _FIRST_DELAY, _LONGEST_DELAY)
        while _worth_repeating(known) and backoff.wait():
            try:
                return call()
            except Exception as next_error:  # noqa: BLE001 - raised when the loop ends
                known = of_the_store(next_error)
        raise known.during(str(attempted), self.backend.name) from known.__cause__

    def _resend(
        self, writes: Sequence[W], outcomes: list[Outcome], send: Callable[[Sequence[W]], list[Outcome]]
    ) -> list[Outcome]:
        """Repeat the writes of a batch that failed for a transient reason while others succeeded."""
        backoff = Backoff(self._retry_seconds, _FIRST_DELAY, _LONGEST_DELAY)
        while True:
            again = [
                i for i, outcome in enumerate(outcomes) if outcome.error is not None and _worth_repeating(outcome.error)
            ]
            if not again or not backoff.wait():
                return outcomes
            batch = [writes[i] for i in again]
            try:
                result = send(batch)
            except Exception as error:  # noqa: BLE001 - becomes the outcome
                result = [Outcome(False, error=of_the_store(error))] * len(batch)
            for i, outcome in zip(again, result, strict=True):
                outcomes[i] = _recognise(writes[i], outcome)


def _release(tracker: AccessTracker, backend: Backend, keepers: Sequence[Keeping]) -> None:
    try:
        for keeper in keepers:
            keeper.close(backend)
    finally:
        try:
            tracker.close()
        finally:
            backend.close()


def _let_go(tracker: AccessTracker, backend: Backend, keepers: Sequence[Keeping]) -> None:
    """Release what a store holds that nobody has closed.

    The garbage collector runs on any thread. If that one runs an event loop, another thread waits for the database.
    """
    if is_on_loop():
        threading.Thread(target=_release, args=(tracker, backend, keepers), name="datastore-close").start()
    else:
        _release(tracker, backend, keepers)


def _worth_repeating(error: DataStoreError) -> bool:
    return error.retryable and not error.waited


def _recognise(write: Write | Restore, outcome: Outcome) -> Outcome:
    """Return the outcome of a repeated write; it is done if the first attempt had succeeded and its answer was lost."""
    if isinstance(write, Put) and not outcome.done and outcome.revision == write.revision:
        return DONE
    return outcome


def is_closed_backend(backend: Backend) -> bool:
    """Return whether a core's backend is what takes its place when the store is closed."""
    return type(backend) is _Closed


def described(ids: Sequence[str], verb: str = "reading") -> str:
    """Return how an error says that documents were being read, or what else was being done with them."""
    reading = _Reading(ids)
    reading.verb = verb
    return str(reading)


class _Reading:
    """Describes in an error what was attempted; the text is made only if there is an error."""

    verb = "reading"

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids

    def __str__(self) -> str:
        if (home := home_of(self._ids[0])) is not None:
            return f"{self.verb} the {area_of(self._ids[0])} of namespace {decode_prefix(home[:-1])[1]!r}"
        if is_system(self._ids[0]):
            return f"{self.verb} a system record"
        name = decode_id(self._ids[0])
        others = f" and {len(self._ids) - 1} others" if len(self._ids) > 1 else ""
        return f"{self.verb} {name.key!r} of namespace {name.namespace!r}{others}"


class _Writing(_Reading):
    verb = "writing"

    def __init__(self, writes: Sequence[Write]) -> None:
        super().__init__([write.id for write in writes])


class _OnHold:
    """Takes the place of the backend while a fork holds calls back, so that calls need not check whether one does.

    Whatever is asked of it waits for the real one.
    """

    __slots__ = ("_wait",)

    def __init__(self, core: Core) -> None:
        self._wait = core._wait_for_backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wait(), name)


class _Closed(Backend):
    """Takes the place of the backend, so that calls need not check whether the store is open."""

    def __init__(
        self,
        backend: Backend,
        kind: type[DataStoreError] = ClosedError,
        why: str = "the store was closed; open another one with datastore.connect()",
    ) -> None:
        self.name = backend.name
        self.capabilities = backend.capabilities
        self._kind = kind
        self._why = why
        for ability in ABILITIES:
            setattr(self, ability, self._refuse)

    def refusal(self) -> DataStoreError:
        return self._kind(self._why, backend=self.name)

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        self._refuse()

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        self._refuse()

    def scan(
        self, range: IdRange, fields: Fields, limit: int, after: str | None = None, reverse: bool = False
    ) -> DocumentPage:
        self._refuse()

    def record_access(self, accesses: Sequence[Access]) -> None:
        self._refuse()

    def close(self) -> None:
        pass

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        self._refuse()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise self.refusal()
