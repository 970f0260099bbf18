"""The calls on memory: add, edit, delete, get, items, search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Self, TypeAlias

from datastore.arguments import as_dict, as_int, check_name, shown
from datastore.backend import Document, Fields
from datastore.calls.batches import Item, raise_failed
from datastore.calls.listings import most
from datastore.calls.steps import Steps, follow
from datastore.errors import InvalidValueError, QueryError, exists, kind_of
from datastore.ids import encode_key, key_range, new_key
from datastore.memory.catching_up import catching_up
from datastore.memory.embedding import Embedder
from datastore.memory.fusing import place_of
from datastore.memory.indexing import declaring
from datastore.memory.items import Found, Match, MemoryItem, Metric
from datastore.memory.reembedding import reembedding
from datastore.memory.searching import Asked, asked, explaining, matches, searching
from datastore.memory.splitting import Splitter
from datastore.memory.writing import adding, editing, entries, entry, remove
from datastore.scope import Bound, OfOneProcess, Scope, Stream, bind, scope_of

Vector: TypeAlias = Sequence[float] | Any
"""A list of numbers, or an array of floats such as numpy's."""


class Memory(Bound, OfOneProcess):
    """Texts with vectors in the namespace of an agent's store, and the search by meaning. From ``data_store.memory``.

    A text is a record like any other: it has a key, metadata, provenance and an expiry, and every call of
    `AgentDataStore` works with it. Beside it lies its vector, which belongs to what the record is now: a `set` on the
    same key stores a value without one. A namespace may hold records with vectors and records without.

    Calls raise what those of `AgentDataStore` raise, and `EmbedderError` if the host's embedder fails, or if the
    vectors of the namespace are of another model. ``max_seconds`` is for what is asked of the database; the embedder
    takes as long as it does. See ``docs/memory.md``.
    """

    __slots__ = ()

    def __new__(cls, scope: Scope) -> Self:
        """Bind a new object to the scope of the namespace."""
        self = super().__new__(cls)
        bind(self, scope)
        return self

    def add(
        self,
        text: Any,
        metadata: dict[str, Any] | None = None,
        *,
        key: str | None = None,
        vector: Vector | None = None,
        ttl: float | timedelta | None = None,
        split: Splitter | None = None,
    ) -> str:
        """Store a text with its vector, under a key that has no record.

        Args:
            text: The text; with a ``vector`` anything JSON.
            metadata: What to keep with it: an object of up to 16,000 bytes.
            key: The key; ``None`` for a new one that nobody can guess.
            vector: Its vector; ``None`` to let the host's embedder make one.
            ttl: Seconds, or a `timedelta`, until it expires; ``None`` for never.
            split: How to split the text into parts, each of which gets a vector of its own: a `Splitter` that counts
                characters; ``None`` as the host's embedder does. It is kept for the next edit.

        Returns:
            The key.

        Raises:
            ValueTooLargeError: If the text has more parts than can be kept.
            KeyExistsError: If there is a live record under the key.
            EmbedderError: If the embedder fails, or the namespace has vectors of another model; nothing is stored.
            InvalidValueError: If something is not JSON, or the vector is none: of another size, zero, or not finite.
            ConfigurationError: If a vector must be made, and the host has given no embedder.

        Requests: 3, and 1 more if the namespace was not searched, nor added to, in the last 5 seconds. The first vector
        of a namespace needs a reminder for `DataStore.purge_expired`: 1 more.
        """
        embed = embedder_of(scope_of(self))
        return follow(adding_one(scope_of(self), text, metadata, key, vector, ttl, split), embed)  # type: ignore[no-any-return]

    def add_many(
        self,
        texts: Iterable[str | Item] | Mapping[str, str],
        metadata: dict[str, Any] | None = None,
        *,
        vectors: Iterable[Vector] | None = None,
        ttl: float | timedelta | None = None,
        split: Splitter | None = None,
    ) -> list[str]:
        """Store texts with their vectors, under keys that have no records.

        Args:
            texts: Texts, which get new keys, and `Item` for those that have their own key, metadata or ``ttl``; or a
                dict of texts by key.
            metadata: What to keep with each.
            vectors: A vector for each; ``None`` to let the host's embedder make them, in batches.
            ttl: Seconds, or a `timedelta`, until they expire; ``None`` for never.
            split: As `add`, for each.

        Returns:
            The keys, in order.

        Raises:
            BatchError: If some failed, such as those whose key has a record; the others are stored.
            EmbedderError: As `add`.
            InvalidValueError: As `add`; also if a key is given twice, or as many vectors are not given as texts.

        Requests: twice those of `AgentDataStore.add_many` of as many records, and 1; 1 more for more than 16, and 1 as
        for `add`.
        """
        embed = embedder_of(scope_of(self))
        return follow(adding_many(scope_of(self), texts, metadata, vectors, ttl, split), embed)  # type: ignore[no-any-return]

    def edit(
        self,
        key: str,
        text: Any = None,
        metadata: dict[str, Any] | None = None,
        *,
        vector: Vector | None = None,
        split: Splitter | None = None,
    ) -> bool:
        """Change a record, without losing anybody's change. Only a text that is another one is embedded again.

        Of a text in parts only those are that have changed.

        Args:
            key: The key.
            text: The new text; ``None`` to leave it as it is. With a ``vector`` anything JSON.
            metadata: Merged into the record's, at the top level; a key given as ``None`` is removed.
            vector: Its vector; ``None`` for the one that it has, or that the host's embedder makes.
            split: How to split the text from now on; ``None`` as it was when it was added.

        Returns:
            Whether there is such a record. It is not created if there is none.

        Raises:
            EmbedderError: As `add`.
            InvalidValueError: As `add`; also if nothing is given.
            ConflictError: If other writers came first each time, for ``max_seconds``.

        Requests: 6, or 5 if a vector is given; 1 more as for `add`. On CouchDB 1 more if another process wrote the
        record.
        """
        embed = embedder_of(scope_of(self))
        return follow(editing(scope_of(self), key, text, metadata, vector, split), embed)  # type: ignore[no-any-return]

    def delete(self, key: str) -> bool:
        """Remove a record and its vector; return whether there was one.

        ``data_store.delete`` removes the record, so that no search finds it, and `AgentDataStore.purge_expired` the
        vector later.

        Requests: 3. On CouchDB 1 more if another process wrote the record.
        """
        return remove(scope_of(self), check_name(key, "key"))

    def get(self, key: str) -> MemoryItem | None:
        """Return the record under a key, or ``None``, and count an access.

        Requests: 1.
        """
        scope = scope_of(self)
        document = scope.core.read_whole(scope.prefix + encode_key(key))
        if document is None:
            return None
        scope.tracker.note(document, scope.agent)
        return _item(document)

    def items(self, prefix: str | None = None) -> Iterator[MemoryItem]:
        """Yield the records of the namespace in the order of keys, with vectors or without. No access is counted.

        Args:
            prefix: Only those whose keys begin with it.

        Requests: 1 per page of the database.
        """
        scope = scope_of(self)
        range = key_range(scope.prefix, None if prefix is None else check_name(prefix, "prefix") or None)
        scope.core.check_reads(scope.prefix)
        scope.core.check_open()
        return Stream(map(_item, scope.core.scan(range, Fields.ALL, 16)))

    def search(
        self,
        text_or_vector: str | Vector,
        n: int = 10,
        *,
        filter: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        metric: Metric = "cosine",
        keywords: bool = False,
        exact: bool = True,
    ) -> list[Match]:
        """Return the records whose vectors are nearest, and count an access for each.

        The search is exact: every record with a vector that is there when it is called, and matches, is compared,
        also those that other processes have written. Equal scores are in the order of keys. With ``exact=False`` the
        index of the database may choose which are compared; `explain` says whether it does.

        Args:
            text_or_vector: A text, which the host's embedder makes a vector of, or a vector.
            n: The most records to return.
            filter: What the values must be like, as in `AgentDataStore.find`: only those are compared, so ``n`` of
                these are returned if there are as many.
            meta: What metadata and provenance must be like, such as ``{"metadata.lang": "en"}``.
            min_score: The least score.
            metric: What near means: ``"cosine"``, the cosine of the angle, from -1 to 1; ``"dot"``, the dot product;
                ``"euclidean"``, the distance, whose negative is the score, so that more is nearer.
            keywords: Whether the words of the text count as well as its meaning, because names and numbers are found by
                their words: of the nearest records and of those that have most of the words, the 50 first of each
                (or ``n``) are fused by their ranks. The score is then that of the ranks, up to 2/61.
            exact: Whether every record must be compared. If not, the index is used that `ensure_index` has declared,
                which may miss some; without one, or where it cannot answer, the search is exact all the same. With
                ``keywords`` it always is, because the words of every record count.

        Returns:
            The matches, from the nearest on. A text in parts is one match, with the nearest of them as its ``part``.

        Raises:
            EmbedderError: If the embedder fails, or the vectors of the namespace are of another model.
            InvalidValueError: If the vector is none: of another size, zero, or not finite.
            QueryError: If ``filter``, ``meta``, ``n`` or ``metric`` is wrong.
            ConfigurationError: If a text is given and the host has given no embedder, or numpy is not installed.

        Requests: 1, which reads the records; 1 more if the namespace was not searched in the last 5 seconds; 2 or 3
        more if others have added vectors since; and those of ``find`` if there is a filter. The first search also reads
        all vectors, page by page. With ``keywords`` up to 100 records or more are read, and the texts of new vectors
        once. With an index 4, and 2 more if most of what it finds are vectors of records that are gone; it reads no
        other vectors.
        """
        scope = scope_of(self)
        what = asked(scope, text_or_vector, n, filter, meta, min_score, metric, keywords, exact)
        return follow(searching_one(scope, what), embedder_of(scope))  # type: ignore[no-any-return]

    def search_across(
        self,
        namespaces: Mapping[str, int | None],
        text_or_vector: str | Vector,
        n: int = 10,
        *,
        filter: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        metric: Metric = "cosine",
        keywords: bool = False,
        exact: bool = True,
    ) -> list[Match]:
        """Return the nearest records of several namespaces, and count an access for each.

        Each namespace gets the places that it is guaranteed, as far as it has records; ``n`` becomes their sum if that
        is more. The places that are left go to the nearest that are left. All are in one order in the end.

        Args:
            namespaces: How many places each namespace is guaranteed, by its name: ``{"legal": 3, "support": None}``.
                ``None`` is for none.
            text_or_vector: As `search`.
            n: As `search`, of all namespaces together.
            filter: As `search`.
            meta: As `search`.
            min_score: As `search`; it goes before guaranteed places.
            metric: As `search`.
            keywords: As `search`, with the ranks of all namespaces together.
            exact: As `search`.

        Returns:
            The matches, from the nearest on; ``record.namespace`` says where each is.

        Raises:
            PermissionDeniedError: If the agent has grants, and no one to read one of the namespaces.
            InvalidValueError, QueryError, EmbedderError, ConfigurationError: As `search`. An error in one namespace is
                the error of the call.

        Requests: those of `search` for each namespace.
        """
        scope = scope_of(self)
        what = asked(scope, text_or_vector, n, filter, meta, min_score, metric, keywords, exact)
        return follow(searching_across(scope, namespaces, what), embedder_of(scope))  # type: ignore[no-any-return]

    def explain(
        self,
        text_or_vector: str | Vector,
        n: int = 10,
        *,
        filter: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        metric: Metric = "cosine",
        keywords: bool = False,
        exact: bool = True,
    ) -> dict[str, Any]:
        """Search, and return how that was done and not what was found. No access is counted.

        Args:
            text_or_vector: As `search`.
            n: As `search`.
            filter: As `search`.
            meta: As `search`.
            min_score: As `search`.
            metric: As `search`.
            keywords: As `search`.
            exact: As `search`.

        Returns:
            ``exact``: whether every record was compared; ``why_exact``, if so; ``vectors_compared`` here, which are
            those of all records, matching or not, or what the index has found; ``many``: whether these are more than
            100,000, beyond which an index is worth it; ``records_returned``; ``backend``.

        Raises:
            EmbedderError, InvalidValueError, QueryError, ConfigurationError: As `search`.

        Requests: those of `search`; 1 more if it is exact.
        """
        scope = scope_of(self)
        what = asked(scope, text_or_vector, n, filter, meta, min_score, metric, keywords, exact)
        return follow(explaining(scope, what), embedder_of(scope))  # type: ignore[no-any-return]

    def ensure_index(self, progress: Callable[[int, int], object] | None = None) -> str:
        """Declare the database's own index of vectors for the namespace, for searches with ``exact=False``.

        Call it at every start: where it is declared already, nothing happens. Otherwise the index is created if it is
        missing, and every vector is written once more, for the index; from then on each is written so. If that is
        interrupted, or vectors are moved into the namespace or made anew, call it again.

        Args:
            progress: Called with how many vectors have been written, and how many there are.

        Returns:
            The name of the index.

        Raises:
            UnsupportedError: If this database has none, or none of so many dimensions; or in a sandbox, because an
                index costs what the host pays.
            PermissionDeniedError: If the index is missing, and may not be created with these credentials.
            ConflictError: If others have declared it, moved vectors, or made them anew at the same time.
            ConfigurationError: If there are no vectors yet, and the host has given no embedder.

        Requests: 2 if it is declared. Otherwise 2, 1 per page of vectors, twice, and for each 100 of them those that
        write as many; for as long as the database takes to build the index.
        """
        return declaring(scope_of(self), check_progress(progress))

    def reembed(self, progress: Callable[[int, int], object] | None = None) -> int:
        """Make the vectors of the namespace anew with the embedder that the store has now.

        It is the cure after the model was changed. Until it is complete, no search of the namespace is answered. If
        it is interrupted, call it again: it goes on with what is left. Values that are no text lose the vectors that
        they were given: give others with `edit`.

        Args:
            progress: Called with how many vectors have been looked at, and how many there are.

        Returns:
            How many vectors were made.

        Raises:
            EmbedderError: If the embedder fails.
            ConfigurationError: If the host has given no embedder.

        Requests: 1 per page of vectors, twice; for each 100 that are made 3, and 3 or 4 more.
        """
        scope = scope_of(self)
        return follow(reembedding(scope, check_progress(progress)), embedder_of(scope))  # type: ignore[no-any-return]

    def embed(self, keys: Iterable[str], *, split: Splitter | None = None) -> dict[str, bool]:
        """Make vectors of texts that have none: of those that were stored by other calls than `add`.

        No record is written, so their revisions stay. A text that somebody changes meanwhile has no vector afterwards.

        Args:
            keys: The keys of the records. A value that is no text is left as it is.
            split: As `add`, for each.

        Returns:
            For each key that has a record, whether a vector was made.

        Raises:
            EmbedderError: As `add`; what was made before is kept.
            ConfigurationError: If the host has given no embedder.

        Requests: for each 100 keys those of ``get_many``, twice, and if there are texts without vectors those of
        `AgentDataStore.add_many` of as many records, and 1; 1 more as for `add`; and 1 if there are texts that have a
        vector, since whoever made it may have died before a search could know.
        """
        scope = scope_of(self)
        return follow(catching_up(scope, keys, split), embedder_of(scope))  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        scope = scope_of(self)
        return f"Memory(user_id={scope.user_id!r}, namespace={scope.namespace!r})"


