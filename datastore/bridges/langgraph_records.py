"""What LangGraph's store calls an item is a record: the one from the other, and how items are found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from datastore import Match, Record
from datastore.bridges.extras import needs
from datastore.bridges.langgraph_names import Names, as_plain_query, as_query, holds_list
from datastore.bridges.steps import Asked, Steps, ask, ask_in

with needs("LangGraph", "langgraph"):
    from langgraph.store.base import SearchItem, SearchOp

MINUTE = 60.0
TTL = "ttl"
"""In the metadata of a record: for how many minutes it lives after it was used."""


def members_of(names: Names, record: Record) -> dict[str, Any]:
    """Return what an item is made of."""
    return {
        "value": record.value,
        "key": record.key,
        "namespace": names.decoded(record.namespace) or (),
        "created_at": record.created_at,
        "updated_at": record.updated_at,
    }


def lives_by_use(record: Record) -> bool:
    """Whether a record lives for some time after it was used.

    One that is put again without a ``ttl`` does not expire, whatever its metadata say: to take `TTL` out of them each
    time would take as long as all else in a batch of puts.
    """
    return record.expires_at is not None and isinstance(record.metadata.get(TTL), int | float)


def touching(records: Iterable[Record]) -> list[Asked]:
    """Return what lets records live on."""
    return [ask_in(one.namespace, "touch", one.key, ttl=one.metadata[TTL] * MINUTE) for one in records]


def searching(names: Names, op: SearchOp, vector: list[float] | None) -> Steps[list[SearchItem]]:
    """Return what is found.

    Requests: those of `find_in`, twice if lists stand where scalars are asked for; with a query 1 or more for the
        namespaces, and those of `search` for each.
    """
    found: list[SearchItem] = []
    records: list[Record] = []
    prefix = names.encoded(op.namespace_prefix)
    plain = as_plain_query(op.filter) if op.offset == 0 and vector is None else None
    query = as_query(op.filter) if plain is None else None  # either raises if the filter is none
    if op.limit < 1:
        return found
    if vector is None:
        if plain is not None:
            records = yield ask("find_in", prefix, plain, limit=op.limit)
            if any(holds_list(record.value, plain) for record in records):
                query = as_query(op.filter)
        if plain is None or query is not None:
            records = yield ask("find_in", prefix, query, limit=op.limit, skip=op.offset)
        records = [record for record in records if names.decoded(record.namespace) is not None]
        found = [SearchItem(**members_of(names, record)) for record in records]
    else:
        namespaces: list[str] = yield ask("list_namespaces", prefix)
        everywhere = dict.fromkeys(name for name in namespaces if names.decoded(name) is not None)
        near: list[Match] = []
        if everywhere:
            near = yield ask("memory.search_across", everywhere, vector, op.offset + op.limit, filter=query)
        near = near[op.offset :]
        found = [SearchItem(**members_of(names, match.record), score=match.score) for match in near]
        records = [match.record for match in near]
    if op.refresh_ttl and (kept_on := [record for record in records if lives_by_use(record)]):
        yield touching(kept_on)
    return found
