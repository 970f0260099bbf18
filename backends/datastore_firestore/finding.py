"""Finding: a plan for a query, and the pages that it finds.

A query that Firestore refuses, because an administrator has exempted a field from indexing or dropped an index, is
answered by reading the whole range: what a plan finds is checked anyway. It is said once in the log, with Firestore's
own words, and tried again after some minutes.
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
from datastore_firestore.codec import decode_native
from datastore_firestore.connection import Message, Settings
from datastore_firestore.documents import MASKS
from datastore_firestore.failures import lacks_index
from datastore_firestore.filters import Term, Test, reach, set_scalar
from datastore_firestore.indexes import Indexes
from datastore_firestore.reading import Reader

logger = logging.getLogger("datastore")

_REFUSED_SECONDS = 300.0
_MOST_REFUSED = 1_000
_RANGE, _HIDDEN = ":range:", ":hidden:"  # which part of an index's answer goes on behind here
_NAME = "__name__"


class Finder:
    """Plans and finds through one reader."""

    def __init__(self, settings: Settings, reader: Reader, indexes: Indexes) -> None:
        self._prefix = settings.prefix
        self._reader = reader
        self._indexes = indexes
        self._refused = dict[frozenset[str], float]()

    def plan(self, range: IdRange, query: Query) -> Plan | None:
        """See `datastore.backend.Finds`."""
        found = reach(query)
        terms = [] if found is None else found[0].terms()
        usable = found is not None and not self._is_refused(terms)
        # An index on one field alone is for what equality does not narrow.
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
        return Plan(found[1], found[2], native, index)

    def find(self, range: IdRange, plan: Plan, fields: Fields, limit: int, after: str | None) -> DocumentPage:
        """See `datastore.backend.Finds`."""
        on_index = not plan.in_order and (after is None or after.startswith(":"))  # as no id does
        terms = _terms(plan.native["any"]) if plan.in_order else []
        try:
            if on_index:
                return self._find_on_index(range, plan.native, fields, limit, after or _RANGE)
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
        self, range: IdRange, native: dict[str, Any], fields: Fields, limit: int, after: str
    ) -> DocumentPage:
        """Return a page of a range of an index, or of the documents that the index cannot hold."""
        if after.startswith(_HIDDEN):
            terms = _terms(native["then"]["any"])
            page = self._reader.find(range, terms, fields, limit, after.removeprefix(_HIDDEN) or None)
            return page._replace(after=page.after and _HIDDEN + page.after)
        order = native["order"][0]
        (term,) = _terms([native["all"]])
        query = self._indexes.query(term, order)
        query.limit.value = limit
        for field in (*(MASKS[fields] or ()), order) if MASKS[fields] else ():
            query.select.fields.add().field_path = field
        moment = None
        if after != _RANGE:
            seconds, nanos, value, id = json.loads(after.removeprefix(_RANGE))
            set_scalar(query.start_at.values.add(), value)
            query.start_at.values.add().reference_value = self._prefix + id
            moment = Timestamp(seconds=seconds, nanos=nanos)
        found = self._reader.page(query, fields, limit, moment)
        behind = _HIDDEN
        if found.more and found.last is not None and found.moment is not None:
            # All pages show one moment: a value that changes meanwhile moves a document in the index.
            at = found.moment.seconds, found.moment.nanos - found.moment.nanos % 1_000
            last = _value_at(found.last, order), found.last.name[len(self._prefix) :]
            behind = _RANGE + json.dumps([*at, *last])
        return DocumentPage([one for one in found.documents if range.start <= one.id < range.end], behind)

    def _is_refused(self, terms: Sequence[Term]) -> bool:
        until = self._refused.get(_fields_of(terms), 0.0)
        return time.monotonic() < until

    def _note_refused(self, plan: Plan, terms: Sequence[Term], error: DataStoreError) -> None:
        logger.warning("a find reads the whole range, for lack of an index (%s): %s", plan.index, error)
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


def _value_at(stored: Message, field: str) -> Any:
    name, *steps = FieldPath.from_api_repr(field).parts  # type: ignore[no-untyped-call, unused-ignore]
    value = stored.fields[name]
    for step in steps:
        value = value.map_value.fields[step]
    return decode_native(value)
