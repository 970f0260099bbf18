"""Removing versions of blobs that nobody needs: replaced, deleted, expired, or never completed.

A mark says that a version is to be removed from a time on, unless the head of its name still says that it is the one.
A version that no head names is never named again: only its own `put` could do that, which has a day for it. Its mark
says so until the head is written, also if the blob expires earlier: that a head is about to be written is seen nowhere
else.

There is one exception. If the answer to the write of a head was lost, it is sent again, and somebody may have deleted
the blob in between. Then a head names a version whose parts are being removed. The `put` writes the mark anew when it
finds out (`Upload._withdraw`), and looks for the first part after that. So either it sees that parts are gone, or their
removal ends with a mark that is another one; the head is looked at again then, and removed.

Whoever removes the parts may be killed, or lose the database, before that. Then a head names a version whose parts are
gone, or some of them, and there is a mark that is due: reading it is an error until the next sweep. So a sweep does not
believe the head alone. It waits an hour for whoever may be removing parts at this moment, and looks whether they are
all there. If not, nobody can read the blob any more, and its head is removed before what is left of it.

A `put` that replaces a version writes its mark anew, with a later time, before it writes the head. Whoever removes
versions must not go by the earlier time. So first the marks are read, then the heads, and then the marks once more: if
a head no longer names a version and its mark is still the same, its time is that of the `put` that replaced it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import NamedTuple

from datastore.adapters.batching import batches
from datastore.backend import Delete, Document, Fields, IdRange
from datastore.blobs.heads import FORMAT, MARK, Found, Head, data_prefix, find_all, head_key, part_key, place_of
from datastore.documents import is_time, sound_of
from datastore.errors import PermissionDeniedError
from datastore.ids import after_namespace, area_range, decode_prefix, encode_key, home_of, key_range
from datastore.reminders import Swept
from datastore.scope import Scope
from datastore.times import format_time, parse_time

_AT_ONCE = 100
_AGAIN = 3_600.0  # seconds
_BELIEVED = 10_000
"""Parts that are removed because a mark says that there are so many: 2.6 GB."""


class _Mark(NamedTuple):
    id: str
    revision: str
    name: str
    version: str
    parts: int | None
    until: str


def sweep(scope: Scope, prefix: str = MARK) -> Swept:
    """Remove the versions that are due.

    Args:
        scope: The scope of the area.
        prefix: What the keys of their marks begin with.

    Requests: 1 per page of marks; for each 100 that are due 2, and for each version those of `remove` and 1. 1 or 2
    more if somebody else has written or removed its mark meanwhile; 1, or on DynamoDB a few, if a delete or a put that
    was interrupted has left the mark of a version that is still in use.
    """
    removed, later = 0, list[str]()
    for some in _due(scope, prefix, later):
        heads = _heads(scope, some)
        again = scope.core.read([mark.id for mark in some], Fields.VALUE)
        for mark in some:
            there = again.get(mark.id)
            if there is None or there.revision != mark.revision or mark.name not in heads:
                later += [] if there is None else [_soon(scope)]
                continue
            found = heads[mark.name]
            if found is not None and found.head.version == mark.version and not _has_expired(scope, found):
                if (time := _when_to_look(scope, mark)) is not None:
                    later.append(time)
                    continue
                if mark.parts is None or _is_whole(scope, found.head):
                    if found.document.expires_at is None:
                        scope.core.write_one(Delete(mark.id, scope.core.now(), mark.revision))
                    else:  # its head will expire, and then it is due
                        later.append(max(_soon(scope), found.document.expires_at))
                    continue
                if not _remove_head(scope, found):  # somebody has replaced it
                    later.append(_soon(scope))
                    continue
            remove(scope, mark.version, mark.parts)
            removed += 1
            outcome = scope.core.write_one(Delete(mark.id, scope.core.now(), mark.revision))
            if not outcome.done:
                _withdraw(scope, mark)
                later += [] if outcome.revision is None else [_soon(scope)]
    return Swept(removed, parse_time(min(later)).timestamp() if later else None)


def _withdraw(scope: Scope, mark: _Mark) -> None:
    """Remove the head of a version whose parts were removed, if it was written once more meanwhile."""
    found = _heads(scope, [mark]).get(mark.name)
    if found is not None and found.head.version == mark.version:
        _remove_head(scope, found)


def _when_to_look(scope: Scope, mark: _Mark) -> str | None:
    """Return when to look at a due mark whose version a head names; ``None`` for now.

    The mark that a `put` writes first says nothing of the number of parts. It leads to a blob that was stored: the put
    was killed before it could remove the mark, and nobody has deleted or replaced the blob, which writes another one.
    """
    now, time = scope.core.clock(), parse_time(mark.until).timestamp() + _AGAIN
    return None if mark.parts is None or time <= now else format_time(time)


def _is_whole(scope: Scope, head: Head) -> bool:
    """Return whether no part of a version has been removed: of those that `remove` begins with, none is missing.

    Requests: those of `datastore.AgentDataStore.get_many` for up to 100 keys.
    """
    numbers = range(min(head.parts, _AT_ONCE))
    ids = [scope.prefix + encode_key(part_key(head.version, number)) for number in numbers]
    return len(scope.core.read(ids, Fields.KEY)) == len(ids)


def _remove_head(scope: Scope, found: Found) -> bool:
    """Remove a head, and return whether it was still there as it was found."""
    document = found.document
    # As of when it was written: a delete as of now takes an expired document for none.
    return scope.core.write_one(Delete(document.id, document.updated_at, document.revision)).done


def _has_expired(scope: Scope, found: Found) -> bool:
    """Return whether a blob has expired. Its head is removed then, before its parts.

    By the clock of another host it may be there still: that host is to find nothing, and not a blob without its parts.
    """
    document = found.document
    if document.expires_at is None or document.expires_at > scope.core.now():
        return False
    return _remove_head(scope, found)


def remove(scope: Scope, version: str, parts: int | None) -> None:
    """Remove the parts of a version, some at a time: a gigabyte in one transaction would hold up all others for long.

    Args:
        scope: The scope of the area.
        version: The version, which no head names.
        parts: How many there are. Where that is not known, or they are so many that somebody may have written any
            number there, they are listed, which a database may bill by their size.

    Raises:
        DataStoreError: If some could not be removed.

    Requests: those of `datastore.AgentDataStore.delete_many` for each 100 parts.
    """
    core = scope.core
    if parts is not None and 0 <= parts <= _BELIEVED:
        ids: Iterable[str] = (scope.prefix + encode_key(part_key(version, number)) for number in range(parts))
    else:
        ids = chain.from_iterable(core.all_ids(key_range(scope.prefix, data_prefix(version))))
    for some in batches(ids, _AT_ONCE):
        for outcome in core.write([Delete(id, core.now()) for id in some]):
            if outcome.error is not None:
                raise outcome.error.during(f"removing a blob{place_of(scope)}", core.backend.name)


def waiting(scope: Scope) -> int:
    """Return how many versions are due. Nothing is removed.

    Requests: 1 per page of marks, and for each 100 that are due 1.
    """
    number = 0
    for some in _due(scope, MARK, []):
        heads = _heads(scope, some)
        for mark in some:
            found = heads.get(mark.name)
            number += mark.name in heads and (
                found is None
                or found.head.version != mark.version
                or (found.document.expires_at is not None and found.document.expires_at <= scope.core.now())
            )
    return number


def areas(user: Scope, area: str) -> Iterator[Scope]:
    """Yield the scope of each area of a user that holds something.

    Args:
        user: A scope of the user; its grants count.
        area: Which of the `datastore.ids.AREAS`.

    Requests: 1 more than there are such namespaces.
    """
    range = area_range(user.encoded_user, area)
    while (document := next(user.core.root.scan(range, Fields.KEY, 1), None)) is not None:
        home = home_of(document.id)
        if home is not None:
            scope = user.within(decode_prefix(home[:-1])[1])
            with suppress(PermissionDeniedError):
                scope.core.check_writes(scope.prefix)
                yield scope.area(area)
        range = IdRange(after_namespace(document.id), range.end)


def _due(scope: Scope, prefix: str, later: list[str]) -> Iterator[Sequence[_Mark]]:
    """Yield the marks that are due, some at a time.

    Args:
        scope: The scope of the area.
        prefix: What their keys begin with.
        later: Takes the times of the others.
    """
    now = scope.core.now()
    for documents in scope.core.pages(key_range(scope.prefix, prefix), Fields.VALUE):
        marks = [mark for document in documents if (mark := _mark(document)) is not None]
        if not all(mark.until <= now for mark in marks):
            later.append(min(mark.until for mark in marks if mark.until > now))
        yield from batches((mark for mark in marks if mark.until <= now), _AT_ONCE)


def _soon(scope: Scope) -> str:
    """Return when to look again at a mark that is due and cannot be removed yet."""
    return format_time(scope.core.clock() + _AGAIN)


def _mark(document: Document) -> _Mark | None:
    """Return the mark in a document; ``None`` if it is not one of this format."""
    value = document.value
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return None
    name, version, parts, until = (value.get(one) for one in ("name", "version", "parts", "until"))
    if not (isinstance(name, str) and isinstance(version, str) and isinstance(until, str) and is_time(until)):
        return None
    return _Mark(document.id, document.revision, name, version, parts if isinstance(parts, int) else None, until)


def _heads(scope: Scope, marks: Sequence[_Mark]) -> dict[str, Found | None]:
    """Return the head of each name, also one that has expired, or ``None``. A name with a damaged head is left out."""
    names = {scope.prefix + encode_key(head_key(mark.name)): mark.name for mark in marks}
    found, left = sound_of(names, partial(find_all, scope, expired=True))
    return {names[id]: found.get(id) for id in left}
