"""Reading: records by id, ranges by id, and how many a range holds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

from datastore import deadlines
from datastore.adapters.knowledge import Memory
from datastore.backend import BareDocuments, Document, DocumentPage, Fields, IdRange
from datastore.documents import decoded, foreign, split
from datastore.errors import DataStoreError
from datastore.ids import SYSTEM, IdLines
from datastore_redis.client import Command, Session, run
from datastore_redis.codec import CONDITIONS, NAMES, conditions_of, document_of
from datastore_redis.failures import WrongTypeError
from datastore_redis.scripts import AFTER_ID, LIVE, NAMESPACES

SCAN_PAGE = 10_000
PAGE_BYTES = 16_000_000
"""A page of a scan ends soon after this many bytes of values, so that large ones do not fill the memory."""
_FIRST = 100
"""How many records a page reads at first. By their size it then reads as many as are about a page."""
USERS_PAGE = EXPIRED_PAGE = 1_000

_Row = Sequence[bytes | None]


class Reader:
    """Reads through one session, and notes what it sees for the next writes."""

    def __init__(self, session: Session, memory: Memory) -> None:
        self._session = session
        self._memory = memory
        self._names = session.names

    def read(self, ids: Sequence[str], fields: Fields) -> dict[str, Document]:
        """See `Backend.read`.

        Requests: 1.
        """
        documents: dict[str, Document] = {}
        seen: list[tuple[str, str, str]] = []
        names = NAMES[fields]
        conditions = () if fields is Fields.KEY else CONDITIONS
        for id, row in self._rows(ids, (*names, *conditions)):
            documents[id] = decoded(id, partial(_document, (id, row), fields))
            if conditions and not isinstance(row, DataStoreError):
                seen.append(conditions_of(row[len(names) :]))
        if seen:
            self._memory.note_read(documents.values(), seen)
        return documents

    def scan(self, range: IdRange, fields: Fields, limit: int, after: str | None, *, reverse: bool) -> DocumentPage:
        """See `Backend.scan`.

        Requests: 1 for `Fields.KEY`, else 3, or 1 per 16 MB and 2; 0 for an empty range.
        """
        members = self._members(range, limit + 1, after, reverse=reverse)
        more = len(members) > limit
        bare = _bare(members[:limit] if more else members)
        if fields is not Fields.KEY:
            return self._page(bare.ids, fields, more=more)
        return DocumentPage(bare, bare.ids[-1] if more else None)

    def scan_all(self, fields: Fields, limit: int, after: str | None) -> DocumentPage:
        """See `Backend.all_documents`: in the order of the users.

        Requests: 3 per 1,000 users, and those of `scan`.
        """
        ids = list[str]()
        user = None if after is None else after.partition(":")[0]
        if user is not None:
            ids += _bare(self._members(IdRange(f"{user}:", f"{user};"), limit + 1, after, reverse=False)).ids
        while len(ids) <= limit:
            deadlines.check()
            users = self.listed(user)
            some = self._enough_of(users, limit + 1 - len(ids))
            found = (
                self._session.ask(*(self._within(f"[{user}:", f"({user};", limit + 1) for user in some)) if some else []
            )
            for members in found:
                ids += _bare(members).ids
            if some == users and len(users) < USERS_PAGE:
                break
            user = some[-1]
        return self._page(ids[:limit], fields, more=len(ids) > limit)

    def _enough_of(self, users: list[str], number: int) -> list[str]:
        """Return the first users who have as many records together, or all of them.

        Requests: 1.
        """
        sizes = self._session.ask(*(("ZCARD", self._names.ids(user)) for user in users)) if users else []
        before = itertools.accumulate(sizes, initial=0)
        return [user for user, size in zip(users, before, strict=False) if size < number]

    def users(self, limit: int, after: str | None) -> list[str]:
        """See `Backend.users`.

        Requests: 2 per 1,000 users and their system records.
        """
        found: list[str] = []
        listed = after
        while len(found) < limit:
            deadlines.check()
            users = self.listed(listed)
            there = self._session.ask(*(("EXISTS", self._names.ids(user)) for user in users)) if users else []
            for user, exists in zip(users, there, strict=True):
                if exists and not user.endswith(SYSTEM):
                    found.append(user)
            if len(users) < USERS_PAGE:
                break
            listed = users[-1]
        return found[:limit]

    def count(self, range: IdRange, at: str) -> int:
        """See `Backend.count`."""
        if range.start >= range.end:
            return 0
        keys = self._names.index(range.start.partition(":")[0])
        return int(self._session.ask(run(LIVE, keys, *range, at))[0])

    def namespaces(self, range: IdRange, at: str) -> list[str]:
        """See `Backend.namespaces`."""
        if range.start >= range.end:
            return []
        ids = self._names.ids(range.start.partition(":")[0])
        return [prefix.decode() for prefix in self._session.ask(run(NAMESPACES, [ids], *range, at))[0]]

    def with_expired(self, users: Sequence[str], at: str) -> list[str]:
        """Return those of some users of whom something has expired.

        Requests: 1; 0 for no users.
        """
        first = ("-", f"({at}\x01", "LIMIT", 0, 1)
        found = (
            self._session.ask(*(("ZRANGEBYLEX", self._names.index(user)[1], *first) for user in users)) if users else []
        )
        return [user for user, some in zip(users, found, strict=True) if some]

    def expired(self, user: str, at: str, after: str | None) -> list[str]:
        """Return up to a page of what has expired of a user: times and ids, those that follow ``after``.

        Requests: 1.
        """
        start = "-" if after is None else f"({after}"
        command = ("ZRANGEBYLEX", self._names.index(user)[1], start, f"({at}\x01", "LIMIT", 0, EXPIRED_PAGE)
        return [member.decode() for member in self._session.ask(command)[0]]

    def listed(self, after: str | None) -> list[str]:
        """Return up to a page of what ids begin with: users, perhaps without records, and `datastore.ids.SYSTEM`.

        Requests: 1.
        """
        start = "-" if after is None else f"({after}"
        page: Command = ("ZRANGEBYLEX", self._names.users, start, "+", "LIMIT", 0, USERS_PAGE)
        found, marks = self._session.ask(page, ("ZRANGE", self._names.leaving, 0, -1))
        users = [user.decode() for user in found]
        if marks:
            last = users[-1] if len(users) == USERS_PAGE else None
            leaving = {mark.decode().partition(AFTER_ID)[0] for mark in marks}
            some = {user for user in leaving if (after is None or user > after) and (last is None or user < last)}
            users = sorted(some.union(users))
        return users

    def leaving(self) -> list[str]:
        """Return the marks of users who were taken off the list (`datastore_redis.scripts.LEAVE`), each after its user.

        Requests: 1.
        """
        return [mark.decode() for mark in self._session.ask(("ZRANGE", self._names.leaving, 0, -1))[0]]

    def _members(self, range: IdRange, limit: int, after: str | None, *, reverse: bool) -> Sequence[bytes]:
        """Return ids of a range, each with its expiry if it has one.

        Requests: 1; 0 for an empty range.
        """
        start, end = f"[{range.start}", f"({range.end}"
        if after is not None and reverse and after < range.end:
            end = f"({after}"
        elif after is not None and not reverse and after >= range.start:
            start = f"({after}\x01"  # follows the id with its expiry, and comes before every longer id
        if start[1:] >= end[1:]:
            return ()
        members: list[bytes] = self._session.ask(self._within(start, end, limit, reverse=reverse))[0]
        return members

    def _within(self, start: str, end: str, limit: int, *, reverse: bool = False) -> Command:
        """Return the command for the ids between two bounds of Redis, each with its expiry if it has one."""
        ids = self._names.ids(start[1:].partition(":")[0])
        bounds: Command = ("ZREVRANGEBYLEX", ids, end, start) if reverse else ("ZRANGEBYLEX", ids, start, end)
        return *bounds, "LIMIT", 0, limit

    def _page(self, ids: Sequence[str], fields: Fields, *, more: bool) -> DocumentPage:
        """Return the page of the records with some ids, which ends earlier if they are large."""
        found: list[tuple[str, _Row | DataStoreError]] = []
        done, size, step = 0, 0, _FIRST
        while done < len(ids) and size < PAGE_BYTES:
            deadlines.check()
            some = self._rows(ids[done : done + step], NAMES[fields])
            found += some
            done += step
            size += sum(len(part) for _, row in some if not isinstance(row, DataStoreError) for part in row if part)
            step = max(1, (PAGE_BYTES - size) * min(done, len(ids)) // max(size, 1))
        behind = ids[min(done, len(ids)) - 1] if ids and (more or done < len(ids)) else None
        documents, broken = split(found, lambda one: one[0], lambda one: _document(one, fields))
        return DocumentPage(documents, behind, broken)

    def _rows(self, ids: Sequence[str], names: Sequence[str]) -> list[tuple[str, _Row | DataStoreError]]:
        """Return some fields of the records that exist, in their order.

        Requests: 1.
        """
        found: list[tuple[str, _Row | DataStoreError]] = []
        record = self._names.record
        rows = self._session.try_all([("HMGET", record(id), *names) for id in ids])
        nothing = len(names)
        for id, row in zip(ids, rows, strict=True):
            if isinstance(row, DataStoreError):
                if not isinstance(row, WrongTypeError):
                    raise row
                found.append((id, row))
            elif row.count(None) < nothing:
                found.append((id, row))
        return found


def _bare(members: Sequence[bytes]) -> BareDocuments:
    """Return the ids among the members of a sorted set, and when they expire."""
    ids = IdLines(members)
    if AFTER_ID.encode() not in ids.lines:
        return BareDocuments(ids)
    parts = [member.partition(AFTER_ID) for member in ids]
    return BareDocuments([part[0] for part in parts], [part[2] or None for part in parts])


def _document(found: tuple[str, _Row | DataStoreError], fields: Fields) -> Document:
    id, row = found
    if isinstance(row, DataStoreError):
        raise foreign(id)
    return document_of(id, row, fields)
