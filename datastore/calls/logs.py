"""Ordered logs: what was appended, with numbers from 1 on, without gaps, in one order for all who read.

Entries that are appended together are one record, which is there whole or not at all on every database. Its key is the
log's name and the number of its first entry, and it is written only if there is none. So of those who append at the
same moment one gets the number, and the others look for the next one.

A process remembers for `SECONDS` which number is next. That must not be a number that was given to an entry which was
trimmed since: a record there would be new to the database. So trimming removes only records that are older than
`GRACE`. In place of a younger one it leaves a mark, which expires after as long. The last record is always kept as a
mark: so the numbers go on when everything was trimmed.

A new record has nothing to compare the number of a lease with. So each record says in its metadata under which leases
the log was appended to so far, and whoever appends knows what the record before says: there is none between, or the
next number is taken. A holder whose lease is over finds a higher number there, or a record where it wants to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Self

from datastore.allowances import Gathered
from datastore.arguments import as_bool, as_int, check_name, shown
from datastore.backend import Delete, Document, Fields, IdRange, Put
from datastore.calls.listings import most, with_keys
from datastore.core import Core
from datastore.documents import living, skip, sound_of
from datastore.entries import MOST, Entry, Span, Stored, beginning_of, key_at, log_of, no_log, single_entries
from datastore.errors import ConflictError, DamagedRecordError, DataStoreError, InvalidValueError, QueryError, kind_of
from datastore.fences import fences_after
from datastore.frozen import NamedTuple
from datastore.ids import decode_name, encode_key, encode_name, key_range
from datastore.retry import Backoff
from datastore.scope import Bound, Scope, bounded, scope_of
from datastore.times import format_time
from datastore.values import MAX_VALUE_BYTES, encode

TOGETHER = 100
"""The most entries in one record. A read may hand over as many more than it returns."""
SECONDS = 300.0
"""How long a process relies on the next number that it remembers."""
GRACE = 3_600.0
"""For how many seconds the number of a trimmed entry stays taken. It must be longer than `SECONDS`, by more than the
clocks of two hosts differ and an append takes."""

_IDS, _BILLED_IDS = 128, 4  # how many ids are read for each log that is found, so that one request finds several
_REMEMBERED = 1_000  # logs of which a store remembers the next number
_FIRST_DELAY, _LONGEST_DELAY = 0.001, 0.1  # seconds; a competitor is done after one round trip


class LogCalls(Bound):
    """Appends to ordered logs of the namespace, and reads them. `Log` (``data_store.log(name)``) has shorter names.

    Who reads sees entries with consecutive numbers: if one is there, so are all before it that were not trimmed. A log
    needs not be created, and nobody owns it: agents of one user who use the same namespace and name have the same log.
    Its name is text of 1 to 255 bytes of UTF-8, encoded as a namespace is. No access is counted.
    """

    __slots__ = ()

    @bounded
    def log_append(self, name: str, *entries: Any) -> int:
        """Append entries to a log, in this order, with consecutive numbers.

        Up to 100 entries that take 1 MB together are stored as one: all of them or none. More are stored in several
        such parts, in order: then a failure can leave the first parts, and entries of others can be between two.

        Args:
            name: The log.
            entries: Anything JSON, each up to the limits of a value. Of several, each may be nested one level less.

        Returns:
            The number of the first one.

        Raises:
            InvalidValueError: If no entry is given, or one is not JSON; the message names the path, and nothing was
                stored.
            ValueTooLargeError: If an entry is too large; nothing was stored.
            ConflictError: If for ``max_seconds`` others always were first.
            LeaseLostError: If it is made under a lease, and a later holder of that has appended to the log.

        Requests: 1 for each part, if this process appended to the log or read its end in the last 5 minutes, and nobody
        else appended since; otherwise 1 more to look for the number, and 2 to 4 more for each time that another was
        first.
        """
        log = Place.of(self, name)
        scope = log.scope
        parts = list(_parts(scope, entries))
        scope.core.check_writes(scope.prefix)
        numbers = [_append(log, put, place) for put, place in parts]
        return numbers[0]

    @bounded
    def log_read(
        self,
        name: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        reverse: bool = False,
    ) -> list[Entry]:
        """Return entries of a log, in order, or from the last to the first.

        A record of the log that is damaged (`DamagedRecordError`) stops the read. What follows it can be read with
        ``after``.

        Args:
            name: The log.
            after: Only entries with a greater number: that of the last entry that is known already.
            before: Only entries with a smaller number.
            limit: The most entries; ``None`` for all. With ``reverse`` these are the last ones.
            reverse: From the last entry to the first.

        Returns:
            The entries, with consecutive numbers.

        Raises:
            QueryError: If ``after`` is below 0, or ``before`` or ``limit`` below 1.

        Requests: 1 per page of the database, also if there is nothing new; 1 more if the first entry that is asked for
        was trimmed, or was appended together with the one before it. With ``reverse`` and ``limit`` 1 more if fewer
        entries were appended together than those that this process saw last. With ``after`` and without ``before`` 1
        more to look for the end first, unless this process knows it: it appended or read to the end in the last 5
        minutes. Then 1 is enough if there is nothing new, or all of it was appended together.
        """
        log = Place.of(self, name)
        span = Span(_number(after, "after", 0) + 1, MOST, None if limit is None else most(limit))
        if before is not None:
            span = span._replace(high=_number(before, "before", 1))
        is_reverse = as_bool(reverse, "reverse")
        log.scope.core.check_open()
        if span.low >= span.high:
            return []
        found = _in_last(log, span) if before is None and span.low > 1 else None
        if found is None:
            return (_backward if is_reverse else _forward)(log, span)
        return (found[::-1] if is_reverse else found)[: span.limit]

    @bounded
    def log_trim(self, name: str, *, before: int) -> int:
        """Remove entries from the beginning of a log. The others keep their numbers.

        The numbers of later entries go on from where they were, even if everything was removed. If the call is
        interrupted, the log begins with one of the entries that were to be removed; then repeat it.

        Args:
            name: The log.
            before: The entry that becomes the first one; those with a smaller number are removed.

        Returns:
            How many were removed.

        Raises:
            QueryError: If ``before`` is below 1.
            ConflictError: If for ``max_seconds`` others trimmed at the same time.

        Requests: 1, and those of listing the entries and of deleting them.
        """
        return _trim(Place.of(self, name), _number(before, "before", 1))

    @bounded
    def list_logs(self, prefix: str | None = None) -> list[str]:
        """Return the names of the logs of the namespace that hold an entry, in the order of ids, as namespaces.

        Args:
            prefix: Only logs whose names begin with it.

        Requests: 1 per 100 logs, including those of which everything was trimmed, and 1 for each page of ids: of which
        there are a few, or 1 more than logs if these have more than 128 records, or 4 where reads are billed.
        """
        return _list(scope_of(self).area("logs"), prefix)


def _list(scope: Scope, prefix: str | None) -> list[str]:
    """Return the names of logs: the last record of each says whether there is an entry in the log.

    One that is damaged is left out, with a warning; what comes before it says that its log is there.
    """
    prefix = check_name("" if prefix is None else prefix, "prefix")
    last = list(_last_ids(scope, key_range(scope.prefix, encode_name(prefix, "prefix") if prefix else None)).items())
    names = list[str]()
    for start in range(0, len(last), TOGETHER):
        some = last[start : start + TOGETHER]
        found, left = sound_of([id for _, id in some], lambda ids: scope.core.read(ids, Fields.ALL))
        for beginning, id in some:
            of_log = key_range(scope.prefix, beginning)
            stored = _last_sound(scope, of_log if id in left else of_log._replace(end=id), found.get(id))
            if stored is not None and not stored.is_mark:
                names.append(decode_name(beginning[:-1]))
    return names[::-1]


def _last_ids(scope: Scope, range: IdRange) -> dict[str, str]:
    """Return the ids of the last records of logs, each after what the keys of its log begin with, and backward.

    A page of ids may hold several logs. What is left of the first of them is passed over.
    """
    core, last, size = scope.core, dict[str, str](), 0
    able = core.backend.capabilities
    at_once = _IDS if able.reads_worth_a_write == 1 else _BILLED_IDS
    after: str | None = None
    while True:
        size = min(max(size, 1) * at_once, able.scan_page)
        page = core.page(partial(core.backend.scan, range, Fields.KEY, size, after, True), Fields.KEY)
        documents, after, damaged = living(page, core.now())
        for error in damaged:
            skip(error)
        known, beginning = len(last), ""
        for key, document in with_keys(documents, len(scope.prefix)):
            try:
                beginning = log_of(key)
            except ValueError:
                skip(no_log(document.id))
            else:
                last.setdefault(beginning, document.id)
        if after is None:
            return last
        size = len(last) - known
        if beginning:
            range, after = range._replace(end=key_range(scope.prefix, beginning).start), None


def _last_sound(scope: Scope, range: IdRange, document: Document | None) -> Stored | None:
    """Return the last record of a log that is not damaged.

    Args:
        scope: That of the logs.
        range: The ids of the log, before one that is known to be damaged.
        document: The last record; ``None`` if it was found damaged, or is gone since it was listed.

    Requests: 0, or 1 for each that is damaged or gone.
    """
    while True:
        document = document or next(scope.core.scan(range, Fields.ALL, 1, reverse=True), None)
        if document is None:
            return None
        try:
            return Stored.of(document, scope.prefix)
        except DamagedRecordError as error:
            skip(error)
            range, document = range._replace(end=document.id), None


class Place(NamedTuple):
    """Where a log is."""

    scope: Scope
    """That of the logs of the namespace."""
    namespace: str
    name: str
    beginning: str
    """What its keys begin with."""

    @classmethod
    def of(cls, calls: LogCalls, name: str) -> Self:
        """Return where an agent's log is."""
        beginning = beginning_of(name)
        scope = scope_of(calls)
        return cls(scope.area("logs"), scope.namespace, decode_name(beginning[:-1]), beginning)

    def id(self, number: int) -> str:
        """Return the id of the record that begins with the entry of a number."""
        return self.scope.prefix + encode_key(key_at(self.beginning, number))

    def range(self, low: int, high: int) -> IdRange:
        """Return the ids of the records that begin with the entries from one number up to another."""
        return _range(self.scope.prefix, self.beginning, low, high)

    @property
    def known_as(self) -> str:
        """By what its end is remembered."""
        return self.scope.prefix + self.beginning


