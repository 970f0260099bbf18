"""Finding documents by their contents: which index to ask, what to ask it, and how to go from page to page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from datastore.adapters.choosing import choose
from datastore.adapters.pushdown import Piece, push
from datastore.backend import Document, DocumentPage, Fields, IdRange, Plan, Query
from datastore.documents import split
from datastore.ids import after_namespace, scope_of
from datastore.queries.tree import Field
from datastore_couchdb.client import Session
from datastore_couchdb.codec import document_of, value_of
from datastore_couchdb.indexes import DeclaredIndex
from datastore_couchdb.queries import Mango, Part, Selector, every, meta_part, value_part
from datastore_couchdb.schema import NAMESPACE_INDEX

_ALL = 2**31 - 1
_MANGO = Mango()
_FIELDS = {
    Fields.KEY: ["_id", "expiresAt"],
    Fields.VALUE: ["_id", "createdAt", "revision", "expiresAt", "value", "valueJson", "valueExact"],
}


def plan(range: IdRange, query: Query, indexes: frozenset[str], declared: Mapping[str, DeclaredIndex]) -> Plan | None:
    """Return how to answer a query; ``None`` if reading the range is as good.

    That is so where both ends of the range lie within the namespace and no declared index fits: by `NAMESPACE_INDEX`
    CouchDB would look at all documents of the namespace, although it would hand over only those of the range.

    The store checks every document again: CouchDB's equality of text differs from the store's, and CouchDB looks
    neither into arrays nor into what is stored as text.

    Args:
        range: The range to search.
        query: What is asked for.
        indexes: The names of the indexes made at startup that exist.
        declared: The declared indexes, by name.
    """
    scope = scope_of(range)
    if scope is None:
        return None
    user, namespace = scope
    place, narrowed = _place(range, user, namespace)
    where = Part(place, False)
    found = push(query, _MANGO, tuple)
    if found is None:
        return None
    value, meta = value_part(found.pieces), meta_part(found.pieces)
    chosen = choose(declared.values(), namespace, lambda index: index.answer(query.value))
    if chosen is not None:
        index, ranges = chosen
        others = [part for piece in found.pieces if not _is_on(piece, index) and (part := value_part([piece]))]
        queries = [_ask(index.name, [where, Part(one, True), *others, meta]) for one in ranges]
        queries.append(_ask(index.rest, [where, index.rest_part(), value, meta]))
        return Plan(found.pushed, found.residual, queries, index.name, in_order=False)
    parts = [part for part in (value, meta) if part is not None]
    if narrowed or NAMESPACE_INDEX not in indexes or not any(part.narrows for part in parts):
        return None
    return Plan(found.pushed, found.residual, [_ask(NAMESPACE_INDEX, [where, *parts])], NAMESPACE_INDEX)


def find(
    session: Session,
    path: str,
    range: IdRange,
    plan: Plan,
    fields: Fields,
    limit: int,
    after: str | None,
    bytes: int,
    unused: set[str] | None = None,
    *,
    reverse: bool = False,
) -> DocumentPage:
    """Return a page of the documents that a plan finds.

    Args:
        session: The session to ask with.
        path: Where to send the query.
        range: The range whose documents are returned.
        plan: What to ask for.
        fields: How much of each document.
        limit: The most documents.
        after: Where the previous page ended.
        bytes: A page ends at about this size even if it holds fewer documents.
        unused: Receives the names of indexes that the server no longer has and so has not used.
        reverse: Whether the last ids come first.

    Raises:
        BackendUnusableError: If ``reverse`` is set and the server no longer has the index: a
            `client.MissingIndexError`.

    Requests: 1; 2 where a page exceeds the amount of data.
    """
    position = _position(after)
    most = min(limit, position.most or limit)
    query = {**plan.native[position.query], "limit": most}
    if fields in _FIELDS:
        query["fields"] = _FIELDS[fields]
    if reverse:  # ids decide between equals, and go the same way
        query["sort"] = [{"userId": "desc"}, {"namespace": "desc"}]
    if position.bookmark:
        query["bookmark"] = position.bookmark
    found, bookmark = session.find(path, query, bytes)
    if unused is not None and bookmark is not None and bookmark.unused:
        unused.add(query["use_index"][0])
        # What was found is right. Only `explain` shows which index a plan uses; for every other reader a plan is
        # immutable.
        object.__setattr__(plan, "index", None)
    larger = position.most and 2 * most
    if bookmark is None:
        # The answer was left before its end, and only its end says where to go on. So the documents are asked for
        # again.
        most = query["limit"] = max(len(found), 1)
        larger = 2 * most
        found, bookmark = session.find(path, query, None)
    if len(found) == most and not bookmark:
        # PouchDB Server has no bookmarks. It has gone through everything already, so ask it for all documents.
        query["limit"] = _ALL
        found, _ = session.find(path, query, None)
    if reverse and not bookmark:
        found.sort(key=itemgetter("_id"), reverse=True)  # nor does it promise in which order equals come
    inside = [one for one in found if range.start <= one["_id"] < range.end]
    documents, broken = split(inside, itemgetter("_id"), _DECODERS[fields])
    if bookmark and len(found) == most:
        behind = _Position(position.query, larger, found[-1]["_id"], bookmark)
        return DocumentPage(documents, _text(behind), broken)
    last = position.query + 1 == len(plan.native)
    return DocumentPage(documents, None if last else _text(_Position(position.query + 1, larger, "", "")), broken)


def last_id(after: str | None) -> str | None:
    """Return the id of the document that was found last before a page; ``None`` if it is the first page."""
    return _position(after).last or None


def _place(range: IdRange, user: str, namespace: str) -> tuple[Selector, bool]:
    """Return what finds the documents of a range, and whether both its ends are within the namespace."""
    place: Selector = {"userId": {"$eq": user}, "namespace": {"$eq": namespace}}
    prefix = range.start[: range.start.rindex(":") + 1]
    ends: list[Selector] = []
    if range.start != prefix:
        ends.append({"$gte": range.start})
    if range.end != after_namespace(prefix):
        ends.append({"$lt": range.end})
    if ends:
        # CouchDB compares ids by their bytes when it looks at a document. But it compares two ends with each other as
        # people sort words, and may think the range empty; it does not look for one in an `$or`.
        place["_id"] = ends[0]
        if len(ends) > 1:
            place["$or"] = [{"_id": ends[1]}]
    return place, len(ends) > 1


class _Position(NamedTuple):
    """Where a page begins."""

    query: int
    """Which of the plan's queries."""
    most: int
    """How many documents a page may hold because of their size; 0 if they are small as far as is known."""
    last: str
    """The id of the document before the page."""
    bookmark: str


def _position(after: str | None) -> _Position:
    if after is None:
        return _Position(0, 0, "", "")
    query, most, length, text = after.split(":", 3)
    return _Position(int(query), int(most), text[: int(length)], text[int(length) :])


def _text(position: _Position) -> str:
    return f"{position.query}:{position.most}:{len(position.last)}:{position.last}{position.bookmark}"


def _id_of(document: dict[str, Any]) -> Document:
    return Document(document["_id"], "", "", document.get("expiresAt"))


_DECODERS = {Fields.KEY: _id_of, Fields.VALUE: value_of, Fields.ALL: document_of}


def _ask(index: str, parts: Sequence[Part | None]) -> dict[str, Any]:
    together = every([part for part in parts if part is not None])
    return {"selector": {} if together is None else together.selector, "use_index": [index, index]}


def _is_on(piece: Piece[Part], index: DeclaredIndex) -> bool:
    """Return whether an index covers what a piece asks for."""
    return isinstance(piece.filter, Field) and piece.filter.path in index.fields
