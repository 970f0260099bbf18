"""Pages of matching records, in any order, and the cursors between them.

In the order of keys, a page is read from where the previous one ended; so it is in an order in which the database sorts
(`Backend.find_first`). In any other, the whole namespace must be
read to know which records come first. So the first page also remembers the places of the records after it
(`datastore.places`), and the following pages read their records by id. A cursor works without that memory, too: if
nothing is remembered any more, or not in this process, the namespace is read again, and the page begins after the
cursor's place. A record that nobody writes meanwhile is then neither left out nor returned twice.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from datastore.allowances import Gathered
from datastore.arguments import as_text, is_a, shown
from datastore.backend import Document, Fields, Query
from datastore.calls.listings import Page
from datastore.calls.planning import PlannedQuery, place_of, read_matching
from datastore.errors import QueryError, kind_of
from datastore.ids import IdRange, decode_key
from datastore.late import Late
from datastore.places import BYTES, SECONDS, Ahead, Place, size_of
from datastore.queries.ordering import Descending, is_key
from datastore.queries.shaping import Sort, Window
from datastore.scope import Scope
from datastore.values import decode, encode

if TYPE_CHECKING:
    from datastore import record
    from datastore.record import Record
else:
    record = Late("datastore.record")  # importing Pydantic takes long

_Placed: TypeAlias = tuple[Place, Document]
_place: Callable[[Any], Place] = itemgetter(0)


def page(
    scope: Scope,
    query: Query,
    window: Window,
    range: IdRange,
    cursor: str | None,
    shape: Callable[[Any], Any] | None = None,
) -> Page:
    """Return one page of records that match, and the cursor after it.

    Args:
        scope: Whose namespace it is.
        query: What is asked.
        window: In which order, how many, and how many to leave out before the first page.
        range: The ids to look among.
        cursor: What the page before returned.
        shape: What to leave of each value.
    """
    order = _Order(scope, query, window.sort, range)
    if cursor is None:
        found, ahead = order.read(None, "", window.limit, window.skip)
    else:
        found, ahead = order.read(*_resume(scope, window.sort, cursor, order.of), window.limit)
    if window.limit is None or len(found) <= window.limit:
        return Page(_records(found, shape), None)
    found = found[: window.limit]
    behind = _cursor(scope, found[-1][0], "" if ahead is None else ahead.token, order.of)
    return Page(_records(found, shape), behind)


def _records(found: Iterable[_Placed], shape: Callable[[Any], Any] | None) -> list[Record]:
    documents = (document for _, document in found)
    if shape is not None:
        documents = (document._replace(value=shape(document.value)) for document in documents)
    return [record.to_record(document) for document in documents]


class _Order:
    """The matching records of a namespace, in some order."""

    def __init__(self, scope: Scope, query: Query, sort: Sort, range: IdRange) -> None:
        self._scope = scope
        self._query = query
        self._sort = sort
        self._range = range
        self._place = place_of(sort)

    @cached_property  # without a cursor, making it takes as long as finding the records
    def of(self) -> str:
        """What a cursor must belong to: the same for the same question alone."""
        asked = f"{self._range}\n{self._sort}\n{self._query!r}"
        return blake2b(asked.encode(), digest_size=16).hexdigest()

    def read(
        self, after: Place | None, token: str, limit: int | None, skip: int = 0
    ) -> tuple[list[_Placed], Ahead | None]:
        """Return the records after a place, one more than the limit if there are as many, and what comes next.

        ``skip`` is how many to leave out at the very beginning, where there is no ``after``.
        """
        places, now = self._scope.core.places, self._scope.core.clock()
        known = places.recall(token, self.of, now) if token and limit is not None else None
        found: list[_Placed] = []
        if known is not None and after is not None and limit is not None:
            found, ahead, after = self._read_known(known, after, limit + 1)
            if len(found) > limit:
                if ahead is not known:
                    places.remember(ahead)
                return found, ahead
            if ahead.horizon is None:
                return found, None
        after_id = None if after is None else after[-1]
        planned = PlannedQuery(self._scope, self._query, Fields.ALL, self._range, self._sort, after_id)
        if planned.in_order:
            least = None if limit is None else skip + limit + 1 - len(found)
            in_order = islice(planned.documents(planned.at_once(least)), skip, least)
            return [*found, *((self._place(one), one) for one in Gathered().each(in_order))], None
        first = None if limit is None else planned.first(self._sort, skip + limit + 1 - len(found), after)
        if first is not None:
            placed = [(self._place(one), one) for one in Gathered().each(first)]
            placed = sorted([one for one in placed if after is None or one[0] > after], key=_place)
            return [*found, *placed[skip:]], None
        gathered = Gathered(inf if limit is None else skip + limit + 1)
        documents: Iterable[_Placed] = ((self._place(one), one) for one in gathered.each(planned.documents()))
        if after is not None:
            behind = after
            documents = (one for one in documents if one[0] > behind)
        if limit is None:
            return _distinct(sorted(documents, key=_place))[skip:], None
        nearest = _Nearest(skip + limit + 1 - len(found))
        for place, document in documents:
            nearest.add(place, document)
        found += nearest.found()[skip:]
        if len(found) <= limit:
            return found, None
        upcoming = [place for place, _ in found[limit:]] + nearest.upcoming()
        ahead = Ahead(os.urandom(16).hex(), self.of, now + SECONDS, upcoming, nearest.horizon)
        places.remember(ahead)
        return found, ahead

    def _read_known(self, ahead: Ahead, after: Place, most: int) -> tuple[list[_Placed], Ahead, Place]:
        """Return the current records of known places, these places, and the last place that was read.

        A record that has moved meanwhile is returned in its new place, and one that no longer matches is left out.
        """
        places, horizon = list(ahead.places), ahead.horizon
        position = bisect_right(places, after)
        found: list[_Placed] = []
        moved = False
        while len(found) < most and position < len(places):
            chunk = places[position : position + most - len(found)]
            position += len(chunk)
            known, last = {place[-1]: place for place in chunk}, chunk[-1]
            here = []
            for document in read_matching(self._scope, self._query, Fields.ALL, list(known)):
                place = self._place(document)
                if place != known[document.id]:
                    if place <= after or (horizon is not None and place >= horizon):
                        continue  # its new place was passed already, or is found when the namespace is read again
                    insort(places, place)
                    moved = True
                    position += place <= last
                if place <= last:
                    here.append((place, document))
            found += sorted(here, key=_place)
            after = last
        if moved:
            ahead = ahead._replace(token=os.urandom(16).hex(), places=places)
        return found, ahead, after


class _Nearest:
    """Collects documents in any order; keeps the first ones, and as many of the places after them as fit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = most + most // 4 + 16  # some spare room, so that sorting is seldom needed
        self._found: list[_Placed] = []
        self._border: Place | None = None
        """A document at or after this place is not among the first ones."""
        self._places: list[Place] = []
        self._size = 0
        self.horizon: Place | None = None
        """The first place that is not kept."""

    def add(self, place: Place, document: Document) -> None:
        """Take one more document."""
        if self._border is not None and place >= self._border:
            self._note(place)
            return
        self._found.append((place, document))
        if len(self._found) == self._room:
            self._cut()

    def found(self) -> list[_Placed]:
        """Return the first documents, in order."""
        self._cut()
        return self._found

    def upcoming(self) -> list[Place]:
        """Return the places after those of `found`, up to the horizon."""
        self._trim(BYTES)
        return self._places

    def _cut(self) -> None:
        self._found.sort(key=_place)
        self._found = _distinct(self._found)
        for place, _ in self._found[self._most :]:
            self._note(place)
        if len(self._found) >= self._most:
            del self._found[self._most :]
            self._border = self._found[-1][0]

    def _note(self, place: Place) -> None:
        if self.horizon is not None and place >= self.horizon:
            return
        self._places.append(place)
        self._size += size_of(place)
        if self._size > 2 * BYTES:
            self._trim(BYTES)

    def _trim(self, size: int) -> None:
        self._places.sort()
        self._size = 0
        for number, place in enumerate(self._places):
            self._size += size_of(place)
            if self._size > size:
                self.horizon = place
                del self._places[number:]
                return