class End(NamedTuple):
    """The end of a log, as a process remembers it."""

    number: int
    """The next number."""
    at: float
    """When it was the next one, by the store's clock."""
    fences: str
    """What the log remembers of leases, as its last record says."""
    least: int
    """The fewest entries in one of the records that were looked at: so many are expected in the next ones, too. 0 if
    there was none."""


@lru_cache(256)  # nearly every read is up to the end of one of a few logs
def _range(prefix: str, beginning: str, low: int, high: int) -> IdRange:
    first, end = (prefix + encode_key(key_at(beginning, number)) for number in (low, high))
    return IdRange(first, end)


def _raise(error: DamagedRecordError) -> None:
    raise error


def _number(value: object, parameter: str, least: int) -> int:
    number = as_int(value)
    if number is None:
        raise InvalidValueError(f"{parameter} is {kind_of(value)}; it must be an int")
    if number < least:
        raise QueryError(f"{parameter} is {shown(number)}; it must be at least {least}")
    return min(number, MOST)


def _scan(
    log: Place, low: int, high: int, at_once: int | None, gathered: Gathered | None = None, *, whole: bool = False
) -> Iterator[Stored]:
    """Yield the records whose first number is from ``low`` up to ``high``: as much as entries need, or the whole."""
    core = log.scope.core
    fields = Fields.ALL if whole else _fields(core)
    first, others = core.pages_of_call(log.range(low, high), fields, None, at_once, _raise, reverse=False)
    yield from _stored_in(log, chain((first,), others), gathered)


