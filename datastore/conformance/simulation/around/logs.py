"""Logs: numbers without gaps, nothing lost that was acknowledged, no entry twice, and one order for all who read.

A log is judged as a whole. Which number an entry has is told by the call that appended it, or by whoever has read it,
and all of them must agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import Any

from datastore import AgentDataStore
from datastore.conformance.simulation.history import Call
from datastore.conformance.simulation.kinds import Draw, Kind

_NAME = "log"


def _some(draw: Draw) -> tuple[Any, ...]:
    return tuple(draw.value("a") for _ in range(draw.random.choice((1, 1, 2, 3))))


def _read(store: AgentDataStore, after: int, limit: int | None, reverse: bool) -> list[tuple[int, Any]]:
    found = store.log_read(_NAME, after=after, limit=limit, reverse=reverse)
    return [(entry.number, entry.value) for entry in found]


KINDS: dict[str, Kind] = {
    "log_append": Kind(6, _some, lambda s, m, *v: s.log_append(_NAME, *v), lambda c, *_: ()),
    "log_read": Kind(
        4,
        lambda d: (d.random.choice((0, 0, 1, 3)), d.random.choice((None, None, 1, 2)), d.random.random() < 0.3),
        lambda s, m, a, n, r: _read(s, a, n, r),
        lambda c, *_: (),
    ),
    "log_trim": Kind(
        2, lambda d: (d.random.randint(1, 6),), lambda s, m, b: s.log_trim(_NAME, before=b), lambda c, _: ()
    ),
    "list_logs": Kind(1, lambda d: (), lambda s, m: s.list_logs(), lambda c: ()),
}


class _Log:
    """What is known of a log."""

    def __init__(self) -> None:
        self.entries: dict[int, Any] = {}
        self.numbers: dict[Any, int] = {}
        self.known: dict[int, float] = {}
        """Since when an entry must be there: the end of the first call that has told its number."""

    def learn(self, number: int, value: Any, since: float) -> str | None:
        """Note which entry has a number, and return what is wrong with that."""
        if self.entries.setdefault(number, value) != value:
            return f"two entries have one number: {self.entries[number]!r} and {value!r} have {number}"
        if self.numbers.setdefault(value, number) != number:
            return f"an entry twice: {value!r} has {self.numbers[value]} and {number}"
        self.known[number] = min(self.known.get(number, inf), since)
        return None


def wrong(history: Sequence[Call]) -> Iterator[str]:
    """Yield what is wrong with the log of a namespace, whose calls these are."""
    if any(call.is_unsettled for call in history):
        return  # processes remember numbers of entries that are gone
    appends = [call for call in history if call.name == "log_append"]
    reads = [call for call in history if call.name == "log_read" and call.error is None and call.returned < inf]
    trims = [call for call in history if call.name == "log_trim"]
    log, made = _Log(), {value: (call, place) for call in appends for place, value in enumerate(call.arguments)}
    for call in appends:
        if call.error is None and call.returned < inf:
            for place, value in enumerate(call.arguments):
                if problem := log.learn(call.result + place, value, call.returned):
                    yield problem
    for call in reads:
        for number, value in call.result:
            if value not in made or made[value][0].invoked > call.returned:
                yield f"nobody's entry: {call} of {call.thread} has {value!r}"
            elif problem := log.learn(number, value, call.returned):
                yield problem
    yield from _out_of_order(log, appends)
    for call in reads:
        yield from _wrong_read(log, call, trims)
    for call in history:
        if call.name == "list_logs" and call.error is None and call.returned < inf and _NAME not in call.result:
            there = any(since < call.invoked for since in log.known.values())
            if there and not any(trim.invoked < call.returned for trim in trims):
                yield f"entries lost: {call} of {call.thread} lacks the log"
    for call in trims:
        if call.error is None and call.returned < inf and not 0 <= call.result < call.arguments[0]:
            yield f"trimmed too many: {call} of {call.thread} says {call.result}"


def _out_of_order(log: _Log, appends: Sequence[Call]) -> Iterator[str]:
    """Yield which entries are not together that were appended together, or are before what was there already."""
    for call in appends:
        numbers = {place: log.numbers[value] for place, value in enumerate(call.arguments) if value in log.numbers}
        if len({number - place for place, number in numbers.items()}) > 1:
            yield f"not together: {call} of {call.thread} has numbers {sorted(numbers.values())}"
        if numbers and any(
            since < call.invoked and number > min(numbers.values()) for number, since in log.known.items()
        ):
            yield f"not in order: {call} of {call.thread} has numbers {sorted(numbers.values())}"


def _wrong_read(log: _Log, call: Call, trims: Sequence[Call]) -> Iterator[str]:
    """Yield what a read lacks, or has although it was trimmed."""
    after, limit, reverse = call.arguments
    numbers = [number for number, _ in call.result]
    if numbers != sorted(numbers, reverse=reverse) or any(abs(a - b) != 1 for a, b in pairwise(numbers)):
        yield f"a gap: {call} of {call.thread} has numbers {numbers}"
    if any(number <= after for number in numbers) or (limit is not None and len(numbers) > limit):
        yield f"too much: {call} of {call.thread} has numbers {numbers}"
    # What somebody may have begun to trim need not be there.
    begin = max([after + 1, *(trim.arguments[0] for trim in trims if trim.invoked < call.returned)])
    missing = [n for n, since in log.known.items() if since < call.invoked and n >= begin and n not in numbers]
    if limit is not None and len(numbers) == limit:
        missing = [n for n in missing if (n > min(numbers) if reverse else n < max(numbers))]
    if missing:
        yield f"entries lost: {call} of {call.thread} lacks {sorted(missing)}"
    if numbers and not reverse and min(numbers) > begin:
        yield f"a gap: {call} of {call.thread} begins with {min(numbers)}, not with {begin}"
    for trim in trims:
        if trim.error is None and trim.returned < call.invoked:
            back = [n for n in numbers if n < trim.arguments[0] and log.known[n] < trim.invoked]
            if back:
                yield f"trimmed, and there: {call} of {call.thread} has {back}"