def embedder_of(scope: Scope) -> Callable[..., Any]:
    """Return what makes vectors of texts, for `datastore.calls.steps.follow`."""
    embedder: Embedder | None = scope.core.root.embedder
    return _none if embedder is None else embedder


def _none(texts: list[str]) -> Any:
    raise AssertionError  # the steps have raised before


def adding_one(
    scope: Scope,
    text: Any,
    metadata: dict[str, Any] | None,
    key: str | None,
    vector: Vector | None,
    ttl: float | timedelta | None,
    split: Splitter | None,
) -> Steps:
    """Return the steps of `Memory.add`."""
    item = Item(new_key("") if key is None else key, text, metadata, ttl)
    one = entry(scope, item, vector, split, "text", if_absent=True)
    (outcome,) = yield from adding(scope, [one])
    error = outcome.error or (None if outcome.done else exists())
    if error is not None:
        raise error.during(f"adding {one.put.key!r} to namespace {scope.namespace!r}", scope.core.backend.name)
    return one.put.key


def adding_many(
    scope: Scope,
    texts: Iterable[str | Item] | Mapping[str, str],
    metadata: dict[str, Any] | None,
    vectors: Iterable[Vector] | None,
    ttl: float | timedelta | None,
    split: Splitter | None,
) -> Steps:
    """Return the steps of `Memory.add_many`."""
    given = entries(scope, texts, metadata, vectors, ttl, split)
    outcomes = yield from adding(scope, given)
    errors = {
        one.put.key: outcome.error or (None if outcome.done else exists())
        for one, outcome in zip(given, outcomes, strict=True)
    }
    raise_failed(scope, "memory.add_many", errors)
    return list(errors)


