"""What agents do: the calls, each with how its arguments are drawn, how it is made, and what it does to each key.

A new call is one line in `KINDS`. A test compares them with the table of all calls (`datastore.conformance.calls`).
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any

from datastore import AgentDataStore, Record
from datastore.conformance.simulation import queries
from datastore.conformance.simulation.around import blobs, leases, logs, memory, runs, vaults
from datastore.conformance.simulation.checking import Effect, microseconds
from datastore.conformance.simulation.effects import ANY, Effects, added, at, one_more, renamed
from datastore.conformance.simulation.history import BEGAN, Call
from datastore.conformance.simulation.kinds import Draw, Kind
from datastore.conformance.simulation.luck import Luck
from datastore.conformance.simulation.names import ALL, AREAS, JOBS, KEYS, MADE, MISSING, SPACE, USERS
from datastore.conformance.simulation.plans import CallPlan, Plan, ProcessPlan, Seen, ThreadPlan
from datastore.conformance.simulation.removing import all_removed, popped, purged, removed
from datastore.conformance.simulation.restoring import brought_back, recovered
from datastore.conformance.simulation.seeing import counted, listed, saw, saw_all, saw_first, saw_records, was_created
from datastore.conformance.simulation.world import Sight
from datastore.conformance.simulation.writing import (
    batch,
    changed,
    claim,
    computed,
    first_of,
    modified,
    put,
    touched,
    where,
)
from datastore.connecting import connect
from datastore.moving import copy, export_records, import_records
from datastore.times import text_of

_SHARES = (0.1, 0.2, 0.5, 0.5)
"""How many of the kinds of calls there are in a run: one of these shares of them."""
_FEW_KEYS = 0.3
"""In so many runs most calls meet at two keys."""
_WITH_MORE = 0.25
"""In so many runs there are also calls of what is kept around the records."""
_WITH_QUERIES = 0.1
"""In so many runs there are indexes, and queries that they may answer."""
_WITH_MEMORY = 0.1
"""In so many runs there are texts with vectors, and searches."""
_WITH_VAULTS = 0.05
"""In so many runs there are vector vaults."""
_NUMBERED_FROM, _QUERIES_FROM, _MEMORY_FROM, _VAULTS_FROM = 100, 200, 300, 400
"""The numbers of the first of these in a thread."""


# How a call is made, where that is more than to call it.


def _noted(seen: dict[str, str], key: str, revision: str) -> str:
    seen[key] = revision
    return revision


def _record(store: AgentDataStore, seen: dict[str, str], key: str) -> Any:
    record = store.get_record(key)
    if record is None:
        return None
    seen[key] = record.revision
    return (record.value, record.revision, _expiry(record), record.access_count)


def _claimed(store: AgentDataStore, seen: dict[str, str], ttl: float) -> Any:
    record = store.claim(JOBS, ttl=ttl)
    if record is None:
        return None
    seen[record.key] = record.revision
    return (record.key, record.value, record.revision)


def _looked(store: AgentDataStore) -> dict[str, Any]:
    """Return what is under each key, as `_record` does."""
    records = store.get_records(ALL)
    return {
        key: (one.value, one.revision, _expiry(one), one.access_count) if (one := records.get(key)) else None
        for key in ALL
    }


def _first_changed(store: AgentDataStore) -> Any:
    record = store.find_one_and_update(JOBS, {"$inc": {"n": 1}})
    return None if record is None else (record.key, record.value, record.revision)


def _shown(records: Iterable[Record]) -> dict[str, Any]:
    """Return what records show: value and revision by key, in their order."""
    return {record.key: (record.value, record.revision) for record in records}


def _of_one(record: Record | None) -> dict[str, Any]:
    return {} if record is None else _shown([record])


def _created(store: AgentDataStore, value: Any) -> Any:
    made = store.use_namespace(MADE)
    key = made.create(value)
    return (key, made.get(key, MISSING))


def _stats(store: AgentDataStore) -> int:
    return sum(one.records for one in store.namespace_stats(SPACE))


def _copied(store: AgentDataStore, seen: Sight) -> dict[str, Any]:
    """Copy the namespace to another store, and return what is there."""
    with connect("memory://", clock=seen.clock, tracking="off") as sink:
        if not (report := copy(seen.host, sink, user_id=store.user_id, namespace=SPACE)).complete:
            raise AssertionError(f"the copy is not complete: {report}")
        return _shown(sink.host(store.user_id, SPACE).iter_records())


def _imported(store: AgentDataStore, seen: Sight) -> dict[str, Any]:
    """Export the namespace to a file, import the file where it came from, and return what was in it."""
    file = io.BytesIO()
    export_records(seen.host, file, user_id=store.user_id, namespace=SPACE)
    with connect("memory://", clock=lambda: float(BEGAN - 1_000), tracking="off") as reader:
        file.seek(0)
        exported = import_records(file, reader).read
        records = list(reader.host(store.user_id, SPACE).iter_records())
    found = {record.key: (record.value, record.revision, _expiry(record)) for record in records}
    for record in records:
        seen.notes[record.key] = (*found[record.key], _time(record.created_at), _time(record.updated_at))
    file.seek(0)
    seen.notes[AREAS] = exported > len(records)  # whatever becomes of the import
    report = import_records(file, seen.host)
    seen.notes[AREAS] &= bool(report.written or report.replaced)
    return found


def _expiry(record: Record) -> int | None:
    return None if record.expires_at is None else _time(record.expires_at)


def _time(time: datetime) -> int:
    return microseconds(text_of(time))


def _changes(name: str) -> dict[str, Any]:
    return {"$set": {"name": name}, "$setOnInsert": {**JOBS, "n": 0}}


def _found(call: Call) -> Iterable[str]:
    keys: Iterable[str] = call.result
    return keys


def _one(call: Call) -> Iterable[str]:
    return (call.arguments[0],)


def _hit(call: Call) -> Iterable[str]:
    return () if call.result == MISSING else _one(call)


def _others(call: Call) -> Iterable[str]:
    return () if call.result == call.arguments[1] else _one(call)


def _everything(call: Call) -> Iterable[str]:
    return ALL


_AROUND: tuple[Mapping[str, Kind], ...] = (leases.KINDS, logs.KINDS, runs.KINDS, blobs.KINDS)
AROUND: dict[str, Kind] = {name: one for kinds in (*_AROUND, memory.KINDS, vaults.KINDS) for name, one in kinds.items()}
"""The calls of what is kept around the records, by name."""

# The calls on records. In these lines `s` is the agent's store, `m` what its thread knows, `k` a key and `v` a value.

_RECORDS: dict[str, Kind] = {
    "get": Kind(
        6, lambda d: (d.key(),), lambda s, m, k: s.get(k, MISSING), lambda c, k: saw(c, k, c.result), _hit, _one
    ),
    "get_record": Kind(
        4, lambda d: (d.key(),), _record, lambda c, k: saw(c, k, *((MISSING,) if c.result is None else c.result[:3]))
    ),
    "exists": Kind(
        1, lambda d: (d.key(),), lambda s, m, k: s.exists(k), lambda c, k: saw(c, k, ANY if c.result else MISSING)
    ),
    "set": Kind(
        6,
        lambda d: (*d.key_and_value(), d.ttl()),
        lambda s, m, k, v, t: _noted(m, k, s.set(k, v, ttl=t)),
        lambda c, k, v, t: put(c, k, v, error=c.error, revision=c.result, ttl=t),
    ),
    "set_if": Kind(
        4,
        lambda d: (k := d.key(), d.value(k), Seen(k)),
        lambda s, m, k, v, r: _noted(m, k, s.set(k, v, if_revision=r)),
        lambda c, k, v, r: put(c, k, v, error=c.error, revision=c.result, if_revision=r),
    ),
    "add": Kind(
        5,
        lambda d: (*d.key_and_value(), d.ttl()),
        lambda s, m, k, v, t: _noted(m, k, s.add(k, v, ttl=t)),
        lambda c, k, v, t: put(c, k, v, error=c.error, revision=c.result, ttl=t, if_absent=True),
    ),
    "delete": Kind(
        4,
        lambda d: (d.key(),),
        lambda s, m, k: s.delete(k),
        lambda c, k: removed(c, k, was_there=c.result, error=c.error),
    ),
    "delete_if": Kind(
        2,
        lambda d: (k := d.key(), Seen(k)),
        lambda s, m, k, r: s.delete(k, if_revision=r),
        lambda c, k, r: removed(c, k, was_there=c.result, error=c.error, if_revision=r),
    ),
    "pop": Kind(3, lambda d: (d.key("text", "number"),), lambda s, m, k: s.pop(k, MISSING), popped),
    "touch": Kind(2, lambda d: (d.key(), d.ttl()), lambda s, m, k, t: s.touch(k, ttl=t), touched),
    "increment": Kind(
        6,
        lambda d: (d.key("number"), d.random.randint(1, 3)),
        lambda s, m, k, n: s.increment(k, n),
        lambda c, k, n: modified(c, k, lambda value: value + n, 0),
    ),
    "modify": Kind(
        3,
        lambda d: (k := d.key("text"), d.value(k)),
        lambda s, m, k, v: s.modify(k, added(v)),
        lambda c, k, v: modified(c, k, added(v)),
    ),
    "get_or_set": Kind(
        2,
        lambda d: (k := d.key("text"), d.value(k)),
        lambda s, m, k, v: s.get_or_set(k, lambda: v, lease=2),
        computed,
        _others,
        _one,
    ),
    "claim": Kind(4, lambda d: (d.random.choice((0.01, 5, 60)),), _claimed, claim),
    "find_one_and_update": Kind(1, lambda d: (), lambda s, m: _first_changed(s), first_of),
    "get_many": Kind(
        2,
        lambda d: d.keys(),
        lambda s, m, *k: s.get_many(k),
        lambda c, *k: saw_all(c, (c.result or {}).items(), k),
        _found,
        lambda c: c.arguments,
    ),
    "get_all": Kind(
        1, lambda d: (), lambda s, m: s.get_all(), lambda c: saw_all(c, (c.result or {}).items()), _found, _everything
    ),
    "list_keys": Kind(
        2, lambda d: (), lambda s, m: s.list_keys(), lambda c: saw_all(c, dict.fromkeys(c.result or (), ANY).items())
    ),
    "find": Kind(
        2,
        lambda d: (),
        lambda s, m: s.find(JOBS),
        lambda c: saw_all(c, (c.result or {}).items(), KEYS["job"]),
        _found,
        _everything,
    ),
    "set_many": Kind(3, lambda d: d.pairs(), lambda s, m, *p: s.set_many(p), lambda c, *p: batch(c, p)),
    "add_many": Kind(2, lambda d: d.pairs(), lambda s, m, *p: s.add_many(p), lambda c, *p: batch(c, p, if_absent=True)),
    "delete_many": Kind(2, lambda d: d.keys(), lambda s, m, *k: s.delete_many(k), lambda c, *k: all_removed(c, k)),
    "clear": Kind(1, lambda d: (), lambda s, m: s.clear(), lambda c: all_removed(c)),
    "update_where": Kind(
        2,
        lambda d: (),
        lambda s, m: s.update_where(JOBS, {"$inc": {"n": 1}}),
        lambda c: where(
            c, lambda k: changed(c, k, one_more, only=True, optional=c.error is not None, counted=c.error is None)
        ),
    ),
    "delete_where": Kind(1, lambda d: (), lambda s, m: s.delete_where(JOBS), lambda c: all_removed(c, KEYS["job"])),
    "in": Kind(1, lambda d: (d.key(),), lambda s, m, k: k in s, lambda c, k: saw(c, k, ANY if c.result else MISSING)),
    "create": Kind(1, lambda d: (d.value("a"),), lambda s, m, v: _created(s, v), was_created),
    "append": Kind(
        3,
        lambda d: ("list", d.value("a")),
        lambda s, m, k, v: s.append(k, v),
        lambda c, k, v: modified(c, k, lambda value: [*value, v], []),
    ),
    "update": Kind(
        2,
        lambda d: (d.key("job"), d.value("a")),
        lambda s, m, k, v: s.update(k, _changes(v)),
        lambda c, k, v: modified(c, k, renamed(v), {**JOBS, "n": 0}),
    ),
    "get_records": Kind(
        1, lambda d: d.keys(), lambda s, m, *k: _shown(s.get_records(k).values()), lambda c, *k: saw_records(c, k)
    ),
    "first": Kind(1, lambda d: (), lambda s, m: _of_one(s.first()), lambda c: saw_first(c)),
    "last": Kind(1, lambda d: (), lambda s, m: _of_one(s.last()), lambda c: saw_first(c, backward=True)),
    "scan": Kind(1, lambda d: (), lambda s, m: _shown(s.scan().records), lambda c: saw_records(c)),
    "iter_records": Kind(1, lambda d: (), lambda s, m: _shown(s.iter_records()), lambda c: saw_records(c)),
    "find_records": Kind(
        1, lambda d: (), lambda s, m: _shown(s.find_records(JOBS).records), lambda c: saw_records(c, KEYS["job"])
    ),
    "find_in": Kind(
        1, lambda d: (), lambda s, m: _shown(s.find_in(SPACE, JOBS)), lambda c: saw_records(c, KEYS["job"])
    ),
    "list_namespaces": Kind(1, lambda d: (), lambda s, m: s.list_namespaces(), listed),
    "namespace_stats": Kind(1, lambda d: (), lambda s, m: _stats(s), lambda c: counted(c)),
    "count": Kind(1, lambda d: (), lambda s, m: s.count(), lambda c: counted(c)),
    "count-filter": Kind(1, lambda d: (), lambda s, m: s.count(JOBS), lambda c: counted(c, KEYS["job"])),
    "explain": Kind(
        1, lambda d: (), lambda s, m: s.explain(JOBS)["documents_returned"], lambda c: counted(c, KEYS["job"])
    ),
    "clear-prefix": Kind(1, lambda d: (), lambda s, m: s.clear("job"), lambda c: all_removed(c, KEYS["job"])),
    "purge_expired": Kind(1, lambda d: (), lambda s, m: s.purge_expired(), lambda c: purged(c, (*ALL, *memory.TEXTS))),
    "fork": Kind(1, lambda d: (d.random.choice(("parent", "child")),), lambda s, m, g: m.fork(g), lambda c, g: ()),
    "copy": Kind(1, lambda d: (), _copied, lambda c: saw_records(c)),
    "import": Kind(1, lambda d: (), _imported, brought_back),
}

KINDS: dict[str, Kind] = {**_RECORDS, **AROUND, **queries.KINDS}
"""The calls by name."""

AUDIT = Kind(
    0,
    lambda d: (),
    lambda s, m: _looked(s),
    lambda c: itertools.chain.from_iterable(
        saw(c, key, *((MISSING,) if one is None else one[:3])) for key, one in (c.result or {}).items()
    ),
)
"""Looks at all keys when everybody has ended; no agent makes this call."""

EVENTS: dict[str, Callable[..., Effects]] = {
    "(made anew)": lambda c: (Effect(at(c, key), c, lambda state, _: (None,)) for key in ALL),
    "(power lost)": lambda c, kept: recovered(c, kept=kept),
}
"""What happens to a database, by the name that it has in the history."""


def kind(name: str) -> Kind:
    """Return the call of a name."""
    return AUDIT if name == "look" else KINDS[name]


def effects(call: Call) -> Effects:
    """Return what a call, or an event, did to each key."""
    made = EVENTS[call.name] if call.name in EVENTS else kind(call.name).effects
    return made(call, *call.arguments)


LOSSES = frozenset({"delete", "delete_if", "pop", "touch", "delete_many", "clear", "clear-prefix", "delete_where"})
LOSSES |= {"purge_expired", "import", "fenced_delete", "delete_where_by"}
"""The calls after which a key may belong to another record."""


def plan(seed: str, possible: frozenset[str]) -> Plan:
    """Draw a run."""
    random = Random(seed)
    luck = Luck.drawn(random, possible)
    users = USERS if random.random() < 0.2 else USERS[:1]
    # Where few kinds of calls have a run to themselves, and few keys, they meet as they seldom do among many ("swarm
    # testing", Groce and others, 2012).
    share = random.choice(_SHARES)
    names = [name for name in _RECORDS if random.random() < share] or list(_RECORDS)
    weights = [KINDS[name].weight for name in names]
    keys: Mapping[str, tuple[str, ...]] = KEYS
    if random.random() < _FEW_KEYS:
        keys = {kind: KEYS[kind][:1] for kind in random.sample(tuple(KEYS), 2)}
    skewed = random.random() < 0.5
    processes = []
    for number in range(random.choice((1, 2, 2, 2, 3))):
        threads = []
        for place in range(random.choice((1, 1, 2))):
            user = random.choice(users)
            draw = Draw(random, user, keys)
            calls = []
            for position in range(random.randint(2, 7)):
                (name,) = random.choices(names, weights)
                pause = random.expovariate(random.choice((1000.0, 200.0, 1.0)))
                calls.append(CallPlan(position, name, KINDS[name].draw(draw), pause))
            threads.append(ThreadPlan(place, user, SPACE, tuple(calls)))
        options = {
            "tracking": random.choice(("deferred", "deferred", "immediate", "off")),
            "flush_interval": random.choice((0.01, 0.1, 1.0)),
        }
        skew = random.uniform(-5.0, 5.0) if skewed else 0.0
        processes.append(ProcessPlan(number, skew, options, tuple(threads)))
    drawn = Plan(seed, luck, tuple(processes))
    drawn = _with_queries(_with_more(drawn, Random(f"{seed} around")), Random(f"{seed} queries"))
    return _with_vaults(_with_memory(drawn, Random(f"{seed} by meaning")), Random(f"{seed} vaults"))


# What follows is drawn apart from all others, so a new call of it changes no run that has none of it.


def _with_more(plan: Plan, random: Random) -> Plan:
    """Add calls of what is kept around the records, to some of the plans; the others stay what they are."""
    if random.random() >= _WITH_MORE:
        return plan
    drawn = random.sample(_AROUND, random.choice((1, 1, 2, len(_AROUND))))
    kinds = {name: one for some in drawn for name, one in some.items()}
    keys = {kind: KEYS[kind][:1] for kind in random.sample(tuple(KEYS), 2)}
    alone = random.random() < 0.5
    return _with(plan, random, kinds, keys, _NUMBERED_FROM, (2, 6) if alone else (1, 4), alone=alone)


def _with_queries(plan: Plan, random: Random) -> Plan:
    """Add indexes, queries, and more calls on the jobs that these find."""
    if random.random() >= _WITH_QUERIES:
        return plan
    writing = {name: _RECORDS[name] for name in ("set", "update", "delete", "touch")}
    keys = {"job": KEYS["job"]}
    return _with(plan, random, queries.KINDS | writing, keys, _QUERIES_FROM, (2, 6), alone=random.random() < 0.5)


def _with_memory(plan: Plan, random: Random) -> Plan:
    """Add texts with vectors, and searches."""
    if random.random() >= _WITH_MEMORY:
        return plan
    return _with(plan, random, memory.KINDS, KEYS, _MEMORY_FROM, (2, 6), alone=random.random() < 0.5)


def _with_vaults(plan: Plan, random: Random) -> Plan:
    """Add items of a vector vault, their vectors, and searches."""
    if random.random() >= _WITH_VAULTS:
        return plan
    return _with(plan, random, vaults.KINDS, KEYS, _VAULTS_FROM, (2, 6), alone=random.random() < 0.5)


def _with(
    plan: Plan,
    random: Random,
    kinds: Mapping[str, Kind],
    keys: Mapping[str, tuple[str, ...]],
    first: int,
    number: tuple[int, int],
    *,
    alone: bool,
) -> Plan:
    """Return a plan with more calls in each thread, at any places, or with these alone."""

    def more(thread: ThreadPlan) -> ThreadPlan:
        draw, calls = Draw(random, thread.user, keys), [] if alone else list(thread.calls)
        for position in range(first, first + random.randint(*number)):
            (name,) = random.choices(list(kinds), [one.weight for one in kinds.values()])
            pause = random.expovariate(random.choice((1000.0, 200.0, 1.0)))
            call = CallPlan(position, name, kinds[name].draw(draw), pause)
            calls.insert(random.randint(0, len(calls)), call)
        return thread._replace(calls=tuple(calls))

    return plan._replace(processes=tuple(one._replace(threads=tuple(map(more, one.threads))) for one in plan.processes))


def audit(plan: Plan) -> Sequence[CallPlan]:
    """Return the calls that look at what is there when everybody has ended."""
    calls = [("look", ()), ("list_keys", ()), ("get_all", ())]
    names = {call.name for process in plan.processes for thread in process.threads for call in thread.calls}
    looks: tuple[tuple[Mapping[str, Kind], str, tuple[Any, ...]], ...] = (
        (logs.KINDS, "log_read", (0, None, False)),
        (blobs.KINDS, "blob_get", ()),
        (memory.KINDS, "memory_search", ("audit", 9, False)),
        (vaults.KINDS, "vault_similar", ("audit",)),
        (runs.KINDS, "run", (2.0, "release", *(f"nobody's {number}" for number in range(runs.STEPS)))),
    )
    calls += [(name, arguments) for kinds, name, arguments in looks if not names.isdisjoint(kinds)]
    return [CallPlan(number, name, arguments, 0.0) for number, (name, arguments) in enumerate(calls)]
