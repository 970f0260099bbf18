"""Reading a store from end to end, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import compress
from typing import NamedTuple

from datastore.backend import Document, DocumentPage, Fields
from datastore.core import Core
from datastore.documents import NO_KEY, damaged, living, name_in
from datastore.errors import DamagedRecordError, UnsupportedError
from datastore.ids import (
    EVERYTHING,
    IdRange,
    area_ranges,
    encode_name,
    home_name,
    home_of,
    is_system,
    key_range,
    names_of_all,
    namespace_prefix,
    namespace_range,
    without_system,
)
from datastore.store import DataStore

PAGE = 500
"""The most records in memory at once; adapters return fewer if the records are large."""


class LivePage(NamedTuple):
    """Some live documents, and where the next page begins."""

    documents: Sequence[Document]
    names: Sequence[tuple[str, str, str]]
    """The user id, the namespace and the key in the id of each document."""
    scanned: int
    """How many documents were looked at, including those that have expired or are filtered out."""
    expired: int
    after: str | None
    """``None`` at the end."""
    damaged: Sequence[DamagedRecordError] = ()
    """An error for each damaged document; these are not among the documents."""


def core_of(store: DataStore) -> Core:
    """Return the core that a store shares with its agents."""
    return store._core


def pages(
    store: DataStore,
    user_id: str | None = None,
    namespace: str | None = None,
    after: str | None = None,
    fields: Fields = Fields.ALL,
) -> Iterator[LivePage]:
    """Yield the live documents of a store, or those of one user or namespace, page by page.

    Accesses that are noted while this reads are not in them. They are written to this database later, and would be
    counted twice there if the documents came back to it, from a file or by way of another store.

    Args:
        store: The store; its access counts are written first.
        user_id: Only this user's documents.
        namespace: Only the documents of this namespace, of the user or of all users.
        after: Begin after this id.
        fields: How much of each document is needed.

    Raises:
        InvalidNameError: If the user id or the namespace is not valid.
        UnsupportedError: If the backend can only list one user's records, and no user is named.
    """
    core = core_of(store)
    ranges = _ranges(user_id, namespace)
    wanted = namespace if user_id is None else None
    core.flush()
    begin = 0 if after is None else next((at for at, one in enumerate(ranges) if one.start <= after < one.end), 0)
    for range in ranges[begin:]:  # those before were done; if no range has the place, nothing is left out
        read = _reader(core, range, fields)
        while True:
            found = core.page(partial(read, after=after), fields, as_stored=True)
            there = living(found, core.now())
            documents, names, nameless = _named(there.documents)
            if wanted is not None:
                which = [home_name(one.id, name[1]) == wanted for one, name in zip(documents, names, strict=True)]
                documents, names = list(compress(documents, which)), list(compress(names, which))
            scanned = len(found.documents) + len(found.damaged)
            expired = scanned - len(there.documents) - len(there.damaged)
            yield LivePage(documents, names, scanned, expired, found.after, [*there.damaged, *nameless])
            after = found.after
            if after is None:
                break


def total(store: DataStore, user_id: str | None, namespace: str | None) -> int | None:
    """Return about how many documents `pages` will look at, or ``None`` if the backend cannot say."""
    core = core_of(store)
    backend = core.backend
    if user_id is not None:
        if not backend.capabilities.supports("count"):
            return None
        ranges, now = _ranges(user_id, namespace), core.now()
        return core.call("counting", lambda: sum(backend.count(range, now) for range in ranges))
    return core.call("counting", backend.document_count)


def _named(
    documents: Sequence[Document],
) -> tuple[Sequence[Document], Sequence[tuple[str, str, str]], list[DamagedRecordError]]:
    """Return the documents that are moved with the names in their ids, and an error for each that has no such id.

    These are records, and what namespaces keep beside them (`datastore.ids.AREAS`). Other system records stay.
    """
    ids = [document.id for document in documents]
    if without_system(ids) is not ids:
        documents = [one for one in documents if not is_system(one.id) or home_of(one.id) is not None]
        ids = [document.id for document in documents]
    try:
        return documents, names_of_all(ids), []
    except ValueError:
        pass  # this is rare; only then each id is decoded by itself
    records, names, nameless = list[Document](), list[tuple[str, str, str]](), list[DamagedRecordError]()
    for document in documents:
        name = name_in(document.id)
        if name is None:
            nameless.append(damaged(document.id, NO_KEY))
        else:
            records.append(document)
            names.append(name)
    return records, names, nameless


_ALL = (EVERYTHING,)


def _ranges(user_id: str | None, namespace: str | None) -> Sequence[IdRange]:
    """Return the ranges of the records that are meant, and of what lies beside them."""
    encoded = None if namespace is None else encode_name(namespace, "namespace")
    if user_id is None:
        return _ALL
    user = encode_name(user_id, "user_id")
    records = namespace_range(user, None) if encoded is None else key_range(namespace_prefix(user, encoded))
    return [records, *area_ranges(records)]


def _reader(core: Core, range: IdRange, fields: Fields) -> Callable[..., DocumentPage]:
    backend = core.backend
    core.check_open()
    limit = PAGE if fields is Fields.ALL else backend.capabilities.scan_page
    if range is not EVERYTHING:
        return partial(backend.scan, range, fields, min(limit, backend.capabilities.scan_page))
    if not backend.capabilities.supports("all_documents"):
        raise UnsupportedError("this adapter cannot list the records of all users; name one user", backend=backend.name)
    return partial(backend.all_documents, fields, min(limit, backend.capabilities.scan_page))
