"""Runs in requests: what a server does for workers that have no way to the database (`datastore.remote.runs`).

A worker's program runs with the worker. What is written of it is written here, by the same `Writer` as in process: one
request is one of its acts. Each says which run it is of, the number of the last entry, and the lease of the run as it
was taken: its fencing number, and the **handle** of `datastore.calls.lending`. So nobody else adds to a run, nothing is
added but after its last entry, and who wrote an entry and when is what the server knows. As in process, a run whose
lease is over goes on until another worker has taken it.

What was added last is remembered for each lease. It saves reading it again and decides nothing: an entry is written
only if there is none of its number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from datastore.arguments import as_bool, as_int, as_text, check_text, elements, is_a, shown
from datastore.calls.lending import RUNS, Claim, Taken, end, lend, not_taken, remembered
from datastore.errors import InvalidValueError
from datastore.holding import Holding
from datastore.runs import keys
from datastore.runs.checking import check_entry, check_state
from datastore.runs.entries import (
    BRANCHED,
    CLAIM,
    EFFECT,
    FORKED,
    JOINED,
    OVER,
    WAIT,
    Entry,
    HistoryEntry,
    RunInfo,
    entry_of,
)
from datastore.runs.journal import Journal, head_of, open_journal, results
from datastore.runs.looking import history, list_runs
from datastore.runs.replaying import last_asked_for
from datastore.runs.runs import Runs, begun, resuming, seconds_of, starting, taken_over
from datastore.runs.table import Table
from datastore.runs.writer import Writer
from datastore.scope import Scope
from datastore.values import size_of

TOGETHER = 2 * 1024 * 1024
"""Bytes of entries that are told in one request; one that is larger is told alone."""
MOST_TOGETHER = 250
_BACK = 8
"""Entries that are read together, going back from the last one."""


class Opened(NamedTuple):
    """What a worker is told of a run that it holds from now on."""

    id: str
    number: int
    checkpoint: int
    """The number of the entry that the replay begins after; 0 for none."""
    start: dict[str, Any]
    """What entry 0 says."""
    lease: Taken


class _Seen(NamedTuple):
    """What is remembered of a run."""

    journal: dict[str, Any]
    """What entry 0 says."""
    number: int
    """The number of the last entry."""
    last: Entry | None = None
    """That entry, if it is one that the program asks for again."""


_seen: WeakKeyDictionary[Holding, _Seen] = WeakKeyDictionary()


# -------------------------------------------------------------------------------------------------- taking and ending


def start(
    scope: Scope, id: str | None = None, input: Any = None, ttl: float | None = None, lease: float = 30.0
) -> Opened:
    """Begin a run, and hold it.

    Requests: 3.
    """
    run, first = starting(scope, id, input, ttl, lease)
    return _opened(scope, run, lease, lambda: begun(_table(scope), run, first, seconds_of(lease)))


def resume(scope: Scope, id: str, lease: float = 30.0) -> Opened:
    """Go on with a run, and hold it.

    Requests: 9.
    """
    journal = resuming(scope, id)
    return _opened(scope, journal.run, lease, lambda: taken_over(journal, seconds_of(lease)))


def _opened(scope: Scope, run: str, lease: float, begin: Callable[[], Writer]) -> Opened:
    taken = lend(scope.area(RUNS), run, lease)
    claim = Claim(scope.namespace, run, taken.number, taken.handle, RUNS)
    try:
        writer = begin()
    except BaseException:
        end(scope, [claim._asdict()])
        raise
    _note(scope, claim, writer, None)
    return Opened(keys.run_of(run), writer.number, writer.checkpoint, writer.run.start, taken)


# ------------------------------------------------------------------------------------------ what a worker does to a run


def append(scope: Scope, id: str, fence: int, handle: str, number: int, entry: dict[str, Any]) -> None:
    """Add an entry after the last one to a run that one holds, and what follows from it.

    Args:
        scope: Whose it is.
        id: The run's id.
        fence: The fencing number of the run's lease.
        handle: What the run's lease was taken with.
        number: The number of the last entry.
        entry: The entry: a step, a claim, an effect, a branch, a fork, a checkpoint or an end.

    Requests: those of `Writing.append`. 3 more if this process has not added the last entry.
    """
    writer, claim, last = _writer(scope, id, fence, handle, number)
    kind = check_entry(entry, writer.number)
    if kind == EFFECT:
        last = last or _last_asked_for(writer)
        if last is None or last.kind != CLAIM or last.name != entry["name"]:
            raise InvalidValueError("entry is an effect that was not claimed")
    writer.append(entry, "entry")
    _note(scope, claim, writer, Entry(writer.number, {"kind": kind, "name": entry.get("name", "")}))


def wait(
    scope: Scope,
    id: str,
    fence: int,
    handle: str,
    number: int,
    name: str,
    timeout: float | None = None,
    state: dict[str, Any] | None = None,
) -> Entry:
    """Take the answer that a run waits for, or say that it waits.

    Requests: those of `Writing.wait`, and up to 4 to find out what the journal has.
    """
    event = keys.ANSWER + keys.check_run(check_text(name, "name", "give the name of what to wait for"), "name")
    seconds, changes = None if timeout is None else keys.duration(timeout, "timeout"), check_state(state)
    writer, claim, last = _writer(scope, id, fence, handle, number)
    last = last or _last_asked_for(writer)
    waits = last if last is not None and (last.kind, last.name) == (WAIT, event) else None
    found = writer.wait(as_text(name), seconds, waits, changes)
    _note(scope, claim, writer, None)
    return found


def join(
    scope: Scope,
    id: str,
    fence: int,
    handle: str,
    number: int,
    children: list[str],
    is_new: bool = True,
    state: dict[str, Any] | None = None,
) -> Entry:
    """Say that a run has joined others, or that it waits for them.

    Requests: those of `Writing.join`. 3 more if this process has not added the last entry.
    """
    runs, changes = _runs_of(children), check_state(state)
    writer, claim, _ = _writer(scope, id, fence, handle, number)
    are_over = writer.join(runs, is_new is True, changes)
    _note(scope, claim, writer, None)
    return Entry(writer.number, {"kind": WAIT if are_over is None else JOINED})


def begin_children(scope: Scope, id: str, fence: int, handle: str, number: int, at: int, first: int = 0) -> None:
    """Write the children that an entry of a run says that there are: 200, from one of them on.

    Requests: those of `Writing.begin_children`, and 1 or 2 for the entry and the head. 3 more if this process has not
    added the last entry.
    """
    writer, claim, last = _writer(scope, id, fence, handle, number)
    place, begins = _number(at, "at"), _number(first, "first")
    found = writer.journal.entry(place)
    if found is None or found.kind not in (BRANCHED, FORKED) or place > writer.number:
        raise InvalidValueError(f"at is {place}; no children begin there")
    writer.begin_children(found, begins)
    _note(scope, claim, writer, last)


# ----------------------------------------------------------------------------------------------------- what is read


def read(scope: Scope, id: str, fence: int, handle: str, after: int) -> list[Entry]:
    """Return the entries after a number, of a run that one holds: up to 250, and up to 2 MiB.

    Requests: 1 or 2. 2 more if this process has not added the last entry.
    """
    place = _number(after, "after")
    scope.core.check_writes(scope.prefix)
    claim = _claim(scope, id, fence, handle)
    holding = remembered(scope, claim) or not_taken(scope, claim)
    seen = None if holding is None else _seen.get(holding)
    journal = open_journal(_table(scope), claim.name) if seen is None else _journal(scope, claim, seen)
    found = journal.documents(place, limit=MOST_TOGETHER)
    return list(_together(map(entry_of, found)))


def ends(scope: Scope, children: list[str]) -> list[Entry]:
    """Return the last entries of the first of some runs, which are over: up to 250, and up to 2 MiB.

    Requests: 2 for each batch.
    """
    table, some = _table(scope), _runs_of(children)[:MOST_TOGETHER]
    heads = {child: head_of(one) for child, one in _heads(table, some).items()}
    over = {child: head for child, head in heads.items() if head is not None and head.status in OVER}
    found = results(table, over, over)
    if any(child not in found for child in some):
        raise InvalidValueError("children holds a run that is not over, or is not there")
    return list(_together(found[child] for child in some))


def _heads(table: Table, runs: list[str]) -> dict[str, Any]:
    found = table.read(dict.fromkeys(map(keys.head, runs)))
    return {run: found.get(keys.head(run)) for run in runs}


def _together(entries: Iterable[Entry]) -> Iterator[Entry]:
    size = 0
    for entry in islice(entries, MOST_TOGETHER):
        size += size_of(entry.value)
        if size > TOGETHER and size > size_of(entry.value):
            return
        yield entry


# ------------------------------------------------------------------------------------ what needs no worker


def _as_a_step(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def made(scope: Scope, /, *args: Any, **kwargs: Any) -> Any:
        return method(Runs(scope, _no_store), *args, **kwargs)

    return made


def _no_store(scope: Scope) -> Any:
    raise AssertionError("only a run that is held has a store")


def list_all(scope: Scope, status: str | None = None, *, limit: int | None = None) -> Iterator[RunInfo]:
    """Yield what `Runs.list` returns, one page of it in memory."""
    return list_runs(_table(scope), status, limit)


def history_of(
    scope: Scope, id: str, *, limit: int | None = None, reverse: bool = False, before: int | None = None
) -> Iterator[HistoryEntry]:
    """Yield what `Runs.history` returns, one page of it in memory."""
    journal = open_journal(_table(scope), keys.check_run(id))
    return history(journal, limit, as_bool(reverse, "reverse"), before)


OUTSIDE = {
    f"run_{name}": _as_a_step(getattr(Runs, name))
    for name in ("get", "result", "due", "signal", "cancel", "retry", "fork", "prune")
} | {"run_list": list_all, "run_history": history_of}
"""The calls of `Runs` that are one request, as a server makes them."""


# ---------------------------------------------------------------------------------------------------- what is checked


def _writer(scope: Scope, id: str, fence: int, handle: str, number: int) -> tuple[Writer, Claim, Entry | None]:
    """Return what writes the journal of a run for the worker that holds it, its lease, and what is known of the end.

    Raises:
        LeaseLostError: If another worker has taken the run or added to it, or this one has released it.
        RunOverError: If the run is over.
        NoSuchRunError: If there is no such run.
        InvalidValueError: If the journal does not go up to that number.

    Requests: 0 if this process has added the last entry for this worker; otherwise 3.
    """
    scope.core.check_writes(scope.prefix)
    claim, last = _claim(scope, id, fence, handle), _number(number, "number")
    holding = remembered(scope, claim)
    seen = None if holding is None else _seen.get(holding)
    if seen is not None and seen.number == last:
        return Writer(_journal(scope, claim, seen), last), claim, seen.last
    not_taken(scope, claim)
    journal = open_journal(_table(scope), claim.name)
    writer = Writer(journal, last)
    there = journal.last()
    if there.number < last:
        raise InvalidValueError(f"number is {last}; the journal has {there.number} entries")
    if there.number > last or there.kind == "end":
        raise writer.lost()
    return writer, claim, None


def _note(scope: Scope, claim: Claim, writer: Writer, last: Entry | None) -> None:
    if (holding := remembered(scope, claim)) is not None:
        _seen[holding] = _Seen(writer.run.start, writer.number, last)


def _last_asked_for(writer: Writer) -> Entry | None:
    """Return the last entry that a program asks for again.

    Requests: 1 for each 8 entries that it does not ask for.
    """

    def backwards() -> Iterator[Entry]:
        before = writer.number + 1
        while before > 1:
            found = writer.journal.documents(0, before, limit=_BACK, reverse=True)
            for document in islice(found, _BACK):
                entry = entry_of(document)
                before = entry.number
                yield entry
            else:
                if before == writer.number + 1:
                    return

    return last_asked_for(backwards())


def _claim(scope: Scope, id: str, fence: int, handle: str) -> Claim:
    text = check_text(handle, "handle", "give the handle that starting the run, or resuming it, has returned")
    return Claim(scope.namespace, keys.check_run(id), _number(fence, "fence"), text, RUNS)


def _number(number: int, parameter: str) -> int:
    checked = as_int(number)
    if checked is None or not 0 <= checked < keys.MOST:
        raise InvalidValueError(f"{parameter} is {shown(number)}; it must be a whole number from 0 on")
    return checked


def _runs_of(children: list[str]) -> list[str]:
    if not is_a(children, list):
        raise InvalidValueError("children must be an array of the ids of runs")
    return [keys.check_run(child, "children") for child in elements(children)]


def _journal(scope: Scope, claim: Claim, seen: _Seen) -> Journal:
    return Journal(_table(scope), claim.name, seen.journal)


def _table(scope: Scope) -> Table:
    return Table(scope.area(RUNS))
