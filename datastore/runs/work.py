"""A run in the hands of a worker: going through its journal again, and adding to it.

What a program asks of it is beside this: steps and effects (`stepping`), answers (`waiting`), children (`branching`,
`joining`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from datastore.calls.leases import holding_of
from datastore.errors import (
    DataStoreError,
    InvalidNameError,
    InvalidValueError,
    LeaseLostError,
    ReentrantCallError,
    RunWaitingError,
    ValueTooLargeError,
)
from datastore.holding import INHERITED
from datastore.runs.entries import CHECKPOINT, DONE, END, FAILED_RUN, Entry
from datastore.runs.replaying import asked_for, changed, over
from datastore.runs.state import Changes, State, changes, discard, replay, restart, saved, whole
from datastore.runs.writer import Writing
from datastore.scope import scope_of

if TYPE_CHECKING:
    from datastore.calls.leases import Lease

T = TypeVar("T")


_REFUSED = (InvalidNameError, InvalidValueError, ValueTooLargeError)
"""The errors for what cannot be kept: nothing was written, and the program may ask for something else."""


class Work:
    """A run in the hands of a worker.

    Args:
        writer: Writes its journal.
        lease: The worker's.
    """

    def __init__(self, writer: Writing, lease: Lease[Any]) -> None:
        self.writer = writer
        self.run = writer.run
        self.lease = lease
        self.core = scope_of(lease.data_store).core
        self._holding = holding_of(lease)
        self.state = State()
        self.unknown: str | None = None
        """The effect of which the program was just told that it is unknown, and for which it may ask again."""
        self.next: Entry | None = None
        """The entry that the program asks for next, if the journal has it already."""
        self._past: Iterator[Entry] = iter(())
        self._over: DataStoreError | None = None
        """Why nothing can be added through this object any more."""
        self._lock = Lock()

    @property
    def number(self) -> int:
        """The number of the last entry."""
        return self.writer.number

    @property
    def backend(self) -> str:
        """What the database is called."""
        return self.core.backend.name

    # ------------------------------------------------------------------------------------------------- going again

    def rewind(self) -> None:
        """Begin to go through the entries up to the last one."""
        if self.number == 0:
            return
        start = self.writer.checkpoint
        entries = self.writer.entries(start - 1 if start else 0)
        begins = next(entries, None) if start else None
        restart(self.state, None if begins is None else begins.value.get("state"))
        self._past = asked_for(entries, self.number)
        self.next = next(self._past, None)

    @property
    def is_replaying(self) -> bool:
        """Whether the journal has more than the program has asked for again."""
        return self.next is not None

    def recorded(self, name: str, *kinds: str) -> Entry | None:
        """Return the next entry, which must be one of these; ``None`` if the program has come to the end of them.

        Raises:
            RunChangedError: If it is another one.
        """
        entry = self.next
        if entry is None:
            return None
        if entry.kind not in kinds or entry.name != name:
            raise self.stop(changed(entry, kinds[0], name))
        self.take()
        return entry

    def take(self) -> Entry:
        """Return the next entry, and make of the state what it was after that."""
        entry = cast(Entry, self.next)
        self.next = next(self._past, None)
        replay(self.state, entry.value.get("state"))
        return entry

    # ---------------------------------------------------------------------------------------------------- going on

    def stop(self, error: DataStoreError) -> DataStoreError:
        """Note why nothing can be added through this object any more, and return it as an error to raise."""
        self._over = error = error.during("working on a run", self.backend)
        return error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Refuse a call while another one of the same run is under way: their order would not be repeatable."""
        if self._holding.is_inherited:
            raise self.stop(LeaseLostError(f"the run is not this worker's: {INHERITED}"))
        if not self._lock.acquire(blocking=False):
            raise ReentrantCallError(
                "another step of this run is under way; steps do not nest, and a run belongs to one thread (branch())"
            )
        try:
            if self._over is not None:
                raise _again(self._over)
            yield
        finally:
            self._lock.release()

    def act(self, act: Callable[[Changes], T]) -> T:
        """Let the writer do something with the changes of the state since the last entry, and return what it returns.

        Raises:
            DataStoreError: As that does. But for what it refuses before it writes anything, this is then the end of the
                work: perhaps something is written, and the journal knows it, but this object does not.
        """
        changed, texts = changes(self.state)
        before = self.number
        try:
            result = act(changed)
        except _REFUSED:
            raise
        except DataStoreError as error:
            raise self.stop(error) from error.__cause__
        if self.number > before:
            self.unknown = None
            saved(self.state, texts)
        return result

    def append(self, kind: str, name: str = "", *, what: str = "value", **value: Any) -> Entry:
        """Add an entry with the changes of the state since the last one, and return it.

        Requests: those of `Writing.append`.
        """
        entry: dict[str, Any] = {"kind": kind, "name": name, **value} if name else {"kind": kind, **value}

        def add(changed: Changes) -> None:
            if kind == CHECKPOINT:
                entry["state"] = whole(self.state)
            elif changed:
                entry["state"] = changed
            self.writer.append(entry, what)

        self.act(add)
        return Entry(self.number, entry)

    def release(self) -> None:
        """Let others have the run. Nothing can be added through this object any more."""
        if self.lease.is_held:  # who waits, or has ended the run, has let it go, and nobody is told of that twice
            self.lease.release()
        if self._over is None:
            self.stop(LeaseLostError("this worker has released the run; resume() takes it again"))

    def let_go(self) -> NoReturn:
        """Free the worker of a run that waits."""
        self.release()
        raise self.stop(
            RunWaitingError("the run waits, and this worker has let it go; resume() it when due() names it")
        )

    # --------------------------------------------------------------------------------------------------------- end

    def finish(self, result: Any) -> None:
        """See `Run.finish`."""
        with self.alone():
            if self.next is not None:
                raise self.stop(changed(self.next, END, ""))
            self.append(END, status=DONE, result=result, what="result")
            self._end(DONE)

    def fail(self, error: str) -> None:
        """Say that the program has failed with an error of a class. A state that cannot be kept is left out."""
        with self.alone():
            self.next = None
            try:
                self.append(END, status=FAILED_RUN, error=error)
            except _REFUSED:  # the state cannot be kept, and the program's error is what matters now
                discard(self.state)
                self.append(END, status=FAILED_RUN, error=error)
            self._end(FAILED_RUN)

    def _end(self, status: str) -> None:
        self.stop(over(status))
        self.release()

    @property
    def is_over(self) -> bool:
        """Whether nothing can be added through this object any more."""
        return self._over is not None


def _again(error: DataStoreError) -> DataStoreError:
    """Return an error like one that was raised, without its traceback."""
    return copy(error).with_traceback(None)
