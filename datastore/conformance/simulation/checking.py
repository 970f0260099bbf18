"""Whether a history can be explained: by an order of the calls in which each took effect at once.

Each key is judged for itself, since a history is linearizable if the history of each of its objects is (Herlihy and
Wing, "Linearizability: A Correctness Condition for Concurrent Objects", 1990). The search is that of Wing and Gong
("Testing and Verifying Concurrent Objects", 1993) with the memory that Lowe added ("Testing for Linearizability",
2017): no pair of a set of calls and a state is looked at twice. Porcupine (A. Athalye) does the same.

A call of which nobody knows whether it took effect may do so at any time after it began, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple, TypeAlias

from datastore.conformance.simulation.history import Call
from datastore.values import decode, encode

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
    doomed: tuple[tuple[float, float], ...] = ()
    """Which calls have written it without knowing (`Call.invoked`), and go on as if they had not. That is right only if
    the record is deleted before, and what it knows of its last writes with it; or if it was written by others so often
    meanwhile as the second number says, and knows no more of that one. Infinity where that is not played."""
    listed: float = -inf
    """Which call has just listed it as expired (`Call.invoked`), and does what follows from that next."""
    marked: tuple[float, ...] = ()
    """Which calls of those that have a request that is late have written it (`Call.invoked`)."""
    created: tuple[float, float] = (0.0, 0.0)
    """What the clock of the call that created it has shown: from when to when, in microseconds since the epoch."""
    written: float = 0.0
    """The earliest time that the clock of the call has shown that wrote its value last."""
    changed: float = 0.0
    """When the call had ended that wrote its value or moved its expiry last (`Call.returned`); infinity if nobody knows
    when that was done."""
    fence: int = 0
    """The highest number of a lease that it is certain to remember; 0 for none."""


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
    follows: Effect | None = None
    """The effect on the same key that it comes after."""

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


def _after_another_write(after: State, before: State) -> State:
    """Return a state that knows less of those before its last write. A touch, and a look, write no value."""
    if after.value == before.value:
        return after
    doomed = ((call, left - ((call, left) in before.doomed)) for call, left in after.doomed)
    return after._replace(doomed=tuple((call, left) for call, left in doomed if left))


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


class Orders:
    """The effects on one key, in the order in which their calls began, and the search for an order of them all.

    States are numbers here, and what an effect makes of a state is worked out once, although a search, and one search
    after another, comes to the same state in many ways.
    """

    def __init__(self, effects: Sequence[Effect]) -> None:
        self.effects = sorted(effects, key=lambda effect: effect.call.invoked)
        self._needed = sum(1 << index for index, effect in enumerate(self.effects) if not effect.optional)
        self._begun = [effect.call.invoked for effect in self.effects]
        self._ends = sorted(
            (effect.call.returned, 1 << n) for n, effect in enumerate(self.effects) if not effect.optional
        )
        self._untils = [(one.until, 1 << n) for n, one in enumerate(self.effects) if one.until < inf]
        self._states: list[Stored] = [None]
        self._numbers: dict[Stored, int] = {None: 0}
        self._made: dict[tuple[int, int | None], dict[int, tuple[int, ...]]] = {}
        places = {id(effect): 1 << index for index, effect in enumerate(self.effects)}
        self._follows = [places.get(id(effect.follows), 0) for effect in self.effects]
        self._told_apart = self._needed | sum({bit for bit in self._follows if not self._needed & bit})
        """Those without which others cannot take place."""
        self._returned = {effect.call.invoked: effect.call.over for effect in self.effects}

    def _after(self, index: int, chosen: int | None, before: int) -> tuple[int, ...]:
        """Return the numbers of the states that an effect may make of one.

        A record that a call has written without knowing is gone before the call returns.
        """
        numbers, states = self._numbers, self._states
        made: list[int] = []
        effect, state = self.effects[index], states[before]
        if state is not None and any(self._returned[one] < effect.call.invoked for one, _ in state.doomed):
            return ()
        if state is not None and state.listed not in (-inf, effect.call.invoked):
            return ()
        for after in effect.step(state, chosen):
            if state is not None and after is not None and state.doomed:
                after = _after_another_write(after, state)
            number = numbers.get(after)
            if number is None:
                number = numbers[after] = len(states)
                states.append(after)
            made.append(number)
        return tuple(made)

    def is_one(self, wanted: Effect | None = None, chosen: int | None = None) -> bool:
        """Return whether there is an order. Effects that need not have taken place are tried last.

        Args:
            wanted: One that is counted.
            chosen: Whether it is to have been, or ``None`` for either.

        Raises:
            UndecidedError: If that takes too long to find out.
        """
        needed, begun, ends, states = self._needed, self._begun, self._ends, self._states
        told_apart = self._told_apart
        known = []
        for index, effect in enumerate(self.effects):
            choice = chosen if effect is wanted else None
            made = self._made.setdefault((index, choice), {})
            known.append((effect, choice, made, effect.reads, effect.optional, self._follows[index]))
        many, looked_at = len(known), 0
        seen: dict[int, list[int]] = {0: [0]}
        open = [(0, 0)]
        while open:
            done, number = open.pop()
            if done & needed == needed:
                state = states[number]
                if state is None or not (state.doomed or state.listed > -inf):
                    return True
            limit = inf
            for end, bit in ends:
                if not done & bit:
                    limit = end
                    break
            last = begun[done.bit_length() - 1] if done else -inf
            following: list[tuple[int, int]] = []
            if_all_else_fails: list[tuple[int, int]] = []
            for index in range((~done & (done + 1)).bit_length() - 1, many):
                if begun[index] > limit:
                    break
                bit = 1 << index
                if done & bit:
                    continue
                effect, choice, made, reads, optional, first = known[index]
                if last > effect.until or first & ~done:
                    continue
                afterwards = made.get(number)
                if afterwards is None:
                    afterwards = made[number] = self._after(index, choice, number)
                if (
                    reads
                    and afterwards == (number,)
                    and not any(last <= until < begun[index] and not done & other for until, other in self._untils)
                ):
                    following, if_all_else_fails = [(done | bit, number)], []  # it can as well be next
                    break
                if optional:
                    if_all_else_fails += [(done | bit, after) for after in afterwards if after != number]
                else:
                    following += [(done | bit, after) for after in afterwards]
            for done, number in (*reversed(if_all_else_fails), *reversed(following)):
                # What can follow here can also follow where the same had to take place, and less of the rest has.
                before = seen.setdefault(number << many | done & told_apart, [])
                for one in before:
                    if one & done == one:
                        break
                else:
                    before.append(done)
                    open.append((done, number))
                    looked_at += 1
            if looked_at > MOST_LOOKED_AT:
                raise UndecidedError
        return False


class History:
    """What happened to one key. An order is looked for without excuses, and if there is no such order, with them."""

    def __init__(self, effects: Sequence[Effect]) -> None:
        strictly = [effect for effect in effects if not effect.excuse]
        self._strict = Orders(strictly)
        self._lenient = Orders(effects) if len(strictly) < len(effects) else None

    def is_linearizable(
        self, wanted: Effect | None = None, chosen: int | None = None, *, leniently: bool | None = None
    ) -> bool:
        """Return whether the effects can have taken place one after another; before the first there was no record.

        Args:
            wanted: One that is counted.
            chosen: Whether it is to have been, or ``None`` for either.
            leniently: Whether to look only without excuses, or only with them.

        Raises:
            UndecidedError: If that takes too long to find out.
        """
        if not leniently and self._strict.is_one(wanted, chosen):
            return True
        return leniently is not False and self._lenient is not None and self._lenient.is_one(wanted, chosen)


def _are_so_many(histories: Mapping[Key, History], counted: Sequence[Effect], chosen: int, number: int) -> bool:
    """Return whether so many of the effects that a call counts can have been counted, or not, without or with excuses.

    The search ends as soon as there are enough.
    """
    left = list(counted)
    for leniently in (False, True):
        for one in tuple(left):
            if number <= 0:
                return True
            if histories[one.key].is_linearizable(one, chosen, leniently=leniently):
                left.remove(one)
                number -= 1
    return number <= 0


def unexplained(effects: Iterable[Effect]) -> list[str]:
    """Return what is wrong with a history: a line for each key, or call, that cannot be explained."""
    by_key: dict[Key, list[Effect]] = {}
    counting: dict[Call, list[Effect]] = {}
    for effect in effects:
        by_key.setdefault(effect.key, []).append(effect)
        if effect.counted and effect.call.error is None:
            counting.setdefault(effect.call, []).append(effect)
    histories = {key: History(on) for key, on in by_key.items()}
    wrong = [
        f"no order of the calls explains {'/'.join(key)}" for key, one in histories.items() if not one.is_linearizable()
    ]
    if wrong:
        return wrong
    for call, counted in counting.items():
        result = call.result
        if not _are_so_many(histories, counted, 0, len(counted) - result) or not _are_so_many(
            histories, counted, 1, result
        ):
            fewest = sum(not histories[one.key].is_linearizable(one, 0) for one in counted)
            most = sum(histories[one.key].is_linearizable(one, 1) for one in counted)
            wrong.append(f"{call} of {call.thread} counted {result}, which cannot be: {fewest} to {most}")
    return wrong
