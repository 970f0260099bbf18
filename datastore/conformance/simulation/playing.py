"""Plays a plan, says what was wrong, and makes the plan smaller as long as it is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterator, Sequence
from typing import NamedTuple

from datastore.conformance.simulation import workload
from datastore.conformance.simulation.around import leases, logs, memory, vaults
from datastore.conformance.simulation.checking import UndecidedError, unexplained
from datastore.conformance.simulation.databases import Database
from datastore.conformance.simulation.history import LEAVES_EXPIRED_PARTS, Call
from datastore.conformance.simulation.names import AREAS
from datastore.conformance.simulation.network import REQUEST_SECONDS
from datastore.conformance.simulation.plans import Plan
from datastore.conformance.simulation.seams import without_collecting
from datastore.conformance.simulation.workload import AROUND, KINDS, LOSSES, effects, kind
from datastore.conformance.simulation.world import MAX_SECONDS, World
from datastore.errors import DamagedRecordError, InternalError

_TAKES_LONGER = frozenset({"get_or_set", "namespace_stats", "iter_records", "purge_expired", "copy", "import"})
_TAKES_LONGER |= {"lock", "run", "run_result", "blob_put", "blob_get", "blob_read", "blob_delete"}
_TAKES_LONGER |= {"ensure_index", *memory.KINDS, *vaults.KINDS}
"""The calls that wait for others, or whose time is that of each page, or that take as long as an index is built."""
_CALLS = dict.fromkeys(("fenced_set", "fenced_increment", "fenced_delete"), 3) | {"create": 2}
"""Of how many calls one is made, each of which has its own time."""
_IN_ORDER = frozenset({"list_keys", "list_namespaces", "scan", "iter_records", "find_records", "find_in", "get_all"})
"""The calls whose results are in the order of keys, or of namespaces."""
_IS_LATE = "request late"
_KEPT = (True,)
"""The arguments of a loss of power (`effects.recovered`) that keeps what was acknowledged."""
_MOST_ATTEMPTS = 400


class Played(NamedTuple):
    """A run that is over."""

    world: World
    wrong: list[str]
    """What must not be; empty if all is well."""
    undecided: bool = False
    """Whether the history was too long to be judged."""

    @property
    def kinds(self) -> frozenset[str]:
        """What is wrong, without the names, to compare two runs."""
        return frozenset(" ".join(line.split()[:3]) for line in self.wrong)

    def story(self) -> str:
        """Return what happened, line by line."""
        at_fault = {line.rpartition("/")[2] for line in self.wrong}
        told = ((time, who, what if isinstance(what, str) else what()) for time, who, what in self.world.story)
        lines = [
            f"{time:10.4f}  {who:<12} {what}"
            for time, who, what in told
            if not who.startswith("audit") or any(f"'{key}'" in what for key in at_fault)
        ]
        return "\n".join([f"seed {self.world.plan.seed}", *lines, "", *(f"WRONG: {line}" for line in self.wrong)])

    @property
    def steps(self) -> int:
        """How many calls and faults there are."""
        return self.world.plan.calls + len(self.world.happened)


def play(plan: Plan, database: Callable[[], Database]) -> Played:
    """Play a plan and check what came of it."""
    with without_collecting():  # once for a run is enough
        return _played(plan, database)


def _played(plan: Plan, database: Callable[[], Database]) -> Played:
    world = World(plan, played_on := database(), lambda name: kind(name).make)
    try:
        world.run()
        if not world.faults:
            places = {(thread.user, thread.namespace) for process in plan.processes for thread in process.threads}
            world.look(sorted(places), workload.audit(plan))
    finally:
        close: Callable[[], None] | None = getattr(played_on, "close", None)  # as in `World._replaced`
        if close is not None:
            close()
    if world.faults:
        return Played(world, world.faults)
    try:
        return Played(world, list(_wrong(world)))
    except UndecidedError:
        return Played(world, [], undecided=True)


def draw(seed: str, database: Callable[[], Database]) -> Plan:
    """Return the plan that a seed stands for."""
    return workload.plan(seed, database().faults)


def _wrong(world: World) -> Iterator[str]:
    differ = any(process.skew for process in world.plan.processes)
    differ = differ or any("clock jump" in call.faults for call in world.history)
    emptied = any(call.process == "database" and call.arguments != _KEPT for call in world.history)
    restored = any(call.notes.get(AREAS) for call in world.history)
    users = world.users
    late = {
        (call.user, call.namespace) for call in world.history if call.name == "blob_put" and _IS_LATE in call.faults
    }
    for call in world.history:
        call.clocks_differ, call.emptied, call.restored = differ, emptied, restored
        yield from _wrong_by_itself(call, users, late)
    # Whoever was killed, or failed, before looking at a clock has not written anything yet.
    ended = map(_pending, world.history)
    told = (call for call in ended if call.low <= call.high or call.error is None)
    made = [effect for call in told for effect in effects(call)]
    yield from unexplained(made)
    yield from _wrong_around(world.history)
    yield from _miscounted(world)


def _wrong_around(history: Sequence[Call]) -> Iterator[str]:
    by_place: dict[tuple[str, str], list[Call]] = {}
    for call in history:
        if call.name in AROUND:
            by_place.setdefault((call.user, call.namespace), []).append(call)
    for calls in by_place.values():
        yield from leases.wrong(calls)
        yield from logs.wrong(calls)
        yield from memory.wrong(calls)
        yield from vaults.wrong(calls)


def _pending(call: Call) -> Call:
    if call.returned == float("inf"):
        call.error = call.error or InternalError("its process was killed")
    return call


def _wrong_by_itself(call: Call, users: Sequence[str], late: Container[tuple[str, str]]) -> Iterator[str]:
    if isinstance(call.error, InternalError) and call.returned < float("inf"):
        yield f"an internal error: {call} of {call.thread}: {call.error.__cause__!r}"
    stays = call.clocks_differ and LEAVES_EXPIRED_PARTS in call.limits
    is_headless = call.name.startswith("blob_") and (stays or (call.user, call.namespace) in late)
    if isinstance(call.error, DamagedRecordError) and not ((call.is_unsettled or is_headless) and call.name in AROUND):
        # Nobody has damaged one. A blob or a run may lack what was lost with the database, or before an import; and the
        # head of a blob may be written by a request that arrives when the blob is deleted and its parts are gone.
        yield f"a damaged record: {call} of {call.thread}: {call.error.message}"
    seconds = call.ended - call.began
    most = (MAX_SECONDS + REQUEST_SECONDS) * _CALLS.get(call.name, 1)
    if most < seconds < float("inf") and call.name not in _TAKES_LONGER:
        yield f"too long: {call} of {call.thread} took {seconds:.1f} s"
    others = [user for user in users if user != call.user]
    if any(f"'{user} " in repr(call.result) for user in others):
        yield f"another user's value: {call} of {call.thread} returned {call.result!r}"
    if call.name in _IN_ORDER and call.result and list(call.result) != sorted(call.result):
        yield f"not in order: {call} of {call.thread} returned {call.result}"
    if isinstance(call.result, list) and call.name in _IN_ORDER and len(set(call.result)) < len(call.result):
        yield f"twice the same: {call} of {call.thread} returned {call.result}"


def _miscounted(world: World) -> Iterator[str]:
    """Yield for which records the accesses that were counted are more or fewer than there were."""
    audited = [
        (call.user, call.namespace, key, found[3])
        for call in world.history
        if call.name == "look" and call.result
        for key, found in call.result.items()
        if found is not None
    ]
    off = {f"p{process.number}" for process in world.plan.processes if process.options["tracking"] == "off"}
    others = ("audit", "database")
    calls = [
        call
        for call in world.history
        if call.process not in others and (call.served or call.process.rstrip("'") not in off)
    ]
    for user, namespace, key, counted in audited:
        place = (user, namespace)
        here = [call for call in calls if (call.user, call.namespace) == place]
        surely = sum(key in KINDS[call.name].hits(call) for call in here if call.error is None)
        perhaps = sum(key in KINDS[call.name].may_hit(call) for call in here if _may_have_read(call))
        # A read is sent again if its answer was lost, and then it has been made twice.
        perhaps += sum(len(call.strikes) for call in here if call.strikes and key in KINDS[call.name].may_hit(call))
        if counted > surely + perhaps:
            yield f"too many accesses: {counted} of {key} are counted, and there were {surely} to {surely + perhaps}"
        touched = [call for call in world.history if (call.user, call.namespace) == place]
        mortal = any(call.name in LOSSES or _expires(call) for call in touched)
        if not (world.killed or world.uncounted or perhaps or mortal) and counted != surely:
            yield f"too few accesses: {counted} of {key} are counted, and there were {surely}"


def _may_have_read(call: Call) -> bool:
    """Return whether a call may have counted an access that its result does not tell of.

    `get_or_set` reads what a late request of its own has stored.
    """
    stored = call.name == "get_or_set" and call.error is None and call.result == call.arguments[1]
    return call.error is not None or (stored and _IS_LATE in call.faults)


def _expires(call: Call) -> bool:
    return call.name in ("set", "add") and call.arguments[2] is not None


def shrunk(played: Played, database: Callable[[], Database]) -> Played:
    """Return a smaller run that goes wrong in the same way."""
    attempts = itertools.count()
    smaller = True
    while smaller:
        smaller = False
        for plan in _smaller(played):
            if next(attempts) > _MOST_ATTEMPTS:
                return played
            one = play(plan, database)
            if one.kinds & played.kinds:
                played, smaller = one, True
                break
    return played


def _smaller(played: Played) -> Iterator[Plan]:
    """Yield plans that lack something, the largest things first."""
    plan = played.world.plan
    processes = plan.processes
    if len(processes) > 1:
        for process in processes:
            yield plan._replace(processes=tuple(one for one in processes if one is not process))
    threads = [(process, thread) for process in processes for thread in process.threads]
    for process, thread in threads:
        if len(process.threads) > 1:
            fewer = process._replace(threads=tuple(one for one in process.threads if one is not thread))
            yield plan._replace(processes=tuple(fewer if one is process else one for one in processes))
    for size in (4, 2, 1):
        for process, thread in threads:
            for start in range(0, len(thread.calls) - size + 1, size):
                fewer_calls = thread._replace(calls=thread.calls[:start] + thread.calls[start + size :])
                fewer = process._replace(
                    threads=tuple(fewer_calls if one is thread else one for one in process.threads)
                )
                yield plan._replace(processes=tuple(fewer if one is process else one for one in processes))
    for label in played.world.happened:
        yield plan._replace(muted=plan.muted | {label})


def simulate(database: Callable[[], Database], *, runs: int = 200, seed: int = 0) -> None:
    """Play runs from a seed on, and raise for the first that goes wrong.

    Args:
        database: Makes the model of a database, one for each run.
        runs: How many.
        seed: The first one's seed; the others follow. The same seed is always the same run.

    Raises:
        AssertionError: If a run goes wrong. The message is the story of the run, made as small as it goes wrong in the
            same way, line by line: calls, requests, what went wrong with them, and what must not be.
    """
    for number in range(seed, seed + runs):
        played = play(draw(str(number), database), database)
        if played.wrong:
            raise AssertionError(f"seed {number} goes wrong: {played.wrong[0]}\n\n{shrunk(played, database).story()}")
