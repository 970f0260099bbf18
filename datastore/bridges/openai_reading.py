"""What a session of the OpenAI Agents SDK holds, read from its log backward. `openai_sessions` says what is in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from time import monotonic
from typing import NamedTuple, Self

from datastore import AsyncLog, Entry
from datastore.bridges.given import ago, unknown_format
from datastore.bridges.large import all_held

FORMAT = 1  # as `last_items` matches it
_FIRST_PAGE, _GROWTH = 1_000, 4  # entries that are read at first if all are wanted, and how many times as many then
_TO_POP = 4  # so many are read to pop one: two are needed, and two more if another one was popped just before
_SOON = 1.0  # seconds after a pop in which probably nobody else has written to the session


class Popped(NamedTuple):
    """What a session knows after it has popped an item, for when it pops the next one."""

    number: int
    """Of the entry that says so."""
    left: int
    """The number of the entry that has the last item of those that were left."""
    left_at: datetime
    """When that was added."""
    until: float
    """Until when this is likely to be of use, by `time.monotonic`."""

    @classmethod
    def now(cls, number: int, left: Entry) -> Self:
        """Return what is known just now, by the number of the pop and the last entry that it has left."""
        return cls(number, left.number, left.at, monotonic() + _SOON)


async def top_items(log: AsyncLog, ttl: timedelta | None, popped: Popped | None) -> tuple[list[Entry], int]:
    """Return the entries of the last item and of the one before it, from the last one on, and the last number.

    If it is known what the last pop has left, the end of the log is not read again. Whether somebody has written since
    is told by the number that the next pop gets. But the item is read again: it may have been cleared or pruned, which
    takes no number.

    Args:
        log: That of the session.
        ttl: For how long an item is remembered.
        popped: What is known; ``None`` if nothing is.
    """
    if popped is not None and monotonic() < popped.until:
        found = await log.read(before=popped.left + 1, limit=2, reverse=True)
        if (
            found
            and found[0].number == popped.left
            and found[0].at == popped.left_at  # else the log was removed as a whole, and has begun again
            and all_held(found, "item", FORMAT)
            and (ttl is None or (len(found) > 1 and min(found[0].at, found[1].at) >= ago(ttl)))
        ):
            return found, popped.number
    return await last_items(log, ttl, 2, at_once=_TO_POP)


async def last_items(
    log: AsyncLog, ttl: timedelta | None, want: int | None, *, before: int | None = None, at_once: int | None = None
) -> tuple[list[Entry], int]:
    """Return the entries of the last items that a session holds, from the last one on, and the last number.

    Args:
        log: That of the session.
        ttl: For how long an item is remembered.
        want: How many items; ``None`` for all.
        before: Only what was so before the entry of this number.
        at_once: How many entries to read at first; ``None`` for as many as are wanted.
    """
    oldest = None if ttl is None else ago(ttl)
    found: list[Entry] = []
    popped = newest = 0
    page = at_once or want or _FIRST_PAGE
    more = 1
    while True:
        entries = await log.read(before=before, limit=page, reverse=True)
        newest = max(newest, entries[0].number) if entries else newest
        plain = bool(entries) and not popped and oldest is None and all_held(entries, "item", FORMAT)
        if plain:  # as nearly always
            found += entries if want is None else entries[: want - len(found)]
            before = entries[-1].number
        for entry in () if plain else entries:
            if before is not None and entry.number >= before:
                continue  # a pop has led past it
            before = entry.number
            if oldest is not None and entry.at < oldest:
                return found, newest
            match entry.value:
                case {"format": 1, "item": _} | {"format": 1, "blob": _}:
                    if not popped:
                        found.append(entry)
                    popped = max(popped - 1, 0)
                case {"format": 1, "pop": {"seen": seen, "rest": int(rest)}} if seen == before - 1 and rest <= seen:
                    before = rest + 1
                case {"format": 1, "pop": _}:
                    popped += 1
                case _:
                    raise unknown_format(f"entry {entry.number} of log {log.name!r}", FORMAT)
            if len(found) == want:
                break
        if len(found) == want or len(entries) < page or before is None or before <= 1:
            return found, newest
        more *= _GROWTH  # what was popped may lie among the next ones, too
        page = page * _GROWTH if want is None else want - len(found) + popped + more
