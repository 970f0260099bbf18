"""The journal of a run and its head: what every call reads and writes, in the order that a crash leaves right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Self

from datastore.backend import Document, Fields, Put, Write
from datastore.documents import damaged, is_time, made_of
from datastore.errors import ConflictError, InvalidValueError, KeyExistsError, NoSuchRunError, RunOverError
from datastore.retry import Backoff
from datastore.runs import keys
from datastore.runs.entries import (
    DONE,
    END,
    OVER,
    RUNNING,
    START,
    WAITING,
    Entry,
    Lineage,
    RunInfo,
    entry_of,
    is_number,
    is_status,
    is_text,
    sound,
)
from datastore.runs.replaying import over
from datastore.runs.table import Table
from datastore.times import expiry, parse_time

FIRST_DELAY, LONGEST_DELAY = 0.001, 0.1  # seconds; whoever wrote first is done after one round trip


class Head(NamedTuple):
    """The head of a run: a summary of its journal, which may be older than that."""

    value: dict[str, Any]
    revision: str
    created_at: str

    @classmethod
    def of(cls, document: Document) -> Self:
        """Return the head in a record.

        Raises:
            DamagedRecordError: If it holds none.
        """
        value = sound(document, _FIELDS, "status", "entry", "at")
        if not is_time(document.created_at):
            raise damaged(document.id, "createdAt is no time")
        return cls(value, document.revision, document.created_at)

    @property
    def status(self) -> str:
        """What the run did when this was written."""
        return str(self.value["status"])

    @property
    def entry(self) -> int:
        """The last entry when this was written."""
        return int(self.value["entry"])

    @property
    def event(self) -> str | None:
        """What it waits for, as hints name it."""
        waiting = self.value.get("waiting")
        return None if waiting is None else str(waiting["for"])

    @property
    def until(self) -> str | None:
        """When it stops waiting."""
        waiting = self.value.get("waiting")
        return None if waiting is None else waiting.get("until")


def _is_wait(value: Any) -> bool:
    """Return whether a head may say this of what the run waits for."""
    if value is None:
        return True
    return (
        type(value) is dict
        and keys.is_event(value.get("for"))
        and (value.get("until") is None or is_time(value["until"]))
    )


_FIELDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("entry", "checkpoint"), is_number),
    **dict.fromkeys(("error", "expired"), is_text),
    "status": is_status,
    "at": is_time,
    "hint": lambda value: value is None or is_text(value),
    "parent": keys.is_run,
    "waiting": _is_wait,
}


class Journal(Lineage):
    """The journal of one run.

    Args:
        table: The records.
        run: The run, as in keys.
        start: What entry 0 says.
    """

    def __init__(self, table: Table, run: str, start: dict[str, Any]) -> None:
        super().__init__(run, start)
        self.table = table

    def documents(
        self, after: int, before: int | None = None, *, limit: int | None = None, reverse: bool = False,
        fields: Fields = Fields.VALUE,
    ) -> Iterator[Document]:  # fmt: skip
        """Yield entries as they are stored, in the order of their numbers or the opposite one.

        Requests: 1 per page, of the run and of each ancestor whose entries are among them.
        """
        parts: list[tuple[str, int, int | None]] = []
        first = 0
        for run, last in [*((one.run, one.last) for one in self.ancestors), (self.run, None)]:
            low, high = (
                max(first, after),
                last if before is None else before - 1 if last is None else min(last, before - 1),
            )
            if high is None or low < high:
                parts.append((run, low, high))
            first = first if last is None else last
        for run, low, high in reversed(parts) if reverse else parts:
            for document in self.table.scan(keys.entries(run, low, high), fields, limit=limit, reverse=reverse):
                yield document
                if limit is not None:
                    limit -= 1
            if limit == 0:
                return

    def entries(self, after: int) -> Iterator[Entry]:
        """Yield the entries after a number."""
        return map(entry_of, self.documents(after))

    def last(self) -> Entry:
        """Return the last entry of the run's own; one of kind ``"start"`` with the number before, if there is none.

        Requests: 1.
        """
        found = next(self.table.scan(keys.entries(self.run, self.base), limit=1, reverse=True), None)
        return Entry(self.base, {"kind": START}) if found is None else entry_of(found)

    def entry(self, number: int) -> Entry | None:
        """Return one entry.

        Requests: 1.
        """
        found = self.table.read_one(keys.entry(self.owner(number), number))
        return None if found is None else entry_of(found)

    def put(self, number: int, value: dict[str, Any], name: str = "value") -> Put:
        """Return the write of the entry of a number, if there is none yet."""
        return self.table.put(keys.entry(self.run, number), value, new=True, name=name)

    def head(self) -> Head | None:
        """Return the head.

        Requests: 1.
        """
        return head_of(self.table.read_one(keys.head(self.run)))

    def put_head(self, head: Head | None, value: dict[str, Any]) -> Put:
        """Return the write of the head in place of one that was read, or where there was none."""
        key = keys.head(self.run)
        if head is None:
            return self.table.put(key, value, new=True)
        return self.table.put(key, value, revision=head.revision)

    def settle(self, head: Head | None, value: dict[str, Any], *others: Write) -> Head:
        """Let the head say what the journal says, unless it says something later already, and return it.

        Args:
            head: The head as it was read.
            value: What it is to be.
            others: Written in the same batch.

        Requests: 1, if nobody else writes the head; without ``others`` never more than 2 for each attempt.
        """
        backoff = Backoff(self.table.scope.core.max_seconds, FIRST_DELAY, LONGEST_DELAY)
        while True:
            put = self.put_head(head, value)
            done, *_ = self.table.write([put, *others])
            if done:
                return Head(value, put.revision, put.at if head is None else head.created_at)
            head, others = self.head(), ()
            if head is not None and head.entry >= value["entry"]:
                return head
            if not backoff.wait():
                raise contended(self.table)

    def listed(self, status: str) -> Put:
        """Return the write that lets lists of a status look for the run; it comes before the head, or with it."""
        return self.table.put(keys.listed(status, self.run), self.table.now())

    def forget(self, former: Iterable[Head], head: Head | None, *others: str) -> None:
        """Remove what belonged to former heads of the run and not to this one, and what is under other keys.

        Requests: 1; 0 if there is nothing to remove.
        """
        left = {key for one in former for key in self._named(one)} - {*self._named(head)}
        if stale := sorted(left.union(others)):
            self.table.write(self.table.delete(key) for key in stale)

    def _named(self, head: Head | None) -> list[str]:
        """Return the keys of the records that lead to the run because of what its head says."""
        if head is None:
            return []
        hint = hint_in(head)
        return [keys.listed(head.status, self.run), *([] if hint is None else [hint])]

    def append_from_outside(self, value: dict[str, Any], *, over: bool) -> int:
        """Add an entry after the last one, whoever works on the run, and return its number.

        Args:
            value: The entry.
            over: Whether the run must be over, or must not be.

        Raises:
            RunOverError: If it is over and must not be, or the other way round.

        Requests: 2 for each attempt.
        """
        backoff = Backoff(self.table.scope.core.max_seconds, FIRST_DELAY, LONGEST_DELAY)
        while True:
            last = self.last()
            if (last.kind == END) is not over:
                raise run_over(last, self.table) if last.kind == END else not_over(self.table)
            if self.table.write_one(self.put(last.number + 1, value)):
                return last.number + 1
            if not backoff.wait():
                raise contended(self.table)

    def end(self, head: Head | None, number: int, status: str, ttl: float | None, error: str | None = None) -> None:
        """Write what follows from the last entry: head, end and expiry, and the hint for a parent that waits.

        Requests: 1, and 1 for the removal of what belonged to the head before.
        """
        table, now = self.table, self.table.now()
        value = {"status": status, "entry": number, "at": now, **kept(self, checkpoint_in(head))}
        if error is not None:
            value["error"] = error
        others: list[Write] = [table.put(keys.ended(now, self.run), None), self.listed(status)]
        if ttl is not None:
            value["expired"] = keys.expired(expiry(ttl, table.scope.core.clock()), self.run)
            others.append(table.put(value["expired"], None))
        if self.ancestors and self.ancestors[-1].branch is not None:
            others.append(table.put(keys.hint(now, self.ancestors[-1].run, keys.CHILD + self.run), None))
        settled = self.settle(head, value, *others)
        if head is not None:
            self.forget([head], settled)


def open_journal(table: Table, run: str) -> Journal:
    """Return the journal of a run.

    Raises:
        NoSuchRunError: If there is no such run.

    Requests: 1.
    """
    start = table.read_one(keys.entry(run, 0))
    if start is None:
        raise no_such_run(table)
    return Journal(table, run, entry_of(start).value)


def begin(table: Table, run: str, start: dict[str, Any], hold: float) -> tuple[Journal, Head]:
    """Write that a run exists, and return its journal and its head.

    Raises:
        KeyExistsError: If there is or was a run with this id.

    Requests: 1 batch of 4.
    """
    journal = Journal(table, run, start)
    hint, head, put = beginning(journal, hold)
    entry = journal.put(0, {"kind": START, **start}, "input")
    is_new, *_ = table.write([entry, hint, journal.listed(RUNNING), put])
    if not is_new:  # the hint leads to that run, and goes when it is found to lead nowhere
        raise KeyExistsError("there is a run of this id; resume() goes on with it").during(
            "starting a run", table.scope.core.backend.name
        )
    return journal, head


def beginning(journal: Journal, hold: float) -> tuple[Put, Head, Put]:
    """Return the hint for a new run, its head, and the write of the head."""
    hint = journal.table.put(keys.hint(journal.table.now(hold), journal.run), None)
    value = {"status": RUNNING, "entry": journal.base, "at": hint.at, "hint": hint.key, **kept(journal, 0)}
    put = journal.put_head(None, value)
    return hint, Head(value, put.revision, put.at), put


def kept(journal: Journal, checkpoint: int) -> dict[str, Any]:
    """Return what every head of a run says: its parent and its last checkpoint, if there are any."""
    found: dict[str, Any] = {"parent": journal.ancestors[-1].run} if journal.ancestors else {}
    return {**found, "checkpoint": checkpoint} if checkpoint else found


def checkpoint_in(head: Head | None) -> int:
    """Return the number of the last checkpoint that a head knows of; 0 for none."""
    return 0 if head is None else int(head.value.get("checkpoint", 0))


def head_of(document: Document | None) -> Head | None:
    """Return the head in a record, if there is one."""
    return None if document is None else Head.of(document)


def heads_of(table: Table, runs: Iterable[str]) -> dict[str, Head | None]:
    """Return the head of each run, or ``None`` if there is none. One that is damaged is left out with a warning.

    Requests: 1 for each batch; 1 more for each head that cannot be read.
    """
    found = table.read_sound({keys.head(run): run for run in runs})
    heads: dict[str, Head | None] = {run: None for run, document in found.items() if document is None}
    there = (document for document in found.values() if document is not None)
    heads.update(made_of(there, lambda document: (keys.run_in(document.id), Head.of(document))))
    return heads


def hint_in(head: Head | None) -> str | None:
    """Return the key of the hint that leads to a run because of its lease or of a deadline."""
    return None if head is None else head.value.get("hint")


def info_of(run: str, head: Head) -> RunInfo:
    """Return what the head says of a run."""
    parent, event = head.value.get("parent"), head.event
    return RunInfo(
        keys.run_of(run),
        head.status,
        None if event is None else keys.run_of(event[1:]),
        None if head.until is None else parse_time(head.until),
        None if parent is None else keys.run_of(parent),
        head.value.get("error"),
        parse_time(head.created_at),
        head.entry,
    )


def no_such_run(table: Table) -> NoSuchRunError:
    """Return the error for a run that is not there."""
    return NoSuchRunError("there is no run with this id; start() begins one").during(
        "looking for a run", table.scope.core.backend.name
    )


def run_over(last: Entry, table: Table) -> RunOverError:
    """Return the error for a run whose last entry says that it is over."""
    return over(str(last.value.get("status", DONE))).during("going on with a run", table.scope.core.backend.name)


def contended(table: Table) -> ConflictError:
    """Return the error for a run that others have changed at each attempt."""
    return ConflictError("others change the run at each attempt; try again").during(
        "keeping a run", table.scope.core.backend.name
    )


def not_over(table: Table) -> RunOverError:
    """Return the error for a run that is to be retried and is not over."""
    return RunOverError("the run is not over; only one that failed or was cancelled is retried").during(
        "retrying a run", table.scope.core.backend.name
    )


def is_due(hint: keys.Hint, head: Head, now: str) -> bool:
    """Return whether a run may go on because of a hint; whether somebody holds it is another question."""
    if head.status == RUNNING:
        return hint.event is None
    if head.status == WAITING:
        return head.event == hint.event or (head.until is not None and head.until <= now)
    return False


def results(table: Table, runs: Iterable[str], heads: dict[str, Head]) -> dict[str, Entry]:
    """Return the last entries of runs that are over.

    Raises:
        InvalidValueError: If one was removed meanwhile.

    Requests: 1 for each batch.
    """
    places = {keys.entry(run, heads[run].entry): run for run in runs if heads[run].status in OVER}
    found = {places[key]: entry_of(document) for key, document in table.read(places).items()}
    if gone := [run for run in places.values() if run not in found]:
        raise no_child(gone[0])
    return found


def no_child(run: str) -> InvalidValueError:
    """Return the error for a run that is to be joined and is not there."""
    return InvalidValueError(f"children holds {keys.run_of(run)!r}, and there is no such run")
