"""A run in the hands of a worker: going through its journal again, and adding to it.

What a program asks of it is beside this: steps and effects (`stepping`), answers (`waiting`), children (`branching`,
`joining`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from datastore.backend import Write
from datastore.calls.leases import holding_of
from datastore.errors import DataStoreError, LeaseLostError, ReentrantCallError
from datastore.holding import INHERITED
from datastore.runs.entries import CHECKPOINT, DONE, END, FAILED_RUN, Entry
from datastore.runs.journal import Head, Journal, kept, run_over
from datastore.runs.replaying import asked_for, changed
from datastore.runs.state import State, changes, replay, restart, saved, whole

if TYPE_CHECKING:
    from datastore.calls.leases import Lease


class Work:
    """A run in the hands of a worker.

    Args:
        journal: The run's journal.
        head: Its head.
        number: The number of the last entry.
        lease: The worker's.
    """

    def __init__(self, journal: Journal, head: Head, number: int, lease: Lease[Any]) -> None:
        self.journal = journal
        self.table = journal.table
        self.head = head
        self.number = number
        self.lease = lease
        self._holding = holding_of(lease)
        self.state = State()
        self.checkpoint = int(journal.start.get("checkpoint", 0))
        """The number of the entry that the replay begins after."""
        self.unknown: str | None = None
        """The effect of which the program was just told that it is unknown, and for which it may ask again."""
        self.former: list[Head] = []
        """The heads that `become` has replaced, as long as what belonged to them is not removed."""
        self.next: Entry | None = None
        """The entry that the program asks for next, if the journal has it already."""
        self._past: Iterator[Entry] = iter(())
        self._over: DataStoreError | None = None
        """Why nothing can be added through this object any more."""
        self._lock = Lock()

    # ------------------------------------------------------------------------------------------------- going again

    def rewind(self) -> None:
        """Begin to go through the entries up to the last one."""
        start = self.checkpoint
        if start:
            entry = self.journal.entry(start)
            restart(self.state, None if entry is None else entry.value.get("state"))
        else:
            restart(self.state, self.journal.start.get("state"))
        self._past = asked_for(self.journal.entries(start), self.number)
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
        self._over = error = error.during("working on a run", self.table.scope.core.backend.name)
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

    def append(self, kind: str, name: str = "", *others: Write, what: str = "value", **value: Any) -> int:
        """Add an entry with the changes of the state since the last one, and return its number.

        Requests: 1.
        """
        changed, texts = changes(self.state)
        entry: dict[str, Any] = {"kind": kind, "name": name, **value} if name else {"kind": kind, **value}
        if kind == CHECKPOINT:
            entry["state"] = whole(self.state)
        elif changed:
            entry["state"] = changed
        put = self.journal.put(self.number + 1, entry, what)
        try:
            done = self.table.write([*others, put])[-1] if others else self.table.write_one(put)
        except DataStoreError as error:
            # Perhaps it is written: the journal knows, and this object does not.
            raise self.stop(error) from error.__cause__
        if not done:
            raise self.lost()
        self.number += 1
        self.unknown = None
        saved(self.state, texts)
        return self.number

    def become(self, value: dict[str, Any], *others: Write) -> None:
        """Let the head say what the run does from now on. What belonged to the head before stays until `forget`.

        Args:
            value: The head, but for what every head of this run says.
            others: Written in the same batch.

        Requests: 1.
        """
        before = self.head
        value = {**value, "entry": self.number, "at": self.table.now(), **kept(self.journal, self.checkpoint)}
        self.head = self.journal.settle(before, value, *others)
        if self.head.value is not value:
            raise self.lost()
        self.former.append(before)

    def forget(self, *keys: str) -> None:
        """Remove what belonged to former heads, and what is under some other keys.

        Requests: 1; 0 if there is nothing to remove.
        """
        self.journal.forget(self.former, self.head, *keys)
        self.former = []

    def release(self) -> None:
        """Let others have the run. Nothing can be added through this object any more."""
        self.lease.release()
        if self._over is None:
            self.stop(LeaseLostError("this worker has released the run; resume() takes it again"))

    def lost(self) -> DataStoreError:
        """Note that somebody else has added an entry, and return the error that says who."""
        last = self.journal.last()
        if last.kind == END:
            return self.stop(run_over(last, self.table))
        return self.stop(
            LeaseLostError("another worker has taken the run over; this one has lost it. resume() takes it again")
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
        """Say that the program has failed with an error of a class."""
        with self.alone():
            self.next = None
            self.append(END, status=FAILED_RUN, error=error)
            self._end(FAILED_RUN, error)

    def _end(self, status: str, error: str | None = None) -> None:
        self.journal.end(self.head, self.number, status, self.journal.start.get("ttl"), error)
        self.stop(run_over(Entry(self.number, {"status": status}), self.table))
        self.release()

    @property
    def is_over(self) -> bool:
        """Whether nothing can be added through this object any more."""
        return self._over is not None


def _again(error: DataStoreError) -> DataStoreError:
    """Return an error like one that was raised, without its traceback."""
    return copy(error).with_traceback(None)