def _stored_in(log: Place, pages: Iterable[Sequence[Document]], gathered: Gathered | None) -> Iterator[Stored]:
    scope = log.scope
    for documents in pages:
        found = documents if gathered is None else list(gathered.each(documents))
        yield from Stored.all_of(found, scope.prefix)
        scope.core.check_open()


def _pieces_backward(
    log: Place, pages: Iterable[Sequence[Document]], gathered: Gathered
) -> Iterator[list[Entry] | Stored]:
    """Yield what `_scan` yields backward; of a page that holds nothing but single entries, these."""
    scope = log.scope
    for documents in pages:
        found = list(gathered.each(documents)) if gathered.is_limited else documents
        entries = single_entries(found, scope.prefix, reverse=True) if found else None
        if entries is not None:
            yield entries
        else:
            yield from Stored.all_of(found, scope.prefix)
        scope.core.check_open()


def _pages_backward(
    log: Place, range: IdRange, limit: int | None
) -> tuple[Sequence[Document], Iterator[Sequence[Document]]]:
    """Return the records of a range backward, as `Core.pages_of_call` does.

    At first so many are read as probably hold so many entries.

    Requests: 1 per page; 1 more if the records hold fewer entries than those that were looked at before.
    """
    core = log.scope.core
    fields = _fields(core)
    end: End | None = core.root.ends.get(log.known_as)
    if limit is None or end is None or end.least < 2:
        return core.pages_of_call(range, fields, None, limit, _raise, reverse=True)
    number = -(-limit // end.least)
    first, others = core.pages_of_call(range, fields, None, number, _raise, reverse=True)
    if len(first) == number:  # else it was all, or the page of the database is full, or some have expired
        others = core.pages(range._replace(end=first[-1].id), fields, None, limit, _raise, reverse=True)
    return first, others


def _fields(core: Core) -> Fields:
    """Return how much of a record is read."""
    return Fields.ENTRY if core.backend.capabilities.entries else Fields.ALL


def _last_before(log: Place, number: int) -> Stored | None:
    """Return the record that holds the last entry before a number, and perhaps that one, too."""
    scope = log.scope
    first, others = scope.core.pages_of_call(log.range(0, number), _fields(scope.core), None, 1, _raise, reverse=True)
    for documents in chain((first,), others):
        for stored in Stored.all_of(documents, scope.prefix):
            return stored
    return None


# ------------------------------------------------------------------------------------------------------- appending


def _parts(scope: Scope, entries: Sequence[Any]) -> Iterator[tuple[Put, int]]:
    """Yield a write for each part of what is appended, without its key, and the place of the part's first entry."""
    if not entries:
        raise InvalidValueError("entries is empty; give at least one")
    moment = scope.moment()
    if len(entries) == 1:
        yield scope.put("0", entries[0], moment, if_absent=True, name="entries[0]"), 0
        return
    sizes = [len(encode(entry, f"entries[{place}]").encode()) + 1 for place, entry in enumerate(entries)]
    begin = size = 0
    for place in range(len(entries) + 1):
        full = place == len(entries) or place - begin == TOGETHER or size + sizes[place] >= MAX_VALUE_BYTES
        if full and place > begin:
            if place - begin == 1:
                yield scope.put(str(begin), entries[begin], moment, if_absent=True), begin
            else:
                count = {"count": place - begin}
                yield scope.put(str(begin), entries[begin:place], moment, count, if_absent=True, name="entries"), begin
            begin, size = place, 0
        if place < len(entries):
            size += sizes[place]


def _append(log: Place, put: Put, place: int) -> int:
    """Write a part at the next number, and return that."""
    core = log.scope.core
    count = 1 if put.metadata is None else put.metadata["count"]
    end = _end(log, -1)
    backoff = Backoff(core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
    try:
        while True:
            core.check_fences(end.fences)
            began, number = core.clock(), end.number
            if fences := fences_after(end.fences, core.fence):
                put = put._replace(metadata={**(put.metadata or {}), "fences": fences})
            if core.write_one(put._replace(id=log.id(number), key=key_at(log.beginning, number))).done:
                _learn(log, End(number + count, began, fences, _least(log, count)))
                return number
            end = _end(log, number)
            if not backoff.wait():
                raise ConflictError(f"others were first, for {core.max_seconds:g} s; try again")
    except DataStoreError as error:
        done = f" after the first {place} entries, which are stored" if place else ""
        error.operation = f"appending to log {log.name!r} of namespace {log.namespace!r}{done}"
        raise


def _end(log: Place, taken: int) -> End:
    """Return the end, whose number is after one that is taken: the one that is remembered, or one looked for."""
    known = _known(log)
    if known is not None and known.number > taken:
        return known
    return _look_for_end(log)[1]


def _look_for_end(log: Place) -> tuple[Stored | None, End]:
    """Return the last record, and the end, which is remembered."""
    began = log.scope.core.clock()
    last = _last_before(log, MOST)
    if last is None:
        return None, _learn(log, End(1, began, "", 0))
    return last, _learn(log, End(last.next, began, last.fences, _least(log, last.left)))


def _known(log: Place) -> End | None:
    """Return the end if it is remembered, and was the end a short time ago."""
    core = log.scope.core
    end: End | None = core.root.ends.get(log.known_as)
    return end if end is not None and 0 <= core.clock() - end.at < SECONDS else None


def _ends_at(log: Place, number: int) -> bool:
    """Return whether a number is remembered as the next one."""
    known = _known(log)
    return known is not None and known.number == number


def _learn(log: Place, end: End) -> End:
    """Remember the end, as it was at a time. Others may be doing the same: it need not be the latest."""
    ends = log.scope.core.root.ends
    if len(ends) >= _REMEMBERED:
        ends.clear()
    ends[log.known_as] = end
    return end


def _least(log: Place, number: int) -> int:
    """Return the fewest entries in a record, with one that holds so many."""
    known: End | None = log.scope.core.root.ends.get(log.known_as)
    return max(number if known is None or known.least == 0 else min(number, known.least), 1)


# --------------------------------------------------------------------------------------------------------- reading


# Not every database reads a listing at one moment. An entry may be missing in one, and a later one be there, because
# both were appended meanwhile. But whatever is there was written after what comes before it. So the record before a gap
# is asked for once more: if there is none, the entries were trimmed.


def _in_last(log: Place, span: Span) -> list[Entry] | None:
    """Return all entries from ``span.low`` on, if the end is looked for and its record has all of them; else ``None``.

    Who follows a log asks again and again for what is not there yet. That a listing from there is empty does not say
    so: what was there may have been trimmed. So if the end is not known, it is looked for first.
    """
    known = _known(log)
    if known is not None and known.number >= span.low:
        return None
    try:
        last, _ = _look_for_end(log)
    except DamagedRecordError:
        return None  # what comes before it can be read
    if last is None:
        return []
    return last.entries(span) if last.number <= span.low else None


def _forward(log: Place, span: Span) -> list[Entry]:
    core, gathered, limit = log.scope.core, Gathered(), span.limit
    low, began = span.low, core.clock()
    first, others = core.pages_of_call(log.range(low, span.high), _fields(core), None, limit, _raise, reverse=False)
    if first and not gathered.is_limited:
        found = single_entries(first, log.scope.prefix, reverse=False)
        if found is not None and found[0].number == low:
            more = None if limit is not None and len(found) >= limit else next(others, None)
            if more is None:  # as nearly always, this is all that was asked for
                core.check_open()
                if span.high == MOST and (limit is None or len(found) < limit):
                    _learn(log, End(low + len(found), began, "", _least(log, 1)))
                return found[:limit]
            others = chain((more,), others)
    records = _stored_in(log, chain((first,), others), gathered)
    entries: list[Entry] = []
    last: Stored | None = None

    def take(stored: Stored) -> None:
        nonlocal low, last
        if stored.trimmed:
            entries.clear()  # what was read before is being trimmed just now
        entries.extend(stored.entries(span))
        low, last = max(low, stored.next, stored.first), stored

    while low < span.high:
        begin = low
        for stored in records:
            if stored.number != low and not stored.trimmed:
                before = _last_before(log, stored.number)
                if before is None or before.next != stored.number:
                    entries.clear()
                elif before.number > low:
                    break  # it was appended meanwhile
                else:
                    take(before)
                    if low > stored.number:
                        break  # it says that this one was trimmed meanwhile, and where the log begins now
            take(stored)
            if limit is not None and len(entries) >= limit:
                return entries[:limit]
            if low != stored.next:
                break  # marks follow, up to where the log begins now
        else:
            if low == begin > 1 and not _ends_at(log, low):
                before = _last_before(log, low)
                if before is not None and before.next >= low:
                    take(before)
            if last is not None and last.next == low and span.high == MOST:
                _learn(log, End(low, began, last.fences, _least(log, last.left)))
            break
        records = _scan(log, low, span.high, limit, gathered)
    return entries[:limit]


def _backward(log: Place, span: Span) -> list[Entry]:
    core, gathered, most = log.scope.core, Gathered(), span.limit
    number, began = span.high, core.clock()
    first, others = _pages_backward(log, log.range(span.low, number), most)
    if first and not gathered.is_limited:
        found = single_entries(first, log.scope.prefix, reverse=True)
        if found is not None and (found[-1].number <= span.low or (most is not None and len(found) >= most)):
            core.check_open()  # as nearly always, this is all that was asked for
            if number == MOST:
                _learn(log, End(found[0].number + 1, began, "", 1))
            return found[:most]
    pages = chain((first,), others)
    entries: list[Entry] = []
    end: End | None = None
    is_first = True
    while True:
        for stored in _pieces_backward(log, pages, gathered):
            if isinstance(stored, list):
                if not is_first and stored[0].number != number - 1:
                    break
                if is_first and span.high == MOST:
                    end = _learn(log, End(stored[0].number + 1, began, "", 1))
                elif end is not None and end.least > 1:
                    end = _learn(log, end._replace(least=1))
                entries += stored
                number, is_first = stored[-1].number, False
                if most is not None and len(stored) >= most:
                    return entries[: span.limit]
            else:
                if not is_first and stored.next != number:
                    break
                if is_first and span.high == MOST:
                    end = _learn(log, End(stored.next, began, stored.fences, max(stored.left, 1)))
                elif end is not None and stored.left < end.least:
                    end = _learn(log, end._replace(least=max(stored.left, 1)))
                entries += reversed(stored.entries(span, most))
                number, is_first = stored.number, False
                if stored.trimmed or (span.limit is not None and len(entries) >= span.limit):
                    return entries[: span.limit]
            if span.limit is not None:
                most = span.limit - len(entries)
        if number <= span.low or (is_first and (span.low == 1 or _ends_at(log, span.low))):
            return entries
        before = _last_before(log, span.low if is_first else number)
        if before is None or not (is_first or before.next == number):
            return entries
        if before.number < span.low:
            return (entries + before.entries(span)[::-1])[: span.limit]
        first, others = _pages_backward(log, log.range(span.low, number), most)
        pages = chain((first,), others)


# -------------------------------------------------------------------------------------------------------- trimming


def _trim(log: Place, first: int) -> int:
    """Remove the entries before the one that becomes the first, and return how many there were."""
    scope = log.scope
    scope.core.check_writes(scope.prefix)
    removed, backoff = 0, Backoff(scope.core.max_seconds, _FIRST_DELAY, _LONGEST_DELAY)
    while True:
        number, is_complete = _trim_once(log, scope.core, first)
        removed += number
        if is_complete:
            return removed
        if not backoff.wait():
            raise ConflictError(f"others trimmed at the same time, for {scope.core.max_seconds:g} s; try again").during(
                _trimming(log), scope.core.backend.name
            )


def _trim_once(log: Place, core: Core, first: int) -> tuple[int, bool]:
    """Trim, and return how many entries were removed, and whether nobody else trimmed at the same time."""
    last = _last_before(log, MOST)
    if last is None:
        return 0, True
    core.check_fences(last.fences)
    first, removed, is_complete = min(first, last.next), 0, True
    batch: list[tuple[Put | Delete, int]] = []
    size = core.backend.capabilities.write_batch

    def write() -> None:
        nonlocal removed, is_complete
        for outcome, (one, number) in zip(core.write([one for one, _ in batch]), batch, strict=True):
            if outcome.error is not None:
                raise outcome.error.during(_trimming(log), core.backend.name)
            removed += number if outcome.done else 0
            is_complete = is_complete and (outcome.done or isinstance(one, Delete))
        batch.clear()

    for stored in _scan(log, 0, first, None, whole=True):
        removing = _removing(log, stored, first, last.number)
        if removing is not None:
            batch.append((removing, max(min(first, stored.next) - stored.number - stored.trimmed, 0)))
        if len(batch) >= size:
            write()
    if batch:
        write()
    return removed, is_complete


def _removing(log: Place, stored: Stored, first: int, last: int) -> Put | Delete | None:
    """Return the write that removes what is before ``first``; ``None`` if that was done already."""
    scope = log.scope
    now = scope.core.clock()
    is_last, document = stored.number == last, stored.document
    if stored.is_mark and (is_last or document.expires_at is not None):
        return None
    if stored.next <= first and not is_last and document.created_at <= format_time(now - GRACE):
        return Delete(document.id, format_time(now), seen=document.created_at)
    trimmed = max(min(first - stored.number, stored.size), stored.trimmed)  # it may have been trimmed further before
    if trimmed == stored.trimmed and not stored.is_mark:
        return None
    left = stored.values[trimmed - stored.trimmed :] if stored.size > 1 else None
    changes = {"trimmed": trimmed} | ({"first": max(first, stored.first)} if trimmed == stored.size else {})
    moment = scope.moment(GRACE if trimmed == stored.size and not is_last else None)
    return scope.put(key_at(log.beginning, stored.number), left, moment, changes)._replace(
        if_revision=document.revision
    )


def _trimming(log: Place) -> str:
    return f"trimming log {log.name!r} of namespace {log.namespace!r}"
