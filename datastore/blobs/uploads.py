"""Putting a blob: part by part, then the head, which commits all of them.

Nobody sees a part before the head. If the process ends in between, the name has what it had, whole, and the mark says
which parts are to be removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Any, TypeVar

from datastore.arguments import as_number, as_seconds, check_text, is_a, shown
from datastore.backend import Delete, Document, Fields, Put
from datastore.blobs.heads import (
    PART,
    TOGETHER,
    Blob,
    Found,
    Head,
    blob_of,
    check_blob_metadata,
    check_blob_name,
    check_content_type,
    find,
    head_key,
    mark_key,
    mark_prefix,
    mark_value,
    new_version,
    part,
    part_key,
    place_of,
)
from datastore.blobs.sweeping import remove, sweep
from datastore.errors import (
    ConflictError,
    DataStoreError,
    DeadlineExceededError,
    InvalidValueError,
    PermissionDeniedError,
    QuotaExceededError,
    conflict,
    kind_of,
)
from datastore.ids import encode_key
from datastore.reminders import remind
from datastore.retry import Backoff
from datastore.scope import Bound, Scope, bind, scope_of
from datastore.times import format_time, parse_time

E = TypeVar("E", bound=DataStoreError)

GRACE = 3_600.0
"""For how many seconds a version that was replaced or deleted can still be read by whoever has it open."""
UPLOAD = 86_400.0
"""For how many seconds the parts of a version stay that has no head yet. A `put` must be done by then."""
_SLACK = 3_600.0
"""Seconds by which it must be done before: more than the clocks of two hosts differ, and than its last write takes."""
SWEEP_EVERY = 16
"""At each so many puts of one name, what is due of that name is removed."""
_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; a competitor is done after one round trip
_MOST = 1e9  # seconds: 31 years
_LATEST = 253_402_300_799.0  # the last second of the year 9999
REQUEST = TOGETHER * PART
"""Bytes that are stored at once."""


def check_grace(grace: float | timedelta) -> float:
    """Return how long a version remains readable, in seconds.

    Raises:
        InvalidValueError: If it is not a number of seconds of at least 0, or such a `timedelta`.
    """
    seconds = as_seconds(grace) if is_a(grace, timedelta) else as_number(grace)
    if seconds is None:
        raise InvalidValueError(f"grace is {kind_of(grace)}; give seconds as a number, or a timedelta")
    if not 0 <= seconds <= _MOST:
        raise InvalidValueError(f"grace is {shown(seconds)}; it must be at least 0, and at most {_MOST:,.0f}")
    return float(seconds)


def check_revision(if_revision: str | None) -> str | None:
    """Return the revision that a blob must have."""
    if if_revision is None:
        return None
    return check_text(if_revision, "if_revision", "give the revision of a Blob")


class Upload(Bound):
    """One `put` that goes on: `begin`, `write` for the content, then `finish`, or `abandon` if that cannot be.

    Making it checks what is given, and makes no request.
    """

    def __init__(
        self,
        scope: Scope,
        name: str,
        *,
        content_type: str | None,
        metadata: dict[str, Any] | None,
        ttl: float | timedelta | None,
        if_revision: str | None,
        grace: float | timedelta,
    ) -> None:
        bind(self, scope)  # what a suspended coroutine holds can be looked into
        self._name = check_blob_name(name)
        self._content_type = check_content_type(content_type)
        self._metadata = check_blob_metadata(metadata)
        self._if_revision = check_revision(if_revision)
        self._grace = check_grace(grace)
        scope.moment(ttl)  # raises what is wrong with it
        self._ttl = ttl
        self._version = new_version()
        self._whole = sha256()
        self._size = self._sent = 0
        self._waiting = bytearray()
        self._digest = ""
        self._begun = 0.0
        self._there: Found | None = None
        self._marked: str | None = None
        """The revision of the version's mark."""
        self._written: Found
        """What the last attempt to write the head would have made of it."""
        self._commits = False
        """The head may have been written: from then on nobody but a sweep may remove a part."""

    @property
    def version(self) -> str:
        """What the parts are stored under."""
        return self._version

    def begin(self, more: Mapping[str, str] = MappingProxyType({})) -> None:
        """Look at what there is, and write the mark: from here on nothing is left behind without one.

        Args:
            more: What the mark says besides.

        Requests: 2.
        """
        scope_of(self).core.check_writes(scope_of(self).prefix)
        self.look()
        self._begun = scope_of(self).core.clock()
        remind(scope_of(self), self._begun + min(self._grace or GRACE, UPLOAD))
        mark = self._mark(self._version, None, self._begun + UPLOAD, more)
        self._write([mark])
        self._marked = mark.revision

    def resume(self, mark: Document, version: str, written: int, digest: str = "") -> None:
        """Go on with what another object has begun.

        Args:
            mark: The mark that it has written.
            version: Its version.
            written: How many bytes it has stored: a multiple of `REQUEST`.
            digest: The SHA-256 of the whole content, which is not read again.
        """
        self._version, self._marked, self._digest = version, mark.revision, digest
        self._begun = parse_time(mark.value["until"]).timestamp() - UPLOAD
        self._size, self._sent = written, written // PART

    def write(self, content: bytes | bytearray | memoryview) -> None:
        """Take more of the content. It is stored as soon as there is enough for a request."""
        some = memoryview(content)
        self._whole.update(some)
        self._size += len(some)
        if self._waiting:  # a large content is stored from where it is, and small ones are joined
            missing = REQUEST - len(self._waiting)
            self._waiting += some[:missing]
            some = some[missing:]
            if len(self._waiting) < REQUEST:
                return
            self.store(self._waiting)
            self._waiting = bytearray()
        while len(some) >= REQUEST:
            self.store(some[:REQUEST])
            some = some[REQUEST:]
        self._waiting += some

    def store(self, content: bytes | bytearray | memoryview) -> None:
        """Store the next parts.

        Requests: 1.
        """
        self._write(self._parts(content))

    def finish(self) -> Blob:
        """Store what is left, and the head.

        Raises:
            ConflictError: If the blob is not at the revision that was asked for.
            DeadlineExceededError: If it has taken longer than the parts stay.
        """
        left = self._parts(self._waiting)
        backoff = Backoff(scope_of(self).core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
        while (found := self._commit(left)) is None:
            left = []
            if not self._is_marked():
                return blob_of(self._name, self._written)  # it was stored, and deleted before we were told
            if not backoff.wait():
                raise self._during(ConflictError("others put this blob at each attempt; try again"))
            self.look()
        with suppress(DataStoreError):  # the blob is stored; what follows, a later put or a purge does as well
            self._settle(found)
        return blob_of(self._name, found)

    def abandon(self) -> None:
        """Remove what was stored, unless the head may have been written. What cannot be removed now has its mark."""
        if self._marked is not None and not self._commits:
            with suppress(DataStoreError):
                self._discard()

    def _commit(self, left: list[Put]) -> Found | None:
        """Store the last parts, mark what will not be needed, and write the head; ``None`` if another was first."""
        core, now = scope_of(self).core, scope_of(self).core.clock()
        there = self._there
        writes = left[:]
        if there is not None:
            remind(scope_of(self), now + (self._grace or GRACE))  # this took long, if there is none for so early
            writes.append(self._mark(there.head.version, there.head.parts, now + self._grace))
        self._write(writes)
        if core.clock() > self._begun + UPLOAD - _SLACK:
            raise self._during(
                DeadlineExceededError(f"it took longer than {(UPLOAD - _SLACK) / 3_600:g} hours; begin again")
            )
        head = Head(
            self._version,
            self._size,
            PART,
            self._digest or self._whole.hexdigest(),
            self._content_type,
            self._metadata,
            1 if there is None else there.head.puts + 1,
        )
        put = scope_of(self).put(head_key(self._name), head.value(), scope_of(self).moment(self._ttl))
        created = put.at, put.agent
        if there is None:
            put = put._replace(if_absent=True)
        else:
            put = put._replace(if_revision=there.document.revision)
            created = there.document.created_at, there.document.created_by_agent
        self._commits = True
        try:
            outcome = core.write_one(put)
        except (PermissionDeniedError, QuotaExceededError):
            self._commits = False
            raise
        self._written = Found(head, _stored(put, created))
        if outcome.done:
            return self._written
        self._commits = False
        if self._if_revision is not None:
            raise self._during(conflict(self._if_revision, outcome.revision))
        return None

    def _settle(self, found: Found) -> None:
        """Remove the mark of what is stored now, or let it say when that expires; and now and then remove what is due.

        Only now may the mark have the time of the expiry. While no head names the version, that would be over for
        somebody who removes what is due, however soon this goes on; and it may go on before the parts are gone.
        """
        core, expires_at = scope_of(self).core, found.document.expires_at
        last: Delete | Put = Delete(self._mark_id, core.now(), self._marked, certain=True)
        if expires_at is not None:  # a head that expires leaves nobody to mark its version
            until = min(parse_time(expires_at).timestamp() + self._grace, _LATEST)
            last = self._mark(self._version, found.head.parts, until)._replace(if_revision=self._marked)
        try:
            is_ours = core.write_one(last).done
        except DataStoreError:  # an answer was lost, so it may be that somebody else has removed or replaced the mark
            is_ours = False
        if not is_ours:
            self._withdraw(found)
        if self._there is not None and (self._grace == 0 or found.head.puts % SWEEP_EVERY == 0):
            sweep(scope_of(self), mark_prefix(self._name))

    @property
    def _mark_id(self) -> str:
        return scope_of(self).prefix + encode_key(mark_key(self._name, self._version))

    def _is_marked(self) -> bool:
        """Return whether the version's mark is still our own: nobody has replaced a head of this version."""
        mark = scope_of(self).core.read_one(self._mark_id, Fields.VALUE)
        return mark is not None and mark.revision == self._marked

    def _withdraw(self, found: Found) -> None:
        """Remove the head if its parts are gone: somebody has marked this version for removal before we were told.

        If the answer to the write of the head was lost, somebody may have deleted the blob with its parts before the
        write was sent again. For the database that was then a new head. Who removes the parts may not have begun yet,
        although nothing can stop that any more. So the mark is written once more before the first part is looked for:
        if that is still there, whoever removes it finds another mark afterwards, and looks at the head again (`sweep`).
        """
        scope, head = scope_of(self), found.document
        backoff = Backoff(scope.core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
        while self._sent:
            there = scope.core.read([head.id, self._mark_id], Fields.VALUE)
            if head.id not in there or there[head.id].revision != head.revision:
                return
            mark = there.get(self._mark_id)
            if mark is None:
                break
            again = scope.put(mark_key(self._name, self._version), mark.value, scope.moment())
            if scope.core.write_one(again._replace(if_revision=mark.revision)).done or not backoff.wait():
                break
        first = scope.prefix + encode_key(part_key(self._version, 0))  # `remove` begins with it
        if self._sent and scope.core.read_one(first, Fields.KEY) is None:
            scope.core.write_one(Delete(head.id, scope.core.now(), head.revision))

    def _discard(self) -> None:
        core = scope_of(self).core
        if self._size:
            remove(scope_of(self), self._version, self._sent)
        core.write_one(Delete(self._mark_id, core.now()))

    def look(self) -> None:
        """Look at what the name has now, and whether that may be replaced."""
        self._there = find(scope_of(self), self._name)
        if self._if_revision is not None:
            revision = None if self._there is None else self._there.document.revision
            if revision != self._if_revision:
                raise self._during(conflict(self._if_revision, revision))

    def _parts(self, content: bytes | bytearray | memoryview) -> list[Put]:
        """Return the writes of the next parts."""
        moment, puts = scope_of(self).moment(), list[Put]()
        with memoryview(content) as all_of_it:
            for start in range(0, len(all_of_it), PART):
                some = bytes(all_of_it[start : start + PART])
                puts.append(part(scope_of(self), self._version, self._sent, some, moment))
                scope_of(self).stores(len(some))
                self._sent += 1
        return puts

    def _mark(
        self, version: str, parts: int | None, until: float, more: Mapping[str, str] = MappingProxyType({})
    ) -> Put:
        value = {**mark_value(self._name, version, parts, format_time(until)), **more}
        return scope_of(self).put(mark_key(self._name, version), value, scope_of(self).moment())

    def _write(self, puts: list[Put]) -> None:
        if not puts:
            return
        for outcome in scope_of(self).core.write(puts):
            if outcome.error is not None:
                raise self._during(outcome.error)

    def _during(self, error: E) -> E:
        return error.during(f"putting blob {self._name!r}{place_of(scope_of(self))}", scope_of(self).core.backend.name)


def _stored(put: Put, created: tuple[str, str]) -> Document:
    """Return the document that a write has made, with when and by whom there first was one."""
    at, agent = created
    return Document(
        put.id,
        at,
        put.revision,
        put.expires_at,
        put.value,
        created_by_agent=agent,
        updated_at=put.at,
        updated_by_agent=put.agent,
    )
