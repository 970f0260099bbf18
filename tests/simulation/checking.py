"""Whether a history can be explained: by an order of the calls in which each took effect at once.

Each key is judged for itself, since a history is linearizable if the history of each of its objects is (Herlihy and
Wing, "Linearizability: A Correctness Condition for Concurrent Objects", 1990). The search is that of Wing and Gong
("Testing and Verifying Concurrent Objects", 1993) with the memory that Lowe added ("Testing for Linearizability",
2017): no pair of a set of calls and a state is looked at twice. Porcupine (A. Athalye) does the same.

A call of which nobody knows whether it took effect may do so at any time after it began, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any, NamedTuple, TypeAlias

from datastore.values import decode, encode
from tests.simulation.world import Call

Key: TypeAlias = tuple[str, str, str]
"""User, namespace and key."""
Span: TypeAlias = tuple[int, int]
"""A time of which only the bounds are known, in microseconds since the epoch."""


MOST_LOOKED_AT = 300_000
"""The most pairs of a set of calls and a state that are looked at for one key: some seconds."""


class UndecidedError(Exception):
    """The search for an order took too long: nobody knows whether the history can be explained."""


class State(NamedTuple):
    """What is known of a record."""

    value: str
    """As JSON text, without the time until which a job is held."""
    revision: str | None
    """``None`` if nobody has seen it yet."""
    expires: Span | None
    """``None`` for never."""
    held: Span | None = None
    """Until when the job is held; ``None`` if it never was."""
    doomed: tuple[float, ...] = ()
    """Which calls have written it without knowing (`Call.invoked`), and go on as if they had not. That is right only if
    the record is deleted before, and what it knows of its last writes with it."""
    marked: tuple[float, ...] = ()
    """Which calls of those that have a request that is late have written it (`Call.invoked`)."""


Stored: TypeAlias = State | None
Step: TypeAlias = Callable[[Stored, int | None], Iterable[Stored]]
"""Returns the states after an effect, given the one before: several if nobody can tell, none if it is impossible.

The second argument is for an effect that a call only counts: 1 to have been counted, 0 not to, ``None`` for either."""


class Effect(NamedTuple):
    """What a call did to one key, or saw there."""

    key: Key
    call: Call
    step: Step
    optional: bool = False
    """It may not have taken place."""
    counted: bool = False
    """It is one of several that the call's result is the number of."""
    until: float = inf
    """If it is ``optional``: when it had taken place at the latest."""
    excuse: bool = False
    """It ought not to take place, and is no fault: a limit of the contract. It is ``optional``."""
    reads: bool = False
    """It changes nothing, whatever it finds."""

    @property
    def latest(self) -> float:
        """When it had taken place at the latest."""
        return inf if self.optional else self.call.returned


def views(state: Stored, call: Call) -> tuple[Stored, ...]:
    """Return what a call may take a record for: by its own clock it may be expired, or by the database's be gone."""
    if state is None or state.expires is None or state.expires[0] > max(call.high, call.reaped):
        return (state,)
    if state.expires[1] <= call.low:
        return (None,)
    return (state, None)


def parts(value: Any) -> tuple[str, Span | None]:
    """Return a value as `State` has it: its text, and until when it is held."""
    if isinstance(value, dict) and isinstance(value.get("claim"), dict):
        until = microseconds(value["claim"]["until"])
        return plain({**value, "claim": {**value["claim"], "until": ""}}), (until, until)
    return plain(value), None


def plain(value: Any) -> str:
    """Return a value as text that is the same for equal values: not every database keeps the order of names."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{encode(name)}:{plain(value[name])}' for name in sorted(value))}}}"
    return encode(value)


def value_of(state: State) -> Any:
    """Return the value of a state."""
    return decode(state.value)


def microseconds(text: str) -> int:
    """Return a time in microseconds since the epoch."""
    from datastore.times import parse_time

    time = parse_time(text)
    return int(time.timestamp()) * 1_000_000 + time.microsecond


def both(one: Span | None, other: Span | None) -> tuple[bool, Span | None]:
    """Return whether two times can be the same, and what is then known of it."""
    if one is None or other is None:
        return one is other, one
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return low <= high, (low, high)


def linearizable(effects: Sequence[Effect], wanted: tuple[Effect, int] | None = None) -> bool:
    """Return whether the effects on one key can have taken place one after another; without excuses, or with them.

    Args:
        effects: The effects; before the first of them there was no record.
        wanted: One that is counted, and whether it is to have been.

    Raises:
        UndecidedError: If that takes too long to find out.
    """
    strictly = [effect for effect in effects if not effect.excuse]
    return _searched(strictly, wanted) or (len(strictly) < len(effects) and _searched(effects, wanted))


def _searched(effects: Sequence[Effect], wanted: tuple[Effect, int] | None) -> bool:
    """Return whether there is an order of the effects. Those that need not have taken place are tried last."""
    ordered = sorted(effects, key=lambda effect: effect.call.invoked)
    chosen = [wanted[1] if wanted is not None and effect is wanted[0] else None for effect in ordered]
    needed = sum(1 << index for index, effect in enumerate(ordered) if not effect.optional)
    begun = [effect.call.invoked for effect in ordered]
    latest = [effect.latest for effect in ordered]
    start: tuple[int, Stored] = (0, None)
    seen, open = {start}, [start]
    while open:
        done, state = open.pop()
        if done & needed == needed and (state is None or not state.doomed):
            return True
        limit = inf
        for index, end in enumerate(latest):
            if not done >> index & 1 and end < limit:
                limit = end
        following: list[tuple[int, Stored]] = []
        if_all_else_fails: list[tuple[int, Stored]] = []
        for index, effect in enumerate(ordered):
            if begun[index] > limit:
                break
            if done >> index & 1:
                continue
            if done and begun[done.bit_length() - 1] > effect.until:
                continue
            afterwards = list(effect.step(state, chosen[index]))
            if effect.reads and afterwards == [state]:
                following, if_all_else_fails = [(done | 1 << index, state)], []  # it can as well be next
                break
            if effect.optional:
                if_all_else_fails += [(done | 1 << index, after) for after in afterwards if after != state]
            else:
                following += [(done | 1 << index, after) for after in afterwards]
        for new in (*reversed(if_all_else_fails), *reversed(following)):
            if new not in seen:
                seen.add(new)
                open.append(new)
        if len(seen) > MOST_LOOKED_AT:
            raise UndecidedError
    return False


def unexplained(effects: Iterable[Effect]) -> list[str]:
    """Return what is wrong with a history: a line for each key, or call, that cannot be explained."""
    by_key: dict[Key, list[Effect]] = {}
    counting: dict[Call, list[Effect]] = {}
    for effect in effects:
        by_key.setdefault(effect.key, []).append(effect)
        if effect.counted and effect.call.error is None:
            counting.setdefault(effect.call, []).append(effect)
    wrong = [f"no order of the calls explains {'/'.join(key)}" for key, on in by_key.items() if not linearizable(on)]
    if wrong:
        return wrong
    for call, counted in counting.items():
        fewest = sum(not linearizable(by_key[one.key], (one, 0)) for one in counted)
        most = sum(linearizable(by_key[one.key], (one, 1)) for one in counted)
        if not fewest <= call.result <= most:
            wrong.append(f"{call} of {call.thread} counted {call.result}, which cannot be: {fewest} to {most}")
    return wrong
