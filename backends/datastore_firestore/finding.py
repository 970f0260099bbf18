"""Finding: a plan for a query, and the pages of its result.

Firestore refuses a query if an administrator has exempted a field from indexing or dropped an index. The query is then
answered by reading the whole range, since what a plan finds is checked anyway. The log says so once, in Firestore's own
words, and the query is tried again after some minutes.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from typing import Any

from google.cloud.firestore_v1.field_path import FieldPath
from google.protobuf.timestamp_pb2 import Timestamp

from datastore.backend import DocumentPage, Fields, IdRange, Plan, Query
from datastore.errors import DataStoreError
from datastore_firestore.client import Message, Settings
from datastore_firestore.codec import decode_native
from datastore_firestore.documents import MASKS
from datastore_firestore.failures import lacks_index
from datastore_firestore.indexes import Indexes
from datastore_firestore.queries import Term, Test, reach, set_scalar
from datastore_firestore.reading import Reader

logger = logging.getLogger("datastore")

_REFUSED_SECONDS = 300.0
_MOST_REFUSED = 1_000
_RANGE, _HIDDEN = "range", "hidden"  # the parts of an index's answer, in order
_NAME = "__name__"
_ARRAYS = "valueArrays"


class Finder:
    """Plans queries and finds documents, through one reader."""

    def __init__(self, settings: Settings, reader: Reader, indexes: Indexes) -> None:
        self._prefix = settings.prefix
        self._reader = reader
        self._indexes = indexes
        self._refused = dict[frozenset[str], float]()

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `Backend.plan`."""
        found = reach(query)
        terms = [] if found is None else found.request.terms()
        usable = found is not None and not self._is_refused(terms)
        # An index on a single field is used only if equality narrows nothing.
        ranged = self._indexes.ranged(range, query, more_than=1 if usable else 0)
        if ranged is not None:
            native = {
                "all": _plain(ranged.term),
                "order": [ranged.order, _NAME],
                "then": {"any": [_plain(ranged.hidden)], "order": [_NAME]},
            }
            return Plan(ranged.pushed, query, native, ranged.on.name, in_order=False)
        if found is None or not usable:
            return None
        native = {"any": [_plain(term) for term in terms], "order": [_NAME]}
        index = ",".join(sorted(_fields_of(terms))) + " (automatic)"
        # A filter together with the opposite order would need a composite index.
        return Plan(found.pushed, found.residual, native, index, reversible=False)

    def find(self, range: IdRange, plan: Plan, fields: Fields, limit: int, after: str | None) -> DocumentPage:
        """See `Backend.find`."""
        if range.start >= range.end:
            return DocumentPage((), None)
        on_index = not plan.in_order and (after is None or after.startswith(":"))  # an id has no colon before it
        terms = _terms(plan.native["any"]) if plan.in_order else []
        try:
            if on_index:
                return self._find_on_index(range, plan.native, fields, limit, after)
            if plan.in_order and not terms:
                return DocumentPage((), None)
            if plan.in_order and not self._is_refused(terms):
                return self._reader.find(range, terms, fields, limit, after)
        except DataStoreError as error:
            if not lacks_index(error) or (on_index and after is not None):
                raise
            self._note_refused(plan, terms, error)
        return self._reader.scan(range, fields, limit, after)

    def _find_on_index(
        self, range: IdRange, native: dict[str, Any], fields: Fields, limit: int, after: str | None
    ) -> DocumentPage:
        """Return a page of a range of an index, or of the documents that the index cannot hold."""
        # All pages show the same moment: a change in between would move a document within the index, or out of it.
        part, seconds, nanos, *place = json.loads(after.removeprefix(":")) if after else (_RANGE, 0, 0)
        moment = Timestamp(seconds=seconds, nanos=nanos) if seconds else None
        if part == _HIDDEN:
            page = self._reader.find(range, _terms(native["then"]["any"]), fields, limit, place[0], moment)
            return page._replace(after=page.after and _token(_HIDDEN, moment, page.after))
        order = native["order"][0]
        query = self._query(native, fields, limit)
        if place:
            value, id = place
            set_scalar(query.start_at.values.add(), value)
            query.start_at.values.add().reference_value = self._prefix + id
        found = self._reader.page(query, fields, limit, moment, _listed_everywhere)
        if found.more and found.last is not None:
            behind = _token(
                _RANGE, found.moment, _value_at(found.last, order), found.last.name.removeprefix(self._prefix)
            )
        else:
            behind = _token(_HIDDEN, found.moment, None)
        inside = [one for one in found.documents if range.start <= one.id < range.end]
        broken = [error for error in found.damaged if error.id is not None and range.start <= error.id < range.end]
        return DocumentPage(inside, behind, broken)

    def _query(self, native: dict[str, Any], fields: Fields, limit: int) -> Message:
        order = native["order"][0]
        (term,) = _terms([native["all"]])
        query = self._indexes.query(term, order)
        query.limit.value = limit
        mask = MASKS[fields]
        for field in () if mask is None else (*mask, order, _ARRAYS):
            query.select.fields.add().field_path = field
        return query

    def _is_refused(self, terms: Sequence[Term]) -> bool:
        until = self._refused.get(_fields_of(terms), 0.0)
        return time.monotonic() < until

    def _note_refused(self, plan: Plan, terms: Sequence[Term], error: DataStoreError) -> None:
        logger.warning("a find reads the whole range, because an index is missing (%s): %s", plan.index, error)
        if plan.in_order:
            if len(self._refused) >= _MOST_REFUSED:
                self._refused.clear()
            self._refused[_fields_of(terms)] = time.monotonic() + _REFUSED_SECONDS
        elif plan.index is not None:
            self._indexes.forget(plan.index)


def _plain(term: Term) -> list[list[Any]]:
    return [
        [field, operator, list(operand) if isinstance(operand, tuple) else operand] for field, operator, operand in term
    ]


def _terms(plain: Sequence[Sequence[Sequence[Any]]]) -> list[Term]:
    return [tuple(Test(*test) for test in term) for term in plain]


def _fields_of(terms: Sequence[Term]) -> frozenset[str]:
    return frozenset(test.field for term in terms for test in term)


def _token(part: str, moment: Message | None, *place: Any) -> str:
    """Return where an index's answer continues, with a colon before it to tell it from an id."""
    at = (0, 0) if moment is None else (moment.seconds, moment.nanos - moment.nanos % 1_000)  # whole microseconds only
    return ":" + json.dumps([part, *at, *place])


def _listed_everywhere(stored: Message) -> bool:
    """Return whether a native document has so many arrays that it is also among the hidden ones."""
    listed = stored.fields[_ARRAYS].array_value.values if _ARRAYS in stored.fields else ()
    return any(path.string_value == "" for path in listed)


def _value_at(stored: Message, field: str) -> Any:
    name, *steps = FieldPath.from_api_repr(field).parts  # type: ignore[no-untyped-call, unused-ignore]  # no types in some versions of the client
    value = stored.fields[name]
    for step in steps:
        value = value.map_value.fields[step]
    return decode_native(value)
