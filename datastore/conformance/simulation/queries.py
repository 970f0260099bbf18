"""Queries that an index may answer: somebody declares indexes on fields of the jobs, while others write and ask.

Every filter matches each job, whatever it has become, and nothing else. So what a query finds shows which jobs exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from datastore import AgentDataStore, UnsupportedError
from datastore.conformance.simulation.effects import one_more
from datastore.conformance.simulation.history import Call
from datastore.conformance.simulation.kinds import Draw, Kind
from datastore.conformance.simulation.names import JOBS, KEYS
from datastore.conformance.simulation.removing import all_removed
from datastore.conformance.simulation.seeing import counted, saw_all, saw_records
from datastore.conformance.simulation.world import Sight
from datastore.conformance.simulation.writing import changed, where

_FIELDS = (("kind",), ("n",), ("kind", "n"))
_FILTERS: tuple[dict[str, Any], ...] = (
    JOBS,
    {"n": {"$gte": 0}},
    {**JOBS, "n": {"$gte": 0}},
    {"kind": {"$in": ["job", "pen"]}, "n": {"$lt": 1_000}},
    {"$or": [JOBS, {"n": {"$gte": 5}}]},
)


def _declare(store: AgentDataStore, seen: Sight, *fields: str) -> None:
    with suppress(UnsupportedError):  # then nothing is to be seen of it
        seen.host.ensure_index(fields)


def _filter(draw: Draw) -> tuple[dict[str, Any]]:
    return (draw.random.choice(_FILTERS),)


def _page(store: AgentDataStore, filter: dict[str, Any]) -> dict[str, Any]:
    return {record.key: (record.value, record.revision) for record in store.find_records(filter, limit=3).records}


def _found(call: Call) -> Iterable[str]:
    keys: Iterable[str] = call.result
    return keys


KINDS: dict[str, Kind] = {
    "ensure_index": Kind(3, lambda d: d.random.choice(_FIELDS), _declare, lambda c, *fields: ()),
    "find_by": Kind(
        4,
        _filter,
        lambda s, m, f: s.find(f),
        lambda c, f: saw_all(c, (c.result or {}).items(), KEYS["job"]),
        _found,
        lambda c: KEYS["job"],
    ),
    "find_records_by": Kind(2, _filter, lambda s, m, f: _page(s, f), lambda c, f: saw_records(c, KEYS["job"])),
    "count_by": Kind(2, _filter, lambda s, m, f: s.count(f), lambda c, f: counted(c, KEYS["job"])),
    "update_where_by": Kind(
        2,
        _filter,
        lambda s, m, f: s.update_where(f, {"$inc": {"n": 1}}),
        lambda c, f: where(
            c, lambda k: changed(c, k, one_more, only=True, optional=c.error is not None, counted=c.error is None)
        ),
    ),
    "delete_where_by": Kind(1, _filter, lambda s, m, f: s.delete_where(f), lambda c, f: all_removed(c, KEYS["job"])),
}
