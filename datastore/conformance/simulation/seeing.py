"""What a call has seen under each key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from datastore.conformance.simulation.checking import Effect, Stored, views
from datastore.conformance.simulation.effects import ANY, Effects, at, bound, overlooks
from datastore.conformance.simulation.history import Call
from datastore.conformance.simulation.names import ALL, MADE, MISSING, SPACE


def saw(call: Call, key: str, value: Any, revision: str | None = None, expires: object = ANY) -> Effects:
    """A call has shown a value under a key, or that there is none (``MISSING``)."""

    def step(state: Stored, _: int | None) -> Iterator[Stored]:
        for view in views(state, call):
            if value is MISSING:
                if view is None:
                    yield state
            elif view is not None and (shown := bound(view, value, revision, expires)) is not None:
                yield shown

    if call.error is None:
        yield Effect(at(call, key), call, step, reads=True)


def saw_all(call: Call, found: Iterable[tuple[str, Any]], keys: Iterable[str] = ALL) -> Effects:
    """A call has shown the values of some of the keys, and that there are none under the others."""
    shown = dict(found) if call.error is None else {}
    for key in keys:
        yield from saw(call, key, shown.get(key, MISSING))


def saw_records(call: Call, keys: Iterable[str] = ALL) -> Effects:
    """A call has shown some of the keys with value and revision, and none of the others."""
    shown = call.result if call.error is None else {}
    for key in keys:
        yield from saw(call, key, *shown.get(key, (MISSING,)))


def saw_first(call: Call, *, backward: bool = False) -> Effects:
    """A call has shown the first key that there is, or the last."""
    keys = list(reversed(ALL)) if backward else list(ALL)
    (first,) = call.result or keys[-1:]
    return saw_records(call, keys[: keys.index(first) + 1])


def counted(call: Call, keys: Iterable[str] = ALL) -> Effects:
    """A call says how many of the keys there are."""

    def step(state: Stored, chosen: int | None) -> Iterator[Stored]:
        if (
            chosen is None
            or any(chosen == (view is not None) for view in views(state, call))
            or (chosen and overlooks(call, state))
        ):
            yield state

    if call.error is None:
        for key in keys:
            yield Effect(at(call, key), call, step, counted=True, reads=True)


def listed(call: Call) -> Effects:
    """A call has listed the namespaces. If it leaves one out, it has found nothing there."""
    if call.error is None and SPACE not in call.result:
        for key in ALL:
            yield from saw(call, key, MISSING)


def was_created(call: Call, value: Any) -> Effects:
    """A record was created, and read under its key, which nobody else knows."""
    if call.error is None and call.result[1] != value and not (call.emptied and call.result[1] == MISSING):
        yield Effect((call.user, MADE, call.result[0]), call, lambda state, _: ())
