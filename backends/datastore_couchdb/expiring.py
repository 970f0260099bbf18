"""Which records expire. A listing of ids must know it, and must not wait for an index of everybody's writes.

CouchDB lists ids (``_all_docs``) at once, without any field of the documents. An index it first brings up to date with
what all users have written. So each record that was ever written with an expiry has a *flag*: a tiny document whose id
is the record's id and ``!``. No record has such an id, and no other id sorts between the two. A flag is written each
time that its record is, in the same request and before it. It says only: *look*. A record without a flag never expires.
A listing must find out when the others do:

- It knows it of those that this process wrote, read or listed at the same revision, which a listing includes.
- It asks the expiry index for the others, as far as the index is built. CouchDB reads the documents themselves, so what
  it finds is right.
- It reads by id what the index leaves out, or everything if there are only a few.

A flag that has outlived its record means nothing. `Backend.purge` removes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from datastore.adapters.answers import broken, member, one_each
from datastore.adapters.batching import batches
from datastore.adapters.contention import contention
from datastore.adapters.knowledge import Known, Memory
from datastore.backend import BareDocuments, Document, IdRange
from datastore.errors import DataStoreError
from datastore.ids import EVERYTHING, SYSTEM, is_any_id, is_of_one_user, is_system, scope_of
from datastore.turns import keep_newest
from datastore_couchdb.client import NAME, Session
from datastore_couchdb.fetching import fetch
from datastore_couchdb.flags import FLAG, flag_of, flag_text, is_flag, written
from datastore_couchdb.writing import bulk_docs

if TYPE_CHECKING:
    from datastore_couchdb.schema import Schema

EXPIRY_INDEX = "agent_data_store_expiry"
"""Mango index on ``[userId, namespace, expiresAt]``. It holds only the flags and the documents that expire."""

_FEW = 20
"""Up to this many records are read by id instead of asking the index, however large their values are."""
_READ = 100
_PAGE = 10_000
_BATCH = 1_000
_MOST_KNOWN = 50_000


class Expiries:
    """Knows when listed records expire."""

    def __init__(
        self,
        session: Session,
        memory: Memory,
        schema: Schema,
        is_id: Callable[[str], bool],
    ) -> None:
        self._session = session
        self._is_id = is_id
        self._memory = memory
        self._schema = schema
        self._known: dict[str, tuple[str, Any]] = {}
        """By id: CouchDB's revision, and when the record expires."""

    def listed(self, rows: Sequence[dict[str, Any]], following: str | None) -> Sequence[Document]:
        """Return the documents of the rows of a listing, with what `datastore.backend.Fields.KEY` requires.

        Args:
            rows: The rows, including those of flags.
            following: The id of the row after them, if there is one.

        Requests: 0. For records with a flag that this process does not know, 1 if they are few, and otherwise 1 or
            more. In a database whose records have no flags, 1.
        """
        ids = [row["id"] for row in rows]
        flagged = self._schema.format.flagged
        if flagged and FLAG not in "".join(ids) and not (ids and following == flag_of(ids[-1])):
            # So there are no flags, as in most namespaces. A user or namespace with this character costs time alone.
            return BareDocuments(list(dict.fromkeys(ids)))
        records, expiring, last = dict[str, str](), dict[str, str](), ""
        for row in rows:
            id = row["id"]
            if id[-1:] == FLAG and (id[:-1] == last or is_flag(id, self._is_id)):
                if id[:-1] == last:
                    expiring[last] = records[last]
            else:
                records[id] = row["value"]["rev"]
                last = id
        if last and following == flag_of(last):
            expiring[last] = records[last]
        times = self._times(expiring) if flagged else self._ask(list(records), stale=False)
        if flagged:
            # What cannot be read any more was removed since it was listed. Nothing tells whether it had expired before.
            for id in expiring.keys() - times.keys():
                del records[id]
        return BareDocuments(list(records), list(map(times.get, records)) if times else None)

    def _times(self, expiring: Mapping[str, str]) -> dict[str, Any]:
        """Return by id when records expire, except of those that are gone.

        ``expiring`` has CouchDB's revision of each that has a flag.
        """
        times, unknown = dict[str, Any](), list[str]()
        for id, rev in expiring.items():
            stored, known = self._memory.get(id), self._known.get(id)
            if known is not None and known[0] == rev:
                times[id] = known[1]
            elif isinstance(stored, Known) and stored.token == rev and not stored.damaged:
                times[id] = stored.expires_at
            else:
                unknown.append(id)
        if len(unknown) > _FEW and EXPIRY_INDEX in self._schema.indexes:
            times |= self._ask(unknown, stale=True)
            unknown = [id for id in unknown if id not in times]
        for some in batches(unknown, _READ):
            found = fetch(self._session, self._memory, some)
            for id, document in found.items():
                times[id] = document.get("expiresAt")
                self._note(id, document)
        return times

    def _ask(self, ids: Sequence[str], *, stale: bool) -> dict[str, Any]:
        """Return by id when records expire, as far as the index says; a ``stale`` one is not brought up to date."""
        if not ids:
            return {}
        wanted, user_ids = set(ids), {id.partition(":")[0] for id in ids}
        times = {}
        selector = place_of(IdRange(ids[0], ids[-1]) if len(user_ids) == 1 else EVERYTHING)
        selector["expiresAt"] = {"$gt": "0"}
        more = {"update": False} if stale else {}
        has_index = EXPIRY_INDEX in self._schema.indexes
        for document in find_all(self._session, selector, has_index, more, self._lose_index):
            if document["_id"] in wanted:
                times[document["_id"]] = document.get("expiresAt")
                self._note(document["_id"], document)
        return times

    def _lose_index(self) -> None:
        self._schema.indexes -= {EXPIRY_INDEX}

    def _note(self, id: str, document: dict[str, Any]) -> None:
        self._known[id] = (member(document, "_rev", str, NAME), document.get("expiresAt"))
        keep_newest(self._known, _MOST_KNOWN)


