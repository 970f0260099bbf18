"""LangGraph's store on any database of the store. See ``docs/bridges/langgraph.md``.

graph = builder.compile(store=DataStoreStore(data_store))
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from datastore import AgentDataStore, AsyncAgentDataStore, EmbedderError, Record
from datastore import Item as Stored
from datastore.bridges.extras import needs
from datastore.bridges.given import awaited
from datastore.bridges.langgraph_names import Names, as_query, matches
from datastore.bridges.langgraph_records import MINUTE, TTL, lives_by_use, members_of, searching, touching
from datastore.bridges.steps import Asked, Steps, arun, ask, ask_in, run

with needs("LangGraph", "langgraph"):
    from langchain_core.embeddings import Embeddings
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        IndexConfig,
        Item,
        ListNamespacesOp,
        Op,
        PutOp,
        Result,
        SearchOp,
        TTLConfig,
        ensure_embeddings,
        get_text_at_path,
    )
    from langgraph.store.base import validate_op_namespace as check_namespace


class DataStoreStore(BaseStore):
    """Keeps what LangGraph's agents remember across threads, for one user, beside the namespace of an agent's store.

    It can be shared between threads and between event loops. Of several operations in one batch those that read see
    what was there before those that write.

    Args:
        data_store: What the items are kept in; or its awaited twin.
        index: How texts are embedded, for `search` with a query: ``{"dims": ..., "embed": ..., "fields": [...]}``. All
            texts of an item are embedded as one. Without it a query is not looked at, as in LangGraph's own stores.
        ttl: ``{"default_ttl": minutes, "refresh_on_read": True}``.
    """

    supports_ttl = True

    def __init__(
        self,
        data_store: AgentDataStore | AsyncAgentDataStore,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
    ) -> None:
        self._twin = awaited(data_store)
        self._store = self._twin.sync
        self._names = Names(self._store.namespace)
        self.ttl_config = ttl
        self._embed: Embeddings | None = ensure_embeddings(index["embed"]) if index else None
        self._fields: list[str] = (index or {}).get("fields") or ["$"]

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        asked = list(ops)
        one = asked[0] if len(asked) == 1 else None
        if isinstance(one, GetOp) or (isinstance(one, SearchOp) and not one.query):
            return [self._one(one)]
        batch = _Batch(self._names, asked, self._fields if self._embed else None)
        vectors: list[list[float]] = []
        if self._embed is not None and batch.texts:
            try:
                vectors = self._embed.embed_documents(batch.texts)
            except Exception as error:
                raise EmbedderError(f"embed has failed: {type(error).__name__}") from error
        return run(self._store, batch.steps(vectors))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        batch = _Batch(self._names, list(ops), self._fields if self._embed else None)
        vectors: list[list[float]] = []
        if self._embed is not None and batch.texts:
            try:
                vectors = await self._embed.aembed_documents(batch.texts)
            except Exception as error:
                raise EmbedderError(f"embed has failed: {type(error).__name__}") from error
        return await arun(self._twin, batch.steps(vectors))

    def _one(self, op: GetOp | SearchOp) -> Result:
        """Return one item, or what is found without a query: most reads are so, and need no batch around them.

        Requests: 1 for an item, and 1 if it is kept on; else those of `searching`.
        """
        check_namespace(op)
        if isinstance(op, SearchOp):
            return run(self._store, searching(self._names, op, None))
        record = self._store.use_namespace(self._names.encoded(op.namespace)).get_record(op.key)
        if record is None:
            return None
        if op.refresh_ttl and lives_by_use(record):
            for touch in touching([record]):
                touch(self._store)
        return Item(**members_of(self._names, record))


class _Batch:
    """Some operations: all is checked before anything is asked."""

    def __init__(self, names: Names, ops: list[Op], fields: list[str] | None) -> None:
        self._names = names
        self._ops = ops
        self._puts: dict[tuple[str, str], PutOp] = {}  # of several puts of one item the last one counts
        self._gets: dict[str, dict[str, list[int]]] = {}  # by namespace and key
        self._places: dict[Any, int] = {}  # of a text that is embedded, by the put or the operation that needs it
        self.texts: list[str] = []
        for at, op in enumerate(ops):
            check_namespace(op)
            if isinstance(op, GetOp):
                self._gets.setdefault(names.encoded(op.namespace), {}).setdefault(op.key, []).append(at)
            elif isinstance(op, PutOp):
                self._puts[names.encoded(op.namespace), op.key] = op
            elif isinstance(op, SearchOp):
                as_query(op.filter)
                if op.query and fields is not None:
                    self._embedded(at, op.query)
        for place, put in self._puts.items():
            if put.value is not None and put.index is not False and fields is not None:
                found = [text for path in put.index or fields for text in get_text_at_path(put.value, path)]
                if found:
                    self._embedded(place, "\n".join(found))

    def _embedded(self, who: Any, text: str) -> None:
        self._places[who] = len(self.texts)
        self.texts.append(text)

    def steps(self, vectors: list[list[float]]) -> Steps[list[Result]]:
        results: list[Result] = [None] * len(self._ops)
        if self._gets:
            yield from self._getting(results)
        for at, op in enumerate(self._ops):
            if isinstance(op, SearchOp):
                vector = vectors[self._places[at]] if at in self._places else None
                results[at] = yield from searching(self._names, op, vector)
            elif isinstance(op, ListNamespacesOp):
                results[at] = yield from self._listing(op)
        if self._puts:
            yield from self._putting(vectors)
        return results

    def _getting(self, results: list[Result]) -> Steps[None]:
        """Requests: 1 for each namespace, and 1 for each item that is kept on."""
        wanted = self._gets.items()
        answers: list[dict[str, Record] | Record | None] = yield [
            ask_in(ns, "get_records", [*keys]) if len(keys) > 1 else ask_in(ns, "get_record", *keys)
            for ns, keys in wanted
        ]
        kept_on: list[Record] = []
        for (_, keys), found in zip(wanted, answers, strict=True):
            for record in found.values() if isinstance(found, dict) else (found,):
                if record is None:
                    continue
                for at in keys[record.key]:
                    results[at] = Item(**members_of(self._names, record))
                if lives_by_use(record) and any(
                    getattr(self._ops[at], "refresh_ttl", False) for at in keys[record.key]
                ):
                    kept_on.append(record)
        if kept_on:
            yield touching(kept_on)

    def _listing(self, op: ListNamespacesOp) -> Steps[list[tuple[str, ...]]]:
        """Requests: those of `list_namespaces`, for all that begin alike; if all match, for as many as asked for."""
        conditions = op.match_conditions or ()
        simple = op.max_depth is None and all(one.match_type == "prefix" and "*" not in one.path for one in conditions)
        most = op.offset + op.limit if simple else None
        if op.limit < 1:
            return []
        names: list[str] = yield ask("list_namespaces", self._names.prefix(conditions), limit=most)
        decoded = [labels for name in names if (labels := self._names.decoded(name)) is not None]
        if len(names) == most and len(decoded) < most:  # others that begin alike have taken places
            names = yield ask("list_namespaces", self._names.prefix(conditions))
            decoded = [labels for name in names if (labels := self._names.decoded(name)) is not None]
        matching = (labels for labels in decoded if all(matches(condition, labels) for condition in conditions))
        different = dict.fromkeys(labels[: op.max_depth] for labels in matching)
        return list(islice(different, op.offset, op.offset + op.limit))

    def _putting(self, vectors: list[list[float]]) -> Steps[None]:
        """Requests: those of `set_many`; of `set` for each with a vector; of `delete_many` for each namespace."""
        plain: list[Stored] = []
        asked: list[Asked] = []
        gone: dict[str, list[str]] = {}
        for (namespace, key), op in self._puts.items():
            if op.value is None:
                gone.setdefault(namespace, []).append(key)
                continue
            value, ttl = dict(op.value), None if op.ttl is None else op.ttl * MINUTE
            metadata = None if op.ttl is None else {TTL: op.ttl}
            if (place := self._places.get((namespace, key))) is None:
                plain.append(Stored(key, value, metadata, ttl, namespace=namespace))
            else:
                asked.append(ask_in(namespace, "set", key, value, metadata, ttl=ttl, vector=vectors[place]))
        if plain:
            asked.append(ask("set_many", plain))
        yield asked + [ask_in(namespace, "delete_many", keys) for namespace, keys in gone.items()]
