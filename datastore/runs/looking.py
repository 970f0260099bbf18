"""What can be known of runs without working on them: which there are, which may go on, what their journals say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from datastore.arguments import as_int, as_text, is_a, shown
from datastore.backend import Fields
from datastore.calls.leases import are_held
from datastore.calls.listings import most
from datastore.documents import made_of, skip
from datastore.errors import DataStoreError, InvalidValueError, PermissionDeniedError, kind_of
from datastore.runs import keys
from datastore.runs.entries import RUNNING, STATUSES, HistoryEntry, RunInfo, told
from datastore.runs.journal import Head, Journal, heads_of, info_of, is_due
from datastore.runs.table import Table

T = TypeVar("T")

GRACE = 3_600.0
"""Seconds after which a record is removed that leads to a run for nothing: whoever wrote it has written long ago what
it is for."""
_AT_ONCE = 250
"""Hints, or runs of a status, that are read and checked together."""


def check_limit(limit: int | None) -> int | None:
    """Return the most that a caller wants: see `datastore.calls.listings.most`."""
    return None if limit is None else most(limit)


def history(journal: Journal, limit: int | None, reverse: bool, before: int | None) -> Iterator[HistoryEntry]:
    """Yield what `Runs.history` returns, one page of the journal in memory."""
    limit = check_limit(limit)
    end = None if before is None else as_int(before)
    if before is not None and end is None:
        raise InvalidValueError(f"before is {kind_of(before)}; it must be the number of an entry")
    found = journal.documents(0, end, limit=limit, reverse=reverse, fields=Fields.ALL)
    return map(told, islice(found, limit))


def list_runs(table: Table, status: str | None, limit: int | None) -> Iterator[RunInfo]:
    """Yield what `Runs.list` returns, one page of the runs in memory."""
    limit = check_limit(limit)
    wanted = as_text(status) if is_a(status, str) else None
    if status is not None and wanted not in STATUSES:
        raise InvalidValueError(f"status is {shown(status)}; it must be one of {', '.join(map(repr, STATUSES))}")
    if wanted is None:
        found = table.scan(keys.heads(), at_once=limit, on_damaged=skip)
        return islice(made_of(found, lambda one: info_of(keys.run_in(one.id), Head.of(one))), limit)
    return _of_status(table, wanted, limit)


def _of_status(table: Table, status: str, limit: int | None) -> Iterator[RunInfo]:
    """Yield the runs of a status. Whoever changes it lists the run first, and takes it off the other list last."""
    old, left = table.now(-GRACE), limit
    at_once = _AT_ONCE if limit is None else min(limit, _AT_ONCE)
    listed = table.scan(keys.all_listed(status), at_once=limit, on_damaged=skip)
    for some in _batches(made_of(listed, lambda one: (keys.run_in(one.id), str(one.value))), at_once):
        heads = heads_of(table, (run for run, _ in some))
        found = [info_of(run, head) for run, head in heads.items() if head is not None and head.status == status]
        gone = {run for run, head in heads.items() if head is None or head.status != status}
        if stale := [keys.listed(status, run) for run, since in some if run in gone and since < old]:
            _forget(table, stale)
        yield from found[:left]
        if left is not None:
            left -= len(found)
            if left <= 0:
                return


def due(table: Table, limit: int | None) -> list[str]:
    """See `Runs.due`."""
    limit = check_limit(limit)
    now, old = table.now(), table.now(-GRACE)
    found = dict[str, None]()
    stale: list[str] = []
    for some in _batches(_hints(table, now)):
        heads = heads_of(table, dict.fromkeys(hint.run for hint in some))
        waiting = {hint.run for hint in some if (head := heads.get(hint.run)) is not None and is_due(hint, head, now)}
        running = [run for run in waiting if heads[run].status == RUNNING]  # type: ignore[union-attr]  # they have heads
        held = are_held(table.scope, running) if running else set()
        for hint in some:
            if hint.run in waiting and hint.run not in held:
                found[hint.run] = None
            elif hint.time < old and hint.run in heads:  # a head that is damaged may be mended
                head = heads[hint.run]
                if head is None or not is_due(hint, head, now):
                    stale.append(keys.hint(*hint))
        if limit is not None and len(found) >= limit:
            break
    if stale:
        _forget(table, stale)
    return [keys.run_of(run) for run in islice(found, limit)]


def _hints(table: Table, now: str) -> Iterator[keys.Hint]:
    found = table.scan(keys.hints(now), Fields.KEY, on_damaged=skip)
    return made_of(found, lambda one: keys.hint_of(one.id))


def _batches(records: Iterable[T], size: int = _AT_ONCE) -> Iterator[Sequence[T]]:
    rest = iter(records)
    while some := list(islice(rest, size)):
        yield some


def _forget(table: Table, stale: Sequence[str]) -> None:
    try:
        table.write(table.delete(key) for key in stale)
    except PermissionDeniedError:
        pass  # an agent that may only read is told all the same
    except DataStoreError as error:
        if not error.retryable:
            raise