def searching_one(scope: Scope, asked: Asked) -> Steps:
    """Return the steps of `Memory.search`."""
    (found,) = yield from searching([scope], asked, asked.number)
    scope.tracker.note_all([one.document for one in found], scope.agent)
    return matches(found)


def searching_across(scope: Scope, namespaces: Any, asked: Asked) -> Steps:
    """Return the steps of `Memory.search_across`."""
    places = as_dict(namespaces, lambda: InvalidValueError(f"namespaces is {kind_of(namespaces)}; it must be a dict"))
    if not places:
        raise InvalidValueError("namespaces is empty; give at least one")
    guaranteed = {name: _places(name, number) for name, number in places.items()}
    number = max(asked.number, sum(guaranteed.values()))
    scopes = [scope.within(check_name(name, "namespaces")) for name in guaranteed]
    found = yield from searching(scopes, asked, number)
    taken, left = list[Found](), list[Found]()
    for sure, nearest in zip(guaranteed.values(), found, strict=True):
        taken += nearest[:sure]
        left += nearest[sure:]
    best = sorted([*taken, *sorted(left, key=place_of)[: number - len(taken)]], key=place_of)
    scope.tracker.note_all([one.document for one in best], scope.agent)
    return matches(best)


def _places(name: object, number: object) -> int:
    if number is None:
        return 0
    whole = as_int(number)
    if whole is None or whole < 0:
        raise QueryError(
            f"namespaces[{shown(name)}] is {shown(number)}; give how many places it is guaranteed, or None"
        )
    return most(whole) if whole else 0


def check_progress(progress: Any) -> Callable[[int, int], object] | None:
    """Return a function that is told of progress.

    Raises:
        InvalidValueError: If it is none.
    """
    if progress is None or callable(progress):
        return progress  # type: ignore[no-any-return]  # it is one, or None
    raise InvalidValueError(f"progress is {kind_of(progress)}; it must be a function of two numbers")


def _item(document: Document) -> MemoryItem:
    from datastore.record import to_record  # imported here, because importing Pydantic takes long

    record = to_record(document)
    return MemoryItem(record.key, record.value if isinstance(record.value, str) else None, record.metadata, record)
