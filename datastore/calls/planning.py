"""How a query is answered: plan what the database can do, read what it finds, check the residual, sort and cut."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice, repeat
from typing import Any

from datastore.allowances import Gathered
from datastore.backend import BareDocuments, Document, DocumentPage, Fields, Plan, Query
from datastore.calls.ordering import KEY, fields_for, place_of
from datastore.deadlines import check
from datastore.documents import expires, fields_of, key_of, living, skip
from datastore.errors import DamagedRecordError, InvalidNameError
from datastore.ids import IdRange, decode_keys, encode_key, key_range
from datastore.queries.language import parse_query, to_document
from datastore.queries.matcher import Predicate, compile_filter
from datastore.queries.shaping import Sort, Window, parse_fields, parse_window
from datastore.queries.tree import And, Compare, Field, Filter, In, Not, asks, clauses, conjunction
from datastore.scope import Scope

__all__ = [
    "PlannedQuery",
    "compile_query",
    "count",
    "fields_for",
    "find",
    "parse_find",
    "parse_query",
    "place_of",
    "read_matching",
]
"""With the parsers, so that a call needs one import statement: each takes as long as parsing does."""

_WITH_VALUE = Fields.VALUE
_LOOK = 16  # documents between two checks of the deadline
_LAST_KEY_FIRST = (KEY, -1)
_NOT_TOLD = DocumentPage((), "there is more")
"""Stands for an answer of `Backend.find_first` that is ``None``."""
_NEXT = "!"
"""Appended to an id, it gives the beginning of what follows: it sorts before every character of base64."""


class PlannedQuery:
    """A query in one namespace, planned.

    Args:
        scope: Whose namespace it is.
        query: What is asked.
        fields: How much of each document is needed.
        range: The ids to look among.
        sort: What the documents are to be sorted by.
        after_id: Where to go on, if that is the order of keys.
    """

    def __init__(
        self,
        scope: Scope,
        query: Query,
        fields: Fields,
        range: IdRange | None = None,
        sort: Sort = (),
        after_id: str | None = None,
    ) -> None:
        self._scope = scope
        self._query = query
        self._core = scope.core
        self._range = range or key_range(scope.prefix)
        self._reverse = bool(sort) and sort[0] == _LAST_KEY_FIRST
        in_key_order = not sort or sort[0][0] == KEY
        if after_id is not None and in_key_order:
            self._go_on_after(after_id)
        self._ids: Sequence[str] | None = None
        plan = None
        is_outlined = query.outline is not None  # then it asks about values alone
        if not is_outlined and asks(query.meta) and self._range.start.startswith(scope.prefix):
            plan = _known_ids(scope, query)
        if plan is not None:
            ids = [id for id in plan.native["ids"] if self._range.start <= id < self._range.end]
            self._ids = ids[::-1] if self._reverse else ids
        else:
            plan = _plan(scope, self._range, query)
        self.plan = plan
        self.residual = residual = query if plan is None else plan.residual
        if not is_outlined and asks(query.both) and residual is not query:
            self.residual = residual = replace(residual, both=query.both)
        self.in_order = in_key_order and (plan is None or (plan.in_order and (plan.reversible or not self._reverse)))
        """Documents come in the order that is wanted; what is sorted by after the key makes no difference."""
        self.is_sorted = False
        """The database has told which of the documents come first."""
        self.read = 0
        """How many documents the database has returned."""
        self._matches = None
        if residual:
            if asks(residual.value):
                fields = max(fields, Fields.VALUE)
            if asks(residual.meta) or asks(residual.both):
                fields = Fields.ALL
            self._matches = compile_query(residual)
        self._fields = fields

    def _go_on_after(self, id: str) -> None:
        """Leave out of the range what comes up to an id."""
        start, end = self._range
        if self._reverse:
            self._range = IdRange(start, max(start, min(end, id)))
        else:
            start = max(start, id + _NEXT)
            self._range = IdRange(start, max(start, end))

    def documents(self, at_once: int | None = None) -> Iterator[Document]:
        """Yield the matching live documents; ``at_once`` is how many of those read will probably be enough."""
        core, matches = self._core, self._matches
        for documents in self._pages(at_once):
            for document in documents:
                self.read += 1
                if not self.read % _LOOK:
                    check()
                try:
                    key_of(document.id)
                except DamagedRecordError as error:
                    skip(error)
                    continue
                if matches is None or matches(document):
                    yield document
                    core.check_open()

    def _pages(self, at_once: int | None) -> Iterator[Sequence[Document]]:
        """Yield the live documents that the database finds, before the residual is checked."""
        if self._ids is not None:
            return self._read(self._ids, at_once)
        reverse = self._reverse and (self.plan is None or self.in_order)
        return self._core.pages(self._range, self._fields, None, at_once, reverse=reverse, plan=self.plan)

    def _with_keys(self, documents: Sequence[Document]) -> tuple[Sequence[Document], list[str]]:
        """Return the documents whose ids are those of records, and their keys."""
        check()
        prefix = self._scope.prefix
        ids = documents.ids if type(documents) is BareDocuments else [one.id for one in documents]
        try:
            if all(map(str.startswith, ids, repeat(prefix))):
                return documents, decode_keys(ids, len(prefix))
        except ValueError:
            pass  # the closer look finds out which one it is
        found, keys = list[Document](), list[str]()
        for one in documents:
            try:
                keys.append(key_of(one.id))
            except DamagedRecordError as error:
                skip(error)
                continue
            found.append(one)
        return found, keys

    def at_once(self, wanted: int | None) -> int | None:
        """Return how many documents to read at first for so many matching ones; ``None`` for as many as fit."""
        # With a residual nobody can know how many match: read twice as many as wanted, and more each time after that.
        return None if wanted is None else wanted * (1 + bool(self.residual))

    def count(self) -> int:
        """Return how many live documents match."""
        if self._matches is not None:
            return sum(1 for _ in self.documents())
        count = 0
        for documents in self._pages(None):
            if documents:
                count += len(self._with_keys(documents)[1])
                self._core.check_open()
        return count

    def first_keys(self, number: int | None) -> list[str]:
        """Return the keys of so many matching documents, of whichever are found first; ``None`` for all."""
        if self._matches is not None or not self.in_order:
            return [key_of(one.id) for one in islice(self.documents(self.at_once(number)), number)]
        return self.choose_with_keys(Window(limit=number))[1]

    def choose_with_keys(self, window: Window) -> tuple[Sequence[Document], list[str]]:
        """Return what `choose` does, and the keys of the documents."""
        if self._matches is not None or (not self.in_order and (window.sort or window.limit is not None)):
            chosen = self.choose(window)
            return chosen, [key_of(one.id) for one in chosen]
        documents: Sequence[Document] = ()
        keys: list[str] = []
        end, gathered = window.end, Gathered()
        for page in self._pages(end):
            self.read += len(page)
            if not page:
                continue
            some, their_keys = self._with_keys(page)
            if gathered.is_limited and type(some) is not BareDocuments:
                gathered.add(one.value for one in some[:end])
            documents, keys = ([*documents, *some], keys + their_keys) if keys else (some, their_keys)
            self._core.check_open()
            if end is not None and len(keys) >= end:
                self.read -= len(keys) - end
                break
        if not self.in_order:
            places = sorted(range(len(keys)), key=[one.id for one in documents].__getitem__)
            documents, keys = [documents[place] for place in places], [keys[place] for place in places]
        if window.skip or end is not None:
            return documents[window.skip : end], keys[window.skip : end]
        return documents, keys

    def choose(self, window: Window) -> list[Document]:
        """Return the documents of a window; of the others no more than their places is kept."""
        if self.in_order:  # no more of them than needed
            if self._matches is None:
                return list(self.choose_with_keys(window)[0])
            chosen = islice(self.documents(self.at_once(window.end)), window.skip, window.end)
            return list(Gathered().each(chosen))
        place = place_of(window.sort)
        if window.limit is None:
            return sorted(Gathered().each(self.documents()), key=place)[window.skip :]
        end = window.skip + window.limit
        first = self._first(window.sort, end)
        if first is not None:
            return heapq.nsmallest(end, Gathered().each(first), key=place)[window.skip :]
        documents = Gathered(end).each(self.documents())
        if window.skip <= window.limit:
            return heapq.nsmallest(end, documents, key=place)[window.skip :]
        # Many values are skipped: instead of keeping them in memory, read the documents of the window again.
        places = heapq.nsmallest(end, map(place, documents))[window.skip :]
        found = read_matching(self._scope, self._query, self._fields, [place[-1] for place in places])
        self.read += len(found)
        return sorted(found, key=place)

    def _first(self, sort: Sort, number: int) -> Sequence[Document] | None:
        """Return documents among which are the first ones; ``None`` if the database does not tell which they are."""
        core, fields = self._core, self._fields
        backend = core.backend
        if self._matches is not None or self._ids is not None or number > backend.capabilities.scan_page:
            return None
        at = core.now()

        def read() -> DocumentPage:
            found = backend.find_first(self._range, self._query, sort, fields, number, at)
            return _NOT_TOLD if found is None else found

        page = core.page(read, fields)
        if page.after is not None or page.damaged or len(self._with_keys(page.documents)[1]) < len(page.documents):
            return None  # others may be in the place of what is damaged
        self._core.check_open()
        self.read += len(page.documents)
        self.is_sorted = True
        return page.documents

    def explain(self, window: Window) -> dict[str, Any]:
        """Answer the query, and return how that was done, not the documents."""
        found = self.choose(window)
        plan = self.plan
        return {
            "backend": self._core.backend.name,
            "native": None if plan is None else plan.native,
            "index": None if plan is None else plan.index,
            "pushed": _shown(Query() if plan is None else plan.pushed),
            "checked_here": _shown(self.residual),
            "sorted_here": not (self.in_order or self.is_sorted),
            "documents_read": self.read,
            "documents_returned": len(found),
        }

    def _read(self, ids: Sequence[str], at_once: int | None) -> Iterator[Sequence[Document]]:
        """Yield the live documents under ids, in their order, some at a time."""
        start, size = 0, at_once or len(ids)
        while start < len(ids):
            size = min(size, self._core.backend.capabilities.read_batch)
            yield _read(self._scope, ids[start : start + size], self._fields)
            start, size = start + size, size * 8


def find(
    scope: Scope, query: Query, fields: Fields, range: IdRange, window: Window
) -> tuple[Sequence[Document], list[str]]:
    """Return the documents of a window, and their keys, in the order that is wanted."""
    if query.outline is not None and not window.sort and not window.skip:
        few = _find_few(scope, query, fields, range, window.limit)
        if few is not None:
            return few
    return PlannedQuery(scope, query, fields, range, window.sort).choose_with_keys(window)


def count(scope: Scope, query: Query, range: IdRange) -> int:
    """Return how many live documents match."""
    few = None if query.outline is None else _find_few(scope, query, Fields.KEY, range, None)
    return PlannedQuery(scope, query, Fields.KEY, range).count() if few is None else len(few[1])


def _find_few(
    scope: Scope, query: Query, fields: Fields, range: IdRange, limit: int | None
) -> tuple[Sequence[Document], list[str]] | None:
    """Return what matches a query with an outline, and the keys; ``None`` if that takes a plan (`Backend.find_few`)."""
    core, prefix = scope.core, scope.prefix
    backend = core.backend
    most = backend.capabilities.scan_page
    most = most if limit is None else min(limit, most)
    documents = core.call("listing", partial(backend.find_few, range, query, fields, most))
    if documents is None or (len(documents) == most and most != limit):
        return None
    if expires(documents):
        number = len(documents)
        documents, _, damaged = living(DocumentPage(documents, None), core.now())
        if damaged or (limit is not None and len(documents) < number):
            return None  # others may take their place
    ids = documents.ids if type(documents) is BareDocuments else [one.id for one in documents]
    try:
        if not all(map(str.startswith, ids, repeat(prefix))):
            return None
        keys = decode_keys(ids, len(prefix))
    except ValueError:
        return None
    gathered = Gathered()
    if gathered.is_limited and type(documents) is not BareDocuments:
        gathered.add(one.value for one in documents)
    check()
    core.check_open()
    return documents, keys


def parse_find(
    filter: Any, meta: Any, sort: Any, skip: int, limit: int | None, fields: Any
) -> tuple[Query, Window, Callable[[Any], Any] | None, Fields]:
    """Return what the arguments of a `find` say: the query, the window, the shape and how much of documents it needs.

    The shape is what keeps the wanted fields of a value; ``None`` keeps all.

    Raises:
        QueryError: If one of them is not valid; the message names it.
    """
    query, window = parse_query(filter, meta), parse_window(sort, skip, limit)
    shape = None if fields is None else parse_fields(fields)
    return query, window, shape, fields_for(window.sort) if window.sort else _WITH_VALUE


def compile_query(query: Query) -> Predicate:
    """Return a function that tells whether a document matches."""
    if asks(query.both):
        others, both = compile_query(Query(query.value, query.meta)), _compile_both(query.both)
        return lambda document: others(document) and both(document)
    value = compile_filter(query.value) if asks(query.value) else None
    meta = compile_filter(query.meta) if asks(query.meta) else None
    if meta is None:
        return (lambda document: True) if value is None else (lambda document: value(document.value))
    if value is None:
        return lambda document: meta(fields_of(document))
    return lambda document: value(document.value) and meta(fields_of(document))


def _compile_both(filter: Filter) -> Predicate:
    if isinstance(filter, Field):
        if not filter.path[0].startswith("$"):
            of_value = compile_filter(filter)
            return lambda document: of_value(document.value)
        of_record = compile_filter(Field((filter.path[0][1:], *filter.path[1:]), filter.condition))
        return lambda document: of_record(fields_of(document))
    if isinstance(filter, Not):
        inner = _compile_both(filter.clause)
        return lambda document: not inner(document)
    parts, every = [_compile_both(clause) for clause in filter.clauses], all if isinstance(filter, And) else any
    return lambda document: every(part(document) for part in parts)


def read_matching(scope: Scope, query: Query, fields: Fields, ids: Sequence[str]) -> list[Document]:
    """Return the live documents under ids whose current content matches."""
    matches = compile_query(query)
    fields = Fields.ALL if asks(query.meta) or asks(query.both) else max(fields, Fields.VALUE)
    return [document for document in _read(scope, ids, fields) if matches(document)]


def _read(scope: Scope, ids: Sequence[str], fields: Fields) -> Sequence[Document]:
    def read() -> list[Document]:
        return list(scope.core.read(ids, fields).values())

    return scope.core.tracker.with_pending(read) if fields is Fields.ALL else read()


def _plan(scope: Scope, range: IdRange, query: Query) -> Plan | None:
    backend, asked = scope.core.backend, query
    if query.outline is None:
        asked = Query(query.value, query.meta) if asks(query.both) else query
        if not asked:
            return None
    if "find" not in backend.capabilities.abilities:
        return None
    return scope.core.call("planning a find", partial(backend.plan, range, asked))


def _known_ids(scope: Scope, query: Query) -> Plan | None:
    """Return a plan for a query that only certain keys can match: these are read by id, without a search."""
    keys: set[str] | None = None
    asked, others = list[Filter](), list[Filter]()
    for clause in clauses(query.meta):
        match clause:
            case Field(("key",), Compare("$eq", value)):
                among = {value} if isinstance(value, str) else set()
            case Field(("key",), In(values)):
                among = {value for value in values if isinstance(value, str)}
            case _:
                others.append(clause)
                continue
        asked.append(clause)
        keys = among if keys is None else keys & among
    if keys is None:
        return None
    ids = list[str]()
    for key in keys:
        with suppress(InvalidNameError):  # no record can have this key
            ids.append(scope.prefix + encode_key(key))
    residual = replace(query, meta=conjunction(others))
    return Plan(Query(meta=conjunction(asked)), residual, {"ids": sorted(ids)})


def _shown(query: Query) -> dict[str, Any]:
    shown = {"value": query.value, "meta": query.meta, "both": query.both}
    return {name: to_document(filter) for name, filter in shown.items() if asks(filter)}
