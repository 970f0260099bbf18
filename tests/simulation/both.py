"""Makes the same calls on a model and on the server that it models, and compares what comes of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st

from datastore import AgentDataStore, DataStore, DataStoreError, holding, ids, reminders, scope
from datastore.adapters import remembering
from datastore.backend import Backend
from datastore.calls import leases
from datastore.conformance.simulation.names import KEYS
from datastore.conformance.simulation.plans import Seen
from datastore.conformance.simulation.workload import KINDS, Draw
from datastore.conformance.simulation.world import Sight
from datastore.runs import stepping

BEGAN = 4_000_000_000
"""What the stores' clocks show first: no server removes what expires so far in the future."""

FILTERS: tuple[dict[str, Any], ...] = (
    {"kind": "job"},
    {"n": {"$gt": 0}},
    {"n": {"$lte": 1, "$exists": True}},
    {"$or": [{"n": 0}, {"name": {"$regex": "^ann"}}]},
    {"kind": {"$ne": "job"}},
    {"tags": "x"},
    {"tags": {"$size": 2}},
    {"name": {"$in": ["ann", "", None]}},
    {"$not": {"n": {"$type": "int"}}},
    {"claim.attempts": {"$gte": 1}},
)
VALUES: tuple[Any, ...] = (
    {"kind": "job", "n": 1, "tags": ["x", 1]},
    {"n": -1.5, "name": ""},
    {"kind": None},
    [[1], {}],
)

_MORE: dict[str, tuple[Callable[[Draw], tuple[Any, ...]], Callable[..., Any]]] = {
    "find by": (lambda d: (d.random.choice(FILTERS),), lambda s, m, f: s.find(f)),
    "count by": (lambda d: (d.random.choice(FILTERS),), lambda s, m, f: s.count(f)),
    "set any": (lambda d: (d.key("text"), d.random.choice(VALUES)), lambda s, m, k, v: s.set(k, v)),
    "set with metadata": (
        lambda d: (d.key(), d.random.choice(({"m": 1}, {"m": None, "o": ["x"]}))),
        lambda s, m, k, v: s.set(k, 1, v),
    ),
    "list backwards": (lambda d: (d.key(),), lambda s, m, k: s.list_keys(end=k, reverse=True, limit=2)),
    "scan whole": (lambda d: (), lambda s, m: [record.model_dump_json() for record in s.scan().records]),
}
"""Calls besides those of the workload, each with how its arguments are drawn and how it is made."""

NAMES = tuple(name for name in KINDS if name != "lock")
"""The calls of the workload that are made. There is nobody here for whom a lock could wait."""

CALLS = st.lists(st.tuples(st.sampled_from([*NAMES, *_MORE]), st.integers(0, 2**32)), min_size=3, max_size=12)
"""Calls, each with the seed of its arguments."""


def outcomes(backend: Backend, calls: Sequence[tuple[str, int]], chance: str) -> list[Any]:
    """Make calls on a new store, each a little later than the one before, and return what each came to.

    Args:
        backend: The adapter.
        calls: The calls.
        chance: What the marks of writes are drawn from. A server may remember requests of earlier examples by them.
    """
    came_to: list[Any] = []

    def clock() -> float:
        return BEGAN + 0.7 * len(came_to)

    with _without_chance(chance), DataStore(backend, clock=clock, tracking="immediate", retry_seconds=0) as store:
        agent, seen = store.agent("ann", "agent", "ns"), Sight(store, clock, lambda _: None)
        for name, seed in calls:
            came_to.append((name, _outcome(agent, seen, name, Draw(Random(seed), "ann"))))
        came_to.append([agent.get_record(key) for keys in KEYS.values() for key in keys])
    return came_to


def _outcome(agent: AgentDataStore, seen: Sight, name: str, draw: Draw) -> Any:
    arguments, make = _MORE[name] if name in _MORE else (KINDS[name].draw, KINDS[name].make)
    given = [seen.get(one.key, "r0") if isinstance(one, Seen) else one for one in arguments(draw)]
    try:
        return make(agent, seen, *given)
    except DataStoreError as error:
        return (type(error).__name__, error.message)


@contextmanager
def _without_chance(seed: str) -> Iterator[None]:
    numbers = itertools.count(1)
    with ExitStack() as replaced:
        for module in (scope, holding, leases, reminders):
            replaced.enter_context(patch.object(module, "new_revision", lambda: f"r{next(numbers)}"))
        for module in (stepping, holding, leases):  # how long steps take, and how soon a lease is over
            replaced.enter_context(patch.object(module, "time", SimpleNamespace(monotonic=lambda: 0.0)))
        replaced.enter_context(patch.object(remembering, "_random", Random(seed)))
        replaced.enter_context(patch.object(ids, "os", SimpleNamespace(urandom=Random(seed).randbytes)))  # new keys
        yield
