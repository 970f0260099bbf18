"""What a worker does to the journal of a run that it holds, and what it reads there.

Each method of `Writer` is one act that nothing of the program takes part in: its writes stand in the order that a crash
leaves right. So a worker that has no way to the database lets a server do them (`datastore.remote.runs`), with the same
code and no others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from datastore.backend import Write
from datastore.errors import DataStoreError, LeaseLostError
from datastore.runs import keys
from datastore.runs.children import AT_ONCE, begin_branches, begin_fork, branch_of, first_kept
from datastore.runs.entries import (
    ANSWERED,
    BRANCHED,
    CHECKPOINT,
    END,
    FORKED,
    JOINED,
    OVER,
    RUNNING,
    TIMEOUT,
    WAIT,
    WAITING,
    Entry,
    HistoryEntry,
    Lineage,
    is_text,
    sound,
)
from datastore.runs.journal import Head, Journal, checkpoint_in, head_of, hint_in, kept, no_child, results, run_over
from datastore.runs.looking import history
from datastore.runs.state import Changes
from datastore.times import expiry


class Writing(ABC):
    """A run in the hands of a worker, as its journal has it.

    Attributes:
        run: The run, and those whose entries it shares.
        number: The number of the last entry.
        checkpoint: The entry that a replay begins after; 0 for none.
    """

    run: Lineage
    number: int
    checkpoint: int

    @abstractmethod
    def entries(self, after: int) -> Iterator[Entry]:
        """Yield the entries after a number."""

    @abstractmethod
    def append(self, entry: dict[str, Any], what: str = "value") -> None:
        """Add the next entry, and what follows from it: the head of a checkpoint, and all that says that a run is over.

        Args:
            entry: The entry.
            what: What is named if it is too large, or no JSON.

        Raises:
            LeaseLostError: If another worker has added one.
            RunOverError: If the run was ended meanwhile.
            InvalidNameError, InvalidValueError, ValueTooLargeError: If it cannot be; nothing was written.

        Requests: 1; 2 for a checkpoint, 3 for the end of a run.
        """

    @abstractmethod
    def wait(self, name: str, timeout: Any, waits: Entry | None, changes: Changes) -> Entry:
        """Take the answer to a question, or say that the run waits for it.

        Args:
            name: What it waits for.
            timeout: For how many seconds at most, or a `timedelta`; ``None`` for any time.
            waits: The entry that says that it waits, if that is the last one that the program has asked for.
            changes: Those of the state.

        Returns:
            The answer, or that the time is over; an entry of kind ``"wait"`` if the worker is to let the run go.

        Requests: 2 or 3; to wait 4.
        """

    @abstractmethod
    def join(self, children: Sequence[str], is_new: bool, changes: Changes) -> dict[str, Entry] | None:
        """Return the last entries of runs, as in keys, or say that this one waits for them.

        Args:
            children: The runs.
            is_new: Whether the journal does not say yet that they were joined.
            changes: Those of the state.

        Returns:
            ``None`` if the worker is to let the run go.

        Requests: 2 for each batch, and 1 or 2 if it is new; to wait 4.
        """

    @abstractmethod
    def begin_children(self, entry: Entry, first: int = 0) -> None:
        """Write the children that an entry says that there are, each if it is not there yet: 200, from one of them on.

        Requests: those of one batch. 2 more for a fork from before a checkpoint.
        """

    @abstractmethod
    def history(self, limit: int | None, reverse: bool, before: int | None) -> list[HistoryEntry]:
        """See `datastore.runs.run.Run.history`."""


class Writer(Writing):
    """Writes a journal.

    Args:
        journal: The journal.
        number: The number of the last entry.
        head: The head as it was read or written last; without it, it is read when it is needed.
    """

    def __init__(self, journal: Journal, number: int, head: Head | None = None) -> None:
        self.run = self.journal = journal
        self.table = journal.table
        self.number = number
        self._head = head
        self.checkpoint = max(journal.checkpoint, checkpoint_in(head))
        self._former: list[Head] = []
        """The heads that `_become` has replaced, as long as what belonged to them is not removed."""

    def entries(self, after: int) -> Iterator[Entry]:
        """See `Writing`."""
        return self.journal.entries(after)

    def history(self, limit: int | None, reverse: bool, before: int | None) -> list[HistoryEntry]:
        """See `Writing`."""
        return list(history(self.journal, limit, reverse, before))

    # ----------------------------------------------------------------------------------------------------- appending

    def append(self, entry: dict[str, Any], what: str = "value") -> None:
        """See `Writing`."""
        number, kind = self.number + 1, entry["kind"]
        if kind == BRANCHED:
            branch_of(self.run, number, entry["children"])  # raises, before anything is written
        elif kind == FORKED and entry["at"] < self._kept_from():
            first_kept(self.journal, entry["at"])  # as above
        mark = [self.table.put(keys.checkpointed(self.table.now(), self.run.run), number)] if kind == CHECKPOINT else ()
        self._add(entry, *mark, what=what)
        if kind == CHECKPOINT:
            head = self._read_head()
            now = {"status": RUNNING, "at": self.table.now()} if head is None else head.value
            self._head = self.journal.settle(head, {**now, "entry": number, "checkpoint": number})
        elif kind == END:
            ttl = self.run.start.get("ttl")
            self.journal.end(self._read_head(), number, entry["status"], ttl, entry.get("error"))

    def _add(self, entry: dict[str, Any], *others: Write, what: str = "value") -> None:
        put = self.journal.put(self.number + 1, entry, what)
        done = self.table.write([*others, put])[-1] if others else self.table.write_one(put)
        if not done:
            raise self.lost()
        self.number += 1

    def lost(self) -> DataStoreError:
        """Return the error that says who has added another entry."""
        last = self.journal.last()
        if last.kind == END:
            return run_over(last, self.table)
        return LeaseLostError("another worker has taken the run over; this one has lost it. resume() takes it again")

    def begin_children(self, entry: Entry, first: int = 0) -> None:
        """See `Writing`."""
        if entry.kind == FORKED:
            begin_fork(self.journal, self._kept_from(), str(entry.value["child"]), int(entry.value["at"]))
        else:
            some = range(first, min(first + AT_ONCE, int(entry.value["children"])))
            begin_branches(self.journal, self._kept_from(), entry.number, some)

    def _kept_from(self) -> int:
        """Return the checkpoint after which nothing is pruned."""
        return max(self.checkpoint, checkpoint_in(self._read_head()))

    # ------------------------------------------------------------------------------------------------------- waiting

    def wait(self, name: str, timeout: Any, waits: Entry | None, changes: Changes) -> Entry:
        """See `Writing`."""
        encoded = keys.check_run(name, "name")
        key = keys.answer(self.run.run, encoded)
        if waits is not None:
            until = waits.value.get("until")
        else:
            until = None if timeout is None else expiry(timeout, self.table.scope.core.clock(), "timeout")
        answer = self.table.read_one(key)
        if answer is None and until is not None and until <= self.table.now():
            # Of the answer and the end of the time one is first: so an answer that comes later is told that it is late.
            if self.table.write_one(self.table.put(key, {"timeout": until}, new=True)):
                return self._go_on({"kind": TIMEOUT, "name": name}, changes)
            answer = self.table.read_one(key)
        if answer is None:
            changes = self._suspend(keys.ANSWER + encoded, until, changes, noted=waits is not None)
            answer = self.table.read_one(key)  # it may have come before the head said that the run waits
        if answer is None:
            self._forget()
            return Entry(self.number, {"kind": WAIT, "name": keys.ANSWER + encoded})
        said = sound(answer, _ANSWER)
        if "timeout" in said:
            return self._go_on({"kind": TIMEOUT, "name": name}, changes)
        payload, hint = (sound(answer, _ANSWER, one)[one] for one in ("payload", "hint"))
        return self._go_on({"kind": ANSWERED, "name": name, "payload": payload}, changes, hint)

    def join(self, children: Sequence[str], is_new: bool, changes: Changes) -> dict[str, Entry] | None:
        """See `Writing`."""
        heads = self._heads(children)
        while open := [child for child in children if heads[child].status not in OVER]:
            # It waits for one of them, the one that was begun last: the ends of the others do not wake it up.
            changes = self._suspend(keys.CHILD + open[-1], None, changes, noted=False)
            heads.update(self._heads(open[-1:]))  # it may have ended before the head said that the run waits
            if heads[open[-1]].status not in OVER:
                self._forget()
                return None
        ends = results(self.table, children, heads)
        if is_new:
            hints = (keys.hint(heads[child].value["at"], self.run.run, keys.CHILD + child) for child in children)
            self._go_on({"kind": JOINED}, changes, *hints)
        return ends

    def _heads(self, children: Sequence[str]) -> dict[str, Head]:
        found = self.table.read(keys.head(child) for child in children)
        heads: dict[str, Head] = {}
        for child in children:
            head = head_of(found.get(keys.head(child)))
            if head is None:
                raise no_child(child)
            heads[child] = head
        return heads

    def _suspend(self, event: str, until: str | None, changes: Changes, *, noted: bool) -> Changes:
        """Say that the run waits: in the journal first, then in the head; return the changes that are not kept yet.

        Args:
            event: What it waits for, as hints name it.
            until: When it stops waiting.
            changes: Those of the state.
            noted: Whether the journal says so already.
        """
        timer = [] if until is None else [self.table.put(keys.hint(until, self.run.run), None)]
        before: list[Write] = [*timer, self.journal.listed(WAITING)]
        if noted:
            self.table.write(before)
        else:
            entry = {"kind": WAIT, "name": event, **({} if until is None else {"until": until})}
            self._add(_with(entry, changes), *before)
            changes = {}
        waiting = {"for": event, "until": until}
        self._become({"status": WAITING, "waiting": waiting, "hint": timer[0].key if timer else None})
        return changes

    def _go_on(self, entry: dict[str, Any], changes: Changes, *hints: str) -> Entry:
        """Add what the run has waited for, say that it no longer waits if the head has said so, and remove hints."""
        self._add(_with(entry, changes))
        if self._former:
            # The worker that was about to be let go still holds the run: the hint of its lease is there as before.
            self._become({"status": RUNNING, "hint": hint_in(self._former[0])}, self.journal.listed(RUNNING))
        self._forget(*hints)
        return Entry(self.number, entry)

    # ------------------------------------------------------------------------------------------------------ the head

    def _read_head(self) -> Head | None:
        if self._head is None:
            self._head = self.journal.head()
        return self._head

    def _become(self, value: dict[str, Any], *others: Write) -> None:
        """Let the head say what the run does from now on. What belonged to the head before stays until `_forget`.

        Args:
            value: The head, but for what every head of this run says.
            others: Written in the same batch.

        Requests: 1.
        """
        before, checkpoint = self._read_head(), self._kept_from()
        value = {**value, "entry": self.number, "at": self.table.now(), **kept(self.journal, checkpoint)}
        self._head = self.journal.settle(before, value, *others)
        if self._head.value is not value:
            raise self.lost()
        if before is not None:
            self._former.append(before)

    def _forget(self, *keys: str) -> None:
        """Remove what belonged to former heads, and what is under some other keys.

        Requests: 1; 0 if there is nothing to remove.
        """
        self.journal.forget(self._former, self._head, *keys)
        self._former = []


_ANSWER = {"timeout": is_text, "hint": is_text}


def _with(entry: dict[str, Any], changes: Changes) -> dict[str, Any]:
    return {**entry, "state": changes} if changes else entry
