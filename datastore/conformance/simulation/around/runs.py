"""Runs: what a step came to is kept once, and every worker that comes to the step is given that.

A step is a register that is written once. The functions of different workers return different values, so what is kept
tells whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from datastore import AgentDataStore, NoSuchRunError
from datastore.conformance.simulation.checking import Effect, State, Stored, plain
from datastore.conformance.simulation.effects import Effects, at
from datastore.conformance.simulation.history import Call
from datastore.conformance.simulation.kinds import Kind
from datastore.conformance.simulation.world import Sight

_ID = "run"
STEPS = 3
"""How many steps the run has."""


def _work(store: AgentDataStore, seen: Sight, ttl: float, ends: str, *values: Any) -> tuple[Any, ...]:
    """Begin the run or go on with it, and come to some of its steps."""
    results = seen.notes["steps"] = []
    try:
        run = store.runs.resume(_ID, lease=ttl)
    except NoSuchRunError:
        run = store.runs.start(_ID, lease=ttl)
    for number, value in enumerate(values):
        results.append(run.step(f"step {number}", lambda value=value: value))
    if ends == "finish" and len(values) == STEPS:
        run.finish(results)
    elif ends != "leave":
        run.release()
    return tuple(results)


def _kept(value: Any, is_own: bool, state: Stored, _: int | None) -> Iterator[Stored]:
    if state is None:
        if is_own:
            yield State(plain(value), None, None)
    elif state.value == plain(value):
        yield state


def _stepped(call: Call, ttl: float, ends: str, *values: Any) -> Effects:
    """A worker was given what its first steps came to; the next one's may be kept, if the call has failed there."""
    if call.is_unsettled:
        return
    results = call.notes.get("steps", ())
    for number, (result, own) in enumerate(zip(results, values, strict=False)):
        yield Effect(at(call, f"step {number} of the run"), call, partial(_kept, result, result == own))
    if len(results) < len(values):
        own = values[len(results)]
        yield Effect(at(call, f"step {len(results)} of the run"), call, partial(_kept, own, True), optional=True)


def _result(store: AgentDataStore) -> Any:
    info = store.runs.get(_ID)
    return None if info is None or info.status != "done" else store.runs.result(_ID)


def _ended(call: Call) -> Effects:
    """A run that is done has the results of its steps for its own."""
    if call.error is None and call.result is not None and not call.is_unsettled:
        for number, result in enumerate(call.result):
            yield Effect(at(call, f"step {number} of the run"), call, partial(_kept, result, False))


KINDS: dict[str, Kind] = {
    "run": Kind(
        5,
        lambda d: (
            d.random.choice((0.05, 2.0)),
            d.random.choice(("release", "release", "leave", "finish")),
            *(d.value("a") for _ in range(d.random.randint(1, STEPS))),
        ),
        _work,
        _stepped,
    ),
    "run_result": Kind(1, lambda d: (), lambda s, m: _result(s), _ended),
}