def _distinct(found: list[_Placed]) -> list[_Placed]:
    """Return documents in order, each once: an index may return one again that has changed while it was read."""
    by_id = dict[str, _Placed]()
    for one in found:
        by_id.setdefault(one[1].id, one)
    return list(by_id.values())


def _cursor(scope: Scope, last: Place, token: str, of: str) -> str:
    keys = [key.key if isinstance(key, Descending) else key for key in last[:-1]]
    state = encode([keys, last[-1][len(scope.prefix) :], token], "cursor", 2_000_000)
    return f"{urlsafe_b64encode(state.encode()).decode()}.{of}"


def _resume(scope: Scope, sort: Sort, cursor: str, of: str) -> tuple[Place, str]:
    """Return the place after which a page begins, and the token of its remembered order."""
    if not is_a(cursor, str):
        raise QueryError(f"cursor is {kind_of(cursor)}; give what find_records() returned")
    state, _, known = as_text(cursor).rpartition(".")
    try:
        if known != of:
            raise ValueError("it comes from another query")
        given, encoded, token = decode(urlsafe_b64decode(state).decode())
        keys = [_tuples(key) for key in given]
        if len(keys) != len(sort) or not all(map(is_key, keys)) or not isinstance(token, str):
            raise ValueError("it says nothing about a place in this order")
        decode_key(encoded)  # raises an error if no key has this id
    except (ValueError, TypeError, AttributeError, RecursionError, Base64Error):
        raise QueryError(f"cursor {shown(as_text(cursor))} does not come from this query in this namespace") from None
    placed = [Descending(key) if direction < 0 else key for key, (_, direction) in zip(keys, sort, strict=True)]
    return (*placed, scope.prefix + encoded), token


def _tuples(key: Any) -> Any:
    return tuple(map(_tuples, key)) if isinstance(key, list) else key