def place_of(range: IdRange, *, with_flags: bool = False) -> dict[str, Any]:
    """Return the beginning of a selector, for the expiry index, of every record in a range, and perhaps of some others.

    Args:
        range: The range. Its end may be in it.
        with_flags: Whether the flags of the records are wanted as well. They have no namespace there.
    """
    if not is_of_one_user(range):
        return {"userId": {"$gt": None}, "namespace": {"$gt": None}}
    user = range.start.partition(":")[0]
    if is_system(range.start):
        return {"userId": unquote(user.removesuffix(SYSTEM)), "namespace": ""}
    scope = None if with_flags else scope_of(range)
    return {"userId": unquote(user), "namespace": {"$gt": None} if scope is None else scope[1]}


def find_all(
    session: Session,
    selector: dict[str, Any],
    indexed: bool,
    more: Mapping[str, Any] | None = None,
    lost: Callable[[], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the id, both revisions and the expiry of what a selector on the fields of the expiry index finds.

    Requests: 1 per 10,000 documents.
    """
    query: dict[str, Any] = {
        "selector": selector,
        "fields": ["_id", "_rev", "revision", "expiresAt"],
        "limit": _PAGE,
        **(more or {}),
    }
    if indexed:
        query["use_index"] = [EXPIRY_INDEX, EXPIRY_INDEX]
    while True:
        documents, bookmark = session.find("_find", query, None)
        if lost is not None and bookmark is not None and bookmark.unused:
            lost()  # the answer is right all the same
        yield from documents
        if len(documents) < _PAGE:  # a limit is always given: without one, CouchDB stops at 25
            return
        if bookmark:
            query["bookmark"] = bookmark
        else:
            query["skip"] = query.get("skip", 0) + len(documents)


def flag_all(session: Session) -> None:
    """Write the flags of all records that expire.

    Requests: 1 per 10,000 of them, and 1 per 1,000.
    """
    selector = place_of(EVERYTHING) | {"expiresAt": {"$gt": "0"}}
    ids = [document["_id"] for document in find_all(session, selector, indexed=True)]
    write_flags(session, [id for id in ids if is_any_id(id)])


def write_flags(session: Session, ids: Sequence[str]) -> None:
    """Write the flags of records, unless they are there.

    Requests: 1 per 1,000.
    """
    for batch in batches(ids, _BATCH):
        written(bulk_docs(session, list(map(flag_of, batch)), list(map(flag_text, batch))))


def remove_flags(session: Session, flags: Mapping[str, str]) -> None:
    """Remove those of the given flags whose records no longer exist. ``flags`` has their revisions by id.

    A record may be created again at that moment, and find its flag still there. So the records are checked once more,
    and those that exist are flagged again.

    Requests: 1 per 1,000 flags, and 2 more per 1,000 that are removed.
    """
    for some in batches(flags, _BATCH):
        batch = {id[: -len(FLAG)]: id for id in some}
        there = _there(session, list(batch))
        gone = [flag for id, flag in batch.items() if id not in there]
        if gone:
            texts = [json.dumps({"_id": id, "_rev": flags[id], "_deleted": True}, ensure_ascii=False) for id in gone]
            try:
                bulk_docs(session, gone, texts)
            finally:  # even if the answer was lost
                _flag_again(session, [id[: -len(FLAG)] for id in gone])


def _flag_again(session: Session, ids: Sequence[str]) -> None:
    """Write the flags of those records that exist."""
    pauses = contention()
    while True:
        try:
            write_flags(session, sorted(_there(session, ids)))
        except DataStoreError as error:
            if not error.retryable or not pauses.wait():
                raise
        else:
            return


def _there(session: Session, ids: Sequence[str]) -> set[str]:
    """Return the ids of those records that exist."""
    rows = one_each(member(session.post("_all_docs", {"keys": ids}), "rows", list, NAME), len(ids), NAME)
    there = set()
    for id, row in zip(ids, rows, strict=True):
        if type(row) is not dict or not row.keys() & {"value", "error"}:
            broken(NAME, "one of its rows says nothing")
        if "value" in row and not member(row, "value", dict, NAME).get("deleted"):
            there.add(id)
    return there
