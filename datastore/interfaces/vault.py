"""The document vault: objects in named collections, each with its key as ``_id``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast, overload

from datastore.arguments import as_dict, as_text, check_name, elements, is_a, is_mapping, shown
from datastore.errors import DataStoreError, InvalidValueError, QueryError, kind_of
from datastore.interfaces.records import Records, change
from datastore.queries.language import LOGIC
from datastore.queries.shaping import FieldsArgument, SortArgument, choices
from datastore.queries.updates import compile_update
from datastore.scope import OfOneProcess
from datastore.values import MAX_DEPTH

ID = "_id"
"""The field that holds a document's key in results. It is never stored in the document."""
_KEY = "$key"
"""What `AgentDataStore.find` calls the key, in filters and sorts."""
_NO_COLLECTION = "health"  # a collection and a key for reading one record, which need not exist


class Vault(OfOneProcess):
    """Documents of one user in named collections. From ``data_store.vault``; see ``docs/vault.md``.

    A collection is a namespace of the user, and exists as long as it holds a document. A document is a JSON object. Its
    key is stored beside it, and results show it as ``_id``. Calls raise what those of `AgentDataStore` raise, all
    before any I/O: `InvalidNameError` for a collection or key that is not valid (an empty key is an error, and never
    means everything), `InvalidValueError` for something that is not a document, `QueryError` for a wrong filter.
    Requests are those of the calls that it uses; on SQLite each is one statement.
    """

    __slots__ = ("_backend", "_records")

    def __init__(self, records: Records, backend: str) -> None:
        self._records = records
        self._backend = backend

    def store(self, collection: str, data: Mapping[str, Any], key: str | None = None) -> str:
        """Store a document. It replaces the one under its key, if there is one.

        If two callers change a document in this way at the same time, the last one wins; `update` loses nobody's
        change.

        Args:
            collection: The collection.
            data: The document. A field ``_id`` is not stored: it is the key, unless ``key`` names another one. So a
                document that was retrieved can be stored back as it is.
            key: The key; without one, and without ``_id``, a new one is made: ``<collection>_`` and 128 random bits in
                hex.

        Returns:
            The key.

        Raises:
            InvalidValueError: If ``data`` is not a dict, or something in it is not JSON.

        Requests: those of ``AgentDataStore.set``, or 1 for a new key.
        """
        document = as_dict(data, lambda: InvalidValueError(f"data is {kind_of(data)}; a document is a dict"))
        records = self._records.use_namespace(collection)
        its_key = document.pop(ID, _NOTHING)
        if key is None and its_key is _NOTHING:
            key = f"{records.namespace}_{os.urandom(16).hex()}"
            records.add(key, document)
        else:
            key = check_name(its_key if key is None else key, "key")
            records.set(key, document)
        return key

    @overload
    def retrieve(self, collection: str, key: str) -> dict[str, Any] | None: ...

    @overload
    def retrieve(self, collection: str, key: None = None) -> list[dict[str, Any]]: ...

    def retrieve(self, collection: str, key: str | None = None) -> dict[str, Any] | list[dict[str, Any]] | None:
        """Return the document under a key, or ``None``; without a key all documents, sorted by key.

        It counts an access for each document that is returned.

        Args:
            collection: The collection.
            key: The key; ``None`` for all documents.

        Returns:
            A document, or ``None``, or a list of documents.

        Raises:
            InvalidValueError: If other code has stored something under the key that is not a document.

        Requests: 1; without a key 1 per page of the database.
        """
        records = self._records.use_namespace(collection)
        if key is None:
            return [_document(records.namespace, key, value) for key, value in records.get_all().items()]
        key = check_name(key, "key")
        value = records.get(key, _NOTHING)
        return None if value is _NOTHING else _document(records.namespace, key, value)

    def query(
        self,
        collection: str,
        filter: Mapping[str, Any] | None = None,
        *,
        sort: SortArgument = None,
        limit: int | None = None,
        skip: int = 0,
        fields: FieldsArgument = None,
    ) -> list[dict[str, Any]]:
        """Return the documents that match a filter, and count an access for each.

        Args:
            collection: The collection.
            filter: As `AgentDataStore.find`, such as ``{"tenant": "Jon", "items.price": {"$lt": 10}}``; ``_id``
                stands for the key, also within ``$and``, ``$or`` and ``$nor``. ``None`` for all documents.
            sort: As `AgentDataStore.find`; ``_id`` stands for the key, and ``"-_id"`` is short for the last key first.
                Ties, and without a sort all documents, come in the order of the keys.
            limit: The most documents to return; ``None`` for all.
            skip: How many to leave out at the beginning.
            fields: Which fields to return: a list of paths to keep, or a dict of paths to 1 (keep) or 0 (leave out).
                ``_id`` is returned unless ``{"_id": 0}`` is given.

        Returns:
            The documents, in order.

        Requests: 1 per page of the database. If ``_id`` must be equal to a key, or in a list of keys, those of
        ``AgentDataStore.get_many``: no other document is looked at.
        """
        wanted, with_id = _without_id(fields)
        asked, order = _with_keys(filter), _sort_by_key(sort)
        records = self._records.use_namespace(collection)
        with _naming_keys():
            found = records.find(asked, sort=order, limit=limit, skip=skip, fields=wanted)
        documents = (_document(records.namespace, key, value) for key, value in found.items())
        return list(documents) if with_id else [_stored(document) for document in documents]

    def update(self, collection: str, key: str, changes: Mapping[str, Any]) -> bool:
        """Change a document in part, without losing anybody's change.

        A document that is deleted in the meantime does not come back.

        Args:
            collection: The collection.
            key: The key.
            changes: Fields to set, or update operators such as ``$inc`` and ``$push``, as for `AgentDataStore.update`.
                ``_id`` can only stay what it is.

        Returns:
            Whether there is such a document. It is not created if there is none.

        Raises:
            ConflictError: If other writers came first each time, for 30 seconds.

        Requests: 2 for each attempt.
        """
        apply = compile_update(changes)
        records, key = self._records.use_namespace(collection), check_name(key, "key")

        def applied(value: Any) -> dict[str, Any]:
            document = apply(_stored(_document(records.namespace, key, value)))
            if document.get(ID, key) != key:
                raise InvalidValueError(
                    f"the changes make _id {shown(document[ID])}; it is the key, and stays {shown(key)}"
                )
            return _stored(document)

        return change(records, key, applied)

    def delete(self, collection: str, key: str) -> bool:
        """Remove a document, and return whether there was one.

        Requests: 1, on CouchDB 2.
        """
        return self._records.use_namespace(collection).delete(key)

    def clear(self, collection: str) -> int:
        """Remove every document of a collection, and so the collection itself. Return how many there were.

        Requests: those of ``AgentDataStore.clear``.
        """
        return self._records.use_namespace(collection).clear()

    def count(self, collection: str, filter: Mapping[str, Any] | None = None) -> int:
        """Return how many documents there are, or how many match a filter. No access is counted.

        Requests: those of ``AgentDataStore.count``.
        """
        asked = _with_keys(filter)
        with _naming_keys():
            return self._records.use_namespace(collection).count(asked)

    def list_collections(self) -> list[str]:
        """Return the names of the collections, sorted by code point: every namespace of the user that holds a record.

        Requests: 1, or 1 more than there are collections.
        """
        return sorted(self._records.list_namespaces())

    def health(self) -> dict[str, Any]:
        """Return whether the database works. Errors of the store are reported, without secrets, and not raised.

        A database that cannot be reached is tried for ``retry_seconds`` first, as in every call.

        Returns:
            ``backend``, its name; ``ok``; ``latency``, the seconds that reading one record took; ``collections``, how
            many there are; ``error``, the message. What is not known is ``None``.

        Requests: 1, and those of ``list_collections``.
        """
        report = {"backend": self._backend, "ok": True, "latency": None, "collections": None, "error": None}
        began = time.perf_counter()
        try:
            self._records.exists(_NO_COLLECTION)
            report["latency"] = time.perf_counter() - began
            report["collections"] = len(self.list_collections())
        except DataStoreError as error:
            report.update(ok=False, error=str(error))
        return report

    def __repr__(self) -> str:
        return f"Vault({self._records!r})"


