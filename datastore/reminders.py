"""Which areas hold something to remove, and when: so a purge of all users costs what is due, and not what is there.

Whoever writes in one of the `datastore.ids.AREAS` what is to be removed later reminds the host of it. A reminder is a
system record of no user, with its time at the beginning of its key: those that are due are one range of ids. A second
record with the same key, among the system records of the user, leads back to it, so that `forget` removes both.

A purge looks at each area that it was reminded of, and reminds the next one as long as something is left. So one
reminder is enough for all that is written there before it is due.

With a database for each tenant there are none: a purge goes through these databases anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from datastore.adapters.batching import batches
from datastore.arguments import is_a
from datastore.backend import Delete, Document, Fields, Put, Write
from datastore.core import Core
from datastore.errors import DataStoreError
from datastore.ids import area_of, decode_key, encode_key, key_range, ordered, split_id, system_prefix
from datastore.revisions import new_revision
from datastore.scope import Scope
from datastore.times import format_time
from datastore.values import encode

_CLOCKS = 120.0
"""Seconds by which a reminder is in the future that others may rely on: a purge removes it when its time has come, and
clocks of two hosts may differ by less."""
_NOBODY = system_prefix("", "due")
_USED = "~used"
"""The key of a record that stays, after all times: there have been reminders."""
_REMEMBERED = 10_000
_AT_ONCE = 100


class Reminder(NamedTuple):
    """Of an area."""

    key: str
    area: str
    """Which of the `datastore.ids.AREAS` it is."""
    scope: Scope
    """That of the area."""


class Swept(NamedTuple):
    """What became of an area."""

    removed: int
    next: float | None
    """When to look at it again, in seconds since the epoch; ``None`` if nothing is left to remove."""


def remind(scope: Scope, at: float) -> None:
    """Remind the host of an area. To be called before what is to be removed is written.

    Args:
        scope: The scope of the area.
        at: When it is to be removed, in seconds since the epoch.

    Requests: 1, on DynamoDB 2; 0 if this process has reminded of the area for an earlier time that is yet to come.
    """
    core = scope.core.root
    if core.backend.capabilities.supports("database"):
        return
    known = core.reminders.get(scope.prefix)
    if known is not None and core.clock() + _CLOCKS < known <= at:
        return
    _write(core, _puts(scope.through(core), at))
    if len(core.reminders) >= _REMEMBERED:
        core.reminders.clear()
    core.reminders[scope.prefix] = at


def due(core: Core, later: bool = False) -> Iterator[list[Reminder]]:
    """Yield what the host is to be reminded of now, some at a time; or now and ``later``.

    Requests: 1 per page of it.
    """
    end = _USED if later else core.now() + "~"
    for documents in core.pages(key_range(_NOBODY, None, None, end), Fields.VALUE):
        yield from batches((one for document in documents if (one := _reminder(core, document)) is not None), _AT_ONCE)


def follow(core: Core, sweeps: Mapping[str, Callable[[Scope], Swept]]) -> int | None:
    """Look at each area of which the host is to be reminded now.

    Args:
        core: The core of the store.
        sweeps: What removes what is due in an area, for each kind of them. Other kinds, of which a newer version may
            have reminded, are left to that.

    Returns:
        How much was removed; ``None`` if there has never been a reminder.

    Requests: 1 per page of reminders; for each 100 of them 1 or 2 that write, on DynamoDB 2 or 4 for each; those of
    ``sweeps`` for each area. 1 more if there are none.
    """
    removed, swept = 0, dict[str, Swept]()
    for some in due(core):
        new: list[Put] = []
        reminders = [one for one in some if one.area in sweeps]
        for one in reminders:
            if one.scope.prefix not in swept:  # several processes may have reminded of it
                result = swept[one.scope.prefix] = sweeps[one.area](one.scope)
                removed += result.removed
                if result.next is not None:
                    new += _puts(one.scope, result.next)
        _write(core, new)
        now = core.now()
        old = [one for reminder in reminders for one in _deletes(reminder.scope.encoded_user, reminder.key, now)]
        _write(core, [*old, _put(core, _NOBODY, _USED, None)])
    is_used = swept or next(core.scan(key_range(_NOBODY), Fields.KEY, 1), None) is not None
    return removed if is_used else None


def forget(core: Core, encoded_user: str) -> None:
    """Remove all reminders of what a user has.

    Requests: 1 per page of them, and those that remove them.
    """
    for ids in core.all_ids(key_range(system_prefix(encoded_user, "due"))):
        keys = [decode_key(split_id(id)[1]) for id in ids]
        _write(core, [write for key in keys for write in _deletes(encoded_user, key, core.now())])
    core.reminders.clear()


def _puts(scope: Scope, at: float) -> list[Put]:
    """Return the writes of the two records of a reminder."""
    area = area_of(scope.prefix)
    key = f"{format_time(at)} {ordered(sha256(scope.prefix.encode()).digest()[:16])}"
    value = {"area": area, "userId": scope.user_id, "namespace": scope.namespace.removeprefix(f"{area}:")}
    of_the_user = system_prefix(scope.encoded_user, "due")
    return [_put(scope.core, of_the_user, key, None), _put(scope.core, _NOBODY, key, value)]


def _put(core: Core, prefix: str, key: str, value: Any) -> Put:
    id, name = prefix + encode_key(key), key
    return Put(id, "", "", name, value, encode(value, "value"), None, "", core.now(), new_revision(), None)


def _deletes(encoded_user: str, key: str, now: str) -> list[Delete]:
    encoded = encode_key(key)
    return [Delete(_NOBODY + encoded, now), Delete(system_prefix(encoded_user, "due") + encoded, now)]


def _reminder(core: Core, document: Document) -> Reminder | None:
    """Return the reminder in a document; ``None`` if it is none of this format."""
    try:
        area, user_id, namespace = (document.value[name] for name in ("area", "userId", "namespace"))
        if not is_a(area, str):
            return None
        scope = Scope(core, user_id, None, namespace).area(area)
        return Reminder(decode_key(split_id(document.id)[1]), area, scope)
    except (TypeError, LookupError, ValueError, DataStoreError):
        return None


def _write(core: Core, writes: Iterable[Write]) -> None:
    for outcome in core.write(list(writes)):
        if outcome.error is not None:
            raise outcome.error.during("noting what is to be removed later", core.backend.name)
