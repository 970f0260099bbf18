"""What can be known of runs without working on them: which there are, which may go on, what their journals say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from datastore.arguments import as_int, as_text, is_a, shown
from datastore.backend import Fields
from datastore.calls.leases import are_held
from datastore.calls.listings import most
from datastore.errors import DataStoreError, InvalidValueError, PermissionDeniedError, kind_of
from datastore.runs import keys
from datastore.runs.entries import RUNNING, STATUSES, HistoryEntry, RunInfo, told
from datastore.runs.journal import Head, Journal, head_of, info_of, is_due
from datastore.runs.table import Table

GRACE = 3_600.0
"""Seconds after which a hint is removed that leads to nothing: whoever wrote it has written long ago what it is for."""
_AT_ONCE = 250
"""Hints that are read and checked together."""


def check_limit(limit: int | None) -> int | None:
    """Return the most that a caller wants: see `datastore.calls.listings.most`."""
    return None if limit is None else most(limit)


def history(journal: Journal, limit: int | None, reverse: bool, before: int | None) -> list[HistoryEntry]:
    """See `Runs.history`."""
    limit = check_limit(limit)
    end = None if before is None else as_int(before)
    if before is not None and end is None:
        raise InvalidValueError(f"before is {kind_of(before)}; it must be the number of an entry")
    found = journal.documents(0, end, limit=limit, reverse=reverse, fields=Fields.ALL)
    return [told(document) for document in islice(found, limit)]


def list_runs(table: Table, status: str | None, limit: int | None) -> list[RunInfo]:
    """See `Runs.list`."""
    limit = check_limit(limit)
    wanted = as_text(status) if is_a(status, str) else None
    if status is not None and wanted not in STATUSES:
        raise InvalidValueError(f"status is {shown(status)}; it must be one of {', '.join(map(repr, STATUSES))}")
    at_once = limit if wanted is None else None
    found = table.scan(keys.heads(), limit=at_once)
    infos = (info_of(keys.key_of(one.id)[2:], Head(one.value, one.revision, one.created_at)) for one in found)
    return list(islice((one for one in infos if wanted in (None, one.status)), limit))


def due(table: Table, limit: int | None) -> list[str]:
    """See `Runs.due`."""
    limit = check_limit(limit)
    now, old = table.now(), table.now(-GRACE)
    found = dict[str, None]()
    stale: list[str] = []
    for some in _batches(_hints(table, now)):
        found_heads = table.read(dict.fromkeys(keys.head(hint.run) for hint in some))
        heads = {hint.run: head_of(found_heads.get(keys.head(hint.run))) for hint in some}
        waiting = {hint.run for hint in some if (head := heads.get(hint.run)) is not None and is_due(hint, head, now)}
        running = [run for run in waiting if heads[run].status == RUNNING]  # type: ignore[union-attr]  # they have heads
        held = are_held(table.scope, running) if running else set()
        for hint in some:
            head = heads.get(hint.run)
            if hint.run in waiting and hint.run not in held:
                found[hint.run] = None
            elif hint.time < old and (head is None or not is_due(hint, head, now)):
                stale.append(keys.hint(*hint))
        if limit is not None and len(found) >= limit:
            break
    if stale:
        _forget(table, stale)
    return [keys.run_of(run) for run in islice(found, limit)]


def _hints(table: Table, now: str) -> Iterator[keys.Hint]:
    return (keys.hint_of(keys.key_of(one.id)) for one in table.scan(keys.hints(now), Fields.KEY))


def _batches(hints: Iterable[keys.Hint]) -> Iterator[Sequence[keys.Hint]]:
    rest = iter(hints)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def _forget(table: Table, stale: Sequence[str]) -> None:
    try:
        table.write(table.delete(key) for key in stale)
    except PermissionDeniedError:
        pass  # an agent that may only read is told all the same
    except DataStoreError as error:
        if not error.retryable:
            raise