_NOTHING = object()


def _document(collection: str, key: str, value: Any) -> dict[str, Any]:
    """Return a stored value as a document with its ``_id``."""
    if not isinstance(value, dict):
        raise InvalidValueError(
            f"{key!r} of collection {collection!r} holds {kind_of(value)}, which is not a document; read it with "
            f"data_store.use_namespace({collection!r}).get({key!r})"
        )
    return {ID: key, **_stored(value)}


def _stored(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without its key."""
    return {name: value for name, value in document.items() if name != ID}


def _with_keys(filter: Any, depth: int = 0) -> Any:
    """Return a filter on documents as a filter on records: ``_id`` becomes the key in every place of a field."""
    if not is_mapping(filter) or depth > MAX_DEPTH:
        return filter  # the parser reports what is wrong with it
    asked = as_dict(filter, lambda: QueryError(f"filter is {kind_of(filter)}; it must be a dict"))
    if ID in asked and _KEY in asked:
        raise QueryError(f"filter: {ID} and {_KEY} mean the same; use only one of them")
    found = {}
    for name, condition in asked.items():
        if type(name) is str and name in LOGIC and is_a(condition, list, tuple):
            condition = [_with_keys(one, depth + 1) for one in elements(condition)]
        found[_KEY if type(name) is str and name == ID else name] = condition
    return found


@contextmanager
def _naming_keys() -> Iterator[None]:
    """Replace the store's name of the key by ``_id`` in errors, as the caller has written it."""
    try:
        yield
    except QueryError as error:
        if _KEY not in error.message:
            raise
        raise QueryError(error.message.replace(_KEY, ID)) from None


def _sort_by_key(sort: Any) -> SortArgument:
    """Return a sort on records for a sort on documents: ``_id`` becomes the key."""
    if is_a(sort, str):
        return {ID: _KEY, f"-{ID}": f"-{_KEY}"}.get(as_text(sort), sort)
    if is_a(sort, list, tuple):
        return [_pair_by_key(pair) for pair in elements(sort)]
    if not is_mapping(sort):
        return cast("SortArgument", sort)
    pairs = as_dict(sort, lambda: QueryError(f"sort is {kind_of(sort)}; it must be a list such as [('price', -1)]"))
    return {_KEY if type(name) is str and name == ID else name: direction for name, direction in pairs.items()}


def _pair_by_key(pair: Any) -> Any:
    two = elements(pair) if is_a(pair, list, tuple) else []
    return (_KEY, *two[1:]) if two and type(two[0]) is str and two[0] == ID else pair


def _without_id(fields: FieldsArgument) -> tuple[FieldsArgument, bool]:
    """Return the wanted fields of the value, and whether the key is wanted."""
    if fields is None:
        return None, True
    chosen = choices(fields)
    with_id = chosen.pop(ID, None)
    if with_id is None:
        return chosen, True
    # A stored value has no _id, so [_id] keeps only the empty object, as {"_id": 1} asks.
    return chosen or ([ID] if with_id else None), bool(with_id)
